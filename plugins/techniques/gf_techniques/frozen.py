"""A module that stays as it is while the policy around it trains."""

from __future__ import annotations

from typing import Self

from torch import nn


class Frozen(nn.Module):
    """Holds modules without gradients and in evaluation mode, whatever mode the policy is put in."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)
