from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.statistics import (
    Interval,
    mcnemar_exact,
    paired_difference_interval,
    paired_permutation,
    paired_score_interval,
    wilson,
)

Episodes = tuple[list[bool], list[bool], list[str]]


def played(wins: list[int], losses: list[int], alike: list[int]) -> Episodes:
    """Episodes of clusters "0", "1", ... with these counts; half of those where the runs agree are right."""
    a, b, clusters = [], [], []
    for number, (won, lost, same) in enumerate(zip(wins, losses, alike, strict=True)):
        a += [True] * won + [False] * lost + [i % 2 == 0 for i in range(same)]
        b += [False] * won + [True] * lost + [i % 2 == 0 for i in range(same)]
        clusters += [str(number)] * (won + lost + same)
    return a, b, clusters


episodes = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=9).map(
    lambda c: played(*map(list, zip(*c, strict=True)))
)


def test_fishers_test_of_darwins_maize() -> None:
    """R. A. Fisher, The Design of Experiments, 21: of the 32,768 sums of 15 differences (in 1/8 inch), 1,726 reach 314."""
    heights = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    a, b, clusters = played([max(h, 0) for h in heights], [max(-h, 0) for h in heights], [0] * 15)
    assert paired_permutation(a, b, clusters).p == pytest.approx(1726 / 32768, rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(episodes)
def test_the_test_is_what_listing_all_swaps_gives(runs: Episodes) -> None:
    a, b, clusters = (np.array(column) for column in runs)
    lead = [int(a[clusters == c].sum()) - int(b[clusters == c].sum()) for c in set(runs[2])]
    sums = [abs(sum(s * d for s, d in zip(signs, lead, strict=True))) for signs in itertools.product((1, -1), repeat=len(lead))]
    result = paired_permutation(*runs)
    assert result.p == pytest.approx(np.mean([s >= abs(sum(lead)) for s in sums]))
    assert result.estimate == pytest.approx(sum(lead) / max(len(a), 1))


def test_the_test_agrees_with_scipys_exact_permutation_test() -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(12), 4)
    a, b = rng.random(48) < 0.75, rng.random(48) < 0.4
    lead = (a.reshape(12, 4).sum(axis=1) - b.reshape(12, 4).sum(axis=1)).astype(float)
    expected = stats.permutation_test((lead,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False)
    assert paired_permutation(a, b, clusters).p == pytest.approx(expected.pvalue, rel=1e-9)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5))
def test_with_single_episodes_it_is_mcnemars(b: int, c: int, same: int) -> None:
    first, second, _ = played([b], [c], [same])
    p = paired_permutation(first, second, list(range(b + c + same))).p
    assert p == pytest.approx(mcnemar_exact(b, c), rel=1e-9)


def test_tiny_p_values_keep_their_digits() -> None:
    a, b, clusters = played([4] * 300, [0] * 300, [0] * 300)
    assert paired_permutation(a, b, clusters).p == pytest.approx(2.0**-299, rel=1e-9)


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_agrees_with_scipys_binomial_test(b: int, c: int) -> None:
    from scipy import stats

    assert mcnemar_exact(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(1, 9) == 2 * (1 + 10) / 1024
    assert mcnemar_exact(0, 0) == mcnemar_exact(3, 3) == 1.0


@settings(max_examples=60, deadline=None)
@given(episodes, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter_and_swapping_the_runs_turns_the_sign(runs: Episodes, random: object) -> None:
    order = list(range(len(runs[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    a, b, clusters = ([column[i] for i in order] for column in runs)
    renamed = [f"z{9 - int(c)}" for c in clusters]  # type: ignore[call-overload]
    test, interval = paired_permutation(*runs), paired_difference_interval(*runs, resamples=200)
    assert paired_permutation(a, b, renamed) == test
    assert paired_difference_interval(a, b, renamed, resamples=200) == interval
    swapped = paired_permutation(b, a, clusters)
    assert (swapped.p, swapped.estimate) == (test.p, -test.estimate)
    if interval is not None:
        assert interval.low <= test.estimate <= interval.high
        other = paired_difference_interval(b, a, clusters, resamples=200)
        same_data = test.estimate == 0 and other == interval
        assert same_data or other == Interval(-interval.high, -interval.low)


def test_runs_that_agree_everywhere_are_not_certain_to_be_equal() -> None:
    a, b, clusters = played([0] * 100, [0] * 100, [4] * 100)
    interval = paired_difference_interval(a, b, clusters)
    assert paired_permutation(a, b, clusters).p == 1.0
    assert interval == paired_score_interval(0, 0, 100)  # a hundred clusters that say the same, like as many episodes
    assert interval is not None
    assert interval.high == pytest.approx(-interval.low)
    assert 0.03 < interval.high < 0.04


def test_one_cluster_tells_almost_nothing() -> None:
    a, b, clusters = played([40], [0], [0])
    interval = paired_difference_interval(a, b, clusters)
    assert paired_permutation(a, b, clusters).p == 1.0
    assert interval is not None
    assert interval.low < 0


@pytest.mark.parametrize(("b", "c", "n"), [(3, 1, 44), (12, 2, 60), (0, 5, 30), (7, 7, 20), (4.5, 2.25, 33.3)])
def test_score_interval_is_where_the_constrained_likelihood_rejects(b: float, c: float, n: float) -> None:
    """Tango's closed form against the definition: maximize the likelihood numerically, and look at the score."""
    from scipy.optimize import minimize_scalar

    z = 1.959963984540054
    interval = paired_score_interval(b, c, n)
    assert interval is not None
    for limit, sign in ((interval.low, 1), (interval.high, -1)):

        def loss(losing: float, d: float = limit) -> float:
            shares = ((b, losing + d), (c, losing), (n - b - c, 1 - 2 * losing - d))
            return -sum(count * math.log(max(share, 1e-300)) for count, share in shares if count > 0)

        bounds = (max(0.0, -limit), (1 - limit) / 2)
        losing = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        score = (b - c - n * limit) / math.sqrt(n * (2 * losing + limit - limit**2))
        assert score == pytest.approx(sign * z, abs=2e-4)


def test_score_interval_in_closed_form_where_nothing_is_discordant() -> None:
    z = 1.959963984540054
    interval = paired_score_interval(0, 0, 20)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((-(z**2) / (20 + z**2), z**2 / (20 + z**2)))
    everywhere, sweep = paired_score_interval(20, 0, 20), wilson(20, 20)
    assert everywhere is not None
    assert sweep is not None
    assert everywhere.high == 1.0
    assert everywhere.low == pytest.approx(2 * sweep.low - 1, abs=0.12)  # Wilson's limit of wins against losses
    assert paired_score_interval(0, 0, 0) is None


def test_nothing_in_common_and_nonsense() -> None:
    assert paired_permutation([], [], []).p == 1.0
    assert paired_difference_interval([], [], []) is None
    with pytest.raises(ValueError, match="same length"):
        paired_permutation([True], [True, False], ["a", "b"])
    with pytest.raises(ValueError, match="true or false"):
        paired_permutation([1, 0], [0, 1], ["a", "b"])
    with pytest.raises(ValueError, match="discordant"):
        paired_score_interval(3, 2, 4)
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)


def clustered_runs(
    rng: np.random.Generator, rates: tuple[float, float], correlation: float, clusters: int
) -> tuple[np.ndarray, ...]:
    """Two runs of 4 episodes a cluster; each finds some clusters easy and others hard."""
    strength = (1 - correlation) / correlation
    ease = (rng.beta(rate * strength, (1 - rate) * strength, clusters) for rate in rates)
    a, b = (rng.random(4 * clusters) < np.repeat(e, 4) for e in ease)
    return a, b, np.repeat(np.arange(clusters), 4)


def false_positives(correlation: float, clusters: int, times: int) -> tuple[float, float]:
    """How often equal runs differ at 5 %: by the permutation test, and by McNemar's."""
    rng = np.random.default_rng(8)
    found = np.zeros(2)
    for _ in range(times):
        a, b, member = clustered_runs(rng, (0.6, 0.6), correlation, clusters)
        naive = mcnemar_exact(int((a & ~b).sum()), int((b & ~a).sum()))
        found += [paired_permutation(a, b, member).p <= 0.05, naive <= 0.05]
    return found[0] / times, found[1] / times


def coverage(rates: tuple[float, float], correlation: float, clusters: int, times: int) -> float:
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(times):
        interval = paired_difference_interval(*clustered_runs(rng, rates, correlation, clusters), resamples=1000)
        held += interval is not None and interval.low <= rates[0] - rates[1] <= interval.high
    return held / times


def test_false_positives_on_clustered_episodes() -> None:
    permutation, mcnemar = false_positives(0.3, 100, 1000)
    assert 0.025 <= permutation <= 0.07
    assert mcnemar > 0.09  # why the headline test swaps clusters


def test_the_paired_interval_covers() -> None:
    assert 0.92 <= coverage((0.7, 0.6), 0.3, 100, 250) <= 0.99


@pytest.mark.full
@pytest.mark.parametrize("clusters", [8, 20, 100])
@pytest.mark.parametrize("correlation", [0.05, 0.3, 0.6])
def test_false_positives_at_length(correlation: float, clusters: int) -> None:
    permutation, _ = false_positives(correlation, clusters, 4000)
    assert permutation <= 0.06


@pytest.mark.full
@pytest.mark.parametrize("rates", [(0.6, 0.6), (0.7, 0.5), (0.95, 0.9), (0.99, 0.98)])
@pytest.mark.parametrize("correlation", [0.05, 0.3, 0.6])
def test_coverage_at_length(rates: tuple[float, float], correlation: float) -> None:
    assert 0.93 <= coverage(rates, correlation, 100, 1500) <= 0.998
