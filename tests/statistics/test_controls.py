from __future__ import annotations

import math

import numpy as np
import pytest

from gf_core.statistics import clustered_rate, consistency, guessed_switch_rate, position_bias, switch_rate


def exact_multinomial(counts: list[int]) -> float:
    """P(a sum of squares at least as large) by listing all outcomes of three positions."""
    total, observed, p = sum(counts), sum(c * c for c in counts), 0.0
    for i in range(total + 1):
        for j in range(total + 1 - i):
            k = total - i - j
            if i * i + j * j + k * k >= observed:
                p += math.factorial(total) / (math.factorial(i) * math.factorial(j) * math.factorial(k)) / 3**total
    return p


@pytest.mark.parametrize("counts", [[7, 2, 1], [4, 4, 4], [12, 5, 7], [0, 0, 3]])
def test_independent_choices_are_tested_as_by_the_exact_multinomial_test(counts: list[int]) -> None:
    assert position_bias(counts).p == pytest.approx(exact_multinomial(counts), abs=0.015)


def test_with_many_choices_it_is_pearsons_chi_square() -> None:
    from scipy import stats

    for counts in ([430, 380, 390], [300, 340, 290, 270]):
        assert position_bias(counts).p == pytest.approx(stats.chisquare(counts).pvalue, abs=0.02)


def test_a_position_habit_is_found() -> None:
    bias = position_bias([[3, 0, 0]] * 40 + [[0, 3, 0]] * 10 + [[0, 0, 3]] * 10)
    assert bias.p < 0.001
    assert bias.rates[0] == clustered_rate([3] * 40 + [0] * 20, [3] * 60)
    assert [rate.estimate for rate in bias.rates] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_a_policy_that_always_takes_the_instructed_card_has_none() -> None:
    assert position_bias([[1, 1, 1]] * 60).p == 1.0
    assert position_bias([[0, 0, 0]] * 3).p == position_bias([0, 0, 0]).p == position_bias(np.zeros((0, 3))).p == 1.0


def test_sticking_to_a_card_of_each_scene_is_no_position_habit() -> None:
    """Counting its three choices as independent would call it one far more often than 5 % of the time."""
    rng = np.random.default_rng(5)
    found = np.zeros(2)
    for _ in range(100):
        table = 3 * rng.multinomial(1, [1 / 3] * 3, size=60)
        found += [position_bias(table, draws=500).p <= 0.05, position_bias(table.sum(axis=0), draws=500).p <= 0.05]
    assert found[0] / 100 <= 0.1
    assert found[1] / 100 > 0.25


def test_order_of_scenes_and_of_positions_does_not_matter_for_the_test() -> None:
    rng = np.random.default_rng(6)
    table = rng.multinomial(3, [0.4, 0.3, 0.3], size=50)
    assert position_bias(table).p == position_bias(table[::-1]).p == position_bias(table[:, [2, 0, 1]]).p


@pytest.mark.parametrize("counts", [[[1, -1]], 3, [-1, 2], [[[1]]], [1] * 7])
def test_nonsense_is_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="counts are a"):
        position_bias(counts)  # type: ignore[arg-type]


def test_consistency_counts_scenes_where_everything_was_right() -> None:
    rate = consistency({"s1": [True] * 3, "s2": [True, True, False], "s3": [False] * 3, "s4": [True] * 3, "none": []})
    assert (rate.k, rate.n, rate.clusters) == (2, 4, 4)


def test_switching_counts_scenes_where_the_choice_changes_rightly_or_not() -> None:
    rate = switch_rate({"s1": [0, 1, 2], "s2": [1, 1, 1], "s3": [2, None, 0], "s4": [1, None, None], "s5": [0, 0, None]})
    assert (rate.k, rate.n) == (2, 4)


def test_a_guesser_that_does_not_always_place_switches_as_often_as_told() -> None:
    rng = np.random.default_rng(2)
    placed = rng.random((10_000, 3)) < 0.5
    choices = np.where(placed, rng.integers(0, 3, (10_000, 3)), -1).tolist()
    chosen = {str(i): [None if c < 0 else c for c in row] for i, row in enumerate(choices)}
    told = guessed_switch_rate(chosen, 3)
    assert told is not None
    assert told == pytest.approx((0.375 * 2 / 3 + 0.125 * 8 / 9) / 0.5, abs=0.01)
    assert switch_rate(chosen).estimate == pytest.approx(told, abs=0.02)
    assert guessed_switch_rate({"one": [0, None, None]}, 3) is None


def test_scenes_of_a_cluster_are_not_independent() -> None:
    scenes = {f"s{i}": [i // 2 % 2 == 0] * 3 for i in range(40)}
    alone, together = consistency(scenes), consistency(scenes, {f"s{i}": i // 2 for i in range(40)})
    assert (alone.estimate, alone.n, alone.clusters) == (together.estimate, together.n, 2 * together.clusters) == (0.5, 40, 40)
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval.low < alone.interval.low


def test_guessing_gives_the_documented_rates() -> None:
    rng = np.random.default_rng(1)
    choices = rng.integers(0, 3, (20_000, 3))
    switched = switch_rate({str(i): row for i, row in enumerate(choices.tolist())})
    right = consistency({str(i): (row == [0, 1, 2]).tolist() for i, row in enumerate(choices)})
    assert switched.estimate == pytest.approx(1 - 3.0**-2, abs=0.01)
    assert right.estimate == pytest.approx(3.0**-3, abs=0.005)
