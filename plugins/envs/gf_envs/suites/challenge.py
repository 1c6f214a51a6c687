"""New episodes of the kind of gf/standard@1's val split, drawn from a seed that nobody knew before."""

from __future__ import annotations

from gf_envs.suites.catalogue import STANDARD, STANDARD_LAYERS, SUITES, VAL, combinations, document
from gf_envs.suites.combinations import draw_layers
from gf_envs.suites.design import Draws, draw_layouts
from gf_envs.suites.episodes import Group, JsonObject, ambiguous_pairs, group_episodes, split_items


def standard_challenge(seed: int, layers: int) -> JsonObject:
    """A suite of 100 targets × ``layers`` layouts, as JSON (schema ``suite-1``).

    The same targets as in gf/standard@1, since those are the ones that no policy may be trained on; other distractors beside
    them, and other places.

    Args:
        seed: up to 53 bits; every draw comes from it.
        layers: layouts of each target, at least 1.
    """

    def draws(what: str) -> Draws:
        return Draws(seed, STANDARD, "challenge", what)

    items = split_items(VAL)
    known, _ = combinations(STANDARD, VAL, STANDARD_LAYERS, 0)
    avoid = [combination for layer in known for combination in layer]
    chosen = draw_layers(draws("combinations"), items, layers, avoid, ambiguous_pairs(items))
    layouts = draw_layouts(draws("layouts"), len(items), layers)
    group = Group(split=VAL, combinations=chosen, layouts=layouts)
    standard = document(STANDARD)
    return {
        **standard,
        "id": "local/challenge@1",
        "summary": f"A challenge: {len(items) * layers} new episodes of {STANDARD}'s val split",
        "description": f"Drawn for one policy from a seed that it couldn't know. {SUITES[STANDARD].description}",
        "splits": {VAL: standard["splits"][VAL]},
        "generator": {"script": "gf_envs.suites.challenge", "seed": seed},
        "episodes": group_episodes(draws("distractors"), group),
    }
