"""Small studies: the small backbone, a demonstration, stages of two steps, one episode."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gf_core.cli.main import main
from gf_core.plugins import PluginHost, load_plugins
from gf_core.studies.document import Study, complete_study

ROOT = Path(__file__).parents[1]
PLUGINS = (ROOT / "training" / "small.py", Path(__file__).with_name("deadly.py"))
RATES = {"vision": 1e-3, "projector": 1e-3, "language": 1e-3, "head": 1e-3}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return load_plugins(PLUGINS)


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration."""
    path = tmp_path_factory.mktemp("data") / "demos"
    assert main(["demos", "record", "gf/smoke@1", "--out", str(path), "--limit", "1", "--size", "32"]) == 0
    return path


def stage(name: str, technique: str = "gf/full-finetune-v1", **more: Any) -> dict[str, Any]:
    rates = {"head": 1e-3} if technique == "gf/freeze-v1" else RATES
    common = {"heads": [{"name": "action"}], "mixture": [{"source": "robot"}], "steps": 2, "batch_size": 4}
    return {"name": name, "techniques": [{"id": technique}], "learning_rate": rates, **common, **more}


@pytest.fixture
def study_document(demos: Path) -> Callable[..., dict[str, Any]]:
    """A study's document of one arm; keys that are given take the place of its own."""

    def make(**changes: Any) -> dict[str, Any]:
        recipe = {
            "schema_version": "1.0",
            "kind": "recipe",
            "name": "base",
            "description": "for tests",
            "backbone": {"id": "local/small-v1"},
            "policy": {"horizon": 16, "execute_steps": 16},
            "heads": {"action": {"id": "gf/flow-v1"}},
            "stages": [stage("warmup", "gf/freeze-v1"), stage("robot")],
        }
        document: dict[str, Any] = {
            "schema_version": "1.0",
            "kind": "study",
            "name": "small",
            "question": "Does it run?",
            "data": {"robot": {"path": str(demos)}},
            "backbones": {"small": {"id": "local/small-v1"}},
            "heads": {"l1": {"id": "gf/regression-v1", "settings": {"width": 32, "blocks": 1}}},
            "protocol": {"recipe": recipe},
            "arms": {"full": {"description": "Everything trains."}},
            "evaluate": [{"suite": "gf/smoke@1", "limit": 1, "splits": ["val"]}],
            "probe": {"suite": "gf/smoke@1", "limit": 1, "candidates": 2},
        }
        return {**document, **changes}

    return make


@pytest.fixture
def make_study(study_document: Callable[..., dict[str, Any]]) -> Callable[..., Study]:
    return lambda **changes: complete_study(study_document(**changes), source="test")


@pytest.fixture
def gf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `gf study run` on a document, in this process unless told otherwise; exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(document: dict[str, Any], *more: str, jobs: int = 0, out: str = "study") -> tuple[int, str, str]:
        Path("study.json").write_text(json.dumps(document))
        plugins = [word for file in PLUGINS for word in ("--plugin", str(file))]
        capfd.readouterr()
        code = main(["study", "run", "study.json", "--out", out, "--jobs", str(jobs), *plugins, *more])
        told = capfd.readouterr()
        return code, told.out, told.err

    return run
