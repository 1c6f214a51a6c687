"""What rates and paired differences have in common: resampling whole clusters, and how alike their episodes are."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gf_core.canonical import derive_seed

LEVEL = 0.95
"""Confidence level of every interval; a test is significant at 1 - LEVEL."""

RESAMPLES = 10_000
"""Bootstrap resamples: moves a limit by about 2 % of the interval's half width from one seed to another."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both limits included."""

    low: float
    high: float


def normal_quantile(level: float) -> float:
    """How many standard deviations a two-sided normal interval of this level reaches."""
    return _NORMAL.inv_cdf((1 + level) / 2)


def seeded(*parts: object) -> np.random.RandomState:
    """Random draws that depend on ``parts`` (JSON values) alone.

    RandomState, because its streams are frozen across NumPy versions (NEP 19) and Generator's are not.
    """
    return np.random.RandomState(np.random.PCG64(derive_seed(*parts)))


def correlation(sums: NDArray[np.int64], squares: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    """Intra-class correlation in 0..1 of outcomes whose sum, sum of squares and number (> 0) are given for each cluster ``(G,)``.

    The analysis-of-variance estimator, negative values taken as 0; 1 where the outcomes say nothing about it (one cluster, or all
    alike) and 0 where every cluster is a single outcome. Source: :func:`gf_core.statistics.intra_class_correlation`.
    """
    groups, total = len(sizes), int(sizes.sum())
    if total == groups > 1:
        return 0.0
    if groups < 2 or int(squares.sum()) * total == int(sums.sum()) ** 2:
        return 1.0
    mean = sums.sum() / total
    between = float((sizes * (sums / sizes - mean) ** 2).sum()) / (groups - 1)
    within = float((squares - sums**2 / sizes).sum()) / (total - groups)
    typical = (total - float((sizes**2).sum()) / total) / (groups - 1)
    return min(max((between - within) / (between + (typical - 1) * within), 0.0), 1.0)


def bca_interval(sums: NDArray[np.int64], sizes: NDArray[np.int64], level: float, resamples: int) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of ``sum(sums) / sum(sizes)``, resampling whole clusters.

    Needs at least two clusters whose means differ. B. Efron, JASA 82 (1987) 171-185.
    """
    # Clusters with the same counts are interchangeable, so a resample is a draw of how often each kind occurs: fast, and
    # independent of order.
    kinds, frequency = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    random = seeded("cluster-bootstrap", resamples, kinds.tolist(), frequency.tolist())
    drawn = random.multinomial(len(sums), frequency / len(sums), size=resamples)
    k, n = drawn @ kinds[:, 0], drawn @ kinds[:, 1]
    total, scored = int(sums.sum()), int(sizes.sum())
    below = (np.count_nonzero(k * scored < total * n) + np.count_nonzero(k * scored <= total * n)) / (2 * resamples)
    bias = _NORMAL.inv_cdf(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    left_out = (total - kinds[:, 0]) / (scored - kinds[:, 1])  # jackknife: the estimate without one cluster of each kind
    influence = np.average(left_out, weights=frequency) - left_out
    spread = float(frequency @ influence**2)
    acceleration = float(frequency @ influence**3) / (6 * spread**1.5) if spread > 0 else 0.0
    z = normal_quantile(level)
    low, high = np.quantile(k / n, [_bca_level(bias, acceleration, -z), _bca_level(bias, acceleration, z)])
    return Interval(float(low), float(high))


def _bca_level(bias: float, acceleration: float, z: float) -> float:
    """Which quantile of the bootstrap distribution stands for the normal quantile z (Efron 1987, equation 1.9)."""
    shifted = bias + z
    denominator = 1 - acceleration * shifted
    if denominator <= 0:  # beyond the pole of the correction: the whole tail
        return 1.0 if shifted > 0 else 0.0
    return _NORMAL.cdf(bias + shifted / denominator)
