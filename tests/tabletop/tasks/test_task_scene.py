"""A scene is read into the frame where the base never moves, and one that contradicts itself is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core._spec_checks import problems as spec_problems
from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.tasks.scene import SCENE_SCHEMA, TASKS, BaseFrame, parse_scene
from gf_envs.tabletop.tasks.spec import TABLETOP_TASKS

length, angle = st.floats(-0.6, 0.6), st.floats(-3.1, 3.1)


def test_the_spec_is_sound() -> None:
    assert spec_problems("envs", TABLETOP_TASKS) == []


@pytest.mark.parametrize("task", TASKS)
def test_at_the_published_base_a_scene_stays_where_it_is_written(make_task: Callable[..., Episode], task: str) -> None:
    written = make_task(task).scene
    jsonschema.Draft202012Validator(SCENE_SCHEMA).validate(written)
    scene = parse_scene(written)
    assert [(card.x, card.y, card.yaw) for card in scene.layout.cards] == [(0, 0.2, 0), (0, 0, 0), (0, -0.2, 0)]
    assert scene.layout.cube == (-0.18, 0.0, 0.0)
    assert scene.layout.look.eye == g.CAMERA_EYE
    assert scene.layout.printed == (task == "push")


def test_a_turned_base_sees_the_world_turned_the_other_way(make_task: Callable[..., Episode]) -> None:
    base = {"x": 0.0, "y": -0.45, "yaw": math.pi / 2}  # the arm now looks along the world's y axis
    scene = parse_scene(make_task("place", base=base, cube={"x": 0.12, "y": -0.2, "yaw": 0.3}).scene)
    assert scene.layout.cube == pytest.approx((-0.2, -0.12, 0.3 - math.pi / 2))
    assert (scene.layout.cards[0].x, scene.layout.cards[0].y) == pytest.approx((0.2, 0.0))
    assert [card.yaw for card in scene.layout.cards] == pytest.approx([-math.pi / 2] * 3)
    assert scene.layout.look.sun == pytest.approx((-0.3, -0.1, -1.0))


@given(length, length, angle, length, length)
def test_distance_and_height_from_the_base_are_kept(x: float, y: float, yaw: float, to_x: float, to_y: float) -> None:
    placed = BaseFrame(x, y, yaw).place(to_x, to_y)
    assert math.dist(placed, g.BASE_POSITION[:2]) == pytest.approx(math.dist((x, y), (to_x, to_y)), abs=1e-8)


@pytest.mark.parametrize(("task", "changes", "words"), [
    ("pick", {"target": 1}, "a pick has no target"),
    ("push", {"target": 5}, "no card 5"),
    ("place", {"base": {"x": -0.1, "y": 0.0, "yaw": 0.0}}, "pedestal"),
    ("reach", {"cube": {"x": 0.0, "y": 0.01, "yaw": 0.0}}, "on or beside card 1"),
    ("reach", {"camera": {"eye": [0.1, 0.0, 0.5], "target": [0.1, 0.0, 0.0], "fovy": 1.0}}, "right above"),
    ("reach", {"camera": {"eye": [0.1, 0.0, -0.5], "target": [0.2, 0.0, 0.0], "fovy": 1.0}}, "below the table"),
    ("reach", {"look": {"table": [1, 1, 1], "cube": [1, 1, 1], "sun": [0, 0, 0.5]}}, "shines from below"),
])  # fmt: skip
def test_contradictions_are_refused(make_task: Callable[..., Episode], task: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(GrinningFaceError, match=words):
        parse_scene(make_task(task, **changes).scene)
