"""Controls: does the choice follow the instruction, or a habit?

A scene of the counterfactual split is played several times, each card instructed in turn. ``clusters`` names each scene's
cluster, where scenes are not independent of one another; each is its own unless given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gf_core.statistics._clusters import RESAMPLES, seeded
from gf_core.statistics.intervals import Rate, clustered_rate


@dataclass(frozen=True, kw_only=True)
class PositionBias:
    """Which positions are chosen.

    Attributes:
        rates: share of each position, left to right, with a cluster interval.
        p: two-sided p of no preference; not below 1 / (draws + 1).
    """

    rates: tuple[Rate, ...]
    p: float


def position_bias(counts: ArrayLike, *, draws: int = RESAMPLES) -> PositionBias:
    """Whether some positions are chosen more often than others: a Monte Carlo permutation test of Pearson's chi-square.

    If position doesn't matter, then in every group of dependent choices the positions could as well have been any others: its
    counts are put in random order, independently for each group. So a policy that sticks to a card whatever the instruction isn't
    taken for one that prefers a place. For single choices it is the Monte Carlo version of the exact multinomial test. With the
    observed counts taken as one of the draws, p is valid at any sample size (B. Phipson and G. K. Smyth, Statistical Applications
    in Genetics and Molecular Biology 9 (2010) 39). Sound where each position holds the target equally often; a policy that reads
    well otherwise seems to prefer where targets are.

    Args:
        counts: how often each position was chosen ``(groups, positions)``, a group being choices that aren't independent (a
            scene's); or in total ``(positions,)``, for independent choices.
        draws: random orders.

    Raises:
        ValueError: negative counts, a wrong shape or more than 6 positions.
    """
    table = np.asarray(counts, np.int64)
    if table.ndim == 1:
        table = np.repeat(np.eye(len(table), dtype=np.int64), table.clip(0), axis=0) if (table >= 0).all() else table
    if table.ndim != 2 or not 1 <= table.shape[1] <= 6 or (table < 0).any():
        raise ValueError("counts are a (groups, positions) table of numbers ≥ 0, with 1 to 6 positions")
    sizes = table.sum(axis=1)
    rates = tuple(clustered_rate(column, sizes) for column in table.T)
    return PositionBias(rates=rates, p=_position_p(table, draws))


def consistency(right: Mapping[str, Sequence[bool]], clusters: Mapping[str, Hashable] | None = None) -> Rate:
    """Share of scenes where every instruction was followed.

    Args:
        right: scene to outcomes, one for each of its instructions; a scene that is missing some must be left out. By guessing
            among K cards each time, without ever failing to place, all K are right in K^-K of the scenes.
        clusters: scene to cluster.
    """
    return _scene_rate({scene: all(outcomes) for scene, outcomes in right.items() if outcomes}, clusters)


def switch_rate(chosen: Mapping[str, Sequence[Hashable | None]], clusters: Mapping[str, Hashable] | None = None) -> Rate:
    """Share of scenes where the choice changes with the instruction, rightly or not.

    A policy that ignores the instruction and nothing else changes gives 0; one that guesses anew each time
    :func:`guessed_switch_rate`. So it is read together with :func:`consistency`.

    Args:
        chosen: scene to choices, one for each of its instructions, ``None`` where none was made. With fewer than two choices
            there is nothing to compare, and the scene isn't counted.
        clusters: scene to cluster.
    """
    return _scene_rate({scene: len(set(choices)) > 1 for scene, choices in _comparable(chosen).items()}, clusters)


def guessed_switch_rate(chosen: Mapping[str, Sequence[Hashable | None]], cards: int) -> float | None:
    """What :func:`switch_rate` would be if each of these choices had been a guess among K cards; ``None`` without a scene.

    The mean of 1 - K^(1-m) over the scenes, m being the choices made: fewer choices have less occasion to differ.

    Args:
        chosen: as for :func:`switch_rate`.
        cards: K.
    """
    rates = [1 - float(cards) ** (1 - len(choices)) for choices in _comparable(chosen).values()]
    return sum(rates) / len(rates) if rates else None


def _comparable(chosen: Mapping[str, Sequence[Hashable | None]]) -> dict[str, list[Hashable]]:
    """Scene to the choices that were made, where there are at least two."""
    made = {scene: [choice for choice in choices if choice is not None] for scene, choices in chosen.items()}
    return {scene: choices for scene, choices in made.items() if len(choices) > 1}


def _scene_rate(outcomes: Mapping[str, bool], clusters: Mapping[str, Hashable] | None) -> Rate:
    grouped: dict[Hashable, list[bool]] = defaultdict(list)
    for scene, outcome in outcomes.items():
        grouped[scene if clusters is None else clusters[scene]].append(outcome)
    return clustered_rate([sum(group) for group in grouped.values()], [len(group) for group in grouped.values()])


def _position_p(table: NDArray[np.int64], draws: int) -> float:
    # Groups with the same counts, whatever their order, are drawn at once: how often each order occurs is multinomial.
    kinds, frequency = np.unique(np.sort(table, axis=1), axis=0, return_counts=True)
    random = seeded("position-bias", draws, kinds.tolist(), frequency.tolist())
    totals = np.zeros((draws, table.shape[1]), np.int64)
    for kind, times in zip(kinds.tolist(), frequency, strict=True):
        orders = np.array(sorted(set(permutations(kind))), np.int64)
        totals += random.multinomial(int(times), np.full(len(orders), 1 / len(orders)), size=draws) @ orders
    # The total is the same in every draw, so the sum of squares orders them as chi-square does, and in whole numbers.
    observed = int((table.sum(axis=0) ** 2).sum())
    return (1 + int(np.count_nonzero((totals**2).sum(axis=1) >= observed))) / (1 + draws)
