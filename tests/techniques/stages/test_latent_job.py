"""The three stages of latent actions as one job of the real trainer, whole and stopped in two of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gf_core.plugins import load_plugins
from gf_core.training.checkpoint import load_checkpoint
from gf_core.training.recipe import Stage, complete
from gf_core.training.running import Job
from gf_core.training.trainer import train

from .tools import OFFSET, Given, film

SMALL_BACKBONE = Path(__file__).parents[2] / "training" / "small.py"
IDM = {"horizon": OFFSET, "codes": 2, "codebook": 4, "code_dim": 8, "image_size": 16, "patch": 4, "width": 16, "layers": 1}


class Stopping:
    """A Watcher that stops the job at a stage's step."""

    def __init__(self, at: tuple[str, int] | None) -> None:
        self._at = at

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        pass

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        if self._at == (stage.name, step):
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass

    def finished(self) -> None:
        pass


def document() -> dict[str, Any]:
    def stage(phase: str, heads: list[dict[str, Any]], others: list[dict[str, Any]], rates: dict[str, float]) -> dict[str, Any]:
        techniques = [{"id": "gf/latent-actions-v1", "settings": {"phase": phase, **IDM}}, *others]
        common = {"mixture": [{"source": "robot"}], "steps": 4, "batch_size": 4, "learning_rate": rates}
        return {"name": phase, "techniques": techniques, "heads": heads, **common}

    adapters, rates = [{"id": "gf/staged-lora-v1", "settings": {"r": 2}}], {"language": 1e-3, "head": 1e-3}
    return {
        "schema_version": "1.0",
        "kind": "recipe",
        "name": "latent",
        "description": "latent actions on moving squares",
        "backbone": {"id": "local/small-v1"},
        "policy": {"cameras": ["front"], "horizon": 2, "execute_steps": 2},
        "heads": {
            "latent": {"id": "gf/latent-v1", "settings": {"codes": 2, "codebook": 4}},
            "action": {"id": "gf/regression-v1", "settings": {"width": 16, "blocks": 1}},
        },
        "stages": [
            stage("idm", [], [], {"idm": 1e-3}),
            stage("predict", [{"name": "latent", "used_at_inference": False}], adapters, rates),
            stage("act", [{"name": "action"}], adapters, rates),
        ],
    }


def run(out: Path, workers: int, *stops: tuple[str, int]) -> dict[str, bytes]:
    """The checkpoint's files, after stopping and going on at each of ``stops``."""
    host = load_plugins(files=[SMALL_BACKBONE], environ={})
    sources = {"robot": Given("robot", film(12, 0), robot=True)}
    job = Job(recipe=complete(document(), host, source="test"), host=host, sources=sources, out=out, workers=workers)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(job, Stopping(stop))
    checkpoint = train(job, Stopping(None))
    assert "idm" not in load_checkpoint(checkpoint, host).vla.extras
    return {str(path.relative_to(checkpoint)): path.read_bytes() for path in sorted(checkpoint.rglob("*")) if path.is_file()}


def test_stopping_and_going_on_equals_never_having_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 1)
    assert {Path(name).name for name in whole} >= {"00-idm.safetensors", "01-predict.safetensors", "02-act.safetensors"}
    assert run(tmp_path / "stopped", 0, ("idm", 3), ("predict", 2)) == whole
