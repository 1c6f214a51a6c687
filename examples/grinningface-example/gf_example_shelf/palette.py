"""Colours of the balls, and the size of the shelf: what environment and policy have to agree on."""

SIZE_M = 0.5
"""Side of the square shelf [m]; x points right and y up, from the lower left corner."""

BALL_RADIUS_M = 0.03

STEP_M = 0.02
"""Farthest that a command may move in one control step, in each direction [m]."""

BACKGROUND = (32, 34, 40)
POINTER = (255, 255, 255)

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 50, 47),
    "green": (60, 160, 60),
    "blue": (50, 90, 210),
    "yellow": (240, 210, 50),
    "purple": (140, 60, 170),
    "orange": (240, 130, 30),
    "cyan": (60, 200, 210),
    "pink": (240, 130, 190),
}
"""Name to sRGB."""
