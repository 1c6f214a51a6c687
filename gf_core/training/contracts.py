"""What passes between backbones, action heads and techniques. Plugins subclass or implement what is here.

Shapes: ``B`` samples of a batch, ``S`` tokens of a sequence, ``D`` width of a hidden state, ``L`` layers, ``V`` vocabulary,
``T`` steps of an action chunk, ``A`` action elements, ``P`` proprio elements.

A sequence is ``image and prompt | proprio | query | answer or action tokens``. What stands before the answer is the prefix:
it is the same in training
and when acting, and continuous heads read nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.contracts import Bools, Floats
from gf_core.settings import BACKBONE_ROLES as BACKBONE_ROLES
from gf_core.training.mixture import Mixture
from gf_core.training.samples import Conventions, Sample, Source

if TYPE_CHECKING:
    from gf_core.training.model import VLA

Role = str
"""``"vision"``, ``"projector"``, ``"language"`` (the backbone's), ``"head"``; techniques may add more, e.g. ``"teacher"``,
``"idm"``."""


class Segment(IntEnum):
    """What a token of a sequence is."""

    PADDING = 0
    IMAGE = 1
    PROMPT = 2
    PROPRIO = 3
    QUERY = 4
    ANSWER = 5
    ACTION = 6


PREFIX = (Segment.IMAGE, Segment.PROMPT, Segment.PROPRIO, Segment.QUERY)
"""Segments that are there before the model answers."""


STRIDE = 32
"""Prefixes are padded to a multiple of this many tokens when acting, so that prompts of about the same length share a shape."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Tokens that a policy adds to its backbone's sequences; robot samples get them, vision-language samples don't.

    Attributes:
        proprio: number of placeholders whose embeddings are the encoded proprioceptive state; 0 or 1.
        proprio_id: their token id.
        queries: number of placeholders whose embeddings are learned and whose hidden states a head reads.
        query_id: their token id.
    """

    proprio: int = 0
    proprio_id: int = -1
    queries: int = 0
    query_id: int = -1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as a backbone takes it.

    Attributes:
        inputs: keyword arguments of the model's forward: ``input_ids`` ``(B, S) int64``, ``attention_mask``,
            ``pixel_values``, …
        segments: ``(B, S) uint8``, a :class:`Segment` for each token.
        domains: B domains.
        keys: B sample keys.
        robot: ``(B,) bool``, whether the sample is robot data.
        weight: ``(B,) float32``, factor of the sample's losses.
        proprio: ``(B, P) float32``, normalised; zeros where there is none.
        actions: ``(B, T, A) float32``, normalised; zeros where there are none.
        action_mask: ``(B, T) bool``; false where there is no action.
        frames: (camera, offset) to ``(B, H, W, 3) uint8``, raw; only the offsets that a technique or head asked for
            (:attr:`Technique.offsets`), and only robot samples: rows of others are zeros.
    """

    inputs: Mapping[str, Tensor]
    segments: Tensor
    domains: tuple[str, ...]
    keys: tuple[str, ...]
    robot: Tensor
    weight: Tensor
    proprio: Tensor
    actions: Tensor
    action_mask: Tensor
    frames: Mapping[tuple[str, int], Tensor]

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("segments", "robot", "weight", "proprio", "actions", "action_mask")
        }
        inputs = {name: value.to(device, non_blocking=True) for name, value in self.inputs.items()}
        return replace(self, inputs=inputs, frames={key: value.to(device) for key, value in self.frames.items()}, **moved)

    @property
    def input_ids(self) -> Tensor:
        """``(B, S) int64``."""
        return self.inputs["input_ids"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a backbone computed.

    Attributes:
        hidden: L + 1 hidden states ``(B, S, D)``: the embeddings, then the output of every layer; the last is what the output
            embeddings read (normalised).
        segments: ``(B, S) uint8``, as in the batch.
        features: what techniques add for heads to read beside the tokens: name to ``(B, N, D')``, e.g. a frozen encoder's.
    """

    hidden: tuple[Tensor, ...]
    segments: Tensor
    features: Mapping[str, Tensor]

    @property
    def last(self) -> Tensor:
        """``(B, S, D)``, the last hidden state."""
        return self.hidden[-1]

    def mask(self, *segments: Segment) -> Tensor:
        """``(B, S) bool``: tokens of any of these segments."""
        found = torch.zeros_like(self.segments, dtype=torch.bool)
        for segment in segments:
            found |= self.segments == int(segment)
        return found

    @property
    def prefix(self) -> Tensor:
        """``(B, S) bool``: tokens that are there before the model answers. Continuous heads attend to these and no others."""
        return self.mask(*PREFIX)

    def detached(self) -> Context:
        """The same values, cut off from the backbone's gradients."""
        return replace(
            self,
            hidden=tuple(state.detach() for state in self.hidden),
            features={name: value.detach() for name, value in self.features.items()},
        )

    def rows(self, chosen: Tensor) -> Context:
        """The context of some samples: ``chosen`` ``(B,) bool``."""
        return Context(
            hidden=tuple(state[chosen] for state in self.hidden),
            segments=self.segments[chosen],
            features={name: value[chosen] for name, value in self.features.items()},
        )


@runtime_checkable
class Backbone(Protocol):
    """A vision-language model behind one interface. A BackboneSpec's entry point is called as ``make(config) -> Backbone``.

    Attributes:
        module: the whole model; its parameters' names are the ones that roles and checkpoints speak of. float32 on the CPU.
        dim: D.
        layers: L of the language model.
        vocabulary: V, rows of the embedding matrix.
        end_id: token that ends an answer.
        fingerprint: hex SHA-256 over the weights as loaded, names included.
    """

    module: nn.Module
    dim: int
    layers: int
    vocabulary: int
    end_id: int
    fingerprint: str

    def roles(self) -> Mapping[Role, tuple[str, ...]]:
        """``vision``, ``projector``, ``language`` to names of ``module``'s parameters; each parameter has exactly one role."""
        ...

    def blocks(self, role: Role) -> tuple[str, ...]:
        """Names of the modules that are a role's layers, first to last (``"first 16 layers"``, ``"last quarter"``)."""
        ...

    def input_embeddings(self) -> nn.Module:
        """The module that maps token ids to embeddings."""
        ...

    def output_embeddings(self) -> nn.Module:
        """The module that maps hidden states to logits (tied or not)."""
        ...

    def reserve(self, count: int) -> range:
        """Ids of ``count`` rows at the tail of the vocabulary, none of them special or a whole word of a prompt.

        Raises:
            GrinningFaceError: the vocabulary has no such rows.
        """
        ...

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        ...

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        ...

    def prepare(
        self, samples: Sequence[Sample], layout: Layout, actions: Sequence[Sequence[int]] | None = None, *, generate: bool = False
    ) -> Batch:
        """Tokenise, put images through the processor and pad. Touches no weights, so workers may call it.

        Only frames of offset 0 are shown to the model. ``proprio``, ``actions``, ``action_mask``, ``weight`` and ``frames``
        of the batch are
        placeholders of size 0 that the caller fills in.

        Args:
            samples: B samples; prompts go through the model's own chat template as the user's turn.
            layout: placeholders for robot samples.
            actions: token ids of each sample's action tokens, empty for none; the end token is added.
            generate: leave answers and actions out and pad on the left, to a multiple of STRIDE tokens.
        """
        ...

    def encode(self, batch: Batch) -> Context:
        """Hidden states of every layer."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., V) float32`` for last hidden states ``(..., D)``, with whatever the model does to its logits."""
        ...

    def generate(self, batch: Batch, most: int, allowed: Sequence[int] | None = None) -> Tensor:
        """Greedy decoding of a batch prepared with ``generate=True``: ``(B, ≤ most) int64``, padded with ``end_id`` after
        the end.

        Args:
            batch: the batch.
            most: most new tokens.
            allowed: the only ids that may be decoded; ``None`` for all.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write configuration, processor and tokenizer (no weights)."""
        ...


class ActionHead(nn.Module):
    """Turns hidden states into actions. A HeadSpec's entry point is called as ``make(config, shape) -> ActionHead``.

    A continuous head reads the prefix's hidden states (:attr:`Context.prefix`) or its own query tokens. A token head has the
    backbone predict
    tokens: it says which (:meth:`encode`), and the cross-entropy is computed for it. Actions are normalised: the
    policy's :class:`~gf_core.training.normalizer.Normalizer` maps them to about [-1, 1].

    Attributes:
        queries: number of query tokens that it wants in robot samples' sequences.
        tokens: size of its own vocabulary; rows of the backbone's tail are reserved for it. 0 for a continuous head and
            for one that speaks in words.
        words: whether :meth:`encode` gives ids of the backbone's own tokenizer.
        length: token heads: most tokens of a chunk.
        ends: token heads: whether a chunk may have fewer, ended by the backbone's end token.
        raw: whether it wants actions in their own units instead of normalised.
    """

    queries: int = 0
    tokens: int = 0
    words: bool = False
    length: int = 0
    ends: bool = False
    raw: bool = False

    @property
    def speaks(self) -> bool:
        """Whether it is a token head."""
        return self.tokens > 0 or self.words

    def fit(self, chunks: Iterator[Floats]) -> None:
        """Look at the training set's chunks ``(T, A)``, normalised, before the first step: a FAST vocabulary, bin edges. They are
        those that :meth:`encode` gets."""

    def state(self) -> dict[str, Any]:
        """What :meth:`fit` found, as JSON; it goes into the checkpoint."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take what :meth:`state` gave."""

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """Token heads: the tokens of a chunk ``(T, A)`` with its mask ``(T,)``: 0 … ``tokens`` - 1, or words' ids.

        Args:
            actions: normalised, or raw for a head that says so.
            mask: false past the end of the episode, or of what is to be imitated; the last action before is repeated there.
            key: the sample's key, for a head whose tokens were computed beforehand.
            backbone: for heads that speak in words.
        """
        raise NotImplementedError(f"{type(self).__name__} speaks in tokens but has no encode()")

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> Floats:
        """Token heads: the chunk ``(T, A)`` that tokens stand for, normalised (raw if :attr:`raw`); any tokens must give
        some chunk."""
        raise NotImplementedError(f"{type(self).__name__} speaks in tokens but has no decode()")

    def loss(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Scalar losses by name. ``context`` and ``batch`` hold the robot samples that have actions; token heads need no
        loss of their own.

        Randomness comes from torch's default generator, which the trainer seeds for every step.
        """
        return {}

    def act(self, vla: VLA, context: Context, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """Continuous heads: actions ``(B, T, A) float32``, normalised (raw if :attr:`raw`), for B robot samples.

        Args:
            vla: the policy.
            context: of the prefix, padded on the left.
            batch: the batch, prepared with ``generate=True``.
            generators: one for each sample, whose randomness comes from it alone, not from its neighbours.
        """
        raise NotImplementedError(f"{type(self).__name__} has no act()")


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """What a head's factory is told.

    Attributes:
        dim: D of the backbone's hidden states.
        layers: L.
        horizon: T.
        action: A.
        proprio: P; 0 where the policy isn't told its state.
        conventions: of the robot data.
    """

    dim: int
    layers: int
    horizon: int
    action: int
    proprio: int
    conventions: Conventions


class Technique:
    """What a training stage changes. A TechniqueSpec's entry point is called as ``make(config) -> Technique``.

    Every hook is optional. Techniques of a stage are applied in ascending :attr:`order`, ties in the order of the recipe.
    ``setup`` and ``finish``
    are run again when a checkpoint is loaded, so they are functions of the policy and the settings alone.

    Attributes:
        order: 0 for what chooses the trainable parameters; negative runs before, positive after.
        offsets: frames' offsets [control steps] that it wants in :attr:`Batch.frames`, beside 0.
        updates: roles whose parameters' training it decides. Two techniques of a stage that decide the same role contradict
            each other.
    """

    order: int = 0
    offsets: tuple[int, ...] = ()
    updates: tuple[Role, ...] = ()

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """Sources to use instead: filtered, rewritten (actions as text), or labelled."""
        return sources

    def mixture(self, mixture: Mixture) -> Mixture:
        """A mixture to use instead: more shares, other weights."""
        return mixture

    def setup(self, vla: VLA) -> None:
        """Choose trainable parameters, add adapters, add modules. Everything of the backbone is frozen before the first
        setup."""

    def context(self, vla: VLA, context: Context, batch: Batch) -> Context:
        """A context for the heads to use instead."""
        return context

    def losses(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Further scalar losses by name, weighted."""
        return {}

    def after_step(self, vla: VLA, step: int) -> None:
        """Called after every optimiser step."""

    def finish(self, vla: VLA) -> None:
        """The end of the stage: merge adapters, interpolate weights, remove what isn't needed any more."""

    def report(self) -> dict[str, Any]:
        """JSON for the checkpoint: what it did that the settings don't say, e.g. which modules got adapters."""
        return {}


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several whose sequences have the same length."""
    first = batches[0]
    tensors = ("segments", "robot", "weight", "proprio", "actions", "action_mask")
    return replace(
        first,
        inputs={name: torch.cat([batch.inputs[name] for batch in batches]) for name in first.inputs},
        domains=tuple(domain for batch in batches for domain in batch.domains),
        keys=tuple(key for batch in batches for key in batch.keys),
        frames={key: torch.cat([batch.frames[key] for batch in batches]) for key in first.frames},
        **{name: torch.cat([getattr(batch, name) for batch in batches]) for name in tensors},
    )


def as_tensor(values: np.ndarray) -> Tensor:
    """A CPU tensor with the array's values."""
    return torch.from_numpy(np.ascontiguousarray(values))
