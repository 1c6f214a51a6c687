"""A policy on the small backbone with one continuous and one token head, data for it, and a few optimiser steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gf_core._settings import validate_config
from gf_core.contracts import Bools, Floats
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import ActionHead, Backbone, Batch, Context, Technique
from gf_core.training.model import VLA, StageHead
from gf_core.training.normalizer import Normalizer
from gf_core.training.samples import Conventions, Frame, Sample, Statistics
from gf_techniques.specs_updates import UPDATES

HORIZON, ACTION, STATE = 2, 3, 4
SPECS = {spec.id.removeprefix("gf/").removesuffix("-v1"): spec for spec in UPDATES}


class MeanHead(ActionHead):
    """Regression from the prefix's mean hidden state."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, HORIZON * ACTION)

    def loss(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        return {"l2": (self.predict(context) - batch.actions).square().mean()}

    def act(self, vla: VLA, context: Context, batch: Batch, generator: torch.Generator) -> Tensor:
        return self.predict(context)

    def predict(self, context: Context) -> Tensor:
        mask = context.prefix.unsqueeze(-1)
        mean = (context.last * mask).sum(1) / mask.sum(1)
        return self.linear(mean).view(-1, HORIZON, ACTION)


class QueryHead(MeanHead):
    """Like MeanHead, but asks for query tokens."""

    queries = 1


class SignHead(ActionHead):
    """A token per number: whether it is positive."""

    tokens, length = 2, HORIZON * ACTION

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        return [int(value > 0) for value in actions.ravel()]


def technique(name: str, **settings: Any) -> Technique:
    """A technique by its short name, through its spec's schema and entry point."""
    spec = SPECS[name]
    module, _, attribute = spec.entry_point.partition(":")
    made = getattr(import_module(module), attribute)(validate_config(settings, spec.config_schema, source="settings"))
    assert isinstance(made, Technique)
    return made


def conventions() -> Conventions:
    def field(name: str, size: int) -> FieldSpec:
        return FieldSpec(name=name, shape=(size,), low=(-1.0,), high=(1.0,))

    def statistics(size: int) -> Statistics:
        low, high, zero, one = ((value,) * size for value in (-1.0, 1.0, 0.0, 1.0))
        return Statistics(count=9, mean=zero, std=one, min=low, max=high, q01=low, q99=high)

    return Conventions(
        action=ActionSpec(field=field("action", ACTION), hz=5, representation="ee_delta", reference="measured", rotation="none"),
        proprio=field("state", STATE),
        cameras={"front": (16, 16)},
        action_statistics=statistics(ACTION),
        proprio_statistics=statistics(STATE),
    )


@dataclass
class Named:
    """A source of which only its kind matters."""

    conventions: Conventions | None


ROBOT, QUESTIONS = Named(conventions()), Named(None)


def policy(*, tied: bool = True, seed: int = 0) -> VLA:
    """A policy whose backbone is always the same; ``seed`` is for the rest."""
    backbone = SmallBackbone(SmallConfig(dim=16, vocabulary=300, tied=tied))
    known, described = {"mean": MeanHead(16), "sign": SignHead(), "query": QueryHead(16)}, conventions()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for head in known.values():
            for value in head.parameters():
                nn.init.normal_(value, std=0.1)
        return VLA(
            backbone,
            known,
            described,
            actions=Normalizer.fit("min-max", described.action_statistics),
            proprio=Normalizer.fit("min-max", described.proprio_statistics),
            horizon=HORIZON,
            cameras=("front",),
        )


def samples() -> list[Sample]:
    """Two robot samples and two questions."""
    made = []
    for index in range(4):
        rng = np.random.default_rng(index)
        frames = (Frame(camera="front", offset=0, image=rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)),)
        if index < 2:
            robot = {
                "proprio": rng.uniform(-1, 1, STATE).astype(np.float32),
                "actions": rng.uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32),
                "action_mask": np.ones(HORIZON, bool),
            }
            made.append(Sample(frames=frames, prompt="put it there", key=f"robot/{index}", **robot))
        else:
            made.append(Sample(frames=frames, prompt="what is it", answer="a cat", domain="vqa", key=f"vqa/{index}"))
    return made


def begin(vla: VLA, *techniques: Technique, heads: Sequence[str] = ("mean",)) -> None:
    vla.begin_stage([StageHead(name=name, used_at_inference=name != "sign") for name in heads], techniques)


def train(vla: VLA, steps: int = 3, rate: float = 1e-2) -> dict[str, Tensor]:
    """A few optimiser steps on the four samples; the last step's losses."""
    vla.train()
    batch = vla.prepare(samples())
    optimizer = torch.optim.AdamW([value for value in vla.parameters() if value.requires_grad], lr=rate, weight_decay=0)
    for step in range(steps):
        losses = vla(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        for method in vla.techniques:
            method.after_step(vla, step)
    vla.eval()
    return {name: value.detach() for name, value in losses.items()}


def values(vla: VLA) -> dict[str, Tensor]:
    """A copy of every parameter."""
    return {name: value.detach().clone() for name, value in vla.named_parameters()}


def trainable(vla: VLA) -> set[str]:
    return {name for name, value in vla.named_parameters() if value.requires_grad}


def moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    """Names of parameters with other values than before."""
    return {name for name in before if not torch.equal(before[name], after[name])}


@torch.no_grad()
def logits(vla: VLA) -> Tensor:
    """Of every token of the four samples."""
    return vla.backbone.logits(vla.encode(vla.prepare(samples())).last)


def reached(vla: VLA) -> dict[str, set[str]]:
    """Names of the parameters that each loss of one batch reaches with a gradient that isn't zero."""
    found: dict[str, set[str]] = {}
    parameters = {name: value for name, value in vla.named_parameters() if value.requires_grad}
    for name, loss in vla(vla.prepare(samples())).items():
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, retain_graph=True)
        found[name] = {key for key, value in zip(parameters, gradients, strict=True) if value is not None and bool(value.any())}
    return found
