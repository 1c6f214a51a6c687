from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.statistics import holm, letters


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(name) for name in names}


def shown(display: dict[str, str], name: str) -> list[str]:
    return re.findall(r"[a-z]\d*", display[name])


def test_holm_by_hand() -> None:
    """4 × 0.005, 3 × 0.01, 2 × 0.03, and 0.04 not below its predecessor."""
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert list(adjusted.values()) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm({}) == {}
    assert holm({"only": 0.2}) == {"only": 0.2}
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm({"a": 1.2})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.3))
def test_adjusted_values_reject_what_holms_steps_reject(p_values: list[float], alpha: float) -> None:
    adjusted = holm(dict(enumerate(p_values)))
    assert all(p <= adjusted[i] <= min(1.0, len(p_values) * p) for i, p in enumerate(p_values))
    rejected = set()
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if (len(p_values) - step) * p_values[i] > alpha:
            break
        rejected.add(i)
    assert {i for i, p in adjusted.items() if p <= alpha} == rejected


def test_family_wise_error_is_kept_where_each_test_alone_would_not() -> None:
    rng = np.random.default_rng(0)
    p_values = rng.random((2000, 10))
    wrong = np.mean([min(holm(dict(enumerate(row.tolist()))).values()) <= 0.05 for row in p_values])
    assert 0.03 <= wrong <= 0.065
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.35


def test_letters_of_small_families() -> None:
    assert letters("ABC", pairs("BC")) == {"A": "ab", "B": "a", "C": "b"}
    assert letters("ABC", pairs("AC")) == {"A": "a", "B": "ab", "C": "b"}
    assert letters("ABC", []) == {"A": "a", "B": "a", "C": "a"}
    assert letters("ABC", pairs("AB", "AC", "BC")) == {"A": "a", "B": "b", "C": "c"}
    assert letters("ABCD", pairs("AC", "AD", "BD")) == {"A": "a", "B": "ab", "C": "bc", "D": "c"}
    assert letters([], []) == {}


families = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.sampled_from(list(itertools.combinations(range(n), 2)) or [(0, 0)])))
)


def named(family: tuple[int, set[tuple[int, int]]]) -> tuple[list[str], set[frozenset[str]]]:
    names = [f"policy-{i}" for i in range(family[0])]
    return names, {frozenset((names[i], names[j])) for i, j in family[1] if i != j}


@settings(max_examples=150, deadline=None)
@given(families)
def test_two_names_share_a_letter_exactly_if_they_are_not_separable(family: tuple[int, set[tuple[int, int]]]) -> None:
    names, separable = named(family)
    display = letters(names, separable)
    assert list(display) == names
    for one, other in itertools.combinations(names, 2):
        assert bool(set(shown(display, one)) & set(shown(display, other))) != (frozenset((one, other)) in separable)
    assert all(shown(display, name) == sorted(set(shown(display, name))) != [] for name in names)
    assert shown(display, names[0])[0] == "a"
    assert letters(names, list(separable)[::-1]) == display


@settings(max_examples=80, deadline=None)
@given(families)
def test_no_letter_can_be_taken_away(family: tuple[int, set[tuple[int, int]]]) -> None:
    """Sweeping: each letter of a name connects it to somebody, or to itself, as no other does."""
    display = {name: set(shown({name: shares}, name)) for name, shares in letters(*named(family)).items()}
    for mine in display.values():
        for letter in mine:
            mates = [other for other in display.values() if letter in other]
            assert not all((mine - {letter}) & (other - ({letter} if other is mine else set())) for other in mates)


def test_more_than_26_groups_and_nonsense() -> None:
    names = [f"p{i:02d}" for i in range(30)]
    display = letters(names, {frozenset(pair) for pair in itertools.combinations(names, 2)})
    assert (display["p00"], display["p25"], display["p26"], display["p29"]) == ("a", "z", "a1", "d1")
    with pytest.raises(ValueError, match="twice"):
        letters("AA", [])
    for pair in ({"A"}, {"A", "X"}):
        with pytest.raises(ValueError, match="two of the names"):
            letters("AB", [frozenset(pair)])
