"""Who looks on, in what light: camera and look of the episodes of gf/tabletop-tasks-v1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gf_core.contracts import Doubles
from gf_envs.suites.design import DECIMALS, Draws
from gf_envs.suites.task_layouts import TaskLayout, between
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.tasks.scene import BaseFrame

JsonObject = dict[str, Any]
Vector = tuple[float, float, float]

AZIMUTHS, ELEVATIONS, DISTANCES, FIELDS = (0.35, 1.30), (0.75, 1.15), (0.60, 0.85), (0.95, 1.20)
"""The camera's azimuth to either side of the robot's back, its elevation [rad], distance from its target [m] and vertical field
of view [rad]. From further round the digits 6 and 9 would be confused; straight from behind the arm hides the table."""
LOOK_AT, LOOK_AT_HALF = (-0.12, 0.0, 0.02), 0.04
FRAME_MARGIN = 0.04
"""Every corner of a card and the block stay this share of a square image away from its edges."""
SEEN = 0.7
"""No arm hides a card's centre at the start, nor what lies this share of the way from there to its corners."""
MAX_CAMERAS = 50
"""So many cameras are tried for a layout."""
_SHOULDER, _ELBOW = k.SHOULDER_Z + k.UPPER_ARM_Z, k.SHOULDER_Z + k.UPPER_ARM_Z + k.ELBOW[1]
_WRIST_X = k.ELBOW[0] + k.FOREARM_ROLL_X + k.WRIST_X
_TOOL_Z = _ELBOW - k.GRIPPER_X - k.TOOL_X
ARM = (
    ((0.0, 0.0, -g.BASE_POSITION[2]), (0.0, 0.0, _SHOULDER), 0.10),
    ((0.0, 0.0, _SHOULDER), (k.ELBOW[0], 0.0, _ELBOW), 0.05),
    ((k.ELBOW[0], 0.0, _ELBOW), (_WRIST_X, 0.0, _ELBOW), 0.04),
    ((_WRIST_X, 0.0, _ELBOW), (_WRIST_X, 0.0, _TOOL_Z), 0.06),
)
"""The arm's links in its start pose: ends and radius [m, base frame]."""

TABLE_BRIGHTNESS, TABLE_TINT = (0.50, 0.85), 0.08
CUBE_COLOURS = (g.CUBE_RGB, (0.5, 0.1, 0.1), (0.1, 0.4, 0.15), (0.6, 0.5, 0.1), (0.35, 0.1, 0.4), (0.12, 0.12, 0.12))
SUN_HALF = 0.5
"""The sun stands at most this far from the zenith along each axis, as a slope."""


def draw_camera(draws: Draws, layout: TaskLayout) -> JsonObject | None:
    """A camera, as in the scene's schema, that sees every card and the cube; ``None`` where none was found."""
    half = g.CARD_HALF_SIZE
    marks = [(*layout.cube[:2], g.CUBE_HALF_SIZE)]
    corners = [(x + dx, y + dy, 0.0) for x, y in layout.cards for dx in (-half, half) for dy in (-half, half)]
    for x, y in layout.cards:
        marks += [(x, y, 0.0), *((x + SEEN * dx, y + SEEN * dy, 0.0) for dx in (-half, half) for dy in (-half, half))]
    for _ in range(MAX_CAMERAS):
        camera = _any_camera(draws)
        if all(is_framed(camera, point) for point in [*corners, marks[0]]) and is_clear(camera, layout.base, marks):
            return camera
    return None


def _any_camera(draws: Draws) -> JsonObject:
    side = draws.below(2) * 2 - 1
    azimuth, elevation, distance = side * between(draws, AZIMUTHS), between(draws, ELEVATIONS), between(draws, DISTANCES)
    target = [draws.around(LOOK_AT[0], LOOK_AT_HALF), draws.around(LOOK_AT[1], LOOK_AT_HALF), LOOK_AT[2]]
    level = distance * math.cos(elevation)
    offset = (-level * math.cos(azimuth), -level * math.sin(azimuth), distance * math.sin(elevation))
    eye = [round(t + o, DECIMALS) for t, o in zip(target, offset, strict=True)]
    return {"eye": eye, "target": target, "fovy": between(draws, FIELDS)}


def is_framed(camera: JsonObject, point: tuple[float, float, float]) -> bool:
    """Whether a point [m, world] is inside the camera's square image, FRAME_MARGIN away from its edges."""
    eye, target = camera["eye"], camera["target"]
    forward = [t - e for t, e in zip(target, eye, strict=True)]
    level, length = math.hypot(forward[0], forward[1]), math.hypot(*forward)
    away = [p - e for p, e in zip(point, eye, strict=True)]
    depth = sum(f * a for f, a in zip(forward, away, strict=True)) / length
    right = (forward[1] * away[0] - forward[0] * away[1]) / level
    up = (away[2] * level - (forward[0] * away[0] + forward[1] * away[1]) * forward[2] / level) / length
    limit = (1 - 2 * FRAME_MARGIN) * math.tan(camera["fovy"] / 2) * depth
    return bool(depth > 0 and abs(right) <= limit and abs(up) <= limit)


def is_clear(camera: JsonObject, base: Vector, points: list[Vector]) -> bool:
    """Whether the arm in its start pose hides none of the points [m, world] from the camera."""
    eye, seen = in_base_frame(base, [camera["eye"]])[0], in_base_frame(base, points)
    sights = eye + np.linspace(0.0, 1.0, 40)[:, None, None] * (seen - eye)
    return not any((distance(sights, np.array(one), np.array(other)) < radius).any() for one, other, radius in ARM)


def in_base_frame(base: Vector, points: list[Vector]) -> Doubles:
    """Points [m, world] ``(n, 3)`` in the base's frame."""
    place = BaseFrame(*base).place
    return np.array([(*place(x, y), z) for x, y, z in points]) - g.BASE_POSITION


def distance(points: Doubles, one: Doubles, other: Doubles) -> Doubles:
    """How far points ``(..., 3)`` are from the line between two ends ``(3,)`` [m]."""
    along = other - one
    share = np.clip(((points - one) * along).sum(axis=-1) / (along**2).sum(), 0.0, 1.0)
    away = points - one - share[..., None] * along
    distances: Doubles = np.sqrt((away**2).sum(axis=-1))
    return distances


def draw_look(draws: Draws) -> JsonObject:
    """Colours and light, as in the scene's schema."""
    brightness = between(draws, TABLE_BRIGHTNESS)
    return {
        "table": [draws.around(brightness, TABLE_TINT) for _ in range(3)],
        "cube": list(CUBE_COLOURS[draws.below(len(CUBE_COLOURS))]),
        "sun": [draws.around(0.0, SUN_HALF), draws.around(0.0, SUN_HALF), -1.0],
    }
