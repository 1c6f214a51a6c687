"""An episode's ``scene`` of gf/tabletop-tasks-v1: its schema and its reading.

A scene is written in the world's frame, where the table lies still and the robot's base has a pose of its own. It is simulated in
the published scene's frame, where the base never moves and all else does: on an even table that is the same, and physics,
kinematics and collision shapes are those of gf/tabletop-v1, untouched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gf_core.errors import GrinningFaceError
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.look import Look
from gf_envs.tabletop.presets import PRESETS
from gf_envs.tabletop.scene import CARDS_SCHEMA, CUBE_SCHEMA, Card, Scene, layout_problems, number

Task = Literal["reach", "push", "pick", "place"]
TASKS: tuple[Task, ...] = get_args(Task)

MAX_BASE_SHIFT = 0.6
_FAR = 3.0


def _vector(description: str, low: float, high: float, what: str) -> dict[str, Any]:
    """Schema of three numbers."""
    return {"type": "array", "minItems": 3, "maxItems": 3, "items": number(what, low, high), "description": description}


_CAMERA = {
    "type": "object",
    "description": "The third-person camera.",
    "required": ["eye", "target", "fovy"],
    "additionalProperties": False,
    "properties": {
        "eye": _vector("Where it stands.", -_FAR, _FAR, "Coordinate [m, world]."),
        "target": _vector("What it looks at, upright.", -_FAR, _FAR, "Coordinate [m, world]."),
        "fovy": number("Vertical field of view [rad].", 0.2, 2.0),
    },
}
_BASE = {
    "type": "object",
    "description": "Pose of the robot's base on the table; 0.10 m above it, as published.",
    "required": ["x", "y", "yaw"],
    "additionalProperties": False,
    "properties": {
        "x": number("Origin of the base frame [m, world].", -MAX_BASE_SHIFT, MAX_BASE_SHIFT),
        "y": number("Origin of the base frame [m, world].", -MAX_BASE_SHIFT, MAX_BASE_SHIFT),
        "yaw": number("Rotation about the vertical [rad].", -math.pi, math.pi),
    },
}
_LOOK = {
    "type": "object",
    "description": "Colours and light.",
    "required": ["table", "cube", "sun"],
    "additionalProperties": False,
    "properties": {
        "table": _vector("Colour of the table.", 0.0, 1.0, "Red, green or blue (sRGB)."),
        "cube": _vector("Colour of the block.", 0.0, 1.0, "Red, green or blue (sRGB)."),
        "sun": _vector("Direction in which the light shines.", -1.0, 1.0, "Component of any length [world]."),
    },
}
SCENE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Scene of gf/tabletop-tasks-v1",
    "type": "object",
    "required": ["task", "cards", "target", "cube", "base", "camera", "look", "render"],
    "additionalProperties": False,
    "properties": {
        "task": {"enum": list(TASKS), "description": "What is to be done, and so when the episode is a success."},
        "cards": CARDS_SCHEMA,
        "target": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": g.MAX_CARDS - 1,
            "description": "Index of the instructed card; null where it names none, as a pick does.",
        },
        "cube": CUBE_SCHEMA,
        "base": _BASE,
        "camera": _CAMERA,
        "look": _LOOK,
        "render": {"enum": sorted(PRESETS), "description": "Render preset."},
    },
}


@dataclass(frozen=True)
class TaskScene:
    """A validated scene, in the simulation's frame (the published scene's world).

    Attributes:
        task: what is to be done.
        layout: cards, target, cube and look; all cards are turned alike. A push's cards are printed on the table, because a block
            that slides would stop at a card's edge.
    """

    task: Task
    layout: Scene


@dataclass(frozen=True)
class BaseFrame:
    """The pose of the robot's base in the world, and the way from the world to the simulation's frame."""

    x: float
    y: float
    yaw: float

    def turn(self, x: float, y: float) -> tuple[float, float]:
        """A direction of the world in the simulation's frame."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return c * x + s * y, c * y - s * x

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A point of the world [m] in the simulation's frame, to a nanometre: mathematical libraries differ by less."""
        ahead, left = self.turn(x - self.x, y - self.y)
        return round(ahead + g.BASE_POSITION[0], 9), round(left + g.BASE_POSITION[1], 9)

    def bearing(self, yaw: float) -> float:
        """A rotation about the world's vertical [rad] in the simulation's frame, in (-π, π]."""
        return round(math.remainder(yaw - self.yaw, math.tau), 9)


def parse_scene(scene: Mapping[str, Any]) -> TaskScene:
    """Read a scene that fits SCENE_SCHEMA.

    Raises:
        GrinningFaceError: where it contradicts itself (see :func:`contradictions`).
    """
    for path, what in contradictions(scene):
        raise GrinningFaceError(what, where="scene/" + "/".join(map(str, path)))
    base, cube = scene["base"], scene["cube"]
    frame = BaseFrame(base["x"], base["y"], base["yaw"])
    yaw = frame.bearing(0.0)
    cards = tuple(Card(c["deck"], c["item"], *frame.place(c["x"], c["y"]), yaw) for c in scene["cards"])
    pose = (*frame.place(cube["x"], cube["y"]), frame.bearing(cube["yaw"]))
    printed = scene["task"] == "push"
    look = _look(scene["camera"], scene["look"], frame)
    return TaskScene(scene["task"], Scene(cards, scene["target"], pose, "card", scene["render"], printed, look))


def contradictions(scene: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """What a schema can't say: paths and sentences about a target that doesn't fit the task, things that overlap, and a camera
    that can't look anywhere."""
    base, camera = scene["base"], scene["camera"]
    frame = BaseFrame(base["x"], base["y"], base["yaw"])
    found: list[tuple[tuple[str | int, ...], str]] = []
    if scene["task"] == "pick" and scene["target"] is not None:
        found.append((("target",), "a pick has no target card: write null"))
    found += layout_problems(scene, frame.place)
    (x, y, z), (to_x, to_y, _) = camera["eye"], camera["target"]
    if math.hypot(x - to_x, y - to_y) < 1e-3:
        found.append((("camera", "eye"), "it stands right above or below its target, where no side is up"))
    if z <= 0.0:
        found.append((("camera", "eye"), "it stands below the table"))
    if scene["look"]["sun"][2] >= 0.0:
        found.append((("look", "sun"), "it shines from below"))
    return found


def _look(camera: Mapping[str, Any], look: Mapping[str, Any], frame: BaseFrame) -> Look:
    (eye_x, eye_y, eye_z), (to_x, to_y, to_z) = camera["eye"], camera["target"]
    sun_x, sun_y, sun_z = look["sun"]
    return Look(
        eye=(*frame.place(eye_x, eye_y), eye_z),
        target=(*frame.place(to_x, to_y), to_z),
        fovy=camera["fovy"],
        table=tuple(look["table"]),
        cube=tuple(look["cube"]),
        sun=(*frame.turn(sun_x, sun_y), sun_z),
    )
