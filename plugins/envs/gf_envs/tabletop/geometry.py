"""Facts of the published GrinningFace v8 scene (arXiv 2511.06619) in metres and radians.

World frame: origin on the table's surface under the nominal centre of the middle card, x away from the robot, y to its
left, z up.
"""

from __future__ import annotations

import math

BASE_POSITION = (-0.45, 0.0, 0.10)
"""Origin of the robot's base frame in the world; the axes are parallel."""

PEDESTAL_HALF_SIZE = 0.09
"""The base stands on a square block of our own making; the publication has none [m]."""

START_JOINTS = (0.0, 0.0, 0.0, 0.0, math.pi / 2, 0.0)
FINGER_OPEN, FINGER_CLOSED = 0.037, 0.015

CARD_HALF_SIZE = 0.07
CARD_THICKNESS = 0.002
CARD_X = 0.0
CARD_Y = (0.20, 0.0, -0.20)
CARD_JITTER = 0.02
MAX_CARDS = 6

CUBE_HALF_SIZE = 0.015
CUBE_RGB = (0.1, 0.1, 0.5)
CUBE_X, CUBE_Y, CUBE_JITTER = -0.18, 0.0, 0.05

CAMERA_EYE = (-0.35, -0.21, 0.564)
CAMERA_TARGET = (-0.05, -0.05, 0.0)
CAMERA_FOVY = 1.2

CONTROL_HZ = 20.0
MAX_DELTA_POSITION = 0.1
MAX_DELTA_ROTATION = 0.1
HORIZON_STEPS = 200

INSTRUCTION = "pick the block and place it on {label}"
PAPER_RADIUS = CARD_HALF_SIZE * math.sqrt(2)
