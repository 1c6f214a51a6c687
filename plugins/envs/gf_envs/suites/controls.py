"""``gf/controls@1``: the standard val scenes under instructions that carry no, a wrong or another target.

- ``blank``: no instruction; ``nonsense``: the published wording with an invented word for the label. The scene keeps its target,
  which nobody was told: recognition must be 1/K.
- ``absent``: the label of a val emoji that isn't on the table, and that no label on the table contains or is contained in. The
  scene has no target; what is chosen shows habits.
- ``counterfactual``: each card of a scene instructed in turn, for the first two layouts of each target: 200 scenes × K. From the
  K episodes of a scene follow consistency (all K right), the switch rate (does the choice change with the instruction) and
  position bias. The instruction that the standard suite gives is among them, so that this suite stands alone.

Every split has at least 400 episodes, below which a result counts as provisional.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from gf_envs.suites.combinations import goes_with
from gf_envs.suites.design import Draws, K
from gf_envs.suites.episodes import JsonObject, ambiguous_pairs, episode_of, instruction, split_items
from gf_envs.tabletop import geometry as g

COUNTERFACTUAL_LAYERS = 2

NONSENSE_WORDS = (
    "blicket", "daxen", "wugget", "florp", "zibbit", "tulver", "morvick", "snarp", "kelpo", "grunzel", "plonter", "vexil",
    "chumper", "dringle", "spofe", "trabbit", "quonze", "murlo", "hepple", "skarn", "yimper", "glorvit", "bensu", "krozzle",
    "fimbo", "nalter", "thripe", "oxel", "wambit", "jorpin", "lurzo", "prindle", "cazzik", "dovert", "mippel", "rostig", "zemp",
    "ubbit", "klavo", "sherpel", "gontle", "vistrip", "bofer", "nurg", "tazzle", "pimlo", "frandel", "wekkit", "slorb",
    "yanter",
)  # fmt: skip
"""Fifty invented words that follow English spelling and name nothing."""


def controls_episodes(standard_val: Sequence[JsonObject], draws: Draws) -> list[JsonObject]:
    """The control episodes of the standard suite's val episodes, which come layer after layer of 100."""
    targets = split_items("val")
    counterfactual = standard_val[: COUNTERFACTUAL_LAYERS * len(targets)]
    return [
        *(control("blank", episode, "") for episode in standard_val),
        *nonsense(standard_val, draws),
        *absent(standard_val, targets, draws),
        *(instructed(episode, position) for episode in counterfactual for position in range(K)),
    ]


def control(split: str, standard: JsonObject, text: str) -> JsonObject:
    """A standard episode with another instruction; target and cluster remain."""
    scene = copy.deepcopy(standard["scene"])
    return with_source(episode_of(split, standard_name(standard), standard["cluster"], text, scene), standard)


def nonsense(standard_val: Sequence[JsonObject], draws: Draws) -> list[JsonObject]:
    """Each word equally often, to within one."""
    words = draws.permutation(NONSENSE_WORDS[index % len(NONSENSE_WORDS)] for index in range(len(standard_val)))
    episodes = []
    for standard, word in zip(standard_val, words, strict=True):
        episode = control("nonsense", standard, g.INSTRUCTION.format(label=word))
        episode["factors"]["word"] = word
        episodes.append(episode)
    return episodes


def absent(standard_val: Sequence[JsonObject], targets: Sequence[str], draws: Draws) -> list[JsonObject]:
    """Each val emoji is the absent one once a layer, so that every label is instructed as often as in the standard suite."""
    ambiguous = ambiguous_pairs(targets)
    episodes = []
    for start in range(0, len(standard_val), len(targets)):
        layer = standard_val[start : start + len(targets)]
        present = [{card["item"] for card in standard["scene"]["cards"]} for standard in layer]
        items = draws.permutation(targets)
        while not all(goes_with(item, cards, ambiguous) for item, cards in zip(items, present, strict=True)):
            items = draws.permutation(targets)
        for standard, item in zip(layer, items, strict=True):
            scene = copy.deepcopy(standard["scene"]) | {"target": None}
            episode = episode_of("absent", standard_name(standard), item, instruction(item), scene)
            episode["factors"]["absent"] = item
            episodes.append(with_source(episode, standard))
    return episodes


def instructed(standard: JsonObject, position: int) -> JsonObject:
    """A standard episode with the card at ``position`` as target."""
    scene = copy.deepcopy(standard["scene"]) | {"target": position}
    item = scene["cards"][position]["item"]
    episode = episode_of("counterfactual", f"{standard_name(standard)}-{position}", item, instruction(item), scene)
    return with_source(episode, standard)


def with_source(episode: JsonObject, standard: JsonObject) -> JsonObject:
    """The episode, naming its standard episode as the ``scene`` that its controls share."""
    episode["factors"] |= {"layout": standard["factors"]["layout"], "scene": standard["id"]}
    return episode


def standard_name(standard: JsonObject) -> str:
    """The standard episode's id without its split."""
    return str(standard["id"]).removeprefix(f"{standard['split']}-")
