"""Two runs on the same episodes.

Below, ``a`` and ``b`` are the outcomes of two runs, true or false, ``(E,)``, and ``clusters`` names each episode's cluster, in
the same order; different lengths or anything but booleans raise ValueError. Nothing depends on the order of episodes or on what
clusters are called, and swapping a and b changes signs and nothing else. What is compared is the difference of the two rates,
mean(a) - mean(b).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gf_core.statistics._clusters import LEVEL, RESAMPLES, Interval, bca_interval, correlation, normal_quantile


@dataclass(frozen=True)
class TestResult:
    """A two-sided test.

    Attributes:
        p: probability of a difference at least as large, either way, if there were none.
        estimate: the observed difference of the rates.
    """

    p: float
    estimate: float


@dataclass(frozen=True, eq=False)
class Discordance:
    """How two runs disagree in each cluster: all that tests and intervals read. Three integer arrays ``(G,)``.

    Attributes:
        wins: episodes where a is right and b wrong.
        losses: episodes where b is right and a wrong.
        sizes: episodes, at least 1.
    """

    wins: NDArray[np.int64]
    losses: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def difference(self) -> NDArray[np.int64]:
        """Episodes by which a is ahead, in each cluster."""
        return self.wins - self.losses


def discordance(a: ArrayLike, b: ArrayLike, clusters: Sequence[Hashable] | NDArray[np.int64]) -> Discordance:
    """Counts of each cluster, sorted, so that neither order nor names matter."""
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 1 or not len(first) == len(second) == len(clusters):
        raise ValueError("a, b and clusters must be lists of the same length")
    if len(first) and not first.dtype == second.dtype == bool:
        raise ValueError("outcomes must be true or false")
    number: dict[Hashable, int] = {}
    member = np.array([number.setdefault(c, len(number)) for c in clusters], np.int64)
    ahead = first.astype(np.int64) - second.astype(np.int64)
    wins, losses = (np.bincount(member[chosen], minlength=len(number)) for chosen in (ahead > 0, ahead < 0))
    return _ordered(wins, losses, np.bincount(member, minlength=len(number)))


def paired_permutation(a: ArrayLike, b: ArrayLike, clusters: Sequence[Hashable] | NDArray[np.int64]) -> TestResult:
    """Sign-flip permutation test over clusters: exact, without random draws.

    If the two runs were alike, then in any cluster all outcomes of a could as well have been those of b. So every one of the 2^G
    ways to swap whole clusters is equally likely, and p is the share of them with a difference at least as large as the one
    observed (R. A. Fisher, The Design of Experiments, 1935, 21). The lead in a cluster is a whole number of episodes, so the
    distribution of the sum is found exactly by adding one cluster after another rather than by listing or drawing swaps
    (M. Pagano and D. Tritchler, JASA 78 (1983) 435-440); clusters with the same lead are added at once, as a binomial. With
    clusters of one episode it is :func:`mcnemar_exact`. No common episode: p = 1 and a difference of 0.
    """
    counts = discordance(a, b, clusters)
    lead, total = counts.difference, int(counts.sizes.sum())
    ahead = int(lead.sum())
    if ahead == 0:
        return TestResult(p=1.0, estimate=0.0)
    return TestResult(p=flip_tail(np.abs(lead[lead != 0]), abs(ahead)), estimate=ahead / total)


def paired_difference_interval(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | NDArray[np.int64],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """Interval of the difference when whole clusters, not episodes, are independent; ``None`` without a common episode.

    The smallest interval that holds two others, for the reasons given in :func:`gf_core.statistics.cluster_interval`: the BCa
    bootstrap over clusters, and :func:`paired_score_interval` at the effective size. The second decides alone where every cluster
    gives the same difference or is a single episode, so that two runs that agree everywhere are not certain to be equal.
    """
    return _difference_interval(discordance(a, b, clusters), level, resamples)


def paired_score_interval(b: float, c: float, n: float, *, level: float = LEVEL) -> Interval | None:
    """Score interval of (b - c) / n from n independent pairs; ``None`` for n = 0.

    Args:
        b: pairs where only the first is right. b, c and n may be fractional, for an effective sample size.
        c: pairs where only the second is right.
        n: all pairs.
        level: confidence level.

    T. Tango, Statistics in Medicine 17 (1998) 891-908: the differences that the score test, with the nuisance parameter at its
    constrained maximum likelihood, doesn't reject.
    """
    if min(b, c) < 0 or b + c > n * (1 + 1e-12):
        raise ValueError(f"{b} and {c} of {n} pairs can't be discordant")
    if n == 0:
        return None
    z = normal_quantile(level)
    return Interval(-_score_limit(c, b, n, z), _score_limit(b, c, n, z))


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided p of b and c discordant pairs, taking episodes as independent: secondary to :func:`paired_permutation`.

    Twice the smaller binomial tail at 1/2, at most 1. Q. McNemar, Psychometrika 12 (1947) 153-157.
    """
    if min(b, c) < 0:
        raise ValueError("counts can't be negative")
    total = b + c
    return min(1.0, 2 * sum(math.comb(total, i) for i in range(min(b, c) + 1)) / (1 << total))


def flip_tail(sizes: NDArray[np.int64], ahead: int) -> float:
    """P(\\|sum\\| ≥ ahead), where each of ``sizes`` counts plus or minus with the same probability; 0 < ahead ≤ sum(sizes)."""
    # A sum of signed sizes is 2 × (the sum of those with a plus) - all: only the pluses are added up.
    pluses = np.ones(1)
    for size, frequency in enumerate(np.bincount(sizes).tolist()):
        if frequency:
            pluses = np.convolve(pluses, _binomial(size, frequency))
    return min(1.0, 2 * float(pluses[(int(sizes.sum()) + ahead + 1) // 2 :].sum()))


@lru_cache(maxsize=4096)
def _binomial(size: int, frequency: int) -> NDArray[np.float64]:
    """Probabilities of the sum of ``frequency`` values that are 0 or ``size``, each with probability 1/2."""
    spread = np.zeros(size * frequency + 1)
    spread[::size] = [math.comb(frequency, i) / 2**frequency for i in range(frequency + 1)]
    return spread


def _ordered(wins: NDArray[np.int64], losses: NDArray[np.int64], sizes: NDArray[np.int64]) -> Discordance:
    """Sums of floats depend on the order of clusters, in the last digit."""
    columns = (wins, losses, sizes)
    return Discordance(*(column[np.lexsort(columns)].astype(np.int64) for column in columns))


def _difference_interval(counts: Discordance, level: float, resamples: int) -> Interval | None:
    lead, sizes = counts.difference, counts.sizes
    total = int(sizes.sum())
    if total == 0:
        return None
    if _is_behind(lead, sizes):  # so that swapping the runs draws the same resamples
        flipped = _difference_interval(_ordered(counts.losses, counts.wins, sizes), level, resamples)
        return flipped and Interval(-flipped.high, -flipped.low)
    typical = float((sizes**2).sum()) / total
    shrink = 1 / (1 + (typical - 1) * correlation(lead, counts.wins + counts.losses, sizes))
    score = paired_score_interval(shrink * int(counts.wins.sum()), shrink * int(counts.losses.sum()), shrink * total, level=level)
    if score is None or sizes.max() == 1 or len(np.unique(lead / sizes)) == 1:
        return score
    boot = bca_interval(lead, sizes, level, resamples)
    return Interval(min(boot.low, score.low), max(boot.high, score.high))


def _is_behind(lead: NDArray[np.int64], sizes: NDArray[np.int64]) -> bool:
    here, swapped = (sorted(zip(side.tolist(), sizes.tolist(), strict=True)) for side in (lead, -lead))
    return (int(lead.sum()), here) < (-int(lead.sum()), swapped)


def _score_limit(b: float, c: float, n: float, z: float) -> float:
    """The largest difference that isn't rejected, by bisection: the score falls as the difference grows."""

    def score(difference: float) -> float:
        linear = (2 * n - b + c) * difference - b - c
        constant = -c * difference * (1 - difference)
        only_second = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
        variance: float = n * (2 * only_second + difference * (1 - difference))
        return float((b - c - n * difference) / math.sqrt(variance)) if variance > 0 else -math.inf

    low, high = (b - c) / n, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > -z else (low, middle)
    return high
