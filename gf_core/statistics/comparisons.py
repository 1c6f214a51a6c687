"""Runs against each other: which differ, by how much, and how many episodes would tell."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gf_core.statistics._clusters import LEVEL, RESAMPLES, Interval, normal_quantile
from gf_core.statistics.families import holm, letters
from gf_core.statistics.intervals import effective_size, score_interval
from gf_core.statistics.paired import paired_difference_interval, paired_permutation
from gf_core.statistics.power import episodes_needed, paired_episodes_needed
from gf_core.statistics.unpaired import boschloo, hybrid_difference


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """Two runs of a :class:`Comparison`.

    Attributes:
        first, second: their names; first is the one that is better on their common episodes, or where these don't tell, the one
            with the higher rate over all of its own.
        method: ``"paired"``: sign-flip test and bootstrap over clusters of common episodes. ``"unpaired"``: there is no common
            episode; Boschloo's test and Newcombe's interval, both at the effective sizes, take the two runs as independent.
        episodes: common episodes; for an unpaired comparison those of the run with fewer.
        difference: first minus second, on these episodes; for an unpaired comparison on all of each.
        interval: of the difference, for this pair alone.
        p: of this pair alone.
        p_adjusted: Holm's, over the family.
        separable: whether p_adjusted is at most 1 - level.
        episodes_needed: what would separate these two within the same family, with the probability POWER and if the observed
            difference is the true one: common episodes in all, or for an unpaired comparison episodes of each run; ``None`` if
            they are separable, or if the observed difference is 0 and no number would do.
    """

    first: str
    second: str
    method: Literal["paired", "unpaired"]
    episodes: int
    difference: float
    interval: Interval
    p: float
    p_adjusted: float
    separable: bool
    episodes_needed: int | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs in order, with letters: two runs share a letter exactly if they are not separable.

    Attributes:
        estimates: name to rate over all of its episodes, best first; equal rates by name.
        letters: name to letters, in the same order.
        pairs: the family, in the order of their better-placed names.
    """

    estimates: Mapping[str, float]
    letters: Mapping[str, str]
    pairs: tuple[PairComparison, ...]


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """A run's outcomes over the union of all episodes ``(E,)``: which it has, and which of these are right."""

    known: NDArray[np.bool_]
    right: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Test:
    method: Literal["paired", "unpaired"]
    first: _Outcomes
    second: _Outcomes
    episodes: int
    difference: float
    interval: Interval
    p: float


def compare(
    runs: Mapping[str, Mapping[str, bool]],
    clusters: Mapping[str, Hashable],
    *,
    pairs: Collection[frozenset[str]] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Comparison:
    """All pairs of runs, each on the episodes that both have; what is called separable is so over the whole family.

    Args:
        runs: name to outcomes, by episode id, of the episodes that count (without infrastructure faults).
        clusters: cluster of every episode.
        pairs: the declared family; all pairs unless given. A pair outside it isn't tested, and so is never separable.
        level: of intervals; a pair is separable at an adjusted p of at most 1 - level.
        resamples: of each bootstrap.

    Raises:
        ValueError: a run without episodes, an episode without a cluster, or a pair that isn't two of the runs.
    """
    outcomes, member = _outcomes(runs, clusters)
    estimates = {name: float(o.right.sum() / o.known.sum()) for name, o in outcomes.items()}
    order = sorted(estimates, key=lambda name: (-estimates[name], name))
    if pairs is not None and any(len(pair) != 2 or not pair <= estimates.keys() for pair in pairs):
        raise ValueError("a pair is a set of two of the runs")
    family = [_better_first(pair, outcomes) for pair in combinations(order, 2) if pairs is None or frozenset(pair) in pairs]
    tests = {pair: _test(outcomes[pair[0]], outcomes[pair[1]], member, level, resamples) for pair in family}
    adjusted = holm({pair: test.p for pair, test in tests.items()})
    alpha = (1 - level) / max(len(family), 1)
    compared = []
    for pair, test in tests.items():
        separable = adjusted[pair] <= 1 - level
        compared.append(
            PairComparison(
                first=pair[0],
                second=pair[1],
                method=test.method,
                episodes=test.episodes,
                difference=test.difference,
                interval=test.interval,
                p=test.p,
                p_adjusted=adjusted[pair],
                separable=separable,
                episodes_needed=None if separable else _needed(test, member, alpha),
            )
        )
    found = {frozenset((pair.first, pair.second)) for pair in compared if pair.separable}
    return Comparison(estimates={name: estimates[name] for name in order}, letters=letters(order, found), pairs=tuple(compared))


def _outcomes(
    runs: Mapping[str, Mapping[str, bool]], clusters: Mapping[str, Hashable]
) -> tuple[dict[str, _Outcomes], NDArray[np.int64]]:
    """Each run's outcomes, and the number of the cluster of each episode of the union ``(E,)``."""
    episodes = {episode: place for place, episode in enumerate(sorted({e for run in runs.values() for e in run}))}
    missing = next((episode for episode in episodes if episode not in clusters), None)
    if missing is not None:
        raise ValueError(f"episode {missing!r} has no cluster")
    number: dict[Hashable, int] = {}
    member = np.array([number.setdefault(clusters[episode], len(number)) for episode in episodes], np.int64)
    outcomes = {}
    for name, run in runs.items():
        if not run:
            raise ValueError(f"run {name!r} has no episodes")
        known, right = np.zeros(len(episodes), bool), np.zeros(len(episodes), bool)
        places = [episodes[episode] for episode in run]
        known[places], right[places] = True, list(run.values())
        outcomes[name] = _Outcomes(known, right)
    return outcomes, member


def _better_first(pair: tuple[str, str], outcomes: Mapping[str, _Outcomes]) -> tuple[str, str]:
    """Turned round where the other one is ahead on the common episodes."""
    one, other = (outcomes[name] for name in pair)
    ahead = int((one.right & other.known).sum()) - int((other.right & one.known).sum())
    return pair if ahead >= 0 else pair[::-1]


def _test(first: _Outcomes, second: _Outcomes, member: NDArray[np.int64], level: float, resamples: int) -> _Test:
    common = first.known & second.known
    a, b, inside = first.right[common], second.right[common], member[common]
    interval = paired_difference_interval(a, b, inside, level=level, resamples=resamples)
    if interval is None:
        return _unpaired(first, second, member, level)
    result = paired_permutation(a, b, inside)
    return _Test("paired", first, second, len(a), result.estimate, interval, result.p)


def _unpaired(first: _Outcomes, second: _Outcomes, member: NDArray[np.int64], level: float) -> _Test:
    """At the effective sizes, as if so many independent episodes had been played: J. N. K. Rao and A. J. Scott, Biometrics 48
    (1992) 577-585."""
    (p1, n1), (p2, n2) = (_effective(run, member) for run in (first, second))
    one, other = (score_interval(p, n, normal_quantile(level)) for p, n in ((p1, n1), (p2, n2)))
    interval = hybrid_difference(p1, one, p2, other)
    whole = [max(int(n), 1) for n in (n1, n2)]  # Boschloo's test counts whole episodes
    p = boschloo(round(p1 * whole[0]), whole[0], round(p2 * whole[1]), whole[1])
    episodes = min(int(run.known.sum()) for run in (first, second))
    return _Test("unpaired", first, second, episodes, p1 - p2, interval, p)


def _effective(run: _Outcomes, member: NDArray[np.int64]) -> tuple[float, float]:
    """Rate, and number of independent episodes that would tell as much."""
    inside = member[run.known]
    hits, sizes = np.bincount(inside, weights=run.right[run.known]).astype(np.int64), np.bincount(inside)
    return float(hits.sum() / sizes.sum()), effective_size(hits, sizes)


def _needed(test: _Test, member: NDArray[np.int64], alpha: float) -> int | None:
    """At Holm's strictest level, so that it is enough whatever the other pairs of the family turn out to be."""
    if test.method == "paired":
        common = test.first.known & test.second.known
        need = paired_episodes_needed(test.first.right[common], test.second.right[common], member[common], alpha=alpha)
        return need.episodes
    (p1, n1), (p2, n2) = (_effective(run, member) for run in (test.first, test.second))
    independent = episodes_needed(p1, p2, alpha=alpha)
    effect = max(int(run.known.sum()) / n for run, n in ((test.first, n1), (test.second, n2)))
    return None if independent is None else round(independent * effect)
