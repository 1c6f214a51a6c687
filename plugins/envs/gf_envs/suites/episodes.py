"""Episodes of the tabletop as JSON, from combinations of cards and layouts.

Factors of every episode: ``target`` (item id) and ``target_position`` (from the robot's left), both null without a target;
``combination`` (the items on the table); ``hard`` (whether the cluster's emoji is on the published hard list); ``template`` (the
instruction's wording); ``layout`` (index of the target and of the layer: equal in episodes with equal poses). ``demo`` is the
demonstration that an id episode shares its combination and its target with.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from gf_core.contracts import DeckItem
from gf_envs.decks import EMOJI_NOTO, MANIFEST
from gf_envs.suites.combinations import Combination, Pair
from gf_envs.suites.design import Draws, Layout
from gf_envs.tabletop import geometry as g

JsonObject = dict[str, Any]

TEMPLATE = "pick-place"
"""Name of the wording of :data:`gf_envs.tabletop.geometry.INSTRUCTION`, the published one."""

RENDER = "scored"


@cache
def emojis() -> Mapping[str, DeckItem]:
    """The items of the emoji deck in its order, without its artwork."""
    from gf_envs.decks.tile_deck import manifest_items, read_manifest

    items = manifest_items(read_manifest(files("gf_envs.decks") / MANIFEST))
    return {item.id: item for item in items}


def split_items(split: str) -> list[str]:
    """Ids of a split's emojis (100 of train, 100 of val, 128 of rest), in the published order."""
    return [item.id for item in emojis().values() if item.split == split]


def instruction(item: str) -> str:
    """The published instruction for a card."""
    return g.INSTRUCTION.format(label=emojis()[item].label)


def ambiguous_pairs(items: Iterable[str]) -> set[Pair]:
    """The pairs of items of which one name contains the other, as "fire truck" contains "truck": on one table the shorter names
    both. Labels are compared with labels and CLDR names with CLDR names, which results are shown for too."""
    pairs: set[Pair] = set()
    chosen = list(items)
    for names in ({i: emojis()[i].label.lower() for i in chosen}, {i: emojis()[i].names["cldr"].lower() for i in chosen}):
        pairs |= {
            frozenset((one, other))
            for one, other in itertools.combinations(chosen, 2)
            if names[one] in names[other] or names[other] in names[one]
        }
    return pairs


@dataclass(frozen=True, kw_only=True)
class Group:
    """Episodes that are reported together.

    Attributes:
        split: name of the split.
        combinations: layers of combinations.
        layouts: layers of layouts, as many as combinations.
        sources: for combinations that are taken from demonstrations, layers of these episodes' ids; empty for new ones.
        success_rule: as in the scene's schema.
    """

    split: str
    combinations: Sequence[Sequence[Combination]]
    layouts: Sequence[Sequence[Layout]]
    sources: Sequence[Sequence[str]] = ()
    success_rule: Literal["card", "paper"] = "card"


def group_episodes(draws: Draws, group: Group) -> list[JsonObject]:
    """One episode for each combination, layer after layer."""
    episodes = []
    for layer, (combinations, layouts) in enumerate(zip(group.combinations, group.layouts, strict=True)):
        for index, (combination, layout) in enumerate(zip(combinations, layouts, strict=True)):
            scene = scene_of(draws, combination, layout, group.success_rule)
            episode = episode_of(group.split, f"{combination[0]}-{layer}", combination[0], instruction(combination[0]), scene)
            episode["factors"]["layout"] = f"{index}-{layer}"
            episode["factors"]["demo"] = group.sources[layer][index] if group.sources else None
            episodes.append(episode)
    return episodes


def scene_of(draws: Draws, combination: Combination, layout: Layout, success_rule: str) -> JsonObject:
    """The scene, its cards from left to right; which distractor lies where is drawn."""
    target, *distractors = combination
    faces = draws.permutation(distractors)
    faces.insert(layout.target_position, target)
    return {
        "cards": [{"deck": EMOJI_NOTO, "item": item, "x": x, "y": y} for item, (x, y) in zip(faces, layout.cards, strict=True)],
        "target": layout.target_position,
        "cube": {"x": layout.cube[0], "y": layout.cube[1], "yaw": 0.0},
        "success_rule": success_rule,
        "render": RENDER,
    }


def episode_of(split: str, name: str, cluster: str, text: str, scene: JsonObject) -> JsonObject:
    """An episode ``<split>-<name>`` with the factors that its scene and cluster say."""
    target, items = scene["target"], [card["item"] for card in scene["cards"]]
    return {
        "id": f"{split}-{name}",
        "split": split,
        "cluster": cluster,
        "seed": 0,
        "instruction": text,
        "horizon": g.HORIZON_STEPS,
        "factors": {
            "target": None if target is None else items[target],
            "target_position": target,
            "combination": "+".join(sorted(items)),
            "hard": "hard" in emojis()[cluster].tags,
            "template": TEMPLATE,
        },
        "scene": scene,
    }


def document_text(document: JsonObject) -> str:
    """JSON with one episode a line, so that a change of the suite is a readable difference."""
    head = json.dumps({key: value for key, value in document.items() if key != "episodes"}, indent=2, ensure_ascii=False)
    lines = ",\n".join(json.dumps(episode, ensure_ascii=False) for episode in document["episodes"])
    return head[: -len("\n}")] + ',\n  "episodes": [\n' + lines + "\n  ]\n}\n"
