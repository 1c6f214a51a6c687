"""What lies on the table: an episode's ``scene``, its schema and its reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gf_core.errors import GrinningFaceError
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.look import Look
from gf_envs.tabletop.presets import PRESETS

SuccessRule = Literal["card", "paper"]

_TABLE = 0.6


def number(description: str, low: float, high: float) -> dict[str, Any]:
    """Schema of a number within limits."""
    return {"type": "number", "minimum": low, "maximum": high, "description": description}


_CARD = {
    "type": "object",
    "description": "One card.",
    "required": ["deck", "item", "x", "y"],
    "additionalProperties": False,
    "properties": {
        "deck": {"type": "string", "description": "Id of the deck."},
        "item": {"type": "string", "description": "Id of the card's face within its deck."},
        "x": number("Centre of the card [m, world].", -_TABLE, _TABLE),
        "y": number("Centre of the card [m, world].", -_TABLE, _TABLE),
    },
}
CUBE_SCHEMA = {
    "type": "object",
    "description": "Where the cube lies at the start.",
    "required": ["x", "y", "yaw"],
    "additionalProperties": False,
    "properties": {
        "x": number("Centre of the cube [m, world].", -_TABLE, _TABLE),
        "y": number("Centre of the cube [m, world].", -_TABLE, _TABLE),
        "yaw": number("Rotation about the vertical [rad].", -math.pi, math.pi),
    },
}
CARDS_SCHEMA = {
    "type": "array",
    "description": "The cards, in any order; `target` and every metric that names a card counts from 0.",
    "minItems": 1,
    "maxItems": g.MAX_CARDS,
    "items": _CARD,
}
SCENE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Scene of gf/tabletop-v1",
    "type": "object",
    "required": ["cards", "target", "cube", "success_rule", "render"],
    "additionalProperties": False,
    "properties": {
        "cards": CARDS_SCHEMA,
        "target": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": g.MAX_CARDS - 1,
            "description": "Index of the instructed card; null where the instruction names none of them.",
        },
        "cube": CUBE_SCHEMA,
        "success_rule": {
            "enum": ["card", "paper"],
            "description": "`card`: settled inside the target card's square, let go. `paper`: within 0.07·√2 m of it.",
        },
        "render": {"enum": sorted(PRESETS), "description": "Render preset."},
    },
}


@dataclass(frozen=True)
class Card:
    """A card's face (deck id, item id), centre [m, world] and rotation about the vertical [rad]."""

    deck: str
    item: str
    x: float
    y: float
    yaw: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A validated scene. Printed cards are pictures on the table, which nothing collides with; ``look`` is ``None`` for the
    published scene's."""

    cards: tuple[Card, ...]
    target: int | None
    cube: tuple[float, float, float]
    success_rule: SuccessRule
    render: str
    printed: bool = False
    look: Look | None = None


def parse_scene(scene: Mapping[str, Any]) -> Scene:
    """Read a scene that fits SCENE_SCHEMA.

    Raises:
        GrinningFaceError: where it contradicts itself (see :func:`contradictions`).
    """
    for path, what in contradictions(scene):
        raise GrinningFaceError(what, where="scene/" + "/".join(map(str, path)))
    cards = tuple(Card(c["deck"], c["item"], float(c["x"]), float(c["y"])) for c in scene["cards"])
    cube = scene["cube"]
    pose = (float(cube["x"]), float(cube["y"]), float(cube["yaw"]))
    return Scene(cards, scene["target"], pose, scene["success_rule"], scene["render"])


def contradictions(scene: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """What a schema can't say: paths and sentences about a target that is no card, things that overlap, and a cube that starts
    where a success rule already holds."""
    return layout_problems(scene, lambda x, y: (x, y))


def layout_problems(
    scene: Mapping[str, Any], place: Callable[[float, float], tuple[float, float]]
) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the scene's ``cards``, ``target`` and ``cube``.

    Args:
        scene: the scene; cards are squares along the axes of the frame that it is written in.
        place: takes a point of that frame to the frame where the base is at its published place.
    """
    found: list[tuple[tuple[str | int, ...], str]] = []
    cards, target, cube = scene["cards"], scene["target"], scene["cube"]
    if target is not None and target >= len(cards):
        found.append((("target",), f"there is no card {target}; they are numbered from 0 to {len(cards) - 1}"))
    size = 2 * g.CARD_HALF_SIZE
    for i, card in enumerate(cards):
        for j, other in enumerate(cards[:i]):
            if abs(card["x"] - other["x"]) < size and abs(card["y"] - other["y"]) < size:
                found.append((("cards", i), f"it overlaps card {j}"))
        if math.hypot(cube["x"] - card["x"], cube["y"] - card["y"]) <= g.PAPER_RADIUS:
            found.append((("cube",), f"it lies on or beside card {i}, where it counts as placed"))
        if _in_pedestal(*place(card["x"], card["y"]), g.CARD_HALF_SIZE):
            found.append((("cards", i), "it lies under the robot's pedestal"))
    if _in_pedestal(*place(cube["x"], cube["y"]), math.sqrt(2) * g.CUBE_HALF_SIZE):
        found.append((("cube",), "it lies inside the robot's pedestal"))
    return found


def _in_pedestal(x: float, y: float, margin: float) -> bool:
    base_x, base_y, _ = g.BASE_POSITION
    return abs(x - base_x) < g.PEDESTAL_HALF_SIZE + margin and abs(y - base_y) < g.PEDESTAL_HALF_SIZE + margin
