"""The GrinningFace tabletop scene in MuJoCo."""
