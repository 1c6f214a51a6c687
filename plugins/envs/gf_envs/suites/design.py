"""The design of experiments behind the suites: balanced targets, positions and distractors, and layouts on the table.

Balance is exact, so that no habit beats chance: within a layer every emoji is the target once and a distractor K - 1 times,
and over a split the target lies equally often (to within one episode) at each of the K positions. A policy that prefers an
emoji or a position is therefore right in 1/K of the episodes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gf_core.canonical import derive_seed
from gf_envs.tabletop import geometry as g

T = TypeVar("T")

K = len(g.CARD_Y)
"""Cards on the table."""

DECIMALS = 4
"""Positions are written to 0.1 mm, far below what a camera or a robot resolves."""

MAX_ATTEMPTS = 10_000

Combination = tuple[str, ...]
"""K item ids: the target first, then its distractors."""


class Draws:
    """Random draws that are the same on every machine and with every version of Python and NumPy.

    Only ``random.Random.random`` with a whole-number seed is used, whose sequence Python's documentation promises to keep
    (https://docs.python.org/3/library/random.html#notes-on-reproducibility).
    """

    def __init__(self, *parts: object) -> None:
        self._random = random.Random(derive_seed(*parts))

    def below(self, n: int) -> int:
        """A whole number from 0 to ``n - 1``."""
        return int(self._random.random() * n)

    def around(self, centre: float, half_width: float) -> float:
        """A length [m] from ``centre - half_width`` to ``centre + half_width``, rounded to :data:`DECIMALS`."""
        return round(centre + (2 * self._random.random() - 1) * half_width, DECIMALS) + 0.0  # + 0.0 makes -0.0 zero

    def permutation(self, items: Iterable[T]) -> list[T]:
        """``items`` in random order (Fisher and Yates)."""
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.below(last + 1)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled


@dataclass(frozen=True)
class Layout:
    """Where things lie [m, world], whatever is on the cards.

    Attributes:
        cards: centres (x, y), from the robot's left to its right.
        cube: centre (x, y).
        target_position: which card is the target, counted from the left.
    """

    cards: tuple[tuple[float, float], ...]
    cube: tuple[float, float]
    target_position: int


def draw_layout(draws: Draws, target_position: int) -> Layout:
    """A layout with the published jitter, drawn uniformly."""
    cards = tuple((draws.around(g.CARD_X, g.CARD_JITTER), draws.around(y, g.CARD_JITTER)) for y in g.CARD_Y)
    cube = (draws.around(g.CUBE_X, g.CUBE_JITTER), draws.around(g.CUBE_Y, g.CUBE_JITTER))
    return Layout(cards, cube, target_position)


def draw_layouts(draws: Draws, targets: int, layers: int, shift: int = 0) -> list[list[Layout]]:
    """``layers`` lists with one layout for each of ``targets`` targets.

    Target positions are balanced in each layer, over all layers and for each target. Where their number isn't a multiple
    of K, the positions that get one more begin at ``shift``.
    """
    first = draws.permutation((shift + target) % K for target in range(targets))
    return [[draw_layout(draws, (position + layer) % K) for position in first] for layer in range(layers)]


def draw_layers(draws: Draws, items: Sequence[str], layers: int, avoid: Iterable[Combination] = ()) -> list[list[Combination]]:
    """``layers`` lists with one combination for each item as target; no set of K items occurs twice or in ``avoid``.

    Raises:
        ValueError: no such combinations were found.
    """
    taken = {frozenset(combination) for combination in avoid}
    drawn: list[list[Combination]] = []
    for _ in range(layers):
        layer = next((found for _ in range(MAX_ATTEMPTS) if is_new(found := draw_layer(draws, items), taken)), None)
        if layer is None:
            raise ValueError(f"{len(items)} items don't give {layers} layers of new combinations")
        taken.update(map(frozenset, layer))
        drawn.append(layer)
    return drawn


def is_new(layer: Sequence[Combination], taken: set[frozenset[str]]) -> bool:
    """Whether the layer repeats neither a set of items of ``taken`` nor one of its own."""
    sets = {frozenset(combination) for combination in layer}
    return len(sets) == len(layer) and not sets & taken


def draw_layer(draws: Draws, items: Sequence[str]) -> list[Combination]:
    """One combination for each item as target, in which every item is once the first, the second ... distractor.

    Raises:
        ValueError: fewer than K items.
    """
    if len(items) < K:
        raise ValueError(f"{len(items)} items are fewer than {K} cards")
    columns = [list(items)]
    while len(columns) < K:
        column = draws.permutation(items)
        if all(item not in row for item, row in zip(column, zip(*columns, strict=True), strict=True)):
            columns.append(column)
        elif len(items) < 2 * K:  # with so few items a valid column may not exist for the earlier ones
            columns = [list(items)]
    return list(zip(*columns, strict=True))
