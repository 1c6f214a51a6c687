"""A tiny robot: 3 action elements in metres, radians and none, 2 proprio elements, one camera, chunks of 4 steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gf_core._settings import validate_config
from gf_core.registry import load_object
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import ActionHead, HeadShape
from gf_core.training.model import VLA, StageHead
from gf_core.training.normalizer import Normalizer
from gf_core.training.samples import Conventions, Frame, Sample, Statistics
from gf_policies.heads.specs import HEADS

HORIZON, ACTION, PROPRIO = 4, 3, 2
LOW, HIGH = np.array([-0.04, -0.3, 0.0]), np.array([0.06, 0.3, 1.0])


def _statistics(low: np.ndarray, high: np.ndarray) -> Statistics:
    mean = tuple(((low + high) / 2).tolist())
    std = tuple(((high - low) / 4).tolist())
    ends = {"min": tuple(low.tolist()), "max": tuple(high.tolist()), "q01": tuple(low.tolist()), "q99": tuple(high.tolist())}
    return Statistics(count=100, mean=mean, std=std, **ends)


def make_conventions() -> Conventions:
    field = FieldSpec(name="action", shape=(ACTION,), names=("dx", "rx", "opening"), unit=("m", "rad", "1"))
    return Conventions(
        action=ActionSpec(field=field, hz=10, representation="ee_delta", reference="measured", rotation="rotvec"),
        proprio=FieldSpec(name="proprio", shape=(PROPRIO,)),
        cameras={"front": (16, 16)},
        action_statistics=_statistics(LOW, HIGH),
        proprio_statistics=_statistics(-np.ones(PROPRIO), np.ones(PROPRIO)),
    )


def make_head(id: str, **settings: Any) -> ActionHead:
    """A head through its spec, as a recipe makes it."""
    spec = next(spec for spec in HEADS if spec.id == id)
    shape = HeadShape(dim=32, layers=3, horizon=HORIZON, action=ACTION, proprio=PROPRIO, conventions=make_conventions())
    head = load_object(spec)(validate_config(settings, spec.config_schema, source=id), shape)
    assert isinstance(head, ActionHead)
    return head


def make_vla(**heads: ActionHead) -> VLA:
    """A policy whose first head acts; the others train beside it."""
    conventions = make_conventions()
    vla = VLA(
        SmallBackbone(SmallConfig()),
        heads,
        conventions,
        actions=Normalizer.fit("min-max", conventions.action_statistics),
        proprio=Normalizer.fit("min-max", conventions.proprio_statistics),
        horizon=HORIZON,
        cameras=("front",),
    )
    vla.begin_stage([StageHead(name=name, used_at_inference=index == 0) for index, name in enumerate(heads)], [])
    return vla


def make_samples(count: int, *, seed: int = 0, real: int = HORIZON) -> list[Sample]:
    """Samples that differ in everything; only the first ``real`` steps of their chunks lie within the episode."""
    generator = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        actions = generator.uniform(LOW, HIGH, (HORIZON, ACTION)).astype(np.float32)
        actions[real:] = actions[real - 1]
        image = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        samples.append(
            Sample(
                frames=(Frame(camera="front", offset=0, image=image),),
                prompt=f"pick {'card ' * (index % 3)}{index}",
                proprio=generator.uniform(-1, 1, PROPRIO).astype(np.float32),
                actions=actions,
                action_mask=np.arange(HORIZON) < real,
                key=f"test/{index}/0",
            )
        )
    return samples


def train(vla: VLA, samples: Sequence[Sample], *, steps: int, rate: float = 3e-3) -> float:
    """Adam on everything, all samples in every step; returns the last loss."""
    vla.requires_grad_(True)
    batch = vla.prepare(samples)
    optimizer = torch.optim.Adam(vla.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    total = torch.zeros(())
    for _ in range(steps):
        total = torch.stack(list(vla(batch).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
    return float(total.detach())


def act(vla: VLA, samples: Sequence[Sample], seed: int = 0) -> np.ndarray:
    """``(B, T, A)`` actions in their own units."""
    vla.requires_grad_(False)
    actions = vla.act(vla.prepare(samples, generate=True), noise(len(samples), seed))
    assert actions.shape == (len(samples), HORIZON, ACTION)
    assert actions.dtype == torch.float32
    return actions.numpy()


def noise(count: int, seed: int = 1) -> list[torch.Generator]:
    """A generator for each sample."""
    return [torch.Generator().manual_seed(seed + row) for row in range(count)]
