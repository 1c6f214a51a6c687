"""What the nano model reads in its pretraining: drawn pages with questions and answers about the pictures on them.

A page stands for what a vision-language model finds on the internet: pictures with their names, in more than one artwork, under
several names, of several kinds; and where things are, as a place on a grid (as PaliGemma's location tokens, arXiv 2407.07726) or
in words. Page ``index`` of a seed is a pure function of both. Places are drawn uniformly: from a jittered grid, a model learns
where pictures tend to be instead of looking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gf_core.canonical import derive_seed
from gf_policies.nano.drawing import COLOURS, SIDE, Canvas, Pixels, Placed
from gf_policies.nano.places import CELL, GRID, spot
from gf_policies.nano.questions import Look, ask, unmarked
from gf_policies.nano.things import Thing


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page with what is said about it.

    Attributes:
        image: ``(SIDE, SIDE, 3) uint8`` RGB.
        turns: questions and answers.
        looks: for each turn, the names of visible things in its question and in its answer.
        cells: ``(GRID²,) int64``: the thing that fills most of each cell, -1 for none; row by row. Blocks are numbered behind
            the things, in the order of their colours in :data:`~gf_policies.nano.drawing.COLOURS`.
        centres: ``(GRID²,) int64``: place within the cell of the middle of what it holds, -1 where no middle lies in it.
    """

    image: Pixels
    turns: tuple[tuple[str, str], ...]
    looks: tuple[tuple[tuple[Look, ...], tuple[Look, ...]], ...]
    cells: npt.NDArray[np.int64]
    centres: npt.NDArray[np.int64]


def draw_page(things: Sequence[Thing], seed: int, index: int, turns: int) -> Page:
    """Page ``index`` with up to ``turns`` questions."""
    rng = np.random.default_rng(derive_seed("nano page", seed, index))
    canvas = Canvas(rng)
    in_a_row = rng.random() < 0.3
    spots = _row(rng) if in_a_row else _scattered(rng)
    chosen = rng.choice(len(things), len(spots), replace=False)
    placed = []
    for number, (x, y, size) in zip(chosen, spots, strict=True):
        faces = things[number].faces[int(rng.integers(len(things[number].faces)))]
        canvas.picture(faces[0] if size > 32 else faces[1], x, y, size)
        placed.append(Placed(int(number), "", x, y, size))
    if rng.random() < 0.6:
        for colour in rng.choice(list(COLOURS), rng.integers(1, 4), replace=False):
            x, y, size = rng.uniform(6, SIDE - 6), rng.uniform(6, SIDE - 6), rng.uniform(5, 13)
            canvas.block(str(colour), x, y, size)
            placed.append(Placed(-1, str(colour), x, y, size))
    if rng.random() < 0.5:
        canvas.clutter()
    image, owners, seen = canvas.finish()
    # What something else covers in the middle isn't asked about: there, the other one is what is seen.
    shares = [
        share if owners[min(int(p.y), SIDE - 1), min(int(p.x), SIDE - 1)] == place else 0.0
        for place, (p, share) in enumerate(zip(placed, seen, strict=True))
    ]
    placed = [Placed(p.number, p.colour, p.x, p.y, p.size, share) for p, share in zip(placed, shares, strict=True)]
    asked = [(unmarked(question), unmarked(answer)) for question, answer in ask(rng, things, placed, turns, ordered=in_a_row)]
    cells, centres = _cells(owners, placed, len(things))
    return Page(
        image=image,
        turns=tuple((question, answer) for (question, _), (answer, _) in asked),
        looks=tuple((first, second) for (_, first), (_, second) in asked),
        cells=cells,
        centres=centres,
    )


def _scattered(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Places and sizes, uniform over the page, none much over another. Many: a page costs the encoder the same with three."""
    found: list[tuple[float, float, float]] = []
    for _ in range(rng.integers(10, 16)):
        for _ in range(12):
            size = float(rng.uniform(16, 36))
            x, y = rng.uniform(size * 0.4, SIDE - size * 0.4, 2)
            if all(np.hypot(x - a, y - b) > 0.52 * (size + other) for a, b, other in found):
                found.append((float(x), float(y), size))
                break
    return found


def _row(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Two to four places in a line that may slope, from the left to the right."""
    count = int(rng.integers(2, 5))
    size = float(rng.uniform(18, min(44, 140 / count)))
    gap = float(rng.uniform(size * 1.02, max(size * 1.03, min(56.0, (SIDE - size) / (count - 1)))))
    slope = float(rng.uniform(-0.6, 0.6))
    width, height = gap * (count - 1), abs(slope) * gap * (count - 1)
    left = float(rng.uniform(size / 2, max(size / 2 + 1, SIDE - size / 2 - width)))
    top = float(rng.uniform(size / 2, max(size / 2 + 1, SIDE - size / 2 - height))) + (height if slope < 0 else 0.0)
    wobble = rng.uniform(-0.1, 0.1, (count, 2)) * size
    return [
        (left + k * gap + float(wobble[k, 0]), top + slope * k * gap + float(wobble[k, 1]), size * float(rng.uniform(0.9, 1.1)))
        for k in range(count)
    ]


def _cells(
    owners: npt.NDArray[np.int64], placed: Sequence[Placed], things: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    colours = list(COLOURS)
    numbers = np.array([p.number if p.number >= 0 else things + colours.index(p.colour) for p in placed] + [-1])
    blocks = numbers[owners].reshape(GRID, CELL, GRID, CELL).swapaxes(1, 2).reshape(GRID * GRID, -1)
    cells, centres = np.full(GRID * GRID, -1), np.full(GRID * GRID, -1)
    for cell in np.flatnonzero((blocks >= 0).sum(1) > 0.3 * CELL * CELL):
        cells[cell] = np.bincount(blocks[cell][blocks[cell] >= 0]).argmax()
    for thing, number in zip(placed, numbers, strict=False):
        middle, within = spot(thing.x, thing.y)
        if thing.seen > 0.5:  # a small block doesn't fill its cell, but is what there is to name in it
            cells[middle], centres[middle] = number, within
    return cells, centres
