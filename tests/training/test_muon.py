"""Muon: orthogonal updates, and the same as torch's but for its bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gf_core.training.muon import Muon, orthogonal

SHAPES = pytest.mark.parametrize("shape", [(24, 24), (24, 64), (64, 24)])


@SHAPES
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    made = orthogonal(torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(made)
    assert values.max() < 1.3
    assert values.median() > 0.6


@SHAPES
def test_it_steps_as_torchs_does(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = Muon([ours], lr=0.02)
    torchs = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        torchs.step()
    moved, expected = (ours - start).detach(), (theirs - start).detach()
    assert (moved - expected).norm() < 0.05 * expected.norm()


def test_what_has_no_gradient_stays() -> None:
    value = nn.Parameter(torch.ones(4, 4))
    Muon([value], lr=1.0).step()
    assert torch.equal(value, torch.ones(4, 4))
