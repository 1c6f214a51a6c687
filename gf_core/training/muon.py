"""Muon in float32: momentum, made orthogonal by Newton-Schulz iterations (Jordan et al., 2024).

``torch.optim.Muon`` iterates in bfloat16 and one matrix at a time: 3 s a step on a CPU without instructions for it. Here matrices
of one shape are iterated together, in their own precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration (Jordan et al., 2024): steep at 0, so that small singular values grow fast."""
ITERATIONS = 5
MOMENTUM = 0.95
"""Of the gradients, as in torch.optim.Muon."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is made orthogonal, for parameters of two dimensions or more (the later ones flattened).

    An update has AdamW's usual size: 0.2 × sqrt(the longer side) × the orthogonal matrix (arXiv 2502.16982).

    Args:
        parameters: what to train.
        lr: learning rate.
        momentum: of the gradients.
        weight_decay: decoupled.
        threads: that iterate side by side, each on matrices of one shape.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = MOMENTUM,
        weight_decay: float = 0.05,
        threads: int = 1,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._pool = ThreadPoolExecutor(threads)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        for group in self.param_groups:
            orthogonal_step(group, self.state, self._pool.map)


class MuonAndAdamW(torch.optim.AdamW):
    """AdamW whose groups with ``"muon": True`` take Muon's steps instead, ``"momentum"`` of which is theirs."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step for every parameter that has a gradient."""
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if not group["muon"]]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                orthogonal_step(group, self.state, map)
                for value in group["params"]:
                    if value in self.state:  # AdamW looks for it in every state that it loads
                        self.state[value].setdefault("step", torch.tensor(0.0)).add_(1)


def orthogonal_step(
    group: dict[str, Any], states: MutableMapping[Tensor, Any], side_by_side: Callable[..., Iterable[Tensor]]
) -> None:
    """Muon's step for a group of an optimiser: its parameters, ``lr``, ``momentum`` and ``weight_decay``.

    Args:
        group: the group.
        states: of the optimiser.
        side_by_side: ``map``, or one that makes updates of several shapes at a time.
    """
    alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
    for value in group["params"]:
        if value.grad is None:
            continue
        state = states[value]
        if not state:
            state["momentum"] = torch.zeros_like(value)
        kept = state["momentum"]
        kept.lerp_(value.grad, 1 - group["momentum"])
        update = value.grad.lerp(kept, group["momentum"]).flatten(1)
        alike.setdefault(update.shape, []).append((value, update))
    stacks = [torch.stack([update for _, update in found]) for found in alike.values()]
    for found, made in zip(alike.values(), side_by_side(orthogonal, stacks), strict=True):
        size = group["lr"] * 0.2 * math.sqrt(max(made.shape[1:]))
        for (value, _), update in zip(found, made, strict=True):
            value.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.view_as(value), alpha=-size)


@torch.no_grad()
def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices ``(N, R, C)`` with singular values near 1 (0.7 to 1.2), by Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    made: Tensor = x.mT if tall else x
    return made
