"""Who wins, when an episode ends, and what is remembered: scripted states against the rules of docs/protocol.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gf_core.contracts import Episode, Outcome
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.judge import REST_HEIGHT, Judge, State
from gf_envs.tabletop.scene import parse_scene

SLOT = np.zeros(1, np.int32)
FLOOR = g.CUBE_HALF_SIZE


def look(x: float, y: float, z: float = REST_HEIGHT, *, held: bool = False, touched: bool = False, speed: float = 0.0,
         arm: float = 0.0, unstable: bool = False, in_tool: tuple[float, float, float] = (0, 0, 0)) -> State:  # fmt: skip
    return State(
        cube_position=np.array([[x, y, z]]), cube_speed=np.array([speed]), cube_spin=np.zeros(1),
        joint_speed=np.array([arm]),
        unstable=np.array([unstable]), held=np.array([held]),
        touched=np.array([held or touched]), cube_in_tool=np.array([in_tool]),
    )  # fmt: skip


@pytest.fixture
def judged(make_episode: Callable[..., Episode]) -> Callable[..., tuple[Outcome, int]]:
    def run(states: list[State], hz: float = 20.0, **arguments: object) -> tuple[Outcome, int]:
        """Outcome after the episode is done or the states are used up, and the number of states watched."""
        episode = make_episode(hz=hz, **arguments)
        judge = Judge(1, hz)
        judge.reset(SLOT, [parse_scene(episode.scene)], [episode.horizon])
        for n, state in enumerate(states, start=1):
            if judge.watch(SLOT, state)[0]:
                return judge.outcome(0, "hash"), n
        return judge.outcome(0, "hash"), len(states)

    return run


def carry(x: float, y: float, n: int = 3) -> list[State]:
    return [look(x, y, 0.1, held=True)] * n


def test_settled_on_the_target_for_half_a_second_is_success(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, steps = judged(carry(0, 0) + [look(0.01, -0.02)] * 50)
    assert (outcome.success, outcome.ending, steps) == (True, "success", 14)
    assert outcome.metrics["chosen"] == outcome.metrics["intended"] == 1
    assert outcome.metrics["recognized"] is True
    assert outcome.metrics["success_paper"] is True


@pytest.mark.parametrize(("hz", "steps"), [(20.0, 11), (10.0, 6), (5.0, 4)])
def test_half_a_second_at_every_rate(judged: Callable[..., tuple[Outcome, int]], hz: float, steps: int) -> None:
    assert judged([look(0, 0)] * 50, hz=hz)[1] == steps


def test_the_first_settled_placement_is_final(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, steps = judged(carry(0, 0.2) + [look(0, 0.2)] * 20 + carry(0, 0) + [look(0, 0)] * 20)
    assert (outcome.success, outcome.ending, steps) == (False, "placed", 14)
    assert outcome.metrics["chosen"] == 0
    assert outcome.metrics["recognized"] is False


def test_a_short_stop_on_a_card_is_not_a_placement(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, _ = judged([*[look(0, 0.2)] * 10, *carry(0, 0), *[look(0, 0)] * 11])
    assert outcome.metrics["chosen"] == 1


@pytest.mark.parametrize("state", [
    look(0, 0, touched=True), look(0, 0, held=True), look(0, 0, speed=0.1), look(0, 0, REST_HEIGHT + 0.01), look(0.071, 0, FLOOR),
    look(0, 0.1, FLOOR),
])  # fmt: skip
def test_what_is_touched_moving_or_beside_does_not_count(judged: Callable[..., tuple[Outcome, int]], state: State) -> None:
    outcome, _ = judged([state] * 60, horizon=60)
    assert (outcome.success, outcome.ending) == (False, "horizon")
    assert outcome.metrics["executed"] is False
    assert outcome.metrics["recognized"] is None


def test_the_square_is_the_limit(judged: Callable[..., tuple[Outcome, int]]) -> None:
    assert judged([look(0.0699, -0.0699)] * 20)[0].success
    assert not judged([look(0.0701, 0.0)] * 20)[0].success


def test_intent_is_the_card_at_release_else_at_closest_approach(judged: Callable[..., tuple[Outcome, int]]) -> None:
    released, _ = judged(carry(0, 0.2) + carry(0, -0.15) + [look(0, -0.13, FLOOR)] * 5)
    assert released.metrics["intended"] == 2
    never, _ = judged(carry(-0.1, 0.0) + carry(0.01, 0.19) + carry(-0.1, 0.02))
    assert never.metrics["intended"] == 0
    assert never.metrics["intent_correct"] is False


def test_without_a_grasp_there_is_no_intent(judged: Callable[..., tuple[Outcome, int]]) -> None:
    pushed, _ = judged([look(x, 0.0, FLOOR, touched=True) for x in np.linspace(-0.18, -0.08, 20)])
    assert pushed.metrics["intended"] is None
    assert pushed.metrics["intent_correct"] is False


def test_no_target_means_no_verdict_on_it(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, _ = judged(carry(0, 0) + [look(0, 0)] * 20, target=None)
    assert (outcome.success, outcome.ending) == (False, "placed")
    assert outcome.metrics["recognized"] is None
    assert outcome.metrics["intent_correct"] is None


def test_a_release_outweighs_a_nearer_approach_and_the_last_release_counts(judged: Callable[..., tuple[Outcome, int]]) -> None:
    let_go = [look(-0.1, 0.19, FLOOR)] * 3
    outcome, _ = judged(carry(-0.1, 0.19) + let_go + carry(0, 0.01))
    assert outcome.metrics["intended"] == 0
    twice, _ = judged(carry(-0.1, 0.19) + let_go + carry(0, 0.01) + [look(-0.1, 0.0, FLOOR)] * 3)
    assert twice.metrics["intended"] == 1


def test_a_push_after_the_release_is_no_intent(judged: Callable[..., tuple[Outcome, int]]) -> None:
    pushed = [look(-0.1, y, FLOOR, touched=True) for y in np.linspace(0.19, -0.19, 20)]
    outcome, _ = judged(carry(-0.1, 0.19) + pushed)
    assert outcome.metrics["intended"] == 0


def test_a_simulation_that_diverged_ends_without_success(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, steps = judged([*[look(0, 0)] * 10, look(0, 0, unstable=True), look(0, 0)])
    assert (outcome.success, outcome.ending, steps) == (False, "unstable", 11)


def test_slip_is_the_furthest_way_in_the_grip(judged: Callable[..., tuple[Outcome, int]]) -> None:
    moves = [(0.0, 0, 0), (0.001, 0, 0), (0.0, 0.003, 0.004), (0.0, 0, 0)]
    outcome, _ = judged([look(0, 0, 0.1, held=True, in_tool=m) for m in moves])
    assert outcome.metrics["slip"] == pytest.approx(0.005)


def test_paper_rule_counts_a_cube_beside_the_card_at_once(judged: Callable[..., tuple[Outcome, int]]) -> None:
    beside = [look(-0.085, 0.0, FLOOR)] * 30
    outcome, steps = judged(beside, rule="paper")
    assert (outcome.success, outcome.ending, steps) == (True, "success", 1)
    assert outcome.metrics["chosen"] == 1
    card, _ = judged(beside)
    assert card.success is False
    assert card.metrics["success_paper"] is True


def test_paper_rule_lets_an_episode_go_on_after_a_wrong_card(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, steps = judged(carry(0, 0.2) + [look(0, 0.2)] * 20 + carry(0, 0) + [look(0, 0)] * 5, rule="paper")
    assert (outcome.success, steps) == (True, 27)
    assert outcome.metrics["chosen"] == 0
    assert outcome.metrics["recognized"] is False


def test_under_the_paper_rule_the_first_card_that_meets_it_is_the_choice(judged: Callable[..., tuple[Outcome, int]]) -> None:
    # A tour that lifts the cube again before it has settled is right in the end by the rule's own doing, and recognised nothing.
    peek = [look(0, 0.2)] * 2
    outcome, _ = judged(
        carry(0, 0.2) + peek + carry(0, -0.2) + [look(0, -0.2)] * 2 + carry(0, 0) + [look(0, 0)] * 2, rule="paper"
    )
    assert outcome.success is True
    assert (outcome.metrics["chosen"], outcome.metrics["recognized"]) == (0, False)
    assert (outcome.metrics["intended"], outcome.metrics["intent_correct"]) == (0, False)


def test_paper_success_means_execution(judged: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, _ = judged([look(0, 0, touched=True)], rule="paper")
    assert outcome.success is True
    assert outcome.metrics["executed"] is True
    assert outcome.metrics["recognized"] is True


def test_paper_rule_wants_a_still_arm_and_an_open_hand(judged: Callable[..., tuple[Outcome, int]]) -> None:
    assert not judged([look(0, 0, arm=0.3)] * 9, rule="paper")[0].success
    assert not judged([look(0, 0, held=True)] * 9, rule="paper")[0].success
