"""The expert solves the published scene; the controls score what they should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode, PolicyContext
from gf_envs.tabletop.batch import TabletopEnv
from gf_policies.controls import CHUNK, make_null, make_random
from gf_policies.expert import make_expert, make_random_card, make_touring

MakeEnv = Callable[..., TabletopEnv]
Several = Callable[..., list[Episode]]
RollOut = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("hz", [20.0, 10.0, 5.0])
def test_expert_solves_every_scene_in_time_and_holds_tight(
    make_env: MakeEnv, several: Several, roll_out: RollOut, hz: float
) -> None:
    episodes = several(36, hz=hz, horizon=round(10 * hz))
    results = roll_out(make_env(slots=36, hz=hz), episodes, make_expert, slots=36)
    for episode in episodes:
        result, target = results[episode.id], episode.scene["cards"][episode.scene["target"]]
        assert result.outcome.success, (episode.scene, result.outcome)
        assert result.outcome.metrics["slip"] < 1.2e-3
        assert np.hypot(result.final_cube[0] - target["x"], result.final_cube[1] - target["y"]) < 0.01


@pytest.mark.parametrize("yaw", [-1.2, -0.4, 0.3, 0.785, 1.5])
def test_expert_grips_a_turned_cube(
    make_env: MakeEnv, make_episode: Callable[..., Episode], roll_out: RollOut, yaw: float
) -> None:
    episode = make_episode(cube=(-0.15, 0.04, yaw), target=2)
    assert roll_out(make_env(), [episode], make_expert, slots=1)["one"].outcome.success


def test_random_card_executes_and_ignores_the_target(make_env: MakeEnv, several: Several, roll_out: RollOut) -> None:
    results = roll_out(make_env(slots=24), several(48), make_random_card, slots=24)
    assert all(result.outcome.metrics["executed"] for result in results.values())
    chosen = [result.outcome.metrics["chosen"] for result in results.values()]
    assert set(chosen) == {0, 1, 2}
    elsewhere = roll_out(make_env(slots=24), several(48, target=0), make_random_card, slots=24)
    assert [result.outcome.metrics["chosen"] for result in elsewhere.values()] == chosen


def test_touring_gains_nothing_where_the_first_placement_counts(make_env: MakeEnv, several: Several, roll_out: RollOut) -> None:
    card = roll_out(make_env(slots=12), several(12), make_touring, slots=12)
    assert sum(result.outcome.success for result in card.values()) == 4
    paper = roll_out(make_env(slots=3), several(3, rule="paper"), make_touring, slots=3)
    assert sum(result.outcome.success for result in paper.values()) > 1
    assert sum(bool(result.outcome.metrics["recognized"]) for result in paper.values()) == 1


def test_expert_rests_where_nothing_is_asked(make_env: MakeEnv, several: Several, roll_out: RollOut) -> None:
    result = roll_out(make_env(), several(1, target=None, horizon=20), make_expert, slots=1)["e0"]
    assert result.outcome.ending == "horizon"
    assert (result.actions[:, :6] == 0).all()


def test_blind_controls(make_env: MakeEnv) -> None:
    env, slots = make_env(), np.array([0, 3], np.int32)
    context = PolicyContext(env=env.spec, action=env.action, slots=4)
    from gf_core.contracts import Observation

    seen = Observation(slots=slots, instruction=["", ""])
    still = make_null({}, context).act(seen).actions
    assert still.shape == (2, CHUNK, 7)
    assert not still.any()
    random = make_random({}, context)
    random.reset(slots, [1, 2])
    first = random.act(seen).actions
    low, high = np.array(env.action.field.low), np.array(env.action.field.high)
    assert (first >= low - 1e-6).all()
    assert (first <= high + 1e-6).all()
    assert (first[0] != first[1]).any()
    random.reset(slots[:1], [2])
    assert (random.act(Observation(slots=slots[:1], instruction=[""])).actions[0] == first[1]).all()
