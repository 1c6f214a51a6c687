from __future__ import annotations

import numpy as np
import pytest

from gf_core.statistics import Interval, boschloo, hybrid_difference, newcombe_difference, wilson


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_gives_the_values_of_newcombe_1998_table_2_method_10(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    interval = newcombe_difference(*counts)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_a_difference_with_something_known_exactly_has_the_width_of_the_other() -> None:
    interval = wilson(30, 40)
    assert interval is not None
    assert hybrid_difference(0.75, interval, 0.5, Interval(0.5, 0.5)) == Interval(interval.low - 0.5, interval.high - 0.5)
    assert newcombe_difference(1, 2, 0, 0) is None


def test_boschloo_gives_the_value_in_scipys_documentation() -> None:
    """scipy.stats.boschloo_exact: 74 of 117 against 31 of 63, one-sided 0.0355; two-sided is twice that."""
    assert boschloo(74, 117, 31, 63) == pytest.approx(2 * 0.0355, abs=2e-4)


def test_boschloo_agrees_with_scipy() -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    tables = [(1, 4, 4, 4), (0, 9, 9, 9), (60, 100, 70, 100), (3, 90, 12, 70)]
    for _ in range(12):
        n1, n2 = rng.integers(1, 30, 2)
        tables.append((int(rng.integers(0, n1 + 1)), int(n1), int(rng.integers(0, n2 + 1)), int(n2)))
    for k1, n1, k2, n2 in tables:
        if not 0 < k1 + k2 < n1 + n2:
            continue  # scipy gives nan
        expected = stats.boschloo_exact([[k1, k2], [n1 - k1, n2 - k2]], n=64).pvalue
        assert boschloo(k1, n1, k2, n2) == pytest.approx(expected, abs=2e-6), (k1, n1, k2, n2)


def test_boschloo_with_many_episodes() -> None:
    """scipy.stats.boschloo_exact([[600, 650], [600, 550]]) took 35 s to give 0.04250248637713082 (scipy 1.17.1)."""
    assert boschloo(600, 1200, 650, 1200) == pytest.approx(0.04250248637713082, abs=1e-8)


def test_boschloo_where_nothing_can_be_said() -> None:
    assert boschloo(5, 5, 7, 7) == boschloo(0, 5, 0, 7) == boschloo(0, 0, 3, 4) == 1.0
    with pytest.raises(ValueError, match="not proportions"):
        boschloo(3, 2, 1, 1)


def test_boschloo_is_symmetric() -> None:
    assert boschloo(3, 20, 11, 25) == pytest.approx(boschloo(11, 25, 3, 20)) == pytest.approx(boschloo(17, 20, 14, 25))


def test_boschloos_size_is_at_most_its_level_and_is_reached() -> None:
    """All tables of 8 against 6, exactly, over rates: at most 5 %, and nearer to it than Fisher's test comes."""
    from scipy import stats

    n1, n2 = 8, 6
    rates = np.linspace(0.01, 0.99, 99)
    size = {"boschloo": np.zeros(99), "fisher": np.zeros(99)}
    for k1 in range(n1 + 1):
        for k2 in range(n2 + 1):
            share = stats.binom.pmf(k1, n1, rates) * stats.binom.pmf(k2, n2, rates)
            size["boschloo"] += share * (boschloo(k1, n1, k2, n2) <= 0.05)
            size["fisher"] += share * (stats.fisher_exact([[k1, k2], [n1 - k1, n2 - k2]]).pvalue <= 0.05)
    assert size["fisher"].max() < size["boschloo"].max() <= 0.05
