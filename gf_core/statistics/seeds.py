"""Claims about a way of training: rates over training seeds and clusters.

One trained model says nothing about the next training run, however many episodes it plays. A claim about a technique needs
several models, trained alike from different seeds and evaluated on the same clusters.

Below, the results of a technique are one mapping a seed, from the name of a cluster to its successes and episodes (k, n).

Design: seeds and clusters are crossed (every seed meets the same target emojis), so both are random and neither is nested in the
other. The variance is that of two-way clustering, and the quantile is Student's at Satterthwaite's degrees of freedom. Bootstrap
intervals that draw seeds and clusters are no substitute at three seeds: drawing 3 of 3 with replacement understates the variance
between seeds by a third, and no bootstrap knows that it was estimated from three numbers; they cover about 80 % instead of 95 %
where little but seeds differs (tests/statistics/test_seeds.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gf_core.errors import GrinningFaceError
from gf_core.statistics._clusters import LEVEL, Interval
from gf_core.statistics.intervals import score_interval
from gf_core.statistics.unpaired import hybrid_difference

FEWEST_SEEDS = 3
"""A claim about a technique needs at least as many training seeds."""

SeedResults: TypeAlias = Sequence[Mapping[str, tuple[int, int]]]
"""One mapping a training seed: cluster to (successes, episodes)."""


@dataclass(frozen=True, kw_only=True)
class TechniqueRate:
    """A rate, or a difference of two, with an interval that holds for other training seeds and other clusters.

    Attributes:
        estimate: over all seeds' episodes.
        interval: two-level.
        seeds: training seeds; of the technique with fewer, for a difference.
        degrees: Satterthwaite's degrees of freedom; few where the seeds decide.
    """

    estimate: float
    interval: Interval
    seeds: int
    degrees: float


@dataclass(frozen=True)
class Spread:
    """Estimated variance of a rate, or of the difference of two.

    Attributes:
        variance: of the estimate.
        degrees: Satterthwaite's degrees of freedom.
        seeds: the part between seeds with its degrees of freedom, for each technique.
        clusters: the part between clusters with its degrees of freedom.
        overlap: what is in both.
    """

    variance: float
    degrees: float
    seeds: tuple[tuple[float, float], ...]
    clusters: tuple[float, float]
    overlap: float


def two_level_interval(results: SeedResults, *, level: float = LEVEL) -> TechniqueRate:
    """The rate of a technique.

    Variance: A. C. Cameron, J. B. Gelbach, D. L. Miller, Journal of Business & Economic Statistics 29 (2011) 238-249, between
    seeds plus between clusters minus their overlap, with the factors R/(R-1) and G/(G-1). Degrees of freedom:
    F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114. The interval is Wilson's at the effective size p (1 - p) / variance
    with Student's quantile: E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998) 193-201; C. Franco et al., Journal of
    Survey Statistics and Methodology 7 (2019) 334-364. Where every episode came out the same, the data are silent about the
    variance: then there are as many independent episodes as clusters, and R - 1 degrees of freedom. That is wider than with one
    failure, which is taken for all the variance there is.

    Raises:
        GrinningFaceError: fewer than :data:`FEWEST_SEEDS` seeds with episodes, or fewer than two clusters with any.
        ValueError: k > n, or counts that are negative or not whole.
    """
    hits, sizes = _table(results)
    total = int(sizes.sum())
    p = int(hits.sum()) / total
    seeds, clusters = sizes.shape
    if p in (0.0, 1.0):
        degrees = float(seeds - 1)
        return TechniqueRate(
            estimate=p, interval=score_interval(p, clusters, student(level, degrees)), seeds=seeds, degrees=degrees
        )
    spread = _spread([(hits - p * sizes) / total])
    size = min(p * (1 - p) / spread.variance, total) if spread.variance > 0 else total
    interval = score_interval(p, size, student(level, spread.degrees))
    return TechniqueRate(estimate=p, interval=interval, seeds=seeds, degrees=spread.degrees)


def two_level_difference(first: SeedResults, second: SeedResults, *, level: float = LEVEL) -> TechniqueRate:
    """The first technique's rate minus the second's, on clusters that they share where their names are the same.

    As :func:`two_level_interval`, with the seeds of the two techniques independent of one another and a shared cluster moving
    both. Symmetric around the estimate and cut at ±1; where neither varies, the hybrid of the two techniques' own intervals.

    Raises:
        GrinningFaceError, ValueError: as :func:`two_level_interval`.
    """
    difference, spread = difference_spread(first, second)
    seeds = 1 + round(min(degrees for _, degrees in spread.seeds))
    if spread.variance <= 0:
        one, other = (two_level_interval(results, level=level) for results in (first, second))
        interval = hybrid_difference(one.estimate, one.interval, other.estimate, other.interval)
        return TechniqueRate(estimate=difference, interval=interval, seeds=seeds, degrees=float(seeds - 1))
    half = student(level, spread.degrees) * math.sqrt(spread.variance)
    interval = Interval(max(difference - half, -1.0), min(difference + half, 1.0))
    return TechniqueRate(estimate=difference, interval=interval, seeds=seeds, degrees=spread.degrees)


def difference_spread(first: SeedResults, second: SeedResults) -> tuple[float, Spread]:
    """The first technique's rate minus the second's, and its variance.

    Raises:
        GrinningFaceError, ValueError: as :func:`two_level_interval`.
    """
    names = _clusters([*first, *second])
    residuals, rates = [], []
    for sign, results in ((1, first), (-1, second)):
        hits, sizes = _table(results, names)
        rates.append(int(hits.sum()) / int(sizes.sum()))
        residuals.append(sign * (hits - rates[-1] * sizes) / int(sizes.sum()))
    return rates[0] - rates[1], _spread(residuals)


def _table(results: SeedResults, names: Sequence[str] = ()) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Successes and episodes ``(R, G)``; seeds and clusters in an order that doesn't depend on the given one."""
    used = [seed for seed in results if any(n > 0 for _, n in seed.values())]
    if len(used) < FEWEST_SEEDS:
        raise GrinningFaceError(
            f"a claim about a technique needs at least {FEWEST_SEEDS} training seeds, and there are {len(used)}",
            hint="train and evaluate it again with other seeds, or report a single model",
        )
    names = names or _clusters(used)
    if len(names) < 2:
        raise GrinningFaceError("a claim about a technique needs at least two clusters of episodes")
    if any(not 0 <= k <= n or k % 1 or n % 1 for seed in results for k, n in seed.values()):
        raise ValueError("k and n must be whole numbers with 0 ≤ k ≤ n")
    counts = np.array(sorted([[seed.get(name, (0, 0)) for name in names] for seed in used]), np.int64)
    return counts[:, :, 0], counts[:, :, 1]


def _clusters(results: SeedResults) -> list[str]:
    """Names of the clusters that have episodes, sorted."""
    return sorted({name for seed in results for name, (_, n) in seed.items() if n > 0})


def _spread(residuals: Sequence[NDArray[np.float64]]) -> Spread:
    """Two-way clustered variance of the sum of all residuals, for one technique or for two on the same clusters ``(R, G)``."""
    seeds = tuple((len(r) / (len(r) - 1) * float((r.sum(axis=1) ** 2).sum()), len(r) - 1.0) for r in residuals)
    clusters = residuals[0].shape[1]
    lead = np.sum([r.sum(axis=0) for r in residuals], axis=0)
    between_clusters = clusters / (clusters - 1) * float((lead**2).sum())
    return combine(seeds, (between_clusters, clusters - 1.0), sum(float((r**2).sum()) for r in residuals))


def combine(seeds: tuple[tuple[float, float], ...], clusters: tuple[float, float], overlap: float) -> Spread:
    """The variance from its parts, each with its degrees of freedom."""
    between_seeds, between_clusters = sum(part for part, _ in seeds), clusters[0]
    # The overlap is in both parts; where it exceeds the smaller one, that is by chance, and the larger part stands alone.
    variance = max(between_seeds + between_clusters - overlap, between_seeds, between_clusters)
    noise = sum(part**2 / degrees for part, degrees in (*seeds, clusters))
    degrees = variance**2 / noise if noise > 0 else seeds[0][1]
    return Spread(variance, degrees, seeds, clusters, overlap)


def student(level: float, degrees: float) -> float:
    """How many standard deviations a two-sided interval of this level reaches by Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
