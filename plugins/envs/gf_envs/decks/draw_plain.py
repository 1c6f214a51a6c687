"""Draw the decks for robot pretraining: ``python -m gf_envs.decks.draw_plain``.

Colours, shapes and digits, drawn here from lines and curves of our own: no font and no artwork of anybody else's. As with the
emojis the atlases are committed, because another version of Pillow may round an edge's pixels differently.

No name is a label or a CLDR name of ``gf/emoji-noto@1``, so that pretraining can't teach what the benchmark asks for. That rules
out, among others, the colour orange and the shapes circle, rectangle and ring; a round spot is a "dot" here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gf_core.contracts import Images
from gf_envs.decks import COLOURS, DIGITS, SHAPES, SUMMARIES, tiles
from gf_envs.decks.atlas import write_deck

if TYPE_CHECKING:
    import PIL.Image

SPLIT = "all"
COLUMNS = 9
SIDE = 1024
"""Faces are drawn at this size [px] and shrunk to a tile, which smooths their edges."""

Point = tuple[float, float]
Line = list[Point]
Rgb = tuple[int, int, int]

COLOUR_VALUES: Mapping[str, Rgb] = {
    "red": (214, 32, 36),
    "yellow": (250, 210, 20),
    "green": (36, 150, 60),
    "blue": (32, 86, 214),
    "purple": (124, 44, 168),
    "black": (24, 24, 26),
    "pink": (246, 130, 180),
    "brown": (120, 72, 36),
    "grey": (136, 138, 142),
    "turquoise": (40, 196, 190),
}
"""sRGB. Shapes use the first six, which are told apart most easily."""
SHAPE_COLOURS = tuple(COLOUR_VALUES)[:6]
INK: Rgb = COLOUR_VALUES["black"]
STROKE = 21.0
"""Width of a digit's lines, in the units of its drawing (100 wide, 140 high)."""


def turned(corners: int, start: float) -> Line:
    """Corners of a regular polygon in the unit disc, clockwise from ``start`` [degrees from the right]."""
    angles = [math.radians(start + 360 * i / corners) for i in range(corners)]
    return [(math.cos(a), math.sin(a)) for a in angles]


def arc(centre: Point, radii: Point, start: float, end: float) -> Line:
    """Points along an ellipse from ``start`` to ``end`` [degrees, clockwise from the right]; y points down."""
    count = max(2, round(abs(end - start) / 4))
    angles = [math.radians(start + (end - start) * i / count) for i in range(count + 1)]
    return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]


def curve(start: Point, control: Point, end: Point) -> Line:
    """Points along a quadratic Bézier curve."""
    weights = [((1 - t) ** 2, 2 * t * (1 - t), t**2) for t in (i / 24 for i in range(25))]
    return [(a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]) for a, b, c in weights]


SHAPE_OUTLINES: Mapping[str, Line] = {
    "dot": arc((0, 0), (1, 1), 0, 360),
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": turned(3, -90),
    "pentagon": turned(5, -90),
    "cross": [
        (-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33),
        (0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33),
    ],
    "arrow": [(0, -1), (1, 0.1), (0.36, 0.1), (0.36, 1), (-0.36, 1), (-0.36, 0.1), (-1, 0.1)],
    "oval": arc((0, 0), (1, 0.5), 0, 360),
    "arch": [
        *arc((0, 0), (1, 1), 180, 360), (1, 0.8), (0.42, 0.8), *arc((0, 0), (0.42, 0.42), 360, 180), (-0.42, 0.8), (-1, 0.8),
    ],
    "zigzag": [
        (-1, 0.25), (-0.5, -0.75), (0, 0.05), (0.5, -0.75), (1, 0.25), (1, 0.85), (0.5, -0.1), (0, 0.7), (-0.5, -0.1), (-1, 0.85),
    ],
}  # fmt: skip
"""Name to corners, y down, within ±1."""

DIGIT_LINES: Mapping[str, Sequence[Line]] = {
    "zero": [arc((50, 70), (34, 56), 0, 360)],
    "one": [[(26, 40), (54, 14), (54, 126)]],
    "two": [[*arc((50, 47), (33, 33), 190, 390), (17, 126), (85, 126)]],
    "three": [[*arc((47, 42), (31, 28), 205, 450), *arc((47, 97), (35, 29), 270, 515)]],
    "four": [[(62, 126), (62, 14), (15, 92), (88, 92)]],
    "five": [[(80, 14), (28, 14), (24, 66), *arc((48, 89), (36, 37), 225, 500)]],
    "six": [arc((50, 90), (34, 36), 0, 360), curve((16, 90), (16, 36), (68, 14))],
    "seven": [[(15, 14), (85, 14), (42, 126)]],
    "eight": [arc((50, 42), (28, 28), 0, 360), arc((50, 98), (34, 28), 0, 360)],
    "nine": [arc((50, 50), (34, 36), 0, 360), curve((84, 50), (84, 104), (32, 126))],
}
"""Name to lines, y down, in a field of 100 × 140."""


def _canvas() -> PIL.Image.Image:
    from PIL import Image

    return Image.new("RGBA", (SIDE, SIDE))


def colour_face(colour: str) -> Images:
    """``(TILE, TILE, 4) uint8``: a square filled with a colour."""
    return shape_face("square", colour)


def shape_face(shape: str, colour: str) -> Images:
    """``(TILE, TILE, 4) uint8``: a filled shape."""
    from PIL import ImageDraw

    image = _canvas()
    corners = [((x + 1.1) * SIDE / 2.2, (y + 1.1) * SIDE / 2.2) for x, y in SHAPE_OUTLINES[shape]]
    ImageDraw.Draw(image).polygon(corners, fill=COLOUR_VALUES[colour])
    return tiles.fit_tile(image)


def digit_face(name: str) -> Images:
    """``(TILE, TILE, 4) uint8``: a digit in thick lines with round ends."""
    from PIL import ImageDraw

    image = _canvas()
    draw, scale = ImageDraw.Draw(image), SIDE / 160
    half = STROKE / 2 * scale
    for line in DIGIT_LINES[name]:
        points = [((x + 30) * scale, (y + 10) * scale) for x, y in line]
        draw.line(points, fill=INK, width=round(2 * half), joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - half, y - half, x + half, y + half), fill=INK)
    return tiles.fit_tile(image)


def shape_items() -> list[tuple[str, str]]:
    """Every shape in every one of its colours."""
    return [(shape, colour) for shape in SHAPE_OUTLINES for colour in SHAPE_COLOURS]


def deck_rows() -> dict[str, list[dict[str, Any]]]:
    """Deck id to its manifest's items."""
    colours = [_row(name, name, {}, ()) for name in COLOUR_VALUES]
    shapes = [_row(f"{shape}-{colour}", f"{colour} {shape}", {}, (shape, colour)) for shape, colour in shape_items()]
    digits = [_row(name, name, {"numeral": str(value)}, ()) for value, name in enumerate(DIGIT_LINES)]
    decks = {COLOURS: colours, SHAPES: shapes, DIGITS: digits}
    return {deck: [row | {"tile": tile} for tile, row in enumerate(rows)] for deck, rows in decks.items()}


def _row(item: str, label: str, names: Mapping[str, str], tags: Sequence[str]) -> dict[str, Any]:
    return {"id": item, "label": label, "split": SPLIT, "names": dict(names), "tags": list(tags)}


FACES: Mapping[str, Callable[[], list[Images]]] = {
    COLOURS: lambda: [colour_face(name) for name in COLOUR_VALUES],
    SHAPES: lambda: [shape_face(shape, colour) for shape, colour in shape_items()],
    DIGITS: lambda: [digit_face(name) for name in DIGIT_LINES],
}
"""Deck id to what draws its faces, in the order of its items."""


def write(deck_id: str) -> str:
    """Write one deck's atlas, manifest and lock; returns its SHA-256."""
    about = {
        "summary": SUMMARIES[deck_id],
        "license": "Apache-2.0",
        "attribution": "Copyright the GrinningFace maintainers",
        "source": "drawn by gf_envs.decks.draw_plain",
    }
    return write_deck(deck_id, about, deck_rows()[deck_id], np.stack(FACES[deck_id]()), COLUMNS)


if __name__ == "__main__":
    for deck in FACES:
        print(f"{deck} {write(deck)}")
