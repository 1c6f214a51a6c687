"""Optimiser and learning rates of a stage."""

from __future__ import annotations

import math
from collections import Counter

import torch

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.training.contracts import BACKBONE_ROLES, Role
from gf_core.training.model import VLA
from gf_core.training.muon import MOMENTUM, MuonAndAdamW
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


def make_optimizer(vla: VLA, stage: Stage) -> torch.optim.Optimizer:
    """AdamW with a group for each role and kind; vectors (biases, norms) aren't decayed. Linear layers' matrices of the roles in
    ``optimizer.muon`` take Muon's steps.

    Raises:
        GrinningFaceError: nothing trains, a role that trains, or takes Muon's steps, has no learning rate, or a rate is for a
            role that the policy doesn't have.
    """
    rates, settings = stage.document["learning_rate"], stage.document["optimizer"]
    groups: dict[tuple[str, bool, bool], list[torch.nn.Parameter]] = {}
    linear = _linear(vla)
    for name, value in trainable(vla).items():
        role = vla.role_of(name)
        groups.setdefault((role, value.ndim > 1, role in settings["muon"] and id(value) in linear), []).append(value)
    where = f"stage {stage.name!r}"
    if not groups:
        raise GrinningFaceError("nothing trains", where=where, hint="add a head, or a technique that trains parameters")
    known = _roles(vla)
    if strange := sorted(rates.keys() - set(known)):
        raise GrinningFaceError(
            f"the policy has no role {strange[0]!r}",
            where=f"{where}, learning_rate",
            hint=did_you_mean(strange[0], known) or f"its roles are {', '.join(known)}",
        )
    if missing := sorted({role for role, *_ in groups} - rates.keys()):
        raise GrinningFaceError(
            f"role {missing[0]!r} trains but has no learning rate",
            where=f"{where}, learning_rate",
            hint=f"--set stages.{stage.name}.learning_rate.{missing[0]}=1e-4",
        )
    if unknown := sorted(set(settings["muon"]) - rates.keys()):
        hint = f"its roles are {', '.join(sorted(rates))}"
        raise GrinningFaceError(f"role {unknown[0]!r} has no learning rate", where=f"{where}, optimizer.muon", hint=hint)
    made = [
        {"params": values, "lr": rates[role], "peak": rates[role], "role": role}
        | {"weight_decay": settings["weight_decay"] if matrix else 0.0}
        | ({"muon": muon, "momentum": MOMENTUM} if settings["muon"] else {})
        for (role, matrix, muon), values in sorted(groups.items())
    ]
    optimizer = MuonAndAdamW if settings["muon"] else torch.optim.AdamW
    return optimizer(made, betas=tuple(settings["betas"]), eps=settings["eps"])


def _roles(vla: VLA) -> list[Role]:
    """Those of its parameters; and every backbone's, since one that has no projector still takes recipes that give it a rate."""
    own = {vla.role_of(name) for name, _ in vla.named_parameters()}
    return [*BACKBONE_ROLES, "head", *sorted(own - {*BACKBONE_ROLES, "head"})]


def _linear(vla: VLA) -> set[int]:
    """Ids of the matrices that are applied to what passes through: not embeddings, of inputs or outputs, learned queries or
    states."""
    embeddings = (vla.backbone.input_embeddings(), vla.backbone.output_embeddings())
    words = {id(value) for module in embeddings for value in module.parameters()}
    found: set[int] = set()
    for module in vla.modules():
        if isinstance(module, torch.nn.Linear):
            found.add(id(module.weight))
        elif isinstance(module, torch.nn.MultiheadAttention) and module.in_proj_weight is not None:
            found.add(id(module.in_proj_weight))
    return found - words


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
