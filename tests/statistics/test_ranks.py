from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.statistics import compare, standings

CLUSTERS = np.repeat(np.arange(20), 3)


def outcomes(seed: int, runs: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    skill = rng.normal(0, spread, (runs, 1)) + rng.normal(0, 1, 20)[CLUSTERS]
    return rng.random((runs, len(CLUSTERS))) < 1 / (1 + np.exp(-skill))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), runs=st.integers(1, 7), spread=st.sampled_from([0.0, 1.0, 3.0]), lost=st.integers(0, 5))
def test_decides_as_the_comparison_of_all_pairs(seed: int, runs: int, spread: float, lost: int) -> None:
    right = outcomes(seed, runs, spread)
    known = np.ones_like(right)
    known[0, :lost] = False
    right &= known
    found = standings(right, known, CLUSTERS)
    named = {str(n): {str(e): bool(right[n, e]) for e in np.flatnonzero(known[n])} for n in range(runs)}
    compared = compare(named, {str(e): int(c) for e, c in enumerate(CLUSTERS)}, resamples=10)
    expected = np.zeros((runs, runs), bool)
    for pair in compared.pairs:
        a, b = int(pair.first), int(pair.second)
        expected[a, b] = expected[b, a] = pair.separable
    assert np.array_equal(found.separable, expected)
    better = [sum(p.separable and p.second == str(n) for p in compared.pairs) for n in range(runs)]
    worse = [sum(p.separable and p.first == str(n) for p in compared.pairs) for n in range(runs)]
    assert found.best.tolist() == [1 + n for n in better]
    assert found.worst.tolist() == [runs - n for n in worse]


def test_equal_runs_share_all_ranks_and_opposite_ones_none() -> None:
    right = np.array([[True] * 60, [True] * 60, [False] * 60])
    found = standings(right, np.ones_like(right), CLUSTERS)
    assert found.best.tolist() == [1, 1, 3]
    assert found.worst.tolist() == [2, 2, 3]


def test_who_is_better_is_said_of_the_common_episodes() -> None:
    """The second run lacks the half where the first one is right, so its rate is the lower one, but it is never the worse."""
    known, right = np.ones((2, 60), bool), np.zeros((2, 60), bool)
    known[1, :30] = False
    right[0, :30] = right[1, 30::3] = True
    found = standings(right, known, CLUSTERS)
    assert found.separable[0, 1]
    assert (found.best.tolist(), found.worst.tolist()) == ([2, 1], [2, 1])
    runs = {name: {str(e): bool(right[n, e]) for e in np.flatnonzero(known[n])} for n, name in enumerate(("all", "half"))}
    compared = compare(runs, {str(e): int(c) for e, c in enumerate(CLUSTERS)}, resamples=10)
    assert list(compared.estimates) == ["all", "half"]
    (pair,) = compared.pairs
    assert (pair.first, pair.second, pair.difference, pair.separable) == ("half", "all", pytest.approx(1 / 3), True)


def test_runs_without_a_common_episode_are_not_separable() -> None:
    known = np.zeros((2, 60), bool)
    known[0, :30] = known[1, 30:] = True
    right = known & np.array([[True], [False]])
    assert not standings(right, known, CLUSTERS).separable.any()


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="right and known"):
        standings(np.ones((2, 3), bool), np.ones((2, 4), bool), [0, 0, 1])
