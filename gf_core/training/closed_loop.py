"""Evaluates snapshots while training goes on, through the same runner as everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gf_core.evaluation import Request, Resources, run_suite
from gf_core.reporting import read_report
from gf_core.training.recipe import Recipe

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

POLICY = "gf/vla-v1"


def make_evaluate(recipe: Recipe, host: PluginHost, out: Path) -> Callable[[Path, int], Mapping[str, float]] | None:
    """What the trainer calls with a snapshot; ``None`` for a recipe without evaluation. Runs go to ``out/evaluations``."""
    wanted = recipe.document["evaluation"]
    if not wanted["every"]:
        return None

    def evaluate(snapshot: Path, step: int) -> Mapping[str, float]:
        request = Request(
            suite=wanted["suite"], policy=POLICY, policy_config={"checkpoint": str(snapshot)}, limit=wanted["episodes"]
        )
        result = run_suite(request, host=host, out=out / "evaluations" / str(step), resources=Resources(slots=16))
        report = read_report(result.run.path, lambda _: result.plan.suite)
        return {
            f"{split.split} {metric.decl.name}": metric.rate.estimate
            for split in report.splits
            for metric in split.metrics
            if metric.rate.estimate is not None
        }

    return evaluate
