"""What the continuous heads share: reading the prefix, and the loss over a chunk."""

from __future__ import annotations

import torch
from torch import Tensor

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Context, Segment


def checked_layer(layer: int, layers: int, *, where: str) -> int:
    """``layer`` as an index from 0 into the L + 1 hidden states.

    Raises:
        GrinningFaceError: there is no such hidden state.
    """
    if not -layers - 1 <= layer <= layers:
        raise GrinningFaceError(
            f"there is no hidden state {layer}",
            where=where,
            hint=f"the backbone has 0 (embeddings) … {layers}, or -{layers + 1} … -1",
        )
    return layer % (layers + 1)


def prefix_states(context: Context, layer: int, dtype: torch.dtype, *, images: bool = True) -> tuple[Tensor, Tensor]:
    """What a head may attend to, in one layer.

    Args:
        context: what the backbone computed.
        layer: index of the hidden state.
        dtype: of the result.
        images: whether the prefix's image tokens belong to it.

    Returns:
        ``(B, N, D)`` hidden states, 0 wherever they may not be read, and ``(B, N) bool``, where they may: the prefix, then the
        features that techniques added.

    Raises:
        GrinningFaceError: features of another width than the hidden states.
    """
    states, mask = context.hidden[layer], context.prefix
    if not images:
        mask = mask & ~context.mask(Segment.IMAGE)
        kept = mask.any(0)
        states, mask = states[:, kept], mask[:, kept]
    for name, feature in context.features.items():
        if feature.shape[-1] != states.shape[-1]:
            raise GrinningFaceError(
                f"feature {name!r} has width {feature.shape[-1]}, the hidden states have {states.shape[-1]}",
                hint="the technique that adds it has to project it",
            )
        states = torch.cat([states, feature.to(states.dtype)], 1)
        mask = torch.cat([mask, mask.new_ones(feature.shape[:2])], 1)
    # Attention multiplies what is masked by 0, which would let a padding's NaN through.
    return states.masked_fill(~mask.unsqueeze(-1), 0).to(dtype), mask


def chunk_loss(errors: Tensor, batch: Batch) -> Tensor:
    """The batch's loss from errors ``(B, T, A)``: a float32 scalar.

    Steps past an episode's end count 0, and every sample is divided by T·A, so each step that was demonstrated counts the
    same, wherever in a chunk, a batch or a process it is.
    """
    within = errors.float() * batch.action_mask.unsqueeze(-1)
    return (within.mean((1, 2)) * batch.weight).mean()
