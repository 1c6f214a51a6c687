"""The studies that come with the program, from one end to the other, with a few steps in each stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gf_core._shipped import shipped
from gf_core.cli.main import main
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.studies.document import SHIPPED, load_study
from gf_core.studies.recipes import cell_training

NAMES = ("inheritance", "initialization", "stress")
SAMPLE = {"inheritance": ("latent",), "initialization": ("staged-lora",), "stress": ("cotrain-high",)}
"""Arms that CI runs: they have the most kinds of stages and of data."""
FEW = {
    "seeds": [0],
    "protocol.set": {"stages.*.steps": 2, "stages.*.batch_size": 8, "stages.*.schedule.warmup": 0},
    "evaluate": [{"suite": "gf/standard@1", "splits": ["val"], "limit": 1}],
    "probe.limit": 8,
    "probe.candidates": 2,
    "probe.naming": ["What does the card show?"],
    "probe.which": ["Which card shows the {label}? Answer {places}."],
    "data.robot.demos.limit": 2,
}
LESS = {
    "inheritance": {"data.web.conversations.options.count": 40},
    "initialization": {"data.pretrain.demos.limit": 2, "data.vqa.conversations.options.limit": 2},
    "stress": {"data.web.conversations.options.count": 40},
}


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return load_plugins()


def test_these_are_shipped() -> None:
    assert sorted(shipped(SHIPPED)) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_protocol_is_the_same_for_every_arm(name: str, host: PluginHost) -> None:
    """The head's warm-up and the last stage take the same steps, samples of the robot's data, schedule and rate of the head."""
    study = load_study(name)
    stages = [cell_training(study, cell, host).recipe.document["stages"] for cell in study.cells if cell.seed == 0]
    for kind in ("warmup", "robot"):
        found = [{**stage} for recipe in stages for stage in recipe if stage["name"] == kind]
        assert len(found) == len(study.arms)
        for stage in found:
            shares = [t["settings"]["share"] for t in stage["techniques"] if t["id"] == "gf/cotrain-v1"]
            stage["batch_size"] = round(stage["batch_size"] * (1 - sum(shares)))
            stage["head's rate"] = stage["learning_rate"]["head"]
        for key in ("steps", "batch_size", "accumulate", "schedule", "precision", "optimizer", "head's rate", "mixture"):
            assert all(stage[key] == found[0][key] for stage in found), (kind, key)
    assert all(recipe[-1]["name"] == "robot" for recipe in stages)


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_is_in_a_contrast_and_every_split_is_played_whole(name: str, host: PluginHost) -> None:
    study = load_study(name)
    assert study.seeds == (0, 1, 2)
    assert {arm for contrast in study.contrasts for arm in (contrast.first, contrast.second)} == set(study.arms)
    for entry in study.evaluations:
        suite = load_suite(entry.suite, host)
        counts = Counter(episode.split for episode in suite.episodes)
        assert not entry.limit
        assert all(counts[split] >= 400 for split in entry.splits or counts)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_of_its_arms_runs(name: str, gf_study: Callable[..., Path]) -> None:
    assert statuses(gf_study(name, *SAMPLE[name])) == ["done"] * len(SAMPLE[name])


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_all_of_its_arms_run(name: str, gf_study: Callable[..., Path]) -> None:
    assert statuses(gf_study(name)) == ["done"] * len(load_study(name).arms)


@pytest.fixture
def gf_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run some arms of a study, or all; its directory."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arms: str) -> Path:
        changes = [word for key, value in {**FEW, **LESS[name]}.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        only = [word for arm in arms for word in ("--only", f"*/{arm}/*/*")]
        assert main(["study", "run", name, "--out", "study", "--jobs", "0", *changes, *only]) == 0
        return tmp_path / "study"

    return run


def statuses(study: Path) -> list[str]:
    """Of every cell; each has played one episode and was probed."""
    documents = [json.loads(path.read_text()) for path in study.glob("cells/*/*/*/*/cell.json")]
    for path in study.glob("cells/*/*/*/*"):
        episodes = [json.loads(line) for line in (path / "runs").rglob("episodes.jsonl").__next__().read_text().splitlines()]
        assert len(episodes) == 1
        assert json.loads((path / "probe.json").read_text())["kind"] == "probe"
    return [document["status"] for document in documents]
