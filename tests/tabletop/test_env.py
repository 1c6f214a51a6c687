"""The BatchEnv: the same bits for any slots and threads, replay, and refusal of nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError
from gf_core.specs import Observes
from gf_envs.tabletop.env import TabletopEnv
from gf_envs.tabletop.spec import TABLETOP
from gf_policies.expert import make_expert

MakeEnv = Callable[..., TabletopEnv]
MakeEpisode = Callable[..., Episode]
Several = Callable[..., list[Episode]]
RollOut = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("slots", "threads"), [(1, 1), (4, 1), (4, 3)])
def test_bits_do_not_depend_on_slots_and_threads(
    make_env: MakeEnv, several: Several, roll_out: RollOut, slots: int, threads: int
) -> None:
    episodes = several(6)
    reference = roll_out(make_env(slots=6, threads=2), episodes, make_expert, slots=6)
    again = roll_out(make_env(slots=slots, threads=threads), episodes, make_expert, slots=slots)
    for name, wanted in reference.items():
        assert again[name].outcome == wanted.outcome
        assert again[name].actions.tobytes() == wanted.actions.tobytes()
        assert again[name].controls.tobytes() == wanted.controls.tobytes()


def test_recorded_controls_and_actions_give_the_same_states(make_env: MakeEnv, several: Several, roll_out: RollOut) -> None:
    episodes = several(2)
    recorded = roll_out(make_env(slots=2), episodes, make_expert, slots=2)
    env, slot = make_env(), np.zeros(1, np.int32)
    for episode in episodes:
        was = recorded[episode.id]
        env.reset(slot, [episode])
        for row in was.controls:
            env.step_controls(slot, row[None])
        assert env.outcome(slot)[0] == was.outcome
        env.reset(slot, [episode])
        for row, wanted in zip(was.actions, was.controls, strict=True):
            assert env.step(slot, row[None]).controls[0].tobytes() == wanted.tobytes()
        assert env.outcome(slot)[0] == was.outcome


def test_a_reset_slot_remembers_nothing(make_env: MakeEnv, several: Several) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    first, second = several(2)
    env.reset(slot, [first])
    fresh = env.state_hash(slot)[0]
    rng = np.random.default_rng(0)
    for _ in range(30):
        env.step(slot, rng.uniform(-0.1, 0.1, (1, 7)).astype(np.float32))
    env.reset(slot, [second])
    assert env.state_hash(slot)[0] != fresh
    env.reset(slot, [first])
    assert env.state_hash(slot)[0] == fresh
    assert env.outcome(slot)[0].steps == 0


def test_random_actions_never_break_the_physics(make_env: MakeEnv, several: Several) -> None:
    env, slots = make_env(slots=8), np.arange(8, dtype=np.int32)
    env.reset(slots, several(8))
    rng = np.random.default_rng(1)
    for _ in range(200):
        env.step(slots, rng.uniform(-0.1, 0.1, (8, 7)).astype(np.float32))
        seen = env.observe(slots, Observes(), privileged=True)
        assert np.isfinite(seen.proprio).all()
        heights = seen.privileged["cube"][:, 2] + 0.10
        assert (heights > 0.005).all(), "a cube was pushed into the table"
    assert all(outcome.steps == 200 for outcome in env.outcome(slots))


def test_proprio_starts_at_the_published_pose(make_env: MakeEnv, make_episode: MakeEpisode) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, [make_episode()])
    proprio = env.observe(slot, Observes()).proprio
    assert proprio is not None
    np.testing.assert_allclose(proprio, [[0.29975, 0, 0.19065, 0, 0, 0, 1]], atol=1e-5)


def test_observation_tells_only_what_was_asked_for(make_env: MakeEnv, make_episode: MakeEpisode) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, [make_episode()])
    blind = env.observe(slot, Observes(proprio=False))
    assert (blind.images, blind.proprio, blind.privileged) == ({}, None, {})
    assert set(env.observe(slot, Observes(), privileged=True).privileged) == {f.name for f in TABLETOP.privileged}


@pytest.mark.parametrize(("wanted", "words"), [
    (Observes(cameras=("left",)), "no camera 'left'"), (Observes(cameras=("third",), size=(0, 224)), "can't be 0 x 224"),
    (Observes(cameras=("third",), size=(224, 5000)), "can't be 224 x 5000"),
])  # fmt: skip
def test_an_image_that_cannot_be_drawn_is_refused(
    make_env: MakeEnv, make_episode: MakeEpisode, wanted: Observes, words: str
) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, [make_episode()])
    with pytest.raises(GrinningFaceError, match=words):
        env.observe(slot, wanted)


def test_a_target_that_is_no_card_is_refused(make_env: MakeEnv, make_episode: MakeEpisode) -> None:
    with pytest.raises(ValueError, match="target 5"):
        make_env().reset(np.zeros(1, np.int32), [make_episode(target=5)])


def test_one_to_six_cards(make_env: MakeEnv, make_episode: MakeEpisode, roll_out: RollOut) -> None:
    env = make_env(slots=2)
    spots = ((-0.01, 0.2), (0.0, 0.04), (0.0, -0.12), (0.02, -0.28), (-0.16, 0.3), (-0.16, -0.3))
    items = ("u1f47b", "u1f4aa", "u1f98a", "u1f981", "u1f984", "u1f993")
    six = tuple((item, x, y) for item, (x, y) in zip(items, spots, strict=True))
    episodes = [make_episode(name="six", cards=six, target=1), make_episode(name="one", cards=six[1:2], target=0)]
    results = roll_out(env, episodes, make_expert, slots=2)
    assert all(result.outcome.success for result in results.values())


def test_lower_rates_scale_the_bounds(make_env: MakeEnv) -> None:
    env = make_env(hz=10.0)
    assert env.action.hz == env.spec.action.hz == 10.0
    assert env.action.field.high[:6] == pytest.approx([0.2] * 6)
