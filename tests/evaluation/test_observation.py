"""What a policy is shown, and which of its actions are played when."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gf_core.evaluation import Timing

FAR = {"scene": {"goal": [9.0, 9.0]}, "horizon": 17}


@pytest.fixture
def rendered():
    log = sys.modules["reach"].RENDERED
    log.clear()
    return log


@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize(
    ("history", "chunk", "execute"),
    [
        ([0], 1, None),
        ([-2, 0], 1, None),
        ([-7, -4, -1, 0], 3, None),
        ([-3, 0], 5, 2),
        ([-5], 4, None),
        ([-6, -1, 0], 5, "varying"),
    ],
)
def test_history(play, write_suite, history, chunk, execute, in_process):
    config = {"history": history, "chunk": chunk, "execute_steps": execute}
    run = play(write_suite([FAR] * 5), "local/looker-v1", slots=3, policy_config=config, in_process=in_process).run
    assert {row.get("reason", "") for row in run.records} == {""}, "the policy raises when a frame isn't the one it asked for"
    assert {row["ending"] for row in run.records} == {"horizon"}


def test_images_are_drawn_only_when_they_are_shown(play, write_suite, rendered):
    play(write_suite([FAR] * 3), "local/looker-v1", policy_config={"chunk": 5})
    assert rendered == {f"e00{n}": [0, 5, 10, 15] for n in range(3)}


def test_past_images_are_drawn_only_around_the_next_question(play, write_suite, rendered):
    play(write_suite([FAR]), "local/looker-v1", policy_config={"chunk": 8, "history": [-2, 0]})
    assert rendered["e000"] == [0, 6, 7, 8, 14, 15, 16], "7 and 15, in case that the question after the next comes at once"


def test_a_policy_that_does_not_look_draws_nothing(play, write_suite, rendered):
    run = play(write_suite([FAR])).run
    assert rendered == {}
    assert run.identity["environment"]["runtime"] == {}


def test_only_privileged_policies_see_the_simulator(play, write_suite):
    suite = write_suite(3)
    assert {row["ending"] for row in play(suite, "local/peeker-v1", out="a").run.records} == {"success"}
    blind = play(suite, "local/blind-peeker-v1", out="b").run
    assert {row["reason"] for row in blind.records} == {"KeyError: 'goal'"}
    assert not blind.identity["policy"]["privileged"]


@pytest.mark.parametrize(("mine", "theirs", "expected"), [(None, None, 6), (None, 4, 4), (2, 4, 2), (9, 4, 6)])
def test_execute_steps(play, write_suite, mine, theirs, expected):
    config = {"chunk": 6, "execute_steps": theirs}
    run = play(write_suite([FAR]), "local/late-v1", policy_config=config, execute_steps=mine).run
    trajectory = run.trajectory("e000")
    assert trajectory.chunk_starts.tolist() == list(range(0, 17, expected))
    assert asked_and_index(trajectory) == [(s - s % expected, s % expected) for s in range(17)]
    assert run.records[0]["chunks"] == len(trajectory.chunk_starts)


def test_execute_steps_beyond_the_chunk_is_the_policys_fault(play, write_suite):
    run = play(write_suite([FAR]), "local/late-v1", policy_config={"chunk": 2, "execute_steps": 3}).run
    assert run.records[0]["reason"] == "act returned execute_steps 3 with a chunk of 2 steps"


def asked_and_index(trajectory) -> list[tuple[int, int]]:
    """Of each step, when the policy was asked for its action, and which of the chunk it is."""
    codes = np.round(trajectory.actions[:, 0].astype(float) * 1e5).astype(int)
    return [divmod(code, 100) for code in codes]


def test_a_late_chunk_is_played_from_the_action_that_is_due(play, write_suite):
    timing = Timing(mode="realtime", latency_steps=2)
    config = {"chunk": 6, "execute_steps": 3}
    run = play(write_suite([FAR]), "local/late-v1", policy_config=config, timing=timing).run
    trajectory = run.trajectory("e000")
    assert trajectory.chunk_starts.tolist() == [0, 3, 6, 9, 12, 15]
    asked = [0 if step < 5 else 3 * ((step - 2) // 3) for step in range(17)]
    assert asked_and_index(trajectory) == [(a, step - a) for step, a in enumerate(asked)]
    left = np.round(trajectory.actions[5:, 2] * 100).astype(int)
    assert set(left) == {3}, "three actions were unplayed at each question"


def test_the_arm_holds_still_while_it_has_nothing_to_do(play, write_suite):
    timing = Timing(mode="realtime", latency_steps=4)
    run = play(write_suite([FAR]), "local/late-v1", policy_config={"chunk": 2}, timing=timing).run
    actions = run.trajectory("e000").actions
    assert run.trajectory("e000").chunk_starts.tolist() == [0, 2, 6, 10, 14]
    assert (actions[[2, 3, 4, 5, 7, 8, 9], :2] == 0).all()
    assert np.allclose(actions[2:6, 2], actions[1, 2]), "the gripper stays as it was"
    assert np.isclose(actions[6, 0], 0.002 + 0.00001), "of a chunk that is wholly late, the last action"


def test_measured_latency_is_at_least_a_step(play, write_suite):
    run = play(
        write_suite([FAR]), "local/late-v1", policy_config={"chunk": 8}, execute_steps=2, timing=Timing(mode="realtime")
    ).run
    assert run.records[0]["ending"] == "horizon"
    assert run.identity["timing"] == {"mode": "realtime", "latency_steps": None}
    assert run.identity["variant"]


def test_no_call_holds_more_than_max_batch(play, write_suite):
    run = play(write_suite(9), "local/pair-v1", slots=8, in_process=False).run
    assert {row["ending"] for row in run.records} == {"success"}, "it raises for more than two"
    sizes = [int(line.split()[-1]) for line in (run.path / "policy.log").read_text().splitlines() if line.startswith("asked")]
    assert max(sizes) == 2


def test_calls_are_batched(play, write_suite):
    run = play(write_suite([FAR] * 8), slots=8, in_process=False, policy_config={"chunk": 5}).run
    sizes = [int(line.split()[-1]) for line in (run.path / "policy.log").read_text().splitlines() if line.startswith("asked")]
    assert sizes == [8, 8, 8, 8]
