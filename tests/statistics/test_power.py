from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core.statistics import episodes_needed, paired_episodes_needed, paired_permutation


def runs_of(wins: int, losses: int, same: int) -> tuple[list[bool], list[bool]]:
    return [True] * wins + [False] * losses + [True] * same, [False] * wins + [True] * losses + [True] * same


def test_the_designs_own_example() -> None:
    assert episodes_needed(0.6, 0.7) == episodes_needed(0.7, 0.6) == 356


@pytest.mark.parametrize(("p1", "p2", "power"), [(0.6, 0.5, 0.8), (0.6, 0.5, 0.9), (0.3, 0.15, 0.8)])
def test_independent_episodes_have_the_power(p1: float, p2: float, power: float) -> None:
    """The two-proportion z test of as many episodes, its power summed over all tables rather than approximated."""
    from scipy import stats

    n = episodes_needed(p1, p2, power=power)
    assert n is not None
    k = np.arange(n + 1)
    pooled = (k[:, None] + k) / (2 * n)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (k[:, None] - k) / n / np.sqrt(2 * pooled * (1 - pooled) / n)
    tables = stats.binom.pmf(k, n, p1)[:, None] * stats.binom.pmf(k, n, p2)
    assert tables[np.abs(z) > 1.959963984540054].sum() == pytest.approx(power, abs=0.015)


def test_no_number_separates_what_is_equal() -> None:
    assert episodes_needed(0.4, 0.4) is None
    need = paired_episodes_needed([True, False], [False, True], ["a", "b"])
    assert (need.episodes, need.discordance) == (None, 1.0)
    assert paired_episodes_needed([True], [True], ["a"]).episodes is None
    assert paired_episodes_needed([], [], []).episodes is None
    with pytest.raises(ValueError, match=r"0\.\.1"):
        episodes_needed(1.2, 0.3)


def test_with_single_episodes_it_is_connors_formula() -> None:
    """Discordance 0.3 and difference 0.1: (1.95996 √0.3 + 0.84162 √(0.3 - 0.01))² / 0.01 = 233.0..., by hand."""
    a, b = runs_of(20, 10, 70)
    need = paired_episodes_needed(a, b, list(range(100)))
    by_hand = (1.959963984540054 * 0.3**0.5 + 0.8416212335729143 * 0.29**0.5) ** 2 / 0.01
    assert need.episodes == int(by_hand) + 1 == 234
    assert need.discordance == pytest.approx(0.3)
    assert need.design_effect == pytest.approx(1.0)


def test_copying_every_episode_needs_as_many_more_of_them() -> None:
    """Fourfold copies tell nothing new: the same number of clusters, so four times the episodes, at a design effect of 4."""
    a, b = runs_of(20, 10, 70)
    single = paired_episodes_needed(a, b, list(range(100)))
    copied = paired_episodes_needed(np.repeat(a, 4), np.repeat(b, 4), np.repeat(np.arange(100), 4))
    assert single.episodes is not None
    assert copied.episodes == pytest.approx(4 * single.episodes, abs=4)
    assert copied.design_effect == pytest.approx(4.0)


def test_few_clusters_never_suffice_however_large_the_difference() -> None:
    """Swapping G clusters gives no p below 2 / 2^G: at least six of them for 5 %."""
    a, b = [True] * 20, [False] * 20
    need = paired_episodes_needed(a, b, np.repeat(np.arange(2), 10))
    assert need.episodes == 60
    assert paired_permutation([True] * 60, [False] * 60, np.repeat(np.arange(6), 10)).p <= 0.05
    assert paired_permutation([True] * 50, [False] * 50, np.repeat(np.arange(5), 10)).p > 0.05


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0.001, 0.05))
def test_stricter_asks_for_more(p1: float, p2: float, alpha: float) -> None:
    need, stricter = episodes_needed(p1, p2), episodes_needed(p1, p2, alpha=alpha / 2)
    assert (need is None) == (p1 == p2)
    assert need is None or (stricter is not None and stricter >= need >= 1)


def power_at_the_need(times: int) -> float:
    """Share of repetitions, as large as asked for, where the test finds the difference; from 300 observed clusters of 4."""
    rng = np.random.default_rng(6)
    ease = rng.beta(1.4, 0.93, 300)
    a = rng.random((300, 4)) < ease[:, None]
    b = rng.random((300, 4)) < (0.9 * ease)[:, None]
    need = paired_episodes_needed(a.ravel(), b.ravel(), np.repeat(np.arange(300), 4)).episodes
    assert need is not None
    found = 0
    for _ in range(times):
        drawn = rng.integers(0, 300, round(need / 4))
        found += paired_permutation(a[drawn].ravel(), b[drawn].ravel(), np.repeat(np.arange(len(drawn)), 4)).p <= 0.05
    return found / times


def test_as_many_episodes_as_asked_for_have_the_power() -> None:
    assert 0.72 <= power_at_the_need(300) <= 0.88


@pytest.mark.full
def test_power_at_length() -> None:
    assert 0.77 <= power_at_the_need(4000) <= 0.83
