"""The two models that are compared: the backbone that a checkpoint began with, and the one that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from gf_core.errors import MismatchError
from gf_core.training.checkpoint import Loaded
from gf_core.training.contracts import Backbone, Batch, Context, Layout
from gf_core.training.samples import Frame, Sample

DOMAIN = "vqa/probe"
"""Of every sample shown: not robot data, so it gets no tokens for states and queries."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """Two backbones of one architecture, both in memory, in eval mode, on one device.

    Attributes:
        before, after: the source, fresh, and the checkpoint's.
        added: ids of the rows that the policy added to the vocabulary: words to one model and actions to the other, so that no
            prediction of them is compared. Both read text without them.
        device: where they are.
        batch_size: samples of one forward.
        half: bf16 autocast.
    """

    before: Backbone
    after: Backbone
    added: range
    device: torch.device
    batch_size: int
    half: bool = False

    @property
    def both(self) -> tuple[Backbone, Backbone]:
        """Before and after."""
        return self.before, self.after

    def prepare(self, samples: Sequence[Sample], *, generate: bool = False) -> Batch:
        """The samples as both models read them."""
        return self.before.prepare(samples, Layout(), generate=generate).to(self.device)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, no gradients, and autocast where it is wanted."""
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            yield

    def words(self, model: Backbone, context: Context, wanted: Tensor) -> Tensor:
        """Log-probabilities of the next token ``(positions, V - added) float32`` behind the positions ``wanted`` ``(B, S - 1)``,
        given that it is none of the added ones."""
        return self.without_added(model.logits(context.last[:, :-1][wanted])).log_softmax(-1)

    def without_added(self, values: Tensor) -> Tensor:
        """``(..., V - added)`` of ``(..., V)``."""
        return torch.cat([values[..., : self.added.start], values[..., self.added.stop :]], -1)


def pair_up(loaded: Loaded, source: Backbone, *, device: torch.device, batch_size: int, half: bool) -> Models:
    """The models of a loaded checkpoint and of its source, loaded afresh.

    Raises:
        MismatchError: the source isn't what the checkpoint was trained on, or has other rows to spare.
    """
    first = loaded.links[0]
    if source.fingerprint != first.fingerprint:
        raise MismatchError(
            f"the source has fingerprint {source.fingerprint[:12]}…, the checkpoint began with {first.fingerprint[:12]}…",
            where="backbone",
            hint="give the very weights that it was trained on: --set model=DIR",
        )
    rows = loaded.vla.rows
    added = source.reserve(rows.count)  # so that it spells the words whose rows were taken, as the policy's tokenizer does
    if added.start != rows.first:
        raise MismatchError(f"the source adds rows from {added.start} on, the checkpoint from {rows.first} on", where="backbone")
    loaded.vla.to(device).eval()
    source.module.to(device).eval()
    return Models(before=source, after=loaded.vla.backbone, added=added, device=device, batch_size=batch_size, half=half)


def to_sample(frames: tuple[Frame, ...], prompt: str, answer: str | None, key: str) -> Sample:
    """What is shown to both models."""
    return Sample(frames=frames, prompt=prompt, answer=answer, domain=DOMAIN, key=key)
