"""Policies on the small backbone with real heads, films of moving squares, and sources that hold given samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gf_core._settings import validate_config
from gf_core.plugins import PluginHost, load_plugins
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import HeadShape, Technique
from gf_core.training.model import VLA, StageHead
from gf_core.training.normalizer import Normalizer
from gf_core.training.samples import Conventions, Frame, Manifest, Sample, Statistics, Wanted

HORIZON, ACTION, STATE, OFFSET, SIDE = 2, 3, 4, 5, 16
WAYS = {"right": (0, 4), "left": (0, -4), "down": (4, 0), "up": (-4, 0)}


@cache
def host() -> PluginHost:
    return load_plugins(environ={})


def technique(name: str, **settings: Any) -> Technique:
    """A technique through its spec's schema and entry point."""
    spec = host().techniques.get(f"gf/{name}-v1")
    made = host().techniques.load(spec.id)(validate_config(settings, spec.config_schema, source="settings"))
    assert isinstance(made, Technique)
    return made


def conventions() -> Conventions:
    def statistics(size: int) -> Statistics:
        low, high, zero, one = ((value,) * size for value in (-1.0, 1.0, 0.0, 1.0))
        return Statistics(count=9, mean=zero, std=one, min=low, max=high, q01=low, q99=high)

    action = FieldSpec(name="action", shape=(ACTION,), names=("x", "y", "z"), unit=("m",), low=(-1.0,), high=(1.0,))
    return Conventions(
        action=ActionSpec(field=action, hz=5, representation="ee_delta", reference="measured", rotation="none"),
        proprio=FieldSpec(name="state", shape=(STATE,)),
        cameras={"front": (SIDE, SIDE)},
        action_statistics=statistics(ACTION),
        proprio_statistics=statistics(STATE),
    )


def policy(*, seed: int = 0, state: bool = True, **heads: tuple[str, dict[str, Any]]) -> VLA:
    """A policy whose backbone is always the same; ``seed`` is for the rest. ``heads``: name to id and settings."""
    backbone, described = SmallBackbone(SmallConfig(dim=16, vision_layers=4, layers=2, vocabulary=320)), conventions()
    shape = HeadShape(dim=16, layers=2, horizon=HORIZON, action=ACTION, proprio=STATE if state else 0, conventions=described)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = {}
        for name, (short, settings) in heads.items():
            spec = host().heads.get(f"gf/{short}-v1")
            made[name] = host().heads.load(spec.id)(validate_config(settings, spec.config_schema, source="settings"), shape)
        return VLA(
            backbone,
            made,
            described,
            actions=Normalizer.fit("min-max", described.action_statistics),
            proprio=Normalizer.fit("min-max", described.proprio_statistics) if state else None,
            horizon=HORIZON,
            cameras=("front",),
        )


def begin(vla: VLA, *techniques: Technique, heads: Sequence[str] = (), act: bool = True) -> None:
    vla.begin_stage([StageHead(name=name, used_at_inference=act) for name in heads], techniques)


class Given:
    """A Source of given samples; frames are those that are asked for."""

    def __init__(self, name: str, samples: Sequence[Sample], *, robot: bool, **manifest: Any) -> None:
        self.name = name
        self.conventions = conventions() if robot else None
        self._samples, self._manifest = samples, manifest

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int, wanted: Wanted) -> Sample:
        return self._samples[index]

    def manifest(self) -> Manifest:
        whole = {"kind": "lerobot", "sha256": self.name, "samples": len(self), "items": {}} | self._manifest
        return Manifest(name=self.name, **whole)


def film(count: int, seed: int, *, actions: bool = True) -> list[Sample]:
    """Robot samples in which a square moves by four pixels within ``OFFSET`` steps, one of four ways, which the prompt says."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        way = str(rng.choice(list(WAYS)))
        row, column = rng.integers(4, 9, 2)
        colour = rng.integers(100, 256, 3)
        frames = []
        for offset, (down, right) in ((0, (0, 0)), (OFFSET, WAYS[way])):
            image = np.full((SIDE, SIDE, 3), 60, np.uint8)
            image[row + down : row + down + 4, column + right : column + right + 4] = colour
            frames.append(Frame(camera="front", offset=offset, image=image))
        acted = {
            "actions": rng.uniform(-1, 1, (HORIZON, ACTION)).astype(np.float32),
            "action_mask": np.ones(HORIZON, np.bool_),
            "proprio": rng.uniform(-1, 1, STATE).astype(np.float32),
        }
        made.append(Sample(frames=tuple(frames), prompt=way, key=f"film/{seed}/{number}", **(acted if actions else {})))
    return made


def questions(*domains: str) -> list[Sample]:
    """One question of each domain, without an image."""
    return [Sample(frames=(), prompt=name, answer="yes", domain=name, key=f"vqa/{i}") for i, name in enumerate(domains)]


def train(vla: VLA, samples: Sequence[Sample], *, steps: int, batch: int, rate: float, seed: int = 0) -> dict[str, Tensor]:
    """Optimiser steps on batches drawn from the samples; the last step's losses."""
    vla.train()
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW([value for value in vla.parameters() if value.requires_grad], lr=rate, weight_decay=0)
    losses: dict[str, Tensor] = {}
    for step in range(steps):
        chosen = rng.choice(len(samples), min(batch, len(samples)), replace=False)
        losses = vla(vla.prepare([samples[index] for index in chosen]))
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        for one in vla.techniques:
            one.after_step(vla, step + 1)
    vla.eval()
    return {name: value.detach() for name, value in losses.items()}


def values(vla: VLA) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in vla.named_parameters()}


def trainable(vla: VLA) -> set[str]:
    return {name for name, value in vla.named_parameters() if value.requires_grad}


def moved(before: Mapping[str, Tensor], vla: VLA) -> set[str]:
    """Names of parameters with other values than before."""
    return {name for name, value in vla.named_parameters() if name in before and not torch.equal(before[name], value)}


@torch.no_grad()
def logits(vla: VLA, samples: Sequence[Sample]) -> Tensor:
    """Of every token."""
    return vla.backbone.logits(vla.encode(vla.prepare(samples)).last)
