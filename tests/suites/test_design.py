"""The invariants of the design, for any seed."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_envs.suites.design import DECIMALS, Draws, K, draw_layer, draw_layers, draw_layout, draw_layouts
from gf_envs.tabletop import geometry as g

seeds = st.integers(0, 2**31)


def names(count: int) -> list[str]:
    return [f"i{index}" for index in range(count)]


def test_draws_are_the_same_for_ever() -> None:
    draws = Draws(1, "x")
    first = [6, 7, 3, 4, 1, 0, 2, 5]
    assert draws.permutation(range(8)) == first
    assert [draws.below(10) for _ in range(5)] == [2, 1, 3, 5, 4]
    assert draws.around(-0.18, 0.05) == -0.1662
    assert Draws(1, "y").permutation(range(8)) != first


@given(seeds, st.integers(3, 40))
def test_a_layer_has_each_item_once_in_each_role_and_never_twice_on_a_table(seed: int, count: int) -> None:
    layer = draw_layer(Draws(seed), names(count))
    assert [row[0] for row in layer] == names(count)
    for column in zip(*layer, strict=True):
        assert sorted(column) == sorted(names(count))
    assert all(len(set(row)) == K for row in layer)


@settings(max_examples=20)
@given(seeds, st.integers(30, 60))
def test_layers_repeat_no_set_of_items(seed: int, count: int) -> None:
    known = draw_layers(Draws(seed, "known"), names(count), 2)
    new = draw_layers(Draws(seed, "new"), names(count), 3, [row for layer in known for row in layer])
    sets = [frozenset(row) for layer in known + new for row in layer]
    assert len(sets) == len(set(sets)) == 5 * count


def test_impossible_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="don't give"):
        draw_layers(Draws(0), names(3), 1)  # three items make one set, three combinations
    with pytest.raises(ValueError, match="fewer than"):
        draw_layer(Draws(0), names(K - 1))


@given(seeds, st.integers(1, 60), st.integers(1, 7), st.integers(0, 50))
def test_target_positions_are_balanced(seed: int, targets: int, layers: int, shift: int) -> None:
    layouts = draw_layouts(Draws(seed), targets, layers, shift)
    positions = [[layout.target_position for layout in layer] for layer in layouts]
    for some in (*positions, list(chain(*positions)), *(list(column) for column in zip(*positions, strict=True))):
        counts = [some.count(position) for position in range(K)]
        assert max(counts) - min(counts) <= 1
    if targets % K:
        assert positions[0].count(shift % K) == targets // K + 1


@given(seeds, st.integers(0, K - 1))
def test_a_layout_keeps_to_the_published_jitter(seed: int, position: int) -> None:
    layout = draw_layout(Draws(seed), position)
    for (x, y), nominal in zip(layout.cards, g.CARD_Y, strict=True):
        assert abs(x - g.CARD_X) <= g.CARD_JITTER + 1e-12
        assert abs(y - nominal) <= g.CARD_JITTER + 1e-12
    assert abs(layout.cube[0] - g.CUBE_X) <= g.CUBE_JITTER + 1e-12
    assert abs(layout.cube[1] - g.CUBE_Y) <= g.CUBE_JITTER + 1e-12
    for value in (*chain(*layout.cards), *layout.cube):
        assert value == round(value, DECIMALS)
        assert str(value) != "-0.0"


def test_lengths_and_permutations_are_uniform() -> None:
    draws = Draws("uniform")
    lengths = [draws.around(0.0, 1.0) for _ in range(20_000)]
    bins = Counter(int((length + 1) * 5) for length in lengths)
    assert all(1_800 < bins[index] < 2_200 for index in range(10))  # expected 2,000 with standard deviation 42
    orders = Counter(tuple(draws.permutation("abc")) for _ in range(12_000))
    assert len(orders) == 6
    assert all(1_800 < count < 2_200 for count in orders.values())
