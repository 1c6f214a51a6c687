"""What the trainer's tests train: the small backbone, robot data drawn from a formula, questions with answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gf_core.canonical import content_hash
from gf_core.hookspecs import hookimpl
from gf_core.specs import ActionSpec, BackboneSpec, FieldSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.samples import Conventions, Frame, Manifest, Sample, Statistics, Wanted

gf_api_version = 1
A, P, SIZE = 3, 2, 32
COLOURS = ("red", "green", "blue")


@hookimpl
def gf_register_backbones(register: Any) -> None:
    settings = {
        "seed": {"type": "integer", "default": 0, "description": "of the weights"},
        "dim": {"type": "integer", "default": 32, "description": "width"},
    }
    schema = {"type": "object", "additionalProperties": False, "properties": settings}
    register(BackboneSpec(id="local/small-v1", summary="small", entry_point=f"{__name__}:make", config_schema=schema))


def make(config: Mapping[str, Any]) -> SmallBackbone:
    return SmallBackbone(SmallConfig(seed=config["seed"], dim=config["dim"]))


def field(name: str, count: int) -> FieldSpec:
    return FieldSpec(name=name, shape=(count,), names=tuple(f"{name}{i}" for i in range(count)), unit=("m",))


ACTION = ActionSpec(field=field("action", A), hz=10.0, representation="ee_delta", reference="previous_target", rotation="none")


def statistics(values: np.ndarray) -> Statistics:
    def numbers(array: np.ndarray) -> tuple[float, ...]:
        return tuple(float(value) for value in array)

    return Statistics(
        count=len(values),
        mean=numbers(values.mean(0)),
        std=numbers(values.std(0)),
        min=numbers(values.min(0)),
        max=numbers(values.max(0)),
        q01=numbers(np.quantile(values, 0.01, 0)),
        q99=numbers(np.quantile(values, 0.99, 0)),
    )


class Robot:
    """Frames of one colour; the instruction and the colour decide the action."""

    def __init__(self, name: str = "robot", count: int = 40, seed: int = 0, scale: float = 1.0) -> None:
        self.name, self._count, self._seed = name, count, seed
        rng = np.random.default_rng(seed)
        self._actions = (rng.normal(size=(count, A)) * scale).astype(np.float32)
        self._states = rng.normal(size=(count, P)).astype(np.float32)
        self.conventions: Conventions | None = Conventions(
            action=ACTION,
            proprio=field("proprio", P),
            cameras={"third": (SIZE, SIZE)},
            action_statistics=statistics(self._actions),
            proprio_statistics=statistics(self._states),
        )

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, wanted: Wanted) -> Sample:
        image = np.full((SIZE, SIZE, 3), (index * 37) % 256, np.uint8)
        image[..., index % 3] = 255
        mask = np.arange(wanted.horizon) < max(1, wanted.horizon - index % 2)
        return Sample(
            frames=tuple(Frame(camera="third", offset=offset, image=image) for offset in wanted.offsets),
            prompt=f"go {COLOURS[index % 3]}",
            proprio=self._states[index],
            actions=np.repeat(self._actions[index][None], wanted.horizon, 0),
            action_mask=mask,
            key=f"{self.name}/{index}/0",
        )

    def manifest(self) -> Manifest:
        return Manifest(name=self.name, kind="lerobot", sha256=content_hash([self._seed, self._count]), samples=self._count)


class Questions:
    """What colour is it?"""

    conventions: Conventions | None = None

    def __init__(self, name: str = "vl", count: int = 12) -> None:
        self.name, self._count = name, count

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, wanted: Wanted) -> Sample:
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        image[..., index % 3] = 255
        frame = Frame(camera="image", offset=0, image=image)
        key = f"{self.name}/{index}/0"
        return Sample(frames=(frame,), prompt="colour?", answer=COLOURS[index % 3], domain="vqa/naming", key=key)

    def manifest(self) -> Manifest:
        return Manifest(name=self.name, kind="conversations", sha256=content_hash(self._count), samples=self._count)


def recipe(**changes: Any) -> dict[str, Any]:
    """One stage of full fine-tuning with a regression head; ``changes`` go into the stage, or the document if it has the key."""
    document: dict[str, Any] = {
        "schema_version": "1.0",
        "kind": "recipe",
        "name": "test",
        "description": "for tests",
        "backbone": {"id": "local/small-v1"},
        "policy": {"horizon": 4, "execute_steps": 2},
        "heads": {"act": {"id": "gf/regression-v1", "settings": {"width": 32, "blocks": 1}}},
        "stages": [
            {
                "name": "robot",
                "techniques": [{"id": "gf/full-finetune-v1"}],
                "heads": [{"name": "act"}],
                "mixture": [{"source": "robot"}],
                "steps": 6,
                "batch_size": 4,
                "learning_rate": {"vision": 1e-3, "projector": 1e-3, "language": 1e-3, "head": 1e-3},
            }
        ],
    }
    for key, value in changes.items():
        place = document if key in document or key in ("parent", "seed", "evaluation") else document["stages"][0]
        place[key] = value
    return document
