"""Random draws that never change, and where things lie on the table.

Over a split the target lies equally often (to within one episode) at each of the K positions, so that a policy that prefers a
position is right in 1/K of the episodes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from gf_core.canonical import derive_seed
from gf_envs.tabletop import geometry as g

T = TypeVar("T")

K = len(g.CARD_Y)
"""Cards on the table."""

DECIMALS = 4
"""Positions are written to 0.1 mm, far below what a camera or a robot resolves."""


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
    """A layout with the published jitter, which keeps the cube clear of the cards."""
    cards = tuple((draws.around(g.CARD_X, g.CARD_JITTER), draws.around(y, g.CARD_JITTER)) for y in g.CARD_Y)
    return Layout(cards, (draws.around(g.CUBE_X, g.CUBE_JITTER), draws.around(g.CUBE_Y, g.CUBE_JITTER)), target_position)


def draw_positions(draws: Draws, targets: int, layers: int, shift: int = 0) -> list[list[int]]:
    """``layers`` lists with the position of each of ``targets`` targets.

    Balanced in each layer, over all layers and for each target. Where their number isn't a multiple of K, the positions that
    get one more begin at ``shift``. In each K layers a target goes once round all positions, from a drawn one in a drawn
    direction; of the targets that begin at a position, equally many go either way, which keeps every layer balanced.
    """
    positions: list[list[int]] = []
    while len(positions) < layers:
        first = draws.permutation((shift + target) % K for target in range(targets))
        backward = targets // K // 2
        directions = [draws.permutation([-1] * backward + [1] * (first.count(start) - backward)) for start in range(K)]
        direction = [directions[start].pop() for start in first]
        positions += [[(start + layer * way) % K for start, way in zip(first, direction, strict=True)] for layer in range(K)]
    return positions[:layers]


def draw_layouts(draws: Draws, targets: int, layers: int, shift: int = 0) -> list[list[Layout]]:
    """``layers`` lists with one layout for each of ``targets`` targets, which lie where :func:`draw_positions` says."""
    return [[draw_layout(draws, position) for position in layer] for layer in draw_positions(draws, targets, layers, shift)]
