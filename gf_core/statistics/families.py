"""Many comparisons at once: adjusted p values, and letters that show which are significant."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from string import ascii_lowercase
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's adjusted p values, in the given order.

    The mapping is the family: everything that was declared to be compared, whether it turned out interesting or not. Calling
    significant whatever has an adjusted p of at most α makes a false claim anywhere in the family with probability at most α,
    however the tests depend on one another. Leaving comparisons out after having seen them voids that.

    S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70; adjusted as in S. P. Wright, Biometrics 48 (1992) 1005-1013.

    Raises:
        ValueError: a p value outside 0..1.
    """
    if not all(0 <= p <= 1 for p in p_values.values()):
        raise ValueError("p values lie in 0..1")
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}


def letters(names_in_order: Sequence[str], separable: Collection[frozenset[str]]) -> dict[str, str]:
    """Compact letter display: two names share a letter if, and only if, they are not separable.

    H.-P. Piepho, Journal of Computational and Graphical Statistics 13 (2004) 456-466: insert and absorb, then sweep what is
    redundant. Few letters, though not always the fewest possible.

    Args:
        names_in_order: best first; ``a`` goes to the best of all, and so on.
        separable: the pairs that differ significantly.

    Returns:
        Letters of each name, in order, such as ``"ab"``; after z come ``a1``, ``b1`` and so on.

    Raises:
        ValueError: a name occurs twice, or a pair isn't two of the names.
    """
    rank = {name: place for place, name in enumerate(names_in_order)}
    if len(rank) < len(names_in_order):
        raise ValueError("a name occurs twice")
    if any(len(pair) != 2 or not pair <= rank.keys() for pair in separable):
        raise ValueError("a separable pair is a set of two of the names")
    columns = _insert_and_absorb(len(rank), sorted(sorted(rank[name] for name in pair) for pair in separable))
    columns = sorted(_absorb(_sweep(columns)), key=sorted)
    return {
        name: "".join(_letter(number) for number, column in enumerate(columns) if place in column) for name, place in rank.items()
    }


def _insert_and_absorb(names: int, separable: Sequence[Sequence[int]]) -> list[frozenset[int]]:
    columns = [frozenset(range(names))] if names else []
    for first, second in separable:
        split: list[frozenset[int]] = []
        for column in columns:
            split += [column - {second}, column - {first}] if {first, second} <= column else [column]
        columns = _absorb(split)
    return columns


def _absorb(columns: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Without columns that another holds, in an order that doesn't depend on theirs."""
    kept: list[frozenset[int]] = []
    for column in sorted(set(columns), key=lambda c: (-len(c), sorted(c))):
        if column and not any(column <= other for other in kept):
            kept.append(column)
    return kept


def _sweep(columns: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Without letters that say nothing new: all that they connect is connected by other columns, too."""
    swept = [set(column) for column in columns]
    for number, column in enumerate(swept):
        others = [other for place, other in enumerate(swept) if place != number]
        for name in sorted(column, reverse=True):
            if all(any({name, mate} <= other for other in others) for mate in column):
                column.discard(name)
    return [frozenset(column) for column in swept]


def _letter(number: int) -> str:
    round_, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(round_) if round_ else "")
