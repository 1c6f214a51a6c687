"""The tasks' expert solves the frozen suite, at every rate, and does what the task is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.evaluation.suites import at_rate
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.tasks.scene import TASKS as OF_ENVIRONMENT
from gf_policies.expert import make_expert
from gf_policies.tasks_expert import TASKS, make_tasks_expert

MakeEnv = Callable[..., TabletopEnv]
RollOut = Callable[..., dict[str, Any]]


def test_policy_and_environment_number_the_tasks_alike() -> None:
    assert TASKS == OF_ENVIRONMENT


@pytest.mark.parametrize(("hz", "start"), [(20.0, 0), (10.0, 5), (5.0, 11)])
def test_a_sample_is_solved_at_every_rate(
    make_tasks_env: MakeEnv, frozen: list[Episode], roll_out: RollOut, hz: float, start: int
) -> None:
    episodes = [at_rate(episode, hz) for episode in frozen[start::18]]
    results = roll_out(make_tasks_env(slots=len(episodes), hz=hz), episodes, make_tasks_expert, slots=len(episodes))
    for episode in episodes:
        outcome = results[episode.id].outcome
        assert outcome.success, (episode.id, outcome)
        assert outcome.metrics["grasped"] == (episode.split in ("pick", "place"))


@pytest.mark.full
def test_every_episode_is_solved(make_tasks_env: MakeEnv, frozen: list[Episode], roll_out: RollOut) -> None:
    results = roll_out(make_tasks_env(slots=64, threads=2), frozen, make_tasks_expert, slots=64)
    assert [name for name, result in results.items() if not result.outcome.success] == []


def test_without_a_target_the_hand_stays(make_tasks_env: MakeEnv, make_task: Callable[..., Episode], roll_out: RollOut) -> None:
    for task in ("reach", "push", "place"):
        episode = make_task(task, target=None, horizon=15)
        result = roll_out(make_tasks_env(), [episode], make_tasks_expert, slots=1)[task]
        assert result.outcome.ending == "horizon"
        assert (result.actions[:, :6] == 0).all()


def test_a_push_slides_the_block_and_leaves_it_in_the_middle(
    make_tasks_env: MakeEnv, make_task: Callable[..., Episode], roll_out: RollOut
) -> None:
    episode = make_task("push", cube={"x": -0.2, "y": 0.06, "yaw": 0.7}, target=1)
    result = roll_out(make_tasks_env(), [episode], make_tasks_expert, slots=1)["push"]
    assert result.outcome.success
    np.testing.assert_allclose(result.final_cube, (0.0, 0.0, g.CUBE_HALF_SIZE), atol=0.015)
    assert (result.actions[:, 6] == 0).all(), "the hand is closed throughout"


def test_a_place_is_the_tabletops_own(make_tasks_env: MakeEnv, make_task: Callable[..., Episode], roll_out: RollOut) -> None:
    result = roll_out(make_tasks_env(), [make_task("place", target=2)], make_expert, slots=1)["place"]
    assert (result.outcome.success, result.outcome.metrics["chosen"]) == (True, 2)
