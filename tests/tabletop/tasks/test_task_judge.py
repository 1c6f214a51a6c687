"""Who wins at reach, push, pick and place, and when: scripted states against the rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode, Outcome
from gf_envs.decks import COLOURS
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.judge import REST_HEIGHT, State
from gf_envs.tabletop.tasks.judge import TaskJudge
from gf_envs.tabletop.tasks.scene import parse_scene

SLOT = np.zeros(1, np.int32)
FLOOR = g.CUBE_HALF_SIZE
AWAY = (-0.15, 0.0, 0.2)
STEPS = 11  # half a second at 20 Hz

Point = tuple[float, float, float]
Seen = tuple[State, np.ndarray]
Judged = Callable[..., tuple[Outcome, int]]


def look(cube: Point = (-0.18, 0.0, FLOOR), tool: Point = AWAY, *, held: bool = False, touched: bool = False,
         speed: float = 0.0, arm: float = 0.0, across: float = 0.0, unstable: bool = False) -> Seen:  # fmt: skip
    state = State(
        cube_position=np.array([cube]), cube_speed=np.array([speed]), cube_spin=np.zeros(1), joint_speed=np.array([arm]),
        held=np.array([held]), touched=np.array([held or touched]), unstable=np.array([unstable]),
        cube_in_tool=np.array([[0.0, 0.0, across]]),
    )  # fmt: skip
    return state, np.array([tool])


@pytest.fixture
def judged(make_task: Callable[..., Episode]) -> Judged:
    def run(task: str, seen: list[Seen], hz: float = 20.0, **changes: Any) -> tuple[Outcome, int]:
        """Outcome after the episode is done or the states are used up, and how many were watched."""
        episode = make_task(task, hz=hz, **changes)
        judge = TaskJudge(1, hz)
        judge.reset(SLOT, [parse_scene(episode.scene)], [episode.horizon])
        for n, (state, tool) in enumerate(seen, start=1):
            if judge.watch(SLOT, state, tool)[0]:
                return judge.outcome(0, "hash"), n
        return judge.outcome(0, "hash"), len(seen)

    return run


DONE = {
    "reach": look(tool=(0.03, -0.05, 0.03)),
    "push": look(cube=(0.03, -0.05, FLOOR)),
    "pick": look(cube=(-0.15, 0.0, 0.10), held=True),
    "place": look(cube=(0.03, -0.05, REST_HEIGHT)),
}


@pytest.mark.parametrize("task", DONE)
@pytest.mark.parametrize(("hz", "steps"), [(20.0, 11), (10.0, 6), (5.0, 4)])
def test_half_a_second_of_it_is_success(judged: Judged, task: str, hz: float, steps: int) -> None:
    outcome, watched = judged(task, [DONE[task]] * 20, hz=hz)
    assert (outcome.success, outcome.ending, watched) == (True, "success", steps)
    assert outcome.metrics["executed"] is True
    chosen = (None, None) if task == "pick" else (1, True)
    assert (outcome.metrics["chosen"], outcome.metrics["recognized"]) == chosen


@pytest.mark.parametrize("task", DONE)
def test_an_interruption_starts_the_half_second_over(judged: Judged, task: str) -> None:
    outcome, watched = judged(task, [DONE[task]] * 8 + [look()] + [DONE[task]] * 20)
    assert (outcome.success, watched) == (True, 8 + 1 + STEPS)


@pytest.mark.parametrize(("task", "seen"), [
    ("reach", look(tool=(0.03, -0.05, 0.06))), ("reach", look(tool=(0.0, 0.0, 0.03), arm=0.3)),
    ("reach", look(tool=(0.0, 0.08, 0.03))), ("reach", look(cube=(0.0, 0.0, REST_HEIGHT))),
    ("push", look(cube=(0.0, 0.0, FLOOR), touched=True)), ("push", look(cube=(0.0, 0.0, FLOOR), speed=0.1)),
    ("push", look(cube=(0.0, 0.0, FLOOR + 0.01))), ("push", look(cube=(0.0, 0.08, FLOOR))),
    ("pick", look(cube=(0.0, 0.0, 0.10))), ("pick", look(cube=(-0.1, 0.0, 0.05), held=True)),
    ("pick", look(cube=(-0.1, 0.0, 0.1), held=True, across=0.025)),
    ("place", look(cube=(0.0, 0.08, FLOOR))), ("place", look(cube=(0.0, 0.0, REST_HEIGHT), held=True)),
])  # fmt: skip
def test_what_is_not_quite_it_does_not_count(judged: Judged, task: str, seen: Seen) -> None:
    outcome, _ = judged(task, [seen] * 60, horizon=60)
    assert (outcome.success, outcome.ending, outcome.metrics["executed"]) == (False, "horizon", False)


@pytest.mark.parametrize("task", ["reach", "push", "place"])
def test_the_first_card_is_the_choice_and_final(judged: Judged, task: str) -> None:
    outcome, watched = judged(task, [DONE[task]] * 30, target=2)
    assert (outcome.success, outcome.ending, watched) == (False, "chosen", STEPS)
    assert (outcome.metrics["chosen"], outcome.metrics["recognized"]) == (1, False)


@pytest.mark.parametrize("task", ["reach", "push", "place"])
def test_without_a_target_nothing_is_right(judged: Judged, task: str) -> None:
    outcome, _ = judged(task, [DONE[task]] * 30, target=None)
    assert (outcome.success, outcome.metrics["executed"], outcome.metrics["recognized"]) == (False, True, None)


@pytest.mark.parametrize(("task", "what"), [("reach", "tool"), ("push", "cube"), ("place", "cube")])
def test_all_of_a_card_counts_also_where_another_cards_middle_is_nearer(judged: Judged, task: str, what: str) -> None:
    places = (("red", 0.0, 0.2), ("green", 0.0, 0.0), ("blue", 0.142, 0.069))
    cards = [{"deck": COLOURS, "item": item, "x": x, "y": y} for item, x, y in places]
    corner = (0.069, 0.069, {"reach": 0.03, "push": FLOOR, "place": REST_HEIGHT}[task])  # of green, 73 mm from blue's middle
    outcome, _ = judged(task, [look(**{what: corner})] * STEPS, cards=cards)
    assert (outcome.success, outcome.metrics["chosen"]) == (True, 1)


def test_half_the_time_on_each_of_two_cards_is_no_choice(judged: Judged) -> None:
    outcome, _ = judged("reach", [look(tool=(0.0, y, 0.03)) for y in (0.0, 0.2) for _ in range(STEPS - 1)])
    assert outcome.metrics["executed"] is False


def test_a_grasp_ends_a_push_but_two_fingers_behind_the_block_are_none(judged: Judged) -> None:
    pushed = [look(cube=(x, 0.0, FLOOR), held=True, across=0.025) for x in np.linspace(-0.18, 0.0, 20)]
    outcome, _ = judged("push", pushed + [DONE["push"]] * STEPS)
    assert (outcome.success, outcome.metrics["grasped"]) == (True, False)
    grasped, watched = judged("push", [look(), look(held=True), *[DONE["push"]] * 30])
    assert (grasped.success, grasped.ending, watched) == (False, "grasped", 2)
    placed, _ = judged("place", [look(held=True), *[DONE["place"]] * STEPS])
    assert (placed.success, placed.metrics["grasped"]) == (True, True)


def test_a_cards_square_turns_with_the_base(judged: Judged) -> None:
    base = {"x": -0.45, "y": 0.0, "yaw": 0.5}
    corner = np.array((0.45 + 0.065, 0.065))  # within the card, from the base in the world's axes
    turn = np.array(((math.cos(0.5), math.sin(0.5)), (-math.sin(0.5), math.cos(0.5))))
    x, y = turn @ corner - (0.45, 0.0)
    centre = turn @ (0.45, 0.0) - (0.45, 0.0)
    assert max(abs(x - centre[0]), abs(y - centre[1])) > g.CARD_HALF_SIZE
    outcome, _ = judged("reach", [look(tool=(x, y, 0.03))] * STEPS, base=base)
    assert outcome.success


def test_a_simulation_that_diverged_ends_without_success(judged: Judged) -> None:
    outcome, watched = judged("place", [look()] * 4 + [look(unstable=True)])
    assert (outcome.success, outcome.ending, watched) == (False, "unstable", 5)
