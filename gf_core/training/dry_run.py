"""What a job would do, stage by stage, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gf_core.specs import to_json
from gf_core.training.checkpoint import Link, begin
from gf_core.training.compose import check_sight, common_conventions, make_techniques
from gf_core.training.distributed import pick_device
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage
from gf_core.training.running import Job
from gf_core.training.schedule import count_by_role, make_optimizer
from gf_core.training.trainer import parent_of, stage_data

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """What a stage would do.

    Attributes:
        name: of the stage.
        steps: optimiser steps.
        techniques: their ids.
        heads: their names, ``*`` behind the one that acts.
        trainable: role to how many numbers train.
        parameters: numbers of the whole policy.
        rates: role to peak learning rate.
        quotas: source to samples of a batch.
        effective_batch: samples of an optimiser step, over all processes.
        epochs: source to how often each of its samples is seen.
        memory: bytes of weights, gradients and AdamW's two moments; activations come on top.
    """

    name: str
    steps: int
    techniques: tuple[str, ...]
    heads: tuple[str, ...]
    trainable: dict[str, int]
    parameters: int
    rates: dict[str, float]
    quotas: dict[str, int]
    effective_batch: int
    epochs: dict[str, float]
    memory: int


def plan_job(job: Job, world: int = 1) -> dict[str, Any]:
    """The job as JSON: conventions, normalisation and every stage. Loads the backbone and trains nothing.

    Raises:
        GrinningFaceError: whatever would stop the job before its first step.
    """
    pick_device(job.device)
    conventions = common_conventions(job.sources, job.recipe.sources)
    check_sight(job.recipe, conventions)
    parent = parent_of(job)
    vla = begin(Link(job.recipe, conventions, "", {}, {}), job.host, parent.vla if parent else None)
    stages = []
    for stage in job.recipe.stages:
        vla.begin_stage(stage.heads, make_techniques(stage, job.host))
        stages.append(_plan(stage, vla, job, world))
        vla.end_stage()
    return {
        "recipe": job.recipe.document["name"],
        "recipe_sha256": job.recipe.sha256,
        "backbone": {"id": job.recipe.document["backbone"]["id"], "fingerprint": vla.backbone.fingerprint},
        "sources": [to_json(source.manifest()) for source in job.sources.values()],
        "action": to_json(conventions.action),
        "proprio": to_json(conventions.proprio) if vla.proprio_normalizer else None,
        "normalization": {
            "actions": vla.action_normalizer.to_json(),
            "proprio": vla.proprio_normalizer.to_json() if vla.proprio_normalizer else None,
        },
        "policy": job.recipe.policy,
        "stages": [to_json(stage) for stage in stages],
    }


def _plan(stage: Stage, vla: VLA, job: Job, world: int) -> StagePlan:
    sources, mixture = stage_data(stage, vla, job.sources)
    make_optimizer(vla, stage)
    trains = count_by_role(vla)
    quotas = mixture.quotas(stage.batch_size)
    seen = stage.steps * stage.accumulate * world
    total = sum(parameter.numel() for parameter in vla.parameters())
    return StagePlan(
        name=stage.name,
        steps=stage.steps,
        techniques=tuple(entry["id"] for entry in stage.document["techniques"]),
        heads=tuple(head.name + "*" * head.used_at_inference for head in stage.heads),
        trainable=trains,
        parameters=total,
        rates={role: float(stage.document["learning_rate"][role]) for role in trains},
        quotas=quotas,
        effective_batch=stage.batch_size * stage.accumulate * world,
        epochs={name: seen * count / len(sources[name]) for name, count in quotas.items()},
        memory=BYTES * (total + 3 * sum(trains.values())),
    )
