from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.statistics import (
    chance_corrected,
    cluster_interval,
    clustered_rate,
    clustered_wilson,
    effective_size,
    intra_class_correlation,
    wilson,
)


def counts(max_size: int = 12) -> st.SearchStrategy[list[tuple[int, int]]]:
    cluster = st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
    return st.lists(cluster, min_size=1, max_size=max_size)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998_table_1_method_3(k: int, n: int, low: float, high: float) -> None:
    interval = wilson(k, n)
    assert interval is not None
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@settings(deadline=None)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(kn: tuple[int, int], level: float) -> None:
    from scipy import stats

    expected = stats.binomtest(*kn).proportion_ci(level, method="wilson")
    interval = wilson(*kn, level=level)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-9)


def test_nothing_scored_has_no_interval_and_nonsense_is_refused() -> None:
    assert wilson(0, 0) is clustered_wilson([], []) is cluster_interval([0], [0]) is None
    empty = clustered_rate([], [])
    assert (empty.estimate, empty.interval, empty.wilson, empty.n_effective, empty.clusters) == (None, None, None, 0.0, 0)
    with pytest.raises(ValueError, match="3 of 2 is not a proportion"):
        wilson(3, 2)
    for k, n in (([3], [2]), ([-1], [2]), ([1, 1], [2])):
        with pytest.raises(ValueError, match="0 ≤ k ≤ n"):
            cluster_interval(k, n)


@pytest.mark.parametrize(("k", "n"), [([1.7], [2]), ([-0.5], [2]), ([1], [2.5]), ([float("nan")], [2]), ([1], [float("inf")])])
def test_counts_that_are_not_whole_are_refused(k: list[float], n: list[float]) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        clustered_rate(k, n)
    assert clustered_rate([1.0, 2.0], [2, 2]) == clustered_rate([1, 2], [2, 2])


def test_correlation_is_the_anova_estimator_by_way_of_f() -> None:
    from scipy import stats

    rng = np.random.default_rng(1)
    n = rng.integers(2, 7, 60)
    k = rng.binomial(n, rng.beta(2, 1, 60))
    groups = [[1.0] * a + [0.0] * (b - a) for a, b in zip(k, n, strict=True)]
    f = stats.f_oneway(*groups).statistic
    typical = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
    assert intra_class_correlation(k, n) == pytest.approx((f - 1) / (f - 1 + typical))


def test_correlation_where_the_data_are_silent_or_clear() -> None:
    assert intra_class_correlation([4, 4, 4], [4, 4, 4]) == 1.0  # a clean sweep says nothing: be cautious
    assert intra_class_correlation([2], [4]) == 1.0  # nor does a single cluster
    assert intra_class_correlation([4, 0, 4], [4, 4, 4]) == 1.0
    assert intra_class_correlation([2, 2, 2], [4, 4, 4]) == 0.0  # negative estimate
    assert intra_class_correlation([1, 0, 1], [1, 1, 1]) == 0.0  # nothing is shared in clusters of one


def test_effective_size_is_the_number_of_clusters_at_full_correlation_and_of_episodes_at_none() -> None:
    assert effective_size([4, 0, 4, 0], [4, 4, 4, 4]) == pytest.approx(4)
    assert effective_size([2, 2, 2, 2], [4, 4, 4, 4]) == pytest.approx(16)
    # The design's own example: 100 clusters of 4 at a correlation of 0.3 count like 400 / 1.9, about 210.
    rng = np.random.default_rng(0)
    sizes = np.full(20_000, 4)
    hits = rng.binomial(sizes, rng.beta(0.6 * 7 / 3, 0.4 * 7 / 3, 20_000))
    assert effective_size(hits, sizes) / 200 == pytest.approx(400 / 1.9, rel=0.03)


def test_bootstrap_agrees_with_scipys_bca_over_clusters() -> None:
    from scipy import stats

    rng = np.random.default_rng(7)
    n = rng.integers(1, 9, 120)
    k = rng.binomial(n, rng.beta(1.2, 0.8, 120))  # so correlated and unequal that the bootstrap, not Wilson, sets both limits

    def ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return a.sum(axis=axis) / b.sum(axis=axis)

    expected = stats.bootstrap(
        (k, n), ratio, paired=True, method="BCa", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    interval, score = cluster_interval(k, n), clustered_wilson(k, n)
    assert interval is not None
    assert score is not None
    assert (interval.low, interval.high) == pytest.approx(
        (min(expected.low, score.low), max(expected.high, score.high)), abs=0.004
    )


def test_a_clean_sweep_is_not_certainty() -> None:
    """400 of 400 over 100 clusters: as informative as 100 of 100 independent episodes, the worst case of dependence."""
    sweep = clustered_rate([4] * 100, [4] * 100)
    assert sweep.interval == wilson(100, 100)
    assert sweep.interval is not None
    assert sweep.interval.low == pytest.approx(0.963, abs=5e-4)
    assert clustered_rate([0] * 100, [4] * 100).interval == wilson(0, 100)


def test_clusters_of_one_episode_are_independent_episodes() -> None:
    rate = clustered_rate([1] * 14 + [0] * 6, [1] * 20)
    assert rate.interval == rate.wilson == wilson(14, 20)


def test_one_bad_cluster_weighs_more_than_as_many_scattered_failures() -> None:
    bad = cluster_interval([4] * 99 + [0], [4] * 100)
    scattered = cluster_interval([4] * 96 + [3] * 4, [4] * 100)
    assert bad is not None
    assert scattered is not None
    assert bad.low < scattered.low - 0.01


@settings(max_examples=60, deadline=None)
@given(counts(), st.randoms(use_true_random=False))
def test_order_of_clusters_and_empty_clusters_do_not_matter(clusters: list[tuple[int, int]], random: object) -> None:
    shuffled = [*clusters, (0, 0)]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert clustered_rate(*zip(*clusters, strict=True)) == clustered_rate(*zip(*shuffled, strict=True))


@settings(max_examples=60, deadline=None)
@given(counts())
def test_an_interval_holds_its_estimate_and_is_never_a_point(clusters: list[tuple[int, int]]) -> None:
    rate = clustered_rate(*zip(*clusters, strict=True))
    assert rate.interval is not None
    assert rate.estimate is not None
    assert 0 <= rate.interval.low <= rate.estimate <= rate.interval.high <= 1
    assert rate.interval.high - rate.interval.low > 0.05  # 72 episodes at most
    assert 0 < rate.n_effective <= rate.n + 1e-9
    score = clustered_wilson(*zip(*clusters, strict=True))
    assert score is not None
    assert rate.interval.low <= score.low
    assert rate.interval.high >= score.high


def test_chance_correction_maps_chance_to_zero_and_perfect_to_one() -> None:
    assert chance_corrected(1 / 3, 1 / 3) == 0
    assert chance_corrected(1.0, 1 / 3) == 1
    assert chance_corrected(0.0, 0.5) == -1
    assert math.isclose(chance_corrected(0.5, 1 / 3), 0.25)
