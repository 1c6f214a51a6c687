"""A small policy and small data for it: what the kit tries techniques, heads and backbones on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.contracts import Bools, Floats
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import ActionHead, Backbone, Batch, Context, HeadShape
from gf_core.training.model import VLA
from gf_core.training.normalizer import Normalizer
from gf_core.training.samples import Conventions, Frame, Manifest, Sample, Statistics, Wanted
from gf_core.training.schedule import trainable

HORIZON, STATE, CAMERA, SIZE = 2, 4, "front", 16
NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "opening")
ACTION = len(NAMES)
SAMPLES = 4
"""Samples of each of the two sources."""
RATE = 1e-2
"""Learning rate: so high that a few steps change something."""


class MeanHead(ActionHead):
    """A linear layer on the mean of the prefix's last hidden states."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, HORIZON * ACTION)

    def loss(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """See ActionHead."""
        error = (self._predict(context) - batch.actions).square().mean(2) * batch.action_mask
        return {"l2": (error.mean(1) * batch.weight).mean()}

    def act(self, vla: VLA, context: Context, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """See ActionHead."""
        return self._predict(context)

    def _predict(self, context: Context) -> Tensor:
        mask = context.prefix.unsqueeze(-1)
        mean = (context.last * mask).sum(1) / mask.sum(1)
        chunk: Tensor = self.linear(mean.float()).view(-1, HORIZON, ACTION)
        return chunk


class SignHead(ActionHead):
    """A token for each number of a chunk: whether it is positive."""

    tokens, length = 2, HORIZON * ACTION

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """See ActionHead."""
        return [int(value > 0) for value in actions.ravel()]

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> Floats:
        """See ActionHead."""
        signs = np.zeros(self.length, np.float32)
        signs[: len(tokens)] = np.array(tokens) * 2 - 1
        return signs.reshape(HORIZON, ACTION)


def small_conventions() -> Conventions:
    """Those of a small robot: deltas of the tool in metres and as a rotation vector, and an opening, at 5 Hz."""

    def statistics(size: int) -> Statistics:
        low, high, zero, half = ((value,) * size for value in (-1.0, 1.0, 0.0, 0.5))
        return Statistics(count=100, mean=zero, std=half, min=low, max=high, q01=low, q99=high)

    unit = ("m", "m", "m", "rad", "rad", "rad", "1")
    action = FieldSpec(name="action", shape=(ACTION,), names=NAMES, unit=unit, low=(-1.0,), high=(1.0,))
    return Conventions(
        action=ActionSpec(field=action, hz=5, representation="ee_delta", reference="measured", rotation="rotvec"),
        proprio=FieldSpec(name="state", shape=(STATE,), low=(-1.0,), high=(1.0,)),
        cameras={CAMERA: (SIZE, SIZE)},
        action_statistics=statistics(ACTION),
        proprio_statistics=statistics(STATE),
    )


@dataclass
class SmallSource:
    """Four samples: robot data with random actions, or questions."""

    name: str
    conventions: Conventions | None = field(default_factory=small_conventions)

    def __len__(self) -> int:
        return SAMPLES

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """See Source."""
        rng = np.random.default_rng(index)

        def frame(offset: int) -> Frame:
            image = np.random.default_rng((index, offset)).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            return Frame(camera=CAMERA, offset=offset, image=image)

        key = f"{self.name}/{index}/0"
        if self.conventions is None:
            answer = ("a cat", "a dog")[index % 2]
            return Sample(frames=(frame(0),), prompt="What is shown?", answer=answer, domain="vqa/spatial", key=key)
        return Sample(
            frames=tuple(frame(offset) for offset in wanted.offsets),
            prompt=("pick the block", "pick the other block")[index % 2],
            proprio=rng.uniform(-1, 1, STATE).astype(np.float32),
            actions=rng.uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32),
            action_mask=np.ones(HORIZON, bool),
            key=key,
        )

    def manifest(self) -> Manifest:
        """See Source."""
        kind = "conversations" if self.conventions is None else "lerobot"
        return Manifest(name=self.name, kind=kind, sha256="0" * 64, samples=SAMPLES, items={})


def small_sources() -> dict[str, SmallSource]:
    """``robot`` and ``vqa``."""
    return {"robot": SmallSource("robot"), "vqa": SmallSource("vqa", None)}


def head_shape(backbone: Backbone) -> HeadShape:
    """What a head's factory is told."""
    conventions = small_conventions()
    return HeadShape(
        dim=backbone.dim, layers=backbone.layers, horizon=HORIZON, action=ACTION, proprio=STATE, conventions=conventions
    )


def small_backbone() -> SmallBackbone:
    """The backbone of the kit's policies: room for the tokens of any head, and always the same weights."""
    return SmallBackbone(SmallConfig(dim=16, vocabulary=2048))


def small_policy(heads: Mapping[str, ActionHead], backbone: Backbone | None = None) -> VLA:
    """A policy with these heads; everything else of it is the same every time.

    Args:
        heads: heads by name.
        backbone: instead of :func:`small_backbone`'s.
    """
    conventions = small_conventions()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VLA(
            backbone or small_backbone(),
            heads,
            conventions,
            actions=Normalizer.fit("min-max", conventions.action_statistics),
            proprio=Normalizer.fit("min-max", conventions.proprio_statistics),
            horizon=HORIZON,
            cameras=(CAMERA,),
        )


def noise(count: int) -> list[torch.Generator]:
    """A generator for each sample, as a policy gets them."""
    return [torch.Generator().manual_seed(row) for row in range(count)]


def adam(vla: VLA) -> torch.optim.Optimizer:
    """An optimiser of what trains now."""
    return torch.optim.AdamW(list(trainable(vla).values()), lr=RATE, weight_decay=0)


def train(vla: VLA, batch: Batch, steps: range, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Tensor]:
    """Some optimiser steps; the last one's losses. Each step has random numbers of its own, as in the trainer."""
    optimizer = optimizer or adam(vla)
    losses: dict[str, Tensor] = {}
    vla.train()
    for step in steps:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step)
            losses = vla(batch)
        if not losses:
            break
        for name, loss in losses.items():
            if not isinstance(loss, Tensor):
                raise TypeError(f"the loss {name} is a {type(loss).__name__}, not a scalar tensor")
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack([loss.sum() for loss in losses.values()]).sum())
        optimizer.step()
        for technique in vla.techniques:
            technique.after_step(vla, step)
    vla.eval()
    return {name: loss.detach() for name, loss in losses.items()}


def not_scalars(losses: Mapping[str, Tensor]) -> str | None:
    """Which loss isn't what a loss has to be; ``None`` for none."""
    wrong = [name for name, value in losses.items() if value.ndim or not bool(value.isfinite())]
    return f"the loss {wrong[0]} isn't a finite scalar" if wrong else None
