"""What an environment returned, held against its spec before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gf_core._json import MAX_INT, MIN_INT, encodable
from gf_core.contracts import Images, Observation, Outcome, StepResult
from gf_core.specs import EnvSpec, Observes

_KINDS: Mapping[str, type | tuple[type, ...]] = {"bool": bool, "int": int, "float": (int, float), "str": str}


def check_observation(observation: Observation, wanted: Observes, env: EnvSpec, slots: int) -> dict[str, Images]:
    """The wanted images, ``(slots, H, W, 3) uint8`` each.

    Args:
        observation: what ``observe`` returned.
        wanted: what it was asked for, at one step.
        env: the environment's spec.
        slots: of how many.

    Raises:
        ValueError: an image or the proprioceptive state isn't as it should be.
    """
    pixels = (slots, *wanted.size, 3)
    for camera in wanted.cameras:
        if not _is(image := observation.images.get(camera), np.uint8, pixels):
            raise ValueError(f"the image of {camera} is {described(image)}, not uint8 {pixels}")
    if wanted.proprio:
        proprio, shape = observation.proprio, (slots, *env.proprio.shape)
        if not _is(proprio, np.float32, shape):
            raise ValueError(f"proprio is {described(proprio)}, not float32 {shape}")
        if not np.isfinite(proprio).all():  # type: ignore[arg-type]
            raise ValueError("proprio isn't finite")
    return {camera: observation.images[camera] for camera in wanted.cameras}


def check_step(result: StepResult, env: EnvSpec, slots: int) -> StepResult:
    """What ``step`` returned for so many slots. Raises ValueError: it isn't what the contract asks for."""
    for name in ("done", "clipped"):
        if not _is(value := getattr(result, name), np.bool_, (slots,)):
            raise ValueError(f"a step's {name} is {described(value)}, not bool ({slots},)")
    controls = np.asarray(result.controls, np.float64)
    if controls.shape != (slots, *env.controls.shape) or not np.isfinite(controls).all():
        what = described(controls) if np.isfinite(controls).all() else "not finite"
        raise ValueError(f"a step's controls are {what}; float64 {(slots, *env.controls.shape)} is what its spec says")
    return result


def check_outcome(outcome: Outcome, env: EnvSpec) -> Outcome:
    """The outcome as it is recorded: NumPy's numbers as Python's.

    Raises:
        ValueError: it isn't what the EnvSpec declares, or nothing that a run directory can hold.
    """
    success = plain(outcome.success)
    if not isinstance(success, bool):
        raise ValueError(f"the outcome's success is {success!r}, not a bool")
    if not isinstance(outcome.ending, str) or not outcome.ending or not encodable(outcome.ending):
        raise ValueError(f"the outcome's ending is {outcome.ending!r}, not a word")
    metrics = {name: plain(value) for name, value in outcome.metrics.items()}
    for metric in env.metrics:
        if metric.name not in metrics:
            raise ValueError(f"the outcome has no metric {metric.name!r}")
        value = metrics[metric.name]
        wrong = isinstance(value, bool) and metric.kind != "bool"  # a bool is an int in Python, and nowhere else
        if value is not None and (wrong or not isinstance(value, _KINDS[metric.kind])):
            raise ValueError(f"the metric {metric.name!r} is {value!r}, and its spec says {metric.kind}")
    for name, value in metrics.items():
        if not isinstance(name, str) or not encodable(name) or not _recordable(value):
            raise ValueError(f"the metric {name!r} is {value!r}")
    return Outcome(success=success, ending=outcome.ending, steps=int(outcome.steps), metrics=metrics)


def _recordable(value: Any) -> bool:
    """Whether a metric's value is one that :func:`gf_core.schemas.parse_json` reads again."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return MIN_INT <= value <= MAX_INT
    return encodable(value) if isinstance(value, str) else value is None


def described(value: Any) -> str:
    """An array's dtype and shape, or what it is instead."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _is(value: Any, dtype: type[np.generic], shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype and value.shape == shape
