"""Optimiser and learning rates of a stage."""

from __future__ import annotations

import math
from collections import Counter

import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage


def trainable(vla: VLA) -> dict[str, torch.nn.Parameter]:
    """Names and parameters that train, sorted by name."""
    return dict(sorted((name, value) for name, value in vla.named_parameters() if value.requires_grad))


def count_by_role(vla: VLA) -> dict[str, int]:
    """Trainable numbers by role."""
    counts: Counter[str] = Counter()
    for name, value in trainable(vla).items():
        counts[vla.role_of(name)] += value.numel()
    return dict(sorted(counts.items()))


def make_optimizer(vla: VLA, stage: Stage) -> torch.optim.AdamW:
    """AdamW with a group for each role and kind; vectors (biases, norms) aren't decayed.

    Raises:
        GrinningFaceError: nothing trains, or a role that trains has no learning rate.
    """
    rates, settings = stage.document["learning_rate"], stage.document["optimizer"]
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, value in trainable(vla).items():
        groups.setdefault((vla.role_of(name), value.ndim > 1), []).append(value)
    where = f"stage {stage.name!r}"
    if not groups:
        raise GrinningFaceError("nothing trains", where=where, hint="add a head, or a technique that trains parameters")
    if missing := sorted({role for role, _ in groups} - rates.keys()):
        raise GrinningFaceError(
            f"role {missing[0]!r} trains but has no learning rate",
            where=f"{where}, learning_rate",
            hint=f"--set stages.{stage.name}.learning_rate.{missing[0]}=1e-4",
        )
    return torch.optim.AdamW(
        [
            {"params": values, "lr": rates[role], "peak": rates[role], "role": role}
            | {"weight_decay": settings["weight_decay"] if matrix else 0.0}
            for (role, matrix), values in sorted(groups.items())
        ],
        betas=tuple(settings["betas"]),
        eps=settings["eps"],
    )


def rate_factor(stage: Stage, step: int) -> float:
    """Share of the peak rate at optimiser step ``step`` (from 0): linear warm-up, then the stage's shape down to ``final``."""
    schedule = stage.document["schedule"]
    warmup, final = int(schedule["warmup"]), float(schedule["final"])
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, stage.steps - warmup)
    if schedule["name"] == "constant":
        return 1.0
    if schedule["name"] == "linear":
        return 1 - (1 - final) * done
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def set_rates(optimizer: torch.optim.Optimizer, stage: Stage, step: int) -> None:
    """Give every group its rate for a step."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate_factor(stage, step)
