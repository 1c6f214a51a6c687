"""Which samples a batch holds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core.errors import GrinningFaceError
from gf_core.training.mixture import Mixture, Share

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)


def mixture(*weights: float) -> Mixture:
    return Mixture(shares=tuple(Share(source=f"s{i}", weight=weight) for i, weight in enumerate(weights)))


@given(weights=WEIGHTS, extra=st.integers(0, 60))
def test_quotas_fill_the_batch_near_the_weights_and_leave_nobody_out(weights: list[float], extra: int) -> None:
    size = len(weights) + extra
    quotas = list(mixture(*weights).quotas(size).values())
    assert sum(quotas) == size
    assert min(quotas) >= 1
    for quota, weight in zip(quotas, weights, strict=True):
        assert abs(quota - weight / sum(weights) * size) < len(weights) or quota == 1


def test_the_published_mixture_of_starvla() -> None:
    assert mixture(16, 4).quotas(20) == {"s0": 16, "s1": 4}


@pytest.mark.parametrize("weights", [(1, 0), (1, -1), (float("nan"),)])
def test_a_weight_that_is_not_positive_is_an_error(weights: tuple[float, ...]) -> None:
    with pytest.raises(GrinningFaceError, match="isn't positive"):
        mixture(*weights).quotas(8)


def test_a_batch_too_small_for_its_sources_is_an_error() -> None:
    with pytest.raises(GrinningFaceError, match="a batch of 1 can't hold 2 sources"):
        mixture(1, 1).quotas(1)


def drawn(step: int, *, seed: int = 0, rank: int = 0, world: int = 1, batch: int = 6, size: int = 30) -> list[int]:
    found = mixture(1).indices({"s0": size}, batch, seed=seed, step=step, rank=rank, world=world)
    return [draw.index for draw in found]


def test_each_epoch_shows_every_sample_once_in_another_order() -> None:
    first = [index for step in range(5) for index in drawn(step)]
    second = [index for step in range(5, 10) for index in drawn(step)]
    assert sorted(first) == sorted(second) == list(range(30))
    assert first != second


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3) != drawn(3, seed=1)


@given(step=st.integers(0, 50))
def test_two_processes_draw_what_one_with_twice_the_batch_draws(step: int) -> None:
    both = [drawn(step, rank=rank, world=2, batch=3) for rank in range(2)]
    assert Counter(both[0] + both[1]) == Counter(drawn(step, batch=6))
