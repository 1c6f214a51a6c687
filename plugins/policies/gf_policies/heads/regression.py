"""Regression of a whole chunk in one pass: parallel decoding with an L1 loss, as in OpenVLA-OFT (arXiv 2502.19645).

There, each step and element has a placeholder token of its own, attended to in both directions; here each step has one
query token in the backbone's own order of attention, so that it works on every family. The hidden states go through the
same kind of residual network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Batch, Context, HeadShape, Segment
from gf_policies.heads._prefix import checked_layer, chunk_loss, prefix_states

if TYPE_CHECKING:
    from gf_core.training.model import VLA


def make(config: Mapping[str, Any], shape: HeadShape) -> RegressionHead:
    """The head for settings as in its spec."""
    return RegressionHead(
        shape,
        readout=config["readout"],
        layer=checked_layer(config["layer"], shape.layers, where="gf/regression-v1: layer"),
        width=config["width"],
        blocks=config["blocks"],
        loss=config["loss"],
    )


class RegressionHead(ActionHead):
    """Hidden states of T query tokens, or one state for the whole chunk, through a residual network to ``(B, T, A)``.

    Args:
        shape: sizes.
        readout: ``"query"``, ``"mean"`` or ``"last"``.
        layer: index of the hidden state that is read.
        width, blocks: of the residual network.
        loss: ``"l1"`` or ``"l2"``.
    """

    def __init__(self, shape: HeadShape, *, readout: str, layer: int, width: int, blocks: int, loss: str) -> None:
        super().__init__()
        self.horizon, self.action = shape.horizon, shape.action
        self.readout, self.layer, self.norm = readout, layer, loss
        self.queries = shape.horizon if readout == "query" else 0
        outputs = shape.action if readout == "query" else shape.horizon * shape.action
        self.network = nn.Sequential(
            nn.LayerNorm(shape.dim),
            nn.Linear(shape.dim, width),
            nn.ReLU(),
            *(Residual(width) for _ in range(blocks)),
            nn.LayerNorm(width),
        )
        self.leave = nn.Linear(width, outputs)

    def loss(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """``l1`` or ``l2``: the mean error of normalised actions."""
        difference = self.predict(context) - batch.actions
        return {self.norm: chunk_loss(difference.abs() if self.norm == "l1" else difference.square(), batch)}

    def act(self, vla: VLA, context: Context, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """``(B, T, A) float32``; draws nothing."""
        return self.predict(context)

    def predict(self, context: Context) -> Tensor:
        """``(B, T, A) float32``, normalised."""
        read = self.network(self._read(context))
        left: Tensor = self.leave(read)
        return left.float().reshape(len(read), self.horizon, self.action)

    def _read(self, context: Context) -> Tensor:
        """``(B, T, D)`` for query tokens, else ``(B, D)``."""
        dtype = self.leave.weight.dtype
        if self.readout == "mean":
            states, mask = prefix_states(context, self.layer, dtype)
            return states.sum(1) / mask.sum(1, keepdim=True).to(dtype)
        if context.features:
            raise GrinningFaceError(
                f"readout {self.readout!r} would ignore the features {', '.join(context.features)} that a technique added",
                where="gf/regression-v1: readout",
                hint="use 'mean', or gf/flow-v1",
            )
        hidden = context.hidden[self.layer].to(dtype)
        if self.readout == "last":
            places = torch.arange(hidden.shape[1], device=hidden.device)
            last = (context.prefix * places).argmax(1)
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        mask = context.mask(Segment.QUERY)
        return hidden[mask].view(len(hidden), -1, hidden.shape[-1])[:, : self.horizon]


class Residual(nn.Module):
    """``x + ReLU(W · LayerNorm(x))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, state: Tensor) -> Tensor:
        """``(..., width)`` to the same shape."""
        return state + torch.relu(self.linear(self.norm(state)))
