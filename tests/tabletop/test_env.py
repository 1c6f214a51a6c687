"""The BatchEnv: the same bits for any slots and threads, replay, and refusal of nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError
from gf_core.specs import Observes
from gf_envs.tabletop.batch import TabletopEnv
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


@pytest.mark.parametrize(("arguments", "words"), [
    ({"target": 5}, "no card 5"), ({"cube": (0.0, 0.01, 0.0)}, "on or beside card 1"), ({"cube": (-0.45, 0.0, 0.0)}, "pedestal"),
    ({"cube": (-0.098, 0.0, 0.0)}, "on or beside card 1"),
    ({"cards": (("u1f47b", 0.0, 0.2), ("u1f4aa", 0.05, 0.1))}, "overlaps card 0"),
    ({"cards": (("u1f47b", -0.5, 0.0), ("u1f4aa", 0.0, 0.0))}, "pedestal"),
])  # fmt: skip
def test_a_scene_that_contradicts_itself_is_refused(
    make_env: MakeEnv, make_episode: MakeEpisode, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(GrinningFaceError, match=words):
        make_env().reset(np.zeros(1, np.int32), [make_episode(**{"target": 0, **arguments})])


def test_a_diverged_simulation_ends_its_own_episode_only(make_env: MakeEnv, several: Several) -> None:
    env, slots = make_env(slots=2), np.arange(2, dtype=np.int32)
    env.reset(slots, several(2))
    env._physics._qvel[0, 8] = 1e11
    assert env.step(slots, np.zeros((2, 7), np.float32)).done.tolist() == [True, False]
    assert [outcome.ending for outcome in env.outcome(slots)] == ["unstable", "horizon"]
    env.reset(slots[:1], several(1))
    assert not env.step(slots, np.zeros((2, 7), np.float32)).done.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 4.0])
def test_controls_that_no_action_gives_are_refused(make_env: MakeEnv, several: Several, value: float) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, several(1))
    controls = np.array([[0, 0, 0, 0, np.pi / 2, 0, 0.037]])
    controls[0, 2] = value
    with pytest.raises(ValueError, match="controls"):
        env.step_controls(slot, controls)


def test_an_action_after_replayed_controls_starts_where_they_ended(make_env: MakeEnv, several: Several) -> None:
    env, slot = make_env(), np.zeros(1, np.int32)
    env.reset(slot, several(1))
    moved = np.array([[0.1, 0.05, -0.05, 0.0, 1.5, 0.0, 0.037]])
    env.step_controls(slot, moved)
    still = env.step(slot, np.array([[0, 0, 0, 0, 0, 0, 1]], np.float32)).controls
    np.testing.assert_allclose(still[:, :6], moved[:, :6], atol=2e-6)


def test_what_any_part_of_the_arm_touches_is_not_let_go(make_env: MakeEnv) -> None:
    model = make_env()._physics.model
    arm_touch = model.sensor("arm_touch")
    assert model.body(arm_touch.objid[0]).name == "shoulder"


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
