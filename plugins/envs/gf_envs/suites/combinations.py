"""Which items share a table, and which of them is the target.

Within a layer every item is the target once and a distractor K - 1 times, so that a policy that prefers an item is right in 1/K
of the episodes. Demonstrations are counterfactual besides: each set of items is shown with each of them as the target, so that
what lies on the table never says what is asked for. Otherwise a policy could repeat what it has seen and seem to read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence, Set

from gf_envs.suites.design import Draws, K

MAX_ATTEMPTS = 10_000

Combination = tuple[str, ...]
"""K item ids: the target first, then its distractors."""

Pair = frozenset[str]
"""Two item ids."""


def pairs(combinations: Iterable[Sequence[str]]) -> set[Pair]:
    """The pairs of items that share a combination."""
    return {frozenset(pair) for some in combinations for pair in itertools.combinations(some, 2)}


def are_new(combinations: Sequence[Sequence[str]], taken: Set[frozenset[str]]) -> bool:
    """Whether they repeat neither a set of items of ``taken`` nor one of their own."""
    sets = {frozenset(some) for some in combinations}
    return len(sets) == len(combinations) and not sets & taken


def goes_with(item: str, others: Iterable[str], apart: Set[Pair]) -> bool:
    """Whether the item may lie beside the others: it is none of them and makes no pair of ``apart`` with one."""
    return all(item != other and frozenset((item, other)) not in apart for other in others)


def draw_layers(
    draws: Draws, items: Sequence[str], layers: int, avoid: Iterable[Combination] = (), apart: Set[Pair] = frozenset()
) -> list[list[Combination]]:
    """``layers`` lists with one combination for each item as target; no set of K items occurs twice or in ``avoid``.

    The items of a pair in ``apart`` never share a combination.

    Raises:
        ValueError: no such combinations were found.
    """
    taken = {frozenset(combination) for combination in avoid}
    drawn: list[list[Combination]] = []
    for _ in range(layers):
        layer = next((found for _ in range(MAX_ATTEMPTS) if are_new(found := draw_layer(draws, items, apart), taken)), None)
        if layer is None:
            raise ValueError(f"{len(items)} items don't give {layers} layers of new combinations")
        taken.update(map(frozenset, layer))
        drawn.append(layer)
    return drawn


def draw_layer(draws: Draws, items: Sequence[str], apart: Set[Pair] = frozenset()) -> list[Combination]:
    """One combination for each item as target, in which every item is once the first, the second ... distractor.

    Raises:
        ValueError: none was found, as with fewer than K items.
    """
    for _ in range(MAX_ATTEMPTS):
        rows: list[Combination] = [(item,) for item in items]
        for _ in range(K - 1):
            column = draws.permutation(items)
            if not all(goes_with(item, row, apart) for item, row in zip(column, rows, strict=True)):
                break
            rows = [(*row, item) for item, row in zip(column, rows, strict=True)]
        else:
            return rows
    raise ValueError(f"{len(items)} items don't give a layer of combinations of {K}")


def draw_counterfactual_layers(
    draws: Draws, items: Sequence[str], layers: int, apart: Set[Pair] = frozenset()
) -> list[list[Combination]]:
    """``layers`` lists with one combination for each item as target; every set of K items is shown with each as target.

    Each layer is cut into sets of K. Its ``len(items) % K`` items that are left over make sets with those of the other layers.
    If these don't come out even, the last set is filled with items that aren't its targets, and it alone is incomplete. They
    share no other set with its targets, so that the other sets' targets don't follow from any pair of items either.

    Raises:
        ValueError: no such combinations were found.
    """
    left = len(items) % K
    for _ in range(MAX_ATTEMPTS):
        over = draws.permutation(items)[: left * layers]
        omitted = [over[layer * left : (layer + 1) * left] for layer in range(layers)]
        layered = [cut(draws.permutation(item for item in items if item not in some)) for some in omitted]
        mixed = cut(over)
        sets = [some for layer in layered for some in layer]
        if over:
            mixed[-1] = filled(draws, mixed[-1], items, pairs(sets + mixed) | apart)
        sets += mixed
        if all(len(some) == K for some in sets) and are_new(sets, set()) and not pairs(sets) & apart:
            mixed_of = {item: some for part, some in zip(cut(over), mixed, strict=True) for item in part}
            return [aimed(items, mixed_of | {item: some for some in layer for item in some}) for layer in layered]
    raise ValueError(f"{len(items)} items don't give {layers} layers of counterfactual combinations")


def cut(items: Sequence[str]) -> list[Combination]:
    """Consecutive tuples of K, the last one shorter if they don't come out even."""
    return [tuple(items[start : start + K]) for start in range(0, len(items), K)]


def filled(draws: Draws, some: Combination, items: Sequence[str], apart: Set[Pair]) -> Combination:
    """``some`` with drawn items up to K; fewer if no more go with it."""
    for item in draws.permutation(items):
        if len(some) < K and goes_with(item, some, apart):
            some = (*some, item)
    return some


def aimed(items: Sequence[str], sets: Mapping[str, Combination]) -> list[Combination]:
    """Each item's set, with that item first as its target."""
    return [(item, *(other for other in sets[item] if other != item)) for item in items]
