"""``gf/robot-pretrain@1``: reach, push, pick and place with colours, shapes and digits, for robot pretraining before the emojis.

As in the demonstrations with emojis, each set of cards is shown with each of its cards as the target, every time newly laid out,
so that what lies on the table doesn't tell the target. A set of shapes is one shape in two colours and another shape in one of
them: neither the colour's word nor the shape's tells the target in all three.

Factors: ``task``; ``deck``; ``target`` (item id) and ``target_position`` (from the robot's left), both null for a pick;
``combination`` (the items on the table); ``template`` (the wording).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from gf_envs.decks import COLOURS, DIGITS, MANIFESTS, SHAPES
from gf_envs.suites.design import Draws, K
from gf_envs.suites.task_cameras import draw_camera, draw_look
from gf_envs.suites.task_layouts import TaskLayout, draw_task_layout
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.tasks.scene import TASKS, Task

JsonObject = dict[str, Any]
Combination = tuple[str, ...]

DECKS = (COLOURS, SHAPES, DIGITS)
SETS = 14
"""Sets of cards for each task and deck; each gives K episodes."""
RENDER = "scored"

PHRASES = {COLOURS: "the {label} card", SHAPES: "the {label}", DIGITS: "{label}"}
"""How an instruction names an item of a deck."""
TEMPLATES: Mapping[Task, Mapping[str, str]] = {
    "reach": {"reach": "reach {card}", "move": "move to {card}", "point": "point at {card}"},
    "push": {"push": "push the block to {card}", "slide": "slide the block to {card}", "push-onto": "push the block onto {card}"},
    "pick": {"pick-up": "pick up the block", "lift": "lift the block", "take": "take the block"},
    "place": {"place": "place the block on {card}", "put": "put the block on {card}", "set": "set the block down on {card}"},
}
"""Task to its wordings, by name. The benchmark's own isn't among them."""

SPLIT_TEXTS: Mapping[str, str] = {
    "reach": "The tool shall come to rest over the named card, less than 5 cm above the table.",
    "push": "The block shall be pushed, and never grasped, until it lies on the named picture, which is printed on the table.",
    "pick": "The block shall be held more than 6 cm above the table. The cards are there to look at.",
    "place": "The block shall be let go on the named card, as in the tabletop's own suites.",
}
METRICS: list[JsonObject] = [
    {"name": "success", "metric": "success", "description": "The task is done with the card that was named."},
    {"name": "execution", "metric": "executed", "description": "The task is done with whichever card."},
    {
        "name": "recognition",
        "metric": "recognized",
        "chance": 1 / K,
        "description": "Where the task is done: the card is the one that was named; a pick names none and isn't counted.",
    },
]


def episodes(draws_for: Callable[..., Draws]) -> list[JsonObject]:
    """4 tasks × 3 decks × SETS sets × K targets. ``draws_for`` gives the draws of a purpose."""
    return [
        episode
        for task in TASKS
        for deck in DECKS
        for episode in task_episodes(draws_for(task, deck), task, deck, draw_sets(draws_for(task, deck, "sets"), deck))
    ]


@cache
def labels(deck: str) -> Mapping[str, str]:
    """Item id to label, in the deck's order."""
    manifest = json.loads((files("gf_envs.decks") / MANIFESTS[deck]).read_text(encoding="utf-8"))
    return {row["id"]: row["label"] for row in manifest["items"]}


def draw_sets(draws: Draws, deck: str) -> list[Combination]:
    """SETS different sets of K items, each item about equally often."""
    drawn: dict[frozenset[str], Combination] = {}
    while len(drawn) < SETS:
        for some in shape_sets(draws) if deck == SHAPES else cut(draws.permutation(labels(deck))):
            drawn.setdefault(frozenset(some), some)
    return list(drawn.values())[:SETS]


def cut(items: Sequence[str]) -> list[Combination]:
    """The items in groups of K; what is left over is left out."""
    return [tuple(items[i : i + K]) for i in range(0, len(items) - K + 1, K)]


def shape_sets(draws: Draws) -> list[Combination]:
    """Sets of which one card shares its shape with the second and its colour with the third."""
    words = [item.split("-") for item in labels(SHAPES)]
    shapes = draws.permutation(dict.fromkeys(shape for shape, _ in words))
    colours = draws.permutation(dict.fromkeys(colour for _, colour in words))
    pairs = [(shapes[i], shapes[(i + 1) % len(shapes)]) for i in range(len(shapes))]
    return [
        (f"{one}-{colours[i % len(colours)]}", f"{one}-{colours[(i + 1) % len(colours)]}", f"{two}-{colours[i % len(colours)]}")
        for i, (one, two) in enumerate(pairs)
    ]


def task_episodes(draws: Draws, task: Task, deck: str, sets: Sequence[Combination]) -> list[JsonObject]:
    """Each set with each of its items as the target, at each position once; the wordings equally often."""
    names = list(TEMPLATES[task])
    wordings = draws.permutation(names[i % len(names)] for i in range(K * len(sets)))
    made: list[JsonObject] = []
    for number, items in enumerate(sets):
        positions = draws.permutation(range(K))
        for index, (target, position) in enumerate(zip(items, positions, strict=True)):
            faces = draws.permutation(item for item in items if item != target)
            faces.insert(position, target)
            name = f"{task}-{deck_name(deck)}-{number:02d}-{index}"
            scene = scene_of(draws, task, deck, faces, position)
            made.append(episode_of(name, scene, deck, wordings[len(made)]))
    return made


def draw_view(draws: Draws, task: Task) -> tuple[TaskLayout, JsonObject]:
    """A layout and a camera that sees it."""
    while True:
        layout = draw_task_layout(draws, task)
        camera = draw_camera(draws, layout)
        if camera is not None:
            return layout, camera


def scene_of(draws: Draws, task: Task, deck: str, faces: Sequence[str], position: int) -> JsonObject:
    """A scene with these faces from the robot's left to its right, the target at ``position``."""
    layout, camera = draw_view(draws, task)
    cards = [{"deck": deck, "item": item, "x": x, "y": y} for item, (x, y) in zip(faces, layout.cards, strict=True)]
    return {
        "task": task,
        "cards": cards,
        "target": None if task == "pick" else position,
        "cube": dict(zip(("x", "y", "yaw"), layout.cube, strict=True)),
        "base": dict(zip(("x", "y", "yaw"), layout.base, strict=True)),
        "camera": camera,
        "look": draw_look(draws),
        "render": RENDER,
    }


def episode_of(name: str, scene: JsonObject, deck: str, template: str) -> JsonObject:
    """An episode, its instruction in the wording ``template``."""
    task, position = scene["task"], scene["target"]
    items = [card["item"] for card in scene["cards"]]
    target = None if position is None else items[position]
    card = "" if target is None else PHRASES[deck].format(label=labels(deck)[target])
    combination = "+".join(sorted(items))
    return {
        "id": name,
        "split": task,
        "cluster": f"{deck_name(deck)}-{target or combination}",
        "seed": 0,
        "instruction": TEMPLATES[task][template].format(card=card),
        "horizon": g.HORIZON_STEPS,
        "factors": {
            "task": task,
            "deck": deck,
            "target": target,
            "target_position": position,
            "combination": combination,
            "template": template,
        },
        "scene": scene,
    }


def deck_name(deck: str) -> str:
    """``colours`` for ``gf/colours@1``."""
    return deck.partition("/")[2].partition("@")[0]
