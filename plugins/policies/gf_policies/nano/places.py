"""Places on a page, as two tokens: a cell of the page, and a place in the cell."""

from __future__ import annotations

import numpy as np

from gf_policies.nano.drawing import SIDE

GRID = 10
"""Cells of the page's grid along each side: one for each patch of the image encoder."""
CELL = SIDE // GRID
FINE = 8
"""Cells of a cell's own grid along each side."""


def location(x: float, y: float) -> str:
    """A point of the page [px] as two tokens: the cell of the page, and the cell's own."""
    cell, sub = spot(x, y)
    return f"<loc{cell:02d}> <sub{sub:02d}>"


def spot(x: float, y: float) -> tuple[int, int]:
    """A point of the page [px] as its cell, and the place in that cell."""
    column, row = int(np.clip(x // CELL, 0, GRID - 1)), int(np.clip(y // CELL, 0, GRID - 1))
    across = int(np.clip((x - column * CELL) * FINE // CELL, 0, FINE - 1))
    down = int(np.clip((y - row * CELL) * FINE // CELL, 0, FINE - 1))
    return row * GRID + column, down * FINE + across


LOCATIONS = tuple(f"<loc{n:02d}>" for n in range(GRID * GRID)) + tuple(f"<sub{n:02d}>" for n in range(FINE * FINE))
