"""`gf/lerobot-v1`: checkpoints of LeRobot as policies."""
