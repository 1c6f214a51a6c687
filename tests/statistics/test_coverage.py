"""Does a 95 % interval hold the true rate 95 times in 100? Simulated with clusters that differ (beta-binomial)."""

from __future__ import annotations

import numpy as np
import pytest

from gf_core.statistics import Interval, cluster_interval, wilson


def draw(rng: np.random.Generator, rate: float, correlation: float, sizes: np.ndarray) -> np.ndarray:
    if correlation == 0:
        return rng.binomial(sizes, rate)
    strength = (1 - correlation) / correlation
    return rng.binomial(sizes, rng.beta(rate * strength, (1 - rate) * strength, len(sizes)))


def coverage(rate: float, correlation: float, sizes: np.ndarray, times: int, resamples: int = 1000) -> tuple[float, float]:
    """How often the cluster interval and Wilson's hold the rate."""
    rng = np.random.default_rng(12)
    held = np.zeros(2)
    for _ in range(times):
        k = draw(rng, rate, correlation, sizes)
        intervals = (cluster_interval(k, sizes, resamples=resamples), wilson(int(k.sum()), int(sizes.sum())))
        held += [i is not None and i.low <= rate <= i.high for i in intervals]
    return held[0] / times, held[1] / times


STANDARD = np.full(100, 4)  # one split of gf/standard@1: 100 targets × 4 layouts


def test_cluster_interval_covers_where_wilson_does_not() -> None:
    clustered, independent = coverage(0.7, 0.3, STANDARD, 300)
    assert 0.92 <= clustered <= 0.985
    assert independent < 0.90


def test_cluster_interval_covers_with_few_clusters() -> None:
    clustered, _ = coverage(0.6, 0.3, np.full(20, 3), 300)
    assert 0.91 <= clustered <= 0.99


@pytest.mark.full
@pytest.mark.parametrize("rate", [0.05, 1 / 3, 0.7, 0.95, 0.99])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6])
def test_coverage_on_a_standard_split(rate: float, correlation: float) -> None:
    clustered, _ = coverage(rate, correlation, STANDARD, 2000)
    assert 0.935 <= clustered <= 0.998  # above 95 % near 0 and 1, where only a few rates are possible


@pytest.mark.full
@pytest.mark.parametrize("rate", [1 / 3, 0.7, 0.9])
@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_coverage_with_clusters_of_unequal_size(rate: float, correlation: float) -> None:
    sizes = np.random.default_rng(3).integers(1, 9, 60)
    clustered, _ = coverage(rate, correlation, sizes, 2000)
    assert 0.93 <= clustered <= 0.985


@pytest.mark.full
def test_the_plain_percentile_interval_would_not_do() -> None:
    """Why BCa and Wilson's floor: the claim in cluster_interval's documentation."""
    rng = np.random.default_rng(5)
    held, times = 0, 2000
    for _ in range(times):
        k = draw(rng, 0.99, 0.3, STANDARD)
        resampled = k[rng.integers(0, 100, (1000, 100))].sum(axis=1) / 400
        interval = Interval(*np.quantile(resampled, [0.025, 0.975]))
        held += interval.low <= 0.99 <= interval.high
    assert held / times < 0.91
