"""Draws the pages of the nano model's pretraining: pictures, blocks and clutter on plain grounds, in two dimensions.

Nothing here comes from a simulator: a page is a drawing of flat pictures, and what looks like depth in it (a sheared card, a
block with three shaded faces) is drawn at random, without camera, table or robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDE = 160
"""Height and width of a page [px]."""
FINER = 2
"""Pages are drawn this many times larger and then averaged."""

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

COLOURS: dict[str, tuple[int, int, int]] = {
    "blue": (30, 50, 190),
    "red": (200, 30, 30),
    "green": (40, 150, 50),
    "yellow": (235, 205, 40),
    "orange": (240, 140, 30),
    "purple": (130, 50, 170),
    "pink": (240, 140, 180),
    "brown": (120, 75, 40),
    "black": (25, 25, 25),
    "white": (240, 240, 240),
    "grey": (130, 130, 130),
}
"""Colour words and a typical colour of each [sRGB]."""


@dataclass(frozen=True)
class Placed:
    """Something on a page.

    Attributes:
        number: of the picture; -1 for a block.
        colour: of a block; empty for a picture.
        x, y: centre [px].
        size: side [px].
        seen: share of it that nothing covers.
    """

    number: int
    colour: str
    x: float
    y: float
    size: float
    seen: float = 1.0


class Canvas:
    """A page under construction.

    Args:
        rng: where everything random comes from.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._image = Image.fromarray(_ground(rng)).resize((SIDE * FINER, SIDE * FINER), Image.Resampling.BILINEAR)
        self._owners = Image.new("I", (SIDE, SIDE), 0)  # 0 for the ground, else number of the thing + 1
        self._areas: list[float] = []

    def picture(self, face: Image.Image, x: float, y: float, size: float) -> None:
        """Draw a picture ``(N, N)`` RGBA with its centre at ``(x, y)`` [px], turned, sheared and squashed, maybe on a card."""
        rng = self._rng
        middle = np.array([x, y])
        corners = _corners(rng, size)
        if rng.random() < 0.65:
            shade = rng.integers(200, 256) if rng.random() < 0.3 else 255
            tint = tuple(int(v) for v in np.clip(shade + rng.integers(-12, 13, 3) * (rng.random() < 0.3), 0, 255))
            self._polygon(corners * rng.uniform(1.0, 1.25) + middle, tint)
        self._paste(face, corners + middle)
        self._own(corners + middle)

    def block(self, colour: str, x: float, y: float, size: float) -> None:
        """Draw a small block in a colour, as three shaded faces or a square."""
        rng = self._rng
        base = np.clip(np.array(COLOURS[colour]) * rng.uniform(0.45, 1.1) + rng.integers(-10, 11, 3), 0, 255)
        turn = rng.uniform(0, np.pi / 2)
        square = _rotated(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2, turn) * (1, rng.uniform(0.6, 1))
        depth = np.array([rng.uniform(-0.4, 0.4), 1.0]) * size * rng.uniform(0.3, 0.9)
        centre = np.array([x, y]) - depth / 2
        order = np.argsort(square[:, 1])
        for first in order[-2:]:  # the two sides that look down the page
            second = (first + 1) % 4 if square[(first + 1) % 4, 1] > square[(first - 1) % 4, 1] else (first - 1) % 4
            side = np.array([square[first], square[second], square[second] + depth, square[first] + depth])
            self._polygon(side + centre, tuple(int(v) for v in base * rng.uniform(0.45, 0.85)))
        self._polygon(square + centre, tuple(int(v) for v in base))
        outline = np.concatenate([square + centre, square + centre + depth])
        low, high = outline.min(0), outline.max(0)
        self._own(np.array([low, [high[0], low[1]], high, [low[0], high[1]]]))

    def clutter(self) -> None:
        """Cover parts of the page with bars and patches of one colour each."""
        rng = self._rng
        for _ in range(rng.integers(1, 4)):
            shade = rng.integers(0, 90) if rng.random() < 0.6 else rng.integers(0, 256)
            fill = tuple(int(v) for v in np.clip(shade + rng.integers(-25, 26, 3), 0, 255))
            if rng.random() < 0.7:
                ends = rng.uniform(-20, SIDE + 20, (2, 2))
                along = ends[1] - ends[0]
                across = np.array([-along[1], along[0]]) / (np.linalg.norm(along) + 1e-9) * rng.uniform(3, 13)
                shape = np.array([ends[0] + across, ends[1] + across, ends[1] - across, ends[0] - across])
            else:
                shape = rng.uniform(0, SIDE, 2) + _rotated(rng.uniform(-22, 22, (4, 2)), 0.0)
            self._polygon(shape, fill)
            ImageDraw.Draw(self._owners).polygon(_flat(shape), fill=0)

    def finish(self) -> tuple[Pixels, npt.NDArray[np.int64], list[float]]:
        """Image ``(SIDE, SIDE, 3) uint8``, owners ``(SIDE, SIDE)`` (-1 for none, else the place in the order of drawing), and for
        each thing the share of its area that is seen."""
        rng = self._rng
        image = self._image.resize((SIDE, SIDE), Image.Resampling.BOX)
        if rng.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
        pixels: Points = np.asarray(image, np.float64)
        pixels = (pixels - 128) * rng.uniform(0.75, 1.15) + 128 + rng.uniform(-20, 20)
        pixels = pixels * rng.uniform(0.93, 1.07, 3)
        if rng.random() < 0.5:
            pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, 5))
        owners = np.asarray(self._owners).astype(np.int64) - 1
        counts = np.bincount(owners[owners >= 0], minlength=len(self._areas))
        seen = [float(count / max(area, 1.0)) for count, area in zip(counts, self._areas, strict=True)]
        return np.clip(pixels + 0.5, 0, 255).astype(np.uint8), owners, seen

    def _polygon(self, points: Points, fill: tuple[int, ...]) -> None:
        ImageDraw.Draw(self._image).polygon(_flat(points * FINER), fill=fill)

    def _own(self, points: Points) -> None:
        ImageDraw.Draw(self._owners).polygon(_flat(points), fill=len(self._areas) + 1)
        self._areas.append(_area(points))

    def _paste(self, face: Image.Image, corners: Points) -> None:
        corners = corners * FINER
        low = np.floor(corners.min(0)).astype(int)
        width, height = (np.ceil(corners.max(0)).astype(int) - low).tolist()
        coefficients = _perspective(corners - low, face.width)
        drawn = face.transform((width, height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
        self._image.paste(drawn, tuple(low.tolist()), drawn)


def _ground(rng: np.random.Generator) -> Pixels:
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.clip(rng.uniform(60, 240) + rng.uniform(-35, 35, 3), 0, 255)
    ground = np.broadcast_to(colour, (SIDE, SIDE, 3)).astype(np.float32)
    kind = rng.random()
    if kind < 0.25:
        slope = np.linspace(-1, 1, SIDE, dtype=np.float32) * rng.uniform(10, 70)
        ground = ground + (slope[:, None, None] if rng.random() < 0.5 else slope[None, :, None])
    elif kind < 0.5:
        coarse = rng.integers(0, 256, (rng.integers(3, 20), rng.integers(3, 20), 3)).astype(np.uint8)
        rough = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        ground = ground + (np.asarray(rough, np.float32) - 128) * rng.uniform(0.1, 0.7)
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        pen = ImageDraw.Draw(image)
        for _ in range(rng.integers(1, 6)):
            fill = tuple(int(v) for v in rng.integers(0, 256, 3))
            pen.polygon(_flat(rng.uniform(0, SIDE, 2) + rng.uniform(-60, 60, (4, 2))), fill=fill)
    return np.asarray(image)


def _corners(rng: np.random.Generator, size: float) -> Points:
    """Corners of a picture about its middle, first the one at its upper left."""
    square: Points = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    square = square * (1, rng.uniform(0.55, 1.0)) if rng.random() < 0.7 else square
    square[:, 0] += square[:, 1] * rng.uniform(-0.45, 0.45)
    square = _rotated(square, np.clip(rng.normal(0, 0.3), -0.9, 0.9))
    scaled: Points = square * (size / np.sqrt(max(_area(square), 1e-9)))
    return scaled + rng.uniform(-0.04, 0.04, (4, 2)) * size


def _area(points: Points) -> float:
    """Of a quadrilateral: half the cross product of its diagonals."""
    (a, b), (c, d) = (points[2] - points[0]).tolist(), (points[3] - points[1]).tolist()
    return float(abs(a * d - b * c) / 2)


def _rotated(points: Points, angle: float) -> Points:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn)


def _perspective(corners: Points, side: int) -> tuple[float, ...]:
    """Coefficients of Pillow's PERSPECTIVE from the page to a face ``side`` px wide whose corners are ``corners`` there."""
    target = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float64)
    rows = []
    for (x, y), (u, v) in zip(corners, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    return tuple(np.linalg.solve(np.array(rows), target.reshape(-1)).tolist())


def _flat(points: Points) -> Sequence[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]
