"""gf/tabletop-tasks-v1: the same bits for any company, exact replay, and pictures that show what the scene says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError
from gf_core.specs import Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.model import CARD_PARKED_Z
from gf_envs.tabletop.tasks.scene import TASKS
from gf_envs.tabletop.tasks.spec import TABLETOP_TASKS
from gf_policies.tasks_expert import make_tasks_expert

MakeEnv = Callable[..., TabletopEnv]
MakeTask = Callable[..., Episode]
RollOut = Callable[..., dict[str, Any]]
SLOT = np.zeros(1, np.int32)
THIRD = Observes(cameras=("third",), size=(224, 224))


@pytest.mark.parametrize(("slots", "threads"), [(1, 1), (3, 2)])
def test_bits_do_not_depend_on_slots_and_threads(
    make_tasks_env: MakeEnv, frozen: list[Episode], roll_out: RollOut, slots: int, threads: int
) -> None:
    episodes = frozen[::126]
    assert {episode.split for episode in episodes} == set(TASKS)
    reference = roll_out(make_tasks_env(slots=4), episodes, make_tasks_expert, slots=4)
    again = roll_out(make_tasks_env(slots=slots, threads=threads), episodes, make_tasks_expert, slots=slots)
    for name, wanted in reference.items():
        assert again[name].outcome == wanted.outcome
        assert again[name].actions.tobytes() == wanted.actions.tobytes()
        assert again[name].controls.tobytes() == wanted.controls.tobytes()


def test_recorded_controls_and_actions_give_the_same_states(
    make_tasks_env: MakeEnv, frozen: list[Episode], roll_out: RollOut
) -> None:
    episodes = frozen[1::126]
    recorded = roll_out(make_tasks_env(slots=4), episodes, make_tasks_expert, slots=4)
    env = make_tasks_env()
    for episode in episodes:
        was = recorded[episode.id]
        env.reset(SLOT, [episode])
        for row in was.controls:
            env.step_controls(SLOT, row[None])
        assert env.outcome(SLOT)[0] == was.outcome
        env.reset(SLOT, [episode])
        for row, wanted in zip(was.actions, was.controls, strict=True):
            assert env.step(SLOT, row[None]).controls[0].tobytes() == wanted.tobytes()
        assert env.outcome(SLOT)[0] == was.outcome


def test_a_reset_slot_remembers_nothing(make_tasks_env: MakeEnv, frozen: list[Episode]) -> None:
    env = make_tasks_env()
    env.reset(SLOT, [frozen[200]])
    fresh, picture = env.state_hash(SLOT)[0], env.observe(SLOT, THIRD).images["third"]
    for other in (frozen[10], frozen[450]):
        env.reset(SLOT, [other])
        for _ in range(5):
            env.step(SLOT, np.full((1, 7), 0.05, np.float32))
        assert (env.observe(SLOT, THIRD).images["third"] != picture).any()
    env.reset(SLOT, [frozen[200]])
    assert env.state_hash(SLOT)[0] == fresh
    assert (env.observe(SLOT, THIRD).images["third"] == picture).all()
    assert env.outcome(SLOT)[0].steps == 0


def test_privileged_state_is_what_the_spec_declares(make_tasks_env: MakeEnv, make_task: MakeTask) -> None:
    env, slots = make_tasks_env(slots=4), np.arange(4, dtype=np.int32)
    env.reset(slots, [make_task(task) for task in TASKS])
    told = env.observe(slots, Observes(), privileged=True).privileged
    assert set(told) == {field.name for field in TABLETOP_TASKS.privileged}
    assert told["task"].tolist() == [0, 1, 2, 3]
    assert told["target"].tolist() == [1, 1, -1, 1]
    assert np.isnan(told["cards"][:, 3:]).all()
    upper_faces = told["cards"][:, 1, 2] + g.BASE_POSITION[2]
    np.testing.assert_allclose(upper_faces, [g.CARD_THICKNESS, 0.0, g.CARD_THICKNESS, g.CARD_THICKNESS], atol=1e-12)


def moved(scene: dict[str, Any], dx: float, dy: float, turn: float) -> dict[str, Any]:
    """The base's pose and the cube's as they are from a world that is moved and turned: cards would lie askew there."""
    c, s = math.cos(turn), math.sin(turn)

    def place(x: float, y: float) -> dict[str, float]:
        return {"x": c * x - s * y + dx, "y": s * x + c * y + dy}

    pose = {key: place(scene[key]["x"], scene[key]["y"]) | {"yaw": scene[key]["yaw"] + turn} for key in ("base", "cube")}
    camera = scene["camera"]
    ends = {key: [*place(*camera[key][:2]).values(), camera[key][2]] for key in ("eye", "target")}
    sun = scene["look"]["sun"]
    light = {"sun": [c * sun[0] - s * sun[1], s * sun[0] + c * sun[1], sun[2]]}
    return {**pose, "camera": camera | ends, "look": scene["look"] | light}


def test_what_counts_is_where_things_are_to_each_other(make_tasks_env: MakeEnv, make_task: MakeTask) -> None:
    one = [{"deck": "gf/colours@1", "item": "red", "x": 0.0, "y": 0.0}]
    here = make_task("reach", cards=one, target=0, cube={"x": -0.2, "y": 0.05, "yaw": 0.2})
    quarter = math.pi / 2  # after which a square is a square again
    turned = moved(dict(here.scene), 0.1, -0.05, quarter)
    there = make_task("reach", cards=[one[0] | {"x": 0.1, "y": -0.05}], target=0, **turned)
    env, slots = make_tasks_env(slots=2), np.arange(2, dtype=np.int32)
    env.reset(slots, [here, there])
    seen = env.observe(slots, THIRD, privileged=True)
    for name in ("cube", "cards", "tool"):
        np.testing.assert_allclose(seen.privileged[name][0], seen.privileged[name][1], atol=1e-7)
    pictures = seen.images["third"].astype(int)
    assert (np.abs(pictures[0] - pictures[1]) > 8).mean() < 0.01


def pixel(episode: Episode, x: float, y: float, z: float, size: int = 224) -> tuple[int, int]:
    """Row and column at which the scene's camera sees a point of the world."""
    camera = episode.scene["camera"]
    eye = np.array(camera["eye"])
    forward = np.array(camera["target"]) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    local = np.array((x, y, z)) - eye
    scale = size / 2 / np.tan(camera["fovy"] / 2) / (local @ forward)
    return round(size / 2 - scale * (local @ np.cross(right, forward)) - 0.5), round(size / 2 + scale * (local @ right) - 0.5)


def test_cards_and_block_are_where_the_episodes_own_camera_should_see_them(
    make_tasks_env: MakeEnv, frozen: list[Episode]
) -> None:
    colours = {"red": 0, "green": 1, "blue": 2}
    chosen = [e for e in frozen if {c["item"] for c in e.scene["cards"]} & set(colours) and e.factors["deck"] == "gf/colours@1"]
    chosen = chosen[::9]
    assert {"reach", "push", "pick", "place"} == {episode.split for episode in chosen}
    slots = np.arange(len(chosen), dtype=np.int32)
    env = make_tasks_env(slots=len(chosen), render="fast")
    env.reset(slots, chosen)
    pictures = env.observe(slots, THIRD).images["third"].astype(int)
    for episode, picture in zip(chosen, pictures, strict=True):
        for card in episode.scene["cards"]:
            if card["item"] in colours:
                colour = picture[pixel(episode, card["x"], card["y"], 0.001)]
                assert colour.argmax() == colours[card["item"]], (episode.id, card, colour)
        cube = episode.scene["cube"]
        wanted = np.array(episode.scene["look"]["cube"])
        seen = picture[pixel(episode, cube["x"], cube["y"], g.CUBE_HALF_SIZE)] / 255
        assert seen @ wanted / np.linalg.norm(seen) / np.linalg.norm(wanted) > 0.95, episode.id


def test_colours_and_light_change_the_picture_and_nothing_else(make_tasks_env: MakeEnv, make_task: MakeTask) -> None:
    look = {"table": [0.2, 0.6, 0.2], "cube": [0.6, 0.1, 0.1], "sun": [0.1, -0.3, -1.0]}
    dim = look | {"sun": [1.0, 0.0, -0.2]}
    env, slots = make_tasks_env(slots=3), np.arange(3, dtype=np.int32)
    env.reset(slots, [make_task(), make_task(look=look), make_task(look=dim)])
    assert len(set(env.state_hash(slots))) == 1
    plain, green, dark = env.observe(slots, THIRD).images["third"].astype(int)
    row, column = pixel(make_task(), 0.12, 0.1, 0.0)
    assert plain[row, column].argmax() == 0
    assert green[row, column].argmax() == 1
    assert dark[row, column].sum() < green[row, column].sum() - 30


def test_a_printed_card_is_seen_and_not_felt(make_tasks_env: MakeEnv, make_task: MakeTask) -> None:
    env, slots = make_tasks_env(slots=2), np.arange(2, dtype=np.int32)
    episodes = [make_task("push"), make_task("place")]
    env.reset(slots, episodes)
    heights = env._physics.mocap[:, :3, 2]
    assert (heights[0] == CARD_PARKED_Z).all()
    assert (heights[1] == g.CARD_THICKNESS / 2).all()
    pictures = env.observe(slots, THIRD).images["third"].astype(int)
    for x, y in ((0.0, 0.0), (0.04, -0.24)):
        assert np.abs(np.subtract(*(picture[pixel(episodes[0], x, y, 0.0)] for picture in pictures))).max() < 12


def test_a_contradictory_scene_is_refused_before_the_first_step(make_tasks_env: MakeEnv, make_task: MakeTask) -> None:
    with pytest.raises(GrinningFaceError, match="a pick has no target"):
        make_tasks_env().reset(SLOT, [make_task("pick", target=0)])
