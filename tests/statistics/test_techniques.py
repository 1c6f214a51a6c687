"""Tests between techniques, and how many seeds would tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.errors import GrinningFaceError
from gf_core.statistics import seeds_needed, two_level_difference, two_level_test

Results = list[dict[str, tuple[int, int]]]


def results_of(counts: np.ndarray, episodes: int = 4) -> Results:
    return [{f"c{g}": (int(k), episodes) for g, k in enumerate(row)} for row in counts]


def play(rng: np.random.Generator, seeds: int, between_seeds: float, centre: float, ease: np.ndarray) -> Results:
    logit = centre + rng.normal(0, between_seeds, (seeds, 1)) + ease
    return results_of(rng.binomial(4, 1 / (1 + np.exp(-logit)), (seeds, len(ease))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.8, 0.95, 0.99]))
def test_p_and_interval_agree(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 1, 12)
    one, other = play(rng, 3, 0.4, 1.0, ease), play(rng, 4, 0.4, 0.3, ease)
    interval = two_level_difference(one, other, level=level).interval
    assert (two_level_test(one, other).p <= 1 - level) == (not interval.low <= 0 <= interval.high)


def test_swapping_techniques_changes_the_sign_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    one, other = play(rng, 3, 0.3, 1.0, np.zeros(20)), play(rng, 3, 0.3, 0.0, np.zeros(20))
    forth, back = two_level_test(one, other), two_level_test(other, one)
    assert (forth.p, forth.estimate) == pytest.approx((back.p, -back.estimate))
    assert forth.estimate > 0


def test_where_nothing_varies_the_intervals_decide() -> None:
    always, never = results_of(np.full((3, 30), 4)), results_of(np.zeros((3, 30)))
    result = two_level_test(always, never)
    assert result.estimate == 1.0
    held = two_level_difference(always, never, level=1 - result.p * 0.9).interval
    left = two_level_difference(always, never, level=1 - result.p * 1.1).interval
    assert held.low <= 0 < left.low
    assert two_level_test(always, always).p == 1.0


def test_seeds_are_called_different_no_more_often_than_said() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(300):
        ease = rng.normal(0, 1, 40)
        found += two_level_test(play(rng, 3, 0.4, 0.8, ease), play(rng, 3, 0.4, 0.8, ease)).p <= 0.05
    assert found / 300 <= 0.08


def test_so_many_seeds_find_the_difference_as_often_as_said() -> None:
    rng = np.random.default_rng(8)

    def pair(seeds: int) -> tuple[Results, Results]:
        ease = rng.normal(0, 1, 60)
        return play(rng, seeds, 0.5, 1.2, ease), play(rng, seeds, 0.5, 0.4, ease)

    needs = [n for _ in range(60) if (n := seeds_needed(*pair(8))) is not None]
    typical = int(np.median(needs))
    power = np.mean([two_level_test(*pair(typical)).p <= 0.05 for _ in range(200)])
    assert 0.65 <= power <= 0.97


def test_no_number_of_seeds_makes_up_for_too_few_clusters() -> None:
    ahead, behind = np.array([4, 0, 4, 0, 4, 1]), np.array([1, 4, 0, 4, 0, 3])
    one = results_of(np.tile(ahead, (3, 1)))
    other = results_of(np.tile(behind, (3, 1)))
    assert two_level_test(one, other).p > 0.05
    assert seeds_needed(one, other) is None
    assert seeds_needed(one, one) is None


@pytest.mark.parametrize(("clusters", "found"), [(2, False), (4, False), (7, False), (8, True), (30, True)])
def test_seeds_at_hand_are_named_only_where_they_separate_although_nothing_varies(clusters: int, found: bool) -> None:
    always, never = results_of(np.full((3, clusters), 4)), results_of(np.zeros((3, clusters)))
    assert (two_level_test(always, never).p <= 0.05) == found
    assert seeds_needed(always, never) == (3 if found else None)
    assert seeds_needed(always, always) is None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([0.05, 0.01]), st.sampled_from([0.5, 0.8]))
def test_a_number_at_hand_is_never_named_where_the_test_does_not_separate(
    seed: int, clusters: int, alpha: float, power: float
) -> None:
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 2, clusters)
    one, other = play(rng, 3, 0.4, 3.0, ease), play(rng, 4, 0.4, -1.0, ease)
    needed = seeds_needed(one, other, alpha=alpha, power=power)
    assert needed is None or needed > 3 or two_level_test(one, other).p <= alpha


def test_two_seeds_are_no_claim() -> None:
    two = results_of(np.ones((2, 5)))
    with pytest.raises(GrinningFaceError, match="at least 3 training seeds"):
        two_level_test(two, two)
