"""Other tasks on the same table: reach, push, pick and place, seen by other cameras, from other base poses."""
