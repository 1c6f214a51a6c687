"""``gf/shifts@1``: the standard val scenes with one factor changed, for where recognition of the standard ones saturates.

A policy that names nearly every held-out card right under the trained sentence, in the trained artwork, beside distractors that
look like anything, doesn't tell how much of its vision-language model is left. So each split takes one of these crutches away, on
the same scenes: targets, poses and cube are those of a standard val episode, which the factor ``scene`` names.

- ``paraphrase``: ten other sentences, none of which holds the published one. Is the sentence understood, or only its last words?
- ``synonym``: the published sentence with another name of the target, which shares no word with its label. It asks for vocabulary
  that no robot data teaches: demonstrations name train emojis by their labels only.
- ``artwork``: the cards in ``gf/emoji-twemoji@1``. Is the thing recognised, or these very pixels?
- ``similar``: the distractors are the val emojis nearest to the target: of its Unicode subgroup first, then the most alike in the
  picture. Beside a fox and a goat "deer" must be told from "animal".
- ``hard``: the last three together: the similar scenes in the second artwork, with the synonym.

What stays fair: distractors come from val, as in the standard suite. In each layout of 100 targets every emoji is the target once
and a distractor K - 1 times, so no preference for an emoji beats chance. A target meets the same distractor in at most two
layouts, and never the same two together. On a similar scene's table no label, CLDR name or synonym contains another emoji's, and
the pairs of :data:`ALSO_DESCRIBES` are kept apart. Every sentence is used equally often.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import DeckItem
from gf_envs.decks import EMOJI_NOTO, EMOJI_TWEMOJI, MANIFESTS
from gf_envs.suites.controls import standard_name, with_source
from gf_envs.suites.design import Draws, K
from gf_envs.suites.episodes import JsonObject, emojis, episode_of, split_items
from gf_envs.tabletop import geometry as g

Integers = NDArray[np.int64]

PARAPHRASE, SYNONYM, ARTWORK, SIMILAR, HARD = "paraphrase", "synonym", "artwork", "similar", "hard"

SPLIT_TEXTS = {
    PARAPHRASE: "The standard val episodes in ten other sentences.",
    SYNONYM: "The standard val episodes with a synonym instead of the label.",
    ARTWORK: "The standard val episodes with the cards in Twemoji's artwork.",
    SIMILAR: "The standard val episodes with distractors that resemble the target.",
    HARD: "The similar episodes in Twemoji's artwork, with a synonym instead of the label.",
}

TEMPLATES = {
    "on-top": "put the cube on top of the {label} card",
    "move-to": "move the block to the {label}",
    "should-go": "the {label} is where the block should go",
    "set-down": "set the blue cube down on the card that shows {label}",
    "take-drop": "take the block and drop it onto the {label}",
    "bring-over": "bring the cube over to the image of {label}",
    "find-lay": "find the {label} and lay the block on it",
    "grab-release": "grab the blue block, then release it above the {label} card",
    "can-you": "can you place the cube on the {label}?",
    "end-up": "I want the block to end up on the {label}",
}
"""Other wordings; their names are the factor ``template``."""

MAX_SHARED = 2
"""A target meets a distractor in at most so many of its layouts."""
BLOCKS = 16
"""Pictures are compared as so many by so many blocks: what is left of a card of 30 px in a camera's image."""
OTHER_SUBGROUP = 10**6
"""Added to the distance of emojis of different subgroups: more than pictures can differ by."""
NEVER = 10**9
"""Distance of emojis that can't lie on a table together: more than those of all 100 targets together."""

ALSO_DESCRIBES: Mapping[str, tuple[str, ...]] = {
    "u1f44c": ("u1f44d", "u1f91d"),  # finger, okay gesture: a thumb is one, and all three say yes
    "u1f44d": ("u1f91d",),  # approval: a handshake
    "u1f6a0": ("u1f690", "u1f692", "u1f69b", "u1f3cd", "u26f5", "u1f6f9"),  # transport: a van, a truck, a sailboat ...
    "u1f38f": ("u1f38b", "u1f3aa", "u1f383", "u1f382", "u1f3a1"),  # festival: what is hung out or goes on at one
    "u1f956": ("u1f96f",),  # bread: a bagel
    "u1f36f": ("u1f3fa", "u1f372"),  # pot: a vase, a soup's
    "u1f9c2": ("u1f336",),  # seasoning: a pepper
    "u1f957": ("u1f96c",),  # salad: lettuce
    "u1f305": ("u1f3dd",),  # sun over water: an island's, too
    "u1f3d7": ("u1f414", "u1f986", "u1f427", "u1f99c"),  # crane: a bird, too
}
"""Val emojis of which a name fits the other's picture, though no text contains the other: kept apart in both directions."""


def shifts_episodes(standard_val: Sequence[JsonObject], draws: Mapping[str, Draws]) -> list[JsonObject]:
    """The shifted episodes of the standard suite's val episodes, which come layer after layer of 100.

    Args:
        standard_val: in the standard suite's order.
        draws: for ``paraphrase`` and for ``similar``.
    """
    near = similar(standard_val, draws[SIMILAR])
    return [
        *paraphrased(standard_val, draws[PARAPHRASE]),
        *(shifted(SYNONYM, episode, named=True) for episode in standard_val),
        *(shifted(ARTWORK, episode, deck=EMOJI_TWEMOJI) for episode in standard_val),
        *near,
        *(
            shifted(HARD, episode, scene=other["scene"], deck=EMOJI_TWEMOJI, named=True)
            for episode, other in zip(standard_val, near, strict=True)
        ),
    ]


def shifted(
    split: str, standard: JsonObject, *, scene: JsonObject | None = None, deck: str = EMOJI_NOTO, named: bool = False
) -> JsonObject:
    """A standard episode with another scene, in a deck's artwork, instructed by its target's label or (``named``) synonym."""
    target = standard["cluster"]
    shown = copy.deepcopy(standard["scene"] if scene is None else scene)
    for card in shown["cards"]:
        card["deck"] = deck
    text = g.INSTRUCTION.format(label=words()[target].names["synonym"] if named else words()[target].label)
    episode = with_source(episode_of(split, standard_name(standard), target, text, shown), standard)
    others = [card["item"] for card in shown["cards"] if card["item"] != target]
    episode["factors"]["same_subgroup"] = sum(subgroup(item) == subgroup(target) for item in others)
    return episode


def paraphrased(standard_val: Sequence[JsonObject], draws: Draws) -> list[JsonObject]:
    """Each sentence equally often, and for a target in each of its layouts another one."""
    names = list(TEMPLATES)
    targets = split_items("val")
    order = dict(zip(targets, draws.permutation(range(len(targets))), strict=True))
    episodes = []
    for standard in standard_val:
        layer = int(standard["factors"]["layout"].rpartition("-")[2])
        # 3 and 10 have no common divisor: the layouts' sentences of a target aren't always the same four in a row.
        name = names[(order[standard["cluster"]] + 3 * layer) % len(names)]
        episode = shifted(PARAPHRASE, standard)
        episode["instruction"] = TEMPLATES[name].format(label=words()[standard["cluster"]].label)
        episode["factors"]["template"] = name
        episodes.append(episode)
    return episodes


def similar(standard_val: Sequence[JsonObject], draws: Draws) -> list[JsonObject]:
    """The scenes with the nearest distractors, which of them lies where being drawn."""
    targets = split_items("val")
    layers = [standard_val[start : start + len(targets)] for start in range(0, len(standard_val), len(targets))]
    episodes = []
    for layer, chosen in zip(layers, near_distractors(targets, len(layers), draws), strict=True):
        for standard in layer:
            items = draws.permutation(chosen[standard["cluster"]])
            items.insert(standard["scene"]["target"], standard["cluster"])
            scene = copy.deepcopy(standard["scene"])
            for card, item in zip(scene["cards"], items, strict=True):
                card["item"] = item
            episodes.append(shifted(SIMILAR, standard, scene=scene))
    return episodes


def near_distractors(targets: Sequence[str], layers: int, draws: Draws) -> list[dict[str, list[str]]]:
    """For each layer, target to its K - 1 distractors; every item is a distractor K - 1 times a layer.

    Each is an assignment of least total distance (scipy's ``linear_sum_assignment``) with what is used up taken out. Small drawn
    amounts make that assignment the only best one, so that it depends on no solver.
    """
    apart = distances(targets)
    met: Counter[tuple[int, int]] = Counter()
    sets: set[frozenset[int]] = set()
    chosen = []
    for _ in range(layers):
        columns: list[list[int]] = []
        for _ in range(K - 1):
            costs = apart.copy()
            for one, other in itertools.product(range(len(targets)), repeat=2):
                own = [column[one] for column in columns]
                used = met[one, other] == MAX_SHARED or frozenset((one, other, *own)) in sets
                if used or any(apart[other, distractor] >= NEVER for distractor in own):
                    costs[one, other] = NEVER
            column = assignment(costs, draws)
            met.update(enumerate(column))
            columns.append(column)
        sets |= {frozenset((one, *(column[one] for column in columns))) for one in range(len(targets))}
        chosen.append({target: [targets[column[one]] for column in columns] for one, target in enumerate(targets)})
    return chosen


def assignment(costs: Integers, draws: Draws) -> list[int]:
    """For each row the column that makes the total least.

    Raises:
        ValueError: it needs one that is taken out.
    """
    from scipy.optimize import linear_sum_assignment

    ties = np.array([[draws.below(1000) for _ in row] for row in costs])
    _, columns = linear_sum_assignment(costs.astype(np.int64) * 1000 + ties)
    found = [int(column) for column in columns]
    if any(costs[row, column] >= NEVER for row, column in enumerate(found)):
        raise ValueError("there are too few emojis that may lie beside each other")
    return found


def distances(items: Sequence[str]) -> Integers:
    """``(N, N)``: how unlike the emojis are; NEVER for those that can't share a table."""
    from gf_envs.decks import load_deck, tiles

    deck = load_deck(EMOJI_NOTO)
    pictures = np.stack([tiles.on_white(deck.image(item)) for item in items]).astype(np.int64)
    side = tiles.TILE // BLOCKS
    coarse = pictures.reshape(len(items), BLOCKS, side, BLOCKS, side, 3).sum(axis=(2, 4)).reshape(len(items), -1)
    table: Integers = np.abs(coarse[:, None] - coarse[None]).sum(axis=2) // side**2
    for one, other in itertools.product(range(len(items)), repeat=2):
        if one == other or is_ambiguous(items[one], items[other]):
            table[one, other] = NEVER
        elif subgroup(items[one]) != subgroup(items[other]):
            table[one, other] += OTHER_SUBGROUP
    return table


def is_ambiguous(one: str, other: str) -> bool:
    """Whether a name of one emoji describes the other as well."""
    if other in ALSO_DESCRIBES.get(one, ()) or one in ALSO_DESCRIBES.get(other, ()):
        return True
    return any(a in b or b in a for a, b in itertools.product(names_of(one), names_of(other)))


def names_of(item: str) -> list[str]:
    """An emoji's label, CLDR name and synonym in lower case."""
    found = words()[item]
    return [found.label.lower(), found.names["cldr"].lower(), found.names["synonym"].lower()]


def subgroup(item: str) -> str:
    """An emoji's Unicode subgroup, as the deck says it."""
    return words()[item].tags[1]


@cache
def words() -> Mapping[str, DeckItem]:
    """The items of the second emoji deck, which has their synonyms and groups; without its artwork."""
    from gf_envs.decks.tile_deck import manifest_items, read_manifest

    items = manifest_items(read_manifest(files("gf_envs.decks") / MANIFESTS[EMOJI_TWEMOJI]))
    assert [item.id for item in items] == list(emojis())
    return {item.id: item for item in items}
