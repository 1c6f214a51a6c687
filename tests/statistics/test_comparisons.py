from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.statistics import (
    POWER,
    boschloo,
    compare,
    effective_size,
    newcombe_difference,
    paired_difference_interval,
    paired_episodes_needed,
    paired_permutation,
)

EPISODES = [f"e{i:04d}" for i in range(400)]
CLUSTERS = {episode: f"t{i // 4}" for i, episode in enumerate(EPISODES)}


def simulate(centres: dict[str, float], seed: int = 0) -> dict[str, dict[str, bool]]:
    rng = np.random.default_rng(seed)
    ease = np.repeat(rng.normal(0, 1, 100), 4)
    return {
        name: dict(zip(EPISODES, (rng.random(400) < 1 / (1 + np.exp(-(ease + centre)))).tolist(), strict=True))
        for name, centre in centres.items()
    }


def test_pairs_are_what_the_single_functions_give() -> None:
    runs = simulate({"low": 0.0, "mid": 0.4, "high": 2.0})
    comparison = compare(runs, CLUSTERS, resamples=500)
    assert list(comparison.estimates) == ["high", "mid", "low"]
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [("high", "mid"), ("high", "low"), ("mid", "low")]
    pair = comparison.pairs[2]
    a, b, clusters = list(runs["mid"].values()), list(runs["low"].values()), list(CLUSTERS.values())
    test = paired_permutation(a, b, clusters)
    assert (pair.method, pair.episodes, pair.p, pair.difference) == ("paired", 400, test.p, test.estimate)
    assert pair.interval == paired_difference_interval(a, b, clusters, resamples=500)
    assert pair.p_adjusted >= pair.p
    for pair in comparison.pairs:
        assert pair.separable == (pair.p_adjusted <= 0.05)
        need = paired_episodes_needed(list(runs[pair.first].values()), list(runs[pair.second].values()), clusters, alpha=0.05 / 3)
        assert pair.episodes_needed == (None if pair.separable else need.episodes)
    assert comparison.pairs[0].separable
    assert set(comparison.letters["high"]).isdisjoint(comparison.letters["mid"])


def test_more_comparisons_make_it_harder_and_declared_pairs_are_the_family() -> None:
    runs = simulate({f"p{i}": 0.08 * i for i in range(7)}, seed=3)
    everything = compare(runs, CLUSTERS, resamples=200)
    declared = compare(runs, CLUSTERS, pairs=[frozenset(("p6", "p0"))], resamples=200)
    (only,) = declared.pairs
    same = next(p for p in everything.pairs if {p.first, p.second} == {"p0", "p6"})
    assert len(everything.pairs) == 21
    assert only.p == only.p_adjusted == same.p < same.p_adjusted
    assert sum(p.separable for p in everything.pairs) < sum(p.p <= 0.05 for p in everything.pairs)
    assert set(declared.letters["p1"]) & set(declared.letters["p5"])  # not compared, so never called separable


def test_only_common_episodes_count_in_a_pair() -> None:
    runs = simulate({"a": 1.0, "b": 0.0})
    part = {episode: runs["a"][episode] for episode in EPISODES[:200]}
    (pair,) = compare({"a": part, "b": runs["b"]}, CLUSTERS).pairs
    assert (pair.method, pair.episodes) == ("paired", 200)
    assert pair.difference == pytest.approx(np.mean(list(part.values())) - np.mean([runs["b"][e] for e in part]))


def test_runs_without_a_common_episode_are_compared_at_their_effective_sizes() -> None:
    runs = simulate({"a": 1.0, "b": 0.6})
    half = {"a": {e: runs["a"][e] for e in EPISODES[:200]}, "b": {e: runs["b"][e] for e in EPISODES[200:]}}
    (pair,) = compare(half, CLUSTERS).pairs
    sizes, rates = [], []
    for name in (pair.first, pair.second):
        k = np.array(list(half[name].values())).reshape(50, 4).sum(axis=1)
        sizes.append(effective_size(k, [4] * 50))
        rates.append(k.sum() / 200)
    assert sizes[0] < 200
    assert (pair.method, pair.episodes) == ("unpaired", 200)
    assert pair.difference == pytest.approx(rates[0] - rates[1])
    expected = newcombe_difference(rates[0] * sizes[0], sizes[0], rates[1] * sizes[1], sizes[1])
    assert expected is not None
    assert (pair.interval.low, pair.interval.high) == pytest.approx((expected.low, expected.high))
    whole = [int(n) for n in sizes]
    assert pair.p == boschloo(round(rates[0] * whole[0]), whole[0], round(rates[1] * whole[1]), whole[1])
    assert pair.separable or (pair.episodes_needed is not None and pair.episodes_needed > 200)


def test_runs_that_never_differ_cannot_be_separated_by_any_number() -> None:
    runs = simulate({"a": 0.0})
    (pair,) = compare({"a": runs["a"], "copy": runs["a"]}, CLUSTERS).pairs
    assert (pair.difference, pair.p, pair.p_adjusted, pair.separable, pair.episodes_needed) == (0.0, 1.0, 1.0, False, None)
    assert pair.interval.low < 0 < pair.interval.high


def test_one_run_or_none_is_a_family_of_nothing() -> None:
    alone = compare(simulate({"a": 0.0}), CLUSTERS)
    assert (alone.pairs, alone.letters) == ((), {"a": "a"})
    assert compare({}, CLUSTERS).letters == {}


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="run 'a' has no episodes"):
        compare({"a": {}}, {})
    with pytest.raises(ValueError, match="episode 'e1' has no cluster"):
        compare({"a": {"e1": True}}, {})
    with pytest.raises(ValueError, match="two of the runs"):
        compare({"a": {"e1": True}}, {"e1": "t"}, pairs=[frozenset(("a", "b"))])


outcomes = st.lists(st.lists(st.booleans(), min_size=24, max_size=24), min_size=2, max_size=5)


@settings(max_examples=25, deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_letters_say_what_pairs_say_and_nothing_depends_on_order(table: list[list[bool]], random: object) -> None:
    runs = {f"r{i}": dict(zip(EPISODES, row, strict=False)) for i, row in enumerate(table)}
    comparison = compare(runs, CLUSTERS, resamples=100)
    for pair in comparison.pairs:
        shared = set(comparison.letters[pair.first]) & set(comparison.letters[pair.second])
        assert bool(shared) != pair.separable
        assert comparison.estimates[pair.first] >= comparison.estimates[pair.second]
        assert pair.interval.low <= pair.difference <= pair.interval.high
        assert pair.episodes_needed is None or pair.episodes_needed > pair.episodes
    names = list(runs)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: dict(sorted(runs[name].items(), reverse=True)) for name in names}
    assert compare(shuffled, dict(sorted(CLUSTERS.items(), reverse=True)), resamples=100) == comparison


def family_wise_errors(times: int) -> float:
    """How often any of five equal runs is called better than another, on clusters of unequal ease."""
    wrong = 0
    for seed in range(times):
        comparison = compare(simulate({f"r{i}": 0.5 for i in range(5)}, seed), CLUSTERS, resamples=20)
        wrong += any(pair.separable for pair in comparison.pairs)
    return wrong / times


def test_equal_runs_are_seldom_separated() -> None:
    assert family_wise_errors(60) <= 0.12


@pytest.mark.full
def test_family_wise_errors_at_length() -> None:
    assert family_wise_errors(800) <= 0.065


@pytest.mark.full
def test_the_episodes_asked_for_separate_within_the_family() -> None:
    """Runs as far apart as observed, on as many episodes as the report asks for."""
    runs = simulate({"a": 0.55, "b": 0.35, "c": 0.0}, seed=5)
    pair = next(p for p in compare(runs, CLUSTERS, resamples=20).pairs if p.episodes_needed is not None)
    assert pair.episodes_needed is not None
    rng, found, times = np.random.default_rng(1), 0, 200
    for _ in range(times):
        drawn = rng.integers(0, 100, round(pair.episodes_needed / 4))
        clusters = {f"{i}-{j}": i for i, j in itertools.product(range(len(drawn)), range(4))}
        again = {
            name: {f"{i}-{j}": run[EPISODES[4 * g + j]] for i, g in enumerate(drawn) for j in range(4)}
            for name, run in runs.items()
        }
        pairs = compare(again, clusters, resamples=20).pairs
        found += next(p.separable for p in pairs if {p.first, p.second} == {pair.first, pair.second})
    assert found / times >= POWER - 0.07  # at least: Holm is at its strictest only for the first of the family
