"""Where things lie and where the robot stands, for the tasks of gf/tabletop-tasks-v1.

Everything is drawn freely within the limits below and drawn again until the arm can do the task with every card as the target:
where only the target were within reach, reach would tell the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gf_envs.suites.design import Draws, K
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.tasks.scene import BaseFrame, Task

Point = tuple[float, float]

BASE_X, BASE_X_HALF, BASE_Y_HALF, BASE_YAW_HALF = -0.43, 0.04, 0.05, 0.35
"""The base's pose [m, rad]; published: (-0.45, 0), not turned."""
CARD_X, CARD_X_HALF, CARD_Y_HALF = -0.07, 0.13, 0.30
CUBE_X, CUBE_X_HALF, CUBE_Y_HALF, CUBE_YAW_HALF = -0.16, 0.10, 0.20, 0.78
CARD_RADII, PUSH_RADII, CUBE_RADII, HAND_RADII = (0.25, 0.49), (0.25, 0.42), (0.24, 0.40), (0.22, 0.42)
"""Distances from the base [m] of cards, of a push's marks, of the block, and of the hand behind a block that is pushed. Upright,
the hand works to 0.42 m; leaning, to 0.50 m."""
AZIMUTH = 1.2
"""Nothing lies further to the side of the arm [rad]."""
CARD_GAP = 0.005
"""Cards are at least this far apart [m]."""
CUBE_GAP = 0.006
"""The cube is this much further from a card than where it counts as placed [m]."""
HAND_BEHIND = 0.06
"""A pushing hand is lowered about this far behind the block [m]."""


@dataclass(frozen=True)
class TaskLayout:
    """Where things lie [m, world].

    Attributes:
        base: x, y and yaw of the robot's base.
        cards: centres, from the robot's left to its right.
        cube: x, y and yaw.
    """

    base: tuple[float, float, float]
    cards: tuple[Point, ...]
    cube: tuple[float, float, float]


def between(draws: Draws, limits: tuple[float, float]) -> float:
    """A number within limits."""
    low, high = limits
    return draws.around((low + high) / 2, (high - low) / 2)


def draw_task_layout(draws: Draws, task: Task) -> TaskLayout:
    """A layout in which the task can be done with every card as the target."""
    while True:
        base = (draws.around(BASE_X, BASE_X_HALF), draws.around(0.0, BASE_Y_HALF), draws.around(0.0, BASE_YAW_HALF))
        cards = [(draws.around(CARD_X, CARD_X_HALF), draws.around(0.0, CARD_Y_HALF)) for _ in range(K)]
        cube = (draws.around(CUBE_X, CUBE_X_HALF), draws.around(0.0, CUBE_Y_HALF), draws.around(0.0, CUBE_YAW_HALF))
        if is_apart(cards, cube[:2]) and is_feasible(task, base, cards, cube[:2]):
            cards.sort(key=lambda card: -polar(base, card)[1])
            return TaskLayout(base, tuple(cards), cube)


def is_apart(cards: list[Point], cube: Point) -> bool:
    """Whether no two cards touch and the cube doesn't count as placed."""
    side = 2 * g.CARD_HALF_SIZE + CARD_GAP
    for i, (x, y) in enumerate(cards):
        if any(abs(x - other[0]) < side and abs(y - other[1]) < side for other in cards[:i]):
            return False
        if math.dist((x, y), cube) < g.PAPER_RADIUS + CUBE_GAP:
            return False
    return True


def is_feasible(task: Task, base: tuple[float, float, float], cards: list[Point], cube: Point) -> bool:
    """Whether the arm gets to the cube and to every card, and for a push behind the cube on the way to every card."""
    radii = PUSH_RADII if task == "push" else CARD_RADII
    if not (within(base, cube, CUBE_RADII) and all(within(base, card, radii) for card in cards)):
        return False
    return task != "push" or all(within(base, behind(cube, card), HAND_RADII) for card in cards)


def behind(cube: Point, card: Point) -> Point:
    """Where the hand is lowered to push the cube to the card."""
    share = HAND_BEHIND / math.dist(cube, card)
    return cube[0] - share * (card[0] - cube[0]), cube[1] - share * (card[1] - cube[1])


def polar(base: tuple[float, float, float], point: Point) -> Point:
    """Distance [m] and azimuth [rad] of a point from the base."""
    ahead, left = BaseFrame(*base).turn(point[0] - base[0], point[1] - base[1])
    return math.hypot(ahead, left), math.atan2(left, ahead)


def within(base: tuple[float, float, float], point: Point, radii: tuple[float, float]) -> bool:
    """Whether a point is within reach."""
    distance, azimuth = polar(base, point)
    return radii[0] <= distance <= radii[1] and abs(azimuth) <= AZIMUTH
