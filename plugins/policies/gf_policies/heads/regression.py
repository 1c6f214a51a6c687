"""Regression of a whole chunk in one pass: parallel decoding with an L1 loss, as in OpenVLA-OFT (arXiv 2502.19645).

There, each step and element has a placeholder token of its own, attended to in both directions; here each step has one
query token in the backbone's own order of attention, so that it works on every family. The hidden states go through the
same kind of residual network.

With the readout ``attention``, queries are the head's own instead: a transformer decoder over the steps attends to the prefix,
as in ACT (arXiv 2304.13705). What a frozen backbone knows can then be found, whichever of its tokens holds it. ``reads`` text
leaves it the words and the state alone: where words already hold what they refer to in the image, that is much less to search.
The readout ``pooled`` attends only once, with a few queries (Set Transformer's pooling, arXiv 1810.00825), and the residual
network does the rest: less work, and learned from fewer samples.
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
    """The head for settings as in its spec.

    Raises:
        GrinningFaceError: a hidden state that the backbone doesn't have, or a decoder that can't be.
    """
    if config["readout"] == "pooled" and shape.dim % config["attention_heads"]:
        raise GrinningFaceError(
            f"{config['attention_heads']} attention heads don't divide the backbone's width {shape.dim}",
            where="gf/regression-v1: attention_heads",
        )
    if config["readout"] == "attention" and (config["width"] % config["attention_heads"] or not config["blocks"]):
        raise GrinningFaceError(
            f"no decoder has width {config['width']}, {config['attention_heads']} attention heads and {config['blocks']} blocks",
            where="gf/regression-v1",
            hint="the heads must divide the width, and there must be a block",
        )
    return RegressionHead(
        shape,
        readout=config["readout"],
        reads=config["reads"],
        layer=checked_layer(config["layer"], shape.layers, where="gf/regression-v1: layer"),
        width=config["width"],
        blocks=config["blocks"],
        attention_heads=config["attention_heads"],
        pooled=config["pooled"],
        loss=config["loss"],
    )


class RegressionHead(ActionHead):
    """T query tokens, T steps that attend to the prefix, or one state for the whole chunk, to ``(B, T, A)``.

    Args:
        shape: sizes.
        readout: ``"query"``, ``"mean"``, ``"last"``, ``"attention"`` or ``"pooled"``.
        reads: ``"prefix"``, or ``"text"`` for a mean, an attention or a pooling without the image tokens.
        layer: index of the hidden state that is read.
        width, blocks: of the residual network, or of the decoder.
        attention_heads: of the decoder, or of the pooling.
        pooled: queries of the pooling.
        loss: ``"l1"`` or ``"l2"``.
    """

    def __init__(
        self,
        shape: HeadShape,
        *,
        readout: str,
        reads: str,
        layer: int,
        width: int,
        blocks: int,
        attention_heads: int,
        pooled: int,
        loss: str,
    ) -> None:
        super().__init__()
        self.horizon, self.action = shape.horizon, shape.action
        self.readout, self.layer, self.norm = readout, layer, loss
        self.images = reads == "prefix"
        self.queries = shape.horizon if readout == "query" else 0
        outputs = shape.action if readout in ("query", "attention") else shape.horizon * shape.action
        self.network: nn.Module
        if readout == "attention":
            self.network = Decoder(shape, width=width, blocks=blocks, heads=attention_heads)
        else:
            if readout == "pooled":
                self.pooling = Pooling(shape.dim, attention_heads, pooled)
            entering = shape.dim * (pooled + 1) if readout == "pooled" else shape.dim
            self.network = nn.Sequential(
                nn.LayerNorm(entering),
                nn.Linear(entering, width),
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
        dtype = self.leave.weight.dtype
        if self.readout == "attention":
            read = self.network(*prefix_states(context, self.layer, dtype, images=self.images))
        else:
            read = self.network(self._read(context))
        left: Tensor = self.leave(read)
        return left.float().reshape(len(read), self.horizon, self.action)

    def _read(self, context: Context) -> Tensor:
        """``(B, T, D)`` for query tokens, else ``(B, D)``."""
        dtype = self.leave.weight.dtype
        if self.readout == "mean":
            states, mask = prefix_states(context, self.layer, dtype, images=self.images)
            return states.sum(1) / mask.sum(1, keepdim=True).to(dtype)
        if self.readout == "pooled":
            state = context.mask(Segment.PROPRIO).unsqueeze(-1)
            own = context.hidden[self.layer].masked_fill(~state, 0).sum(1).to(dtype)
            pooled = self.pooling(*prefix_states(context, self.layer, dtype, images=self.images))
            return torch.cat([pooled.flatten(1), own], 1)
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


class Decoder(nn.Module):
    """T learned queries that attend to each other and to the prefix.

    Args:
        shape: sizes.
        width, blocks, heads: of the transformer.
    """

    def __init__(self, shape: HeadShape, *, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(shape.horizon, width) * 0.02)
        self.enter = nn.Sequential(nn.LayerNorm(shape.dim), nn.Linear(shape.dim, width))
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """``(B, N, D)`` and where they may be read ``(B, N) bool`` to ``(B, T, width)``."""
        memory, hidden = self.enter(states), self.queries.expand(len(states), -1, -1)
        for block in self.blocks:
            hidden = block(hidden, memory, memory_key_padding_mask=~mask)
        normed: Tensor = self.norm(hidden)
        return normed


class Pooling(nn.Module):
    """Learned queries that attend to the prefix once.

    Args:
        dim: D.
        heads: of the attention.
        queries: Q, how many.
    """

    def __init__(self, dim: int, heads: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim) * 0.02)
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """``(B, N, D)`` and where they may be read ``(B, N) bool`` to ``(B, Q, D)``."""
        normed = self.norm(states)
        queries = self.queries.expand(len(states), -1, -1)
        found: Tensor = self.attention(queries, normed, normed, key_padding_mask=~mask, need_weights=False)[0]
        return found


class Residual(nn.Module):
    """``x + ReLU(W · LayerNorm(x))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, state: Tensor) -> Tensor:
        """``(..., width)`` to the same shape."""
        return state + torch.relu(self.linear(self.norm(state)))
