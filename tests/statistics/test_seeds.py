"""Two-level intervals, with success on the logit scale moved by the training seed, the cluster and their interaction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.errors import GrinningFaceError
from gf_core.statistics import cluster_interval, two_level_difference, two_level_interval

Results = list[dict[str, tuple[int, int]]]
CLUSTERS = 100


def results_of(counts: np.ndarray, episodes: int = 4) -> Results:
    return [{f"c{g}": (int(k), episodes) for g, k in enumerate(row)} for row in counts]


def play(rng: np.random.Generator, ease: np.ndarray, seeds: int, between_seeds: float, centre: float = 0.8) -> np.ndarray:
    """Successes of 4 episodes for each seed and cluster."""
    logit = centre + rng.normal(0, between_seeds, (seeds, 1)) + ease + rng.normal(0, 0.3, (seeds, len(ease)))
    return rng.binomial(4, 1 / (1 + np.exp(-logit)))


def expected(between_seeds: float, between_clusters: float, centre: float = 0.8) -> float:
    spread = np.sqrt(between_seeds**2 + between_clusters**2 + 0.3**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float((weights / (1 + np.exp(-(centre + spread * nodes)))).sum() / weights.sum())


def coverage(between_seeds: float, between_clusters: float, seeds: int, times: int) -> tuple[float, float]:
    """How often the two-level interval holds the rate, and the cluster interval of one seed's episodes."""
    rng = np.random.default_rng(11)
    rate, held = expected(between_seeds, between_clusters), np.zeros(2)
    for _ in range(times):
        counts = play(rng, rng.normal(0, between_clusters, CLUSTERS), seeds, between_seeds)
        single = cluster_interval(counts[0], np.full(CLUSTERS, 4), resamples=500)
        held += [i is not None and i.low <= rate <= i.high for i in (two_level_interval(results_of(counts)).interval, single)]
    return held[0] / times, held[1] / times


def difference_coverage(between_seeds: float, seeds: int, times: int) -> float:
    rng = np.random.default_rng(13)
    difference, held = expected(between_seeds, 1.2, 1.3) - expected(between_seeds, 1.2), 0
    for _ in range(times):
        ease = rng.normal(0, 1.2, CLUSTERS)
        one, other = (results_of(play(rng, ease, seeds, between_seeds, centre)) for centre in (1.3, 0.8))
        interval = two_level_difference(one, other).interval
        held += interval.low <= difference <= interval.high
    return held / times


def test_it_covers_with_three_seeds_where_one_seed_does_not() -> None:
    two_level, single = coverage(0.5, 1.0, 3, 250)
    assert 0.90 <= two_level <= 0.985
    assert single < 0.75


def test_it_covers_where_seeds_do_not_matter() -> None:
    two_level, _ = coverage(0.0, 1.0, 3, 200)
    assert 0.91 <= two_level <= 0.995


def test_the_difference_of_two_techniques_covers() -> None:
    assert 0.91 <= difference_coverage(0.4, 3, 200) <= 0.995


@pytest.mark.full
@pytest.mark.parametrize("between_seeds", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("between_clusters", [0.0, 1.2])
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_at_length(between_seeds: float, between_clusters: float, seeds: int) -> None:
    two_level, _ = coverage(between_seeds, between_clusters, seeds, 1500)
    assert 0.915 <= two_level <= 0.998


@pytest.mark.full
@pytest.mark.parametrize("between_seeds", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_coverage_of_the_difference_at_length(between_seeds: float, seeds: int) -> None:
    assert 0.92 <= difference_coverage(between_seeds, seeds, 1500) <= 0.998


@pytest.mark.full
def test_drawing_seeds_and_clusters_would_not_do() -> None:
    """Why no bootstrap: the claim in the documentation of gf_core.statistics.seeds."""
    rng = np.random.default_rng(14)
    rate, held, times = expected(0.5, 0.0), 0, 1500
    for _ in range(times):
        counts = play(rng, np.zeros(CLUSTERS), 3, 0.5)
        seeds, clusters = (rng.multinomial(n, np.full(n, 1 / n), size=500) for n in (3, CLUSTERS))
        drawn = ((seeds @ counts) * clusters).sum(axis=1) / (3 * CLUSTERS * 4)
        low, high = np.quantile(drawn, [0.025, 0.975])
        held += low <= rate <= high
    assert held / times < 0.85


def test_seeds_that_disagree_widen_it_and_leave_few_degrees_of_freedom() -> None:
    alike = two_level_interval(results_of(np.tile([4, 3, 2, 4, 1], (3, 8))))
    apart = two_level_interval(results_of(np.repeat([[1], [3], [4]], 40, axis=1)))
    assert alike.estimate == pytest.approx(0.7)
    assert apart.degrees == pytest.approx(2.0)
    assert alike.degrees > 30
    assert apart.interval.high - apart.interval.low > 3 * (alike.interval.high - alike.interval.low)


def test_a_clean_sweep_is_wider_than_one_failure_by_as_much_as_is_documented() -> None:
    counts = np.full((3, CLUSTERS), 4)
    sweep = two_level_interval(results_of(counts)).interval
    counts[0, 0] = 3
    failure = two_level_interval(results_of(counts)).interval
    assert [round(100 * limit, 1) for limit in (sweep.low, sweep.high, failure.low, failure.high)] == [84.4, 100, 98.3, 100]


def test_seeds_alone_give_students_interval() -> None:
    """No spread between clusters: the variance of the seeds' means, at R - 1 degrees of freedom."""
    from scipy import stats

    counts = np.repeat([[1], [2], [3]], 400, axis=1)
    found = two_level_difference(results_of(counts), results_of(counts * 0 + 2))
    means = np.array([0.25, 0.5, 0.75])
    half = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert found.degrees == pytest.approx(2.0)
    assert (found.interval.low, found.interval.high) == pytest.approx((-half, half), rel=1e-9)


def test_a_clean_sweep_is_not_certainty() -> None:
    sweep = results_of(np.full((3, 100), 4))
    rate, nothing = two_level_interval(sweep), two_level_difference(sweep, sweep)
    assert rate.interval.high == rate.estimate == 1.0
    assert 0.8 < rate.interval.low < 0.9
    assert nothing.estimate == 0.0
    assert nothing.interval.low == -nothing.interval.high < -0.1


def test_too_few_seeds_or_clusters_are_refused() -> None:
    two = results_of(np.full((2, 10), 3))
    for broken in ([], two, [*two, {}], [*two, {"c0": (0, 0)}]):
        with pytest.raises(GrinningFaceError, match=r"at least 3 training seeds, and there are [02]; train and evaluate"):
            two_level_interval(broken)
        with pytest.raises(GrinningFaceError, match="at least 3 training seeds"):
            two_level_difference(results_of(np.full((3, 10), 3)), broken)
    with pytest.raises(GrinningFaceError, match="two clusters"):
        two_level_interval([{"only": (1, 4)}] * 3)
    with pytest.raises(GrinningFaceError, match="two clusters"):
        two_level_difference([{"only": (1, 4), "empty": (0, 0)}] * 3, [{"only": (2, 4)}] * 3)
    for k, n in ((5, 4), (-1, 4), (1, 0), (0, -1), (1.5, 4), (1, 4.5)):
        broken = [{"a": (k, n), "b": (1, 4), "c": (1, 4)}] * 3
        with pytest.raises(ValueError, match="whole numbers with 0 ≤ k ≤ n"):
            two_level_interval(broken)
        with pytest.raises(ValueError, match="whole numbers with 0 ≤ k ≤ n"):
            two_level_difference(broken, broken)


def test_clusters_without_episodes_change_nothing() -> None:
    one, other = results_of(np.tile([4, 3, 2, 4, 1], (3, 2))), results_of(np.repeat([[1], [3], [4]], 10, axis=1))
    empty = {f"empty {n}": (0, 0) for n in range(50)}
    assert two_level_interval([seed | empty for seed in one]) == two_level_interval(one)
    assert two_level_difference([seed | empty for seed in one], other) == two_level_difference(one, other)


seeds = st.lists(
    st.fixed_dictionaries({name: st.integers(0, 3).map(lambda k: (k, 3)) for name in "abcd"}), min_size=3, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(seeds, seeds)
def test_intervals_hold_their_estimates_and_order_does_not_matter(first: Results, second: Results) -> None:
    rate, difference = two_level_interval(first), two_level_difference(first, second)
    assert 0 <= rate.interval.low <= rate.estimate <= rate.interval.high <= 1
    assert rate.interval.high - rate.interval.low > 0.05
    assert -1 <= difference.interval.low <= difference.estimate <= difference.interval.high <= 1
    assert two_level_interval(first[::-1]) == rate
    back = two_level_difference(second[::-1], first)
    assert (back.estimate, back.interval.low) == pytest.approx((-difference.estimate, -difference.interval.high))
