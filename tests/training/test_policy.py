"""A checkpoint as a policy, through the real command line: record, train, evaluate; mistakes are named before the first step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gf_core.cli.main import main
from gf_core.training.conventions import conventions_from_json

from . import small

GF = [str(Path(sys.executable).with_name("gf"))]
Gf = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policy")


@pytest.fixture(scope="module")
def gf(folder: Path) -> Gf:
    def run(*arguments: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*GF, *map(str, arguments)], cwd=folder, env=variables, capture_output=True, text=True, timeout=1500, check=False
        )
        assert not ok or done.returncode == 0, done.stderr
        return done

    return run


def recipe(**policy: Any) -> dict[str, Any]:
    return {
        "schema_version": "1.0",
        "kind": "recipe",
        "name": "overfit",
        "description": "a handful of demonstrations by heart",
        "backbone": {"id": "gf/hf-vlm-v1", "settings": {"model": "vlm"}},
        "policy": {"horizon": 16, "execute_steps": 8, **policy},
        "heads": {"act": {"id": "gf/regression-v1", "settings": {"width": 256, "blocks": 2}}},
        "stages": [
            {
                "name": "robot",
                "techniques": [{"id": "gf/full-finetune-v1"}],
                "heads": [{"name": "act"}],
                "mixture": [{"source": "robot"}],
                "steps": 2,
                "batch_size": 16,
                "learning_rate": {"head": 1e-3, "language": 1e-3, "vision": 1e-3, "projector": 1e-3},
                "schedule": {"warmup": 20},
            }
        ],
    }


@pytest.fixture(scope="module")
def demos(gf: Gf, folder: Path) -> Path:
    from gf_policies.backbones.tiny import write_tiny

    write_tiny("llava", folder / "vlm")
    gf("demos", "record", "gf/demos@1", "--limit", 3, "--size", 64, "--env-set", "render=fast", "--out", "demos")
    (folder / "recipe.json").write_text(json.dumps(recipe()))
    return folder / "demos"


@pytest.fixture(scope="module")
def checkpoint(gf: Gf, demos: Path) -> Path:
    gf("train", "recipe.json", "--data", demos, "--out", "short")
    return demos.parent / "short" / "checkpoint"


def test_conventions_travel_with_the_checkpoint(checkpoint: Path) -> None:
    conventions = conventions_from_json(json.loads((checkpoint / "checkpoint.json").read_text())["conventions"])
    assert conventions.action.hz == 20
    assert conventions.action.field.names[:3] == ("dx", "dy", "dz")
    assert conventions.cameras == {"third": (64, 64)}


def test_results_depend_on_no_neighbour(gf: Gf, checkpoint: Path, folder: Path) -> None:
    policy = ("--policy", "gf/vla-v1", "--set", f"checkpoint={checkpoint}", "--env-set", "render=fast")
    for slots in (1, 3):
        gf("run", "gf/smoke@1", *policy, "--limit", 3, "--slots", slots, "--out", f"slots{slots}")
    rows = [(folder / f"slots{slots}" / "episodes.jsonl").read_bytes() for slots in (1, 3)]
    assert rows[0] == rows[1]


def test_another_rate_is_refused_before_the_first_step(gf: Gf, checkpoint: Path, folder: Path) -> None:
    policy = ("--policy", "gf/vla-v1", "--set", f"checkpoint={checkpoint}")
    done = gf("run", "gf/smoke@1", *policy, "--hz", 10, "--out", "slow", ok=False)
    assert done.returncode == 2
    assert "hz" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "slow" / "episodes.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("recipe.json",), "the recipe needs data for robot"),
        (("recipe.json", "--data", "nowhere"), "there is no such file or directory"),
        (("recipes.json", "--data", "demos"), "there is no recipe 'recipes.json'"),
        (("recipe.json", "--data", "demos", "--data", "vl=demos"), "names no source 'vl'"),
        (
            ("recipe.json", "--data", "demos", "--set", 'policy.cameras=["wrist"]'),
            "looks through camera 'wrist', the data has third",
        ),
        (("recipe.json", "--data", "demos", "--set", "backbone.settings.model=missing"), "missing"),
        (("recipe.json", "--data", "demos", "--set", "stages.robot.techniques.0.id=gf/frozen-v1"), "did you mean 'gf/freeze-v1'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(gf: Gf, demos: Path, arguments: tuple[str, ...], what: str) -> None:
    done = gf("train", *arguments, "--out", "mistake", ok=False)
    assert done.returncode == 2, done.stderr
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_says_what_would_train_and_stops(gf: Gf, demos: Path, folder: Path) -> None:
    plan = json.loads(gf("train", "recipe.json", "--data", demos, "--out", "dry", "--dry-run", "--json").stdout)
    (stage,) = plan["stages"]
    assert stage["trainable"].keys() == {"vision", "projector", "language", "head"}
    assert stage["effective_batch"] == 16
    assert plan["normalization"]["actions"]["kind"] == "quantile"
    assert np.all(np.array(plan["normalization"]["actions"]["scale"]) > 0)
    assert not (folder / "dry").exists()


def test_a_checkpoint_in_which_no_head_acts_is_said_to_be_a_parent(
    demos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    silent = ("--set", 'stages.robot.heads=[{"name": "act", "used_at_inference": false}]', "--set", "stages.robot.steps=1")
    assert main(["train", "recipe.json", "--data", str(demos), "--out", "silent", "--workers", "0", *silent]) == 0
    told = capsys.readouterr().out
    assert "goes on from it with  --set parent=silent/checkpoint" in told
    assert "gf run" not in told


@pytest.mark.full
def test_a_small_model_learns_a_handful_of_demonstrations_by_heart(gf: Gf, demos: Path, folder: Path) -> None:
    """It reproduces the expert's actions and, under contact physics, completes those very episodes.

    A chunk holds a whole episode: asked again every few steps, a model that has seen three demonstrations is brittle.
    """
    plugin = ("--plugin", Path(small.__file__))
    backbone = json.dumps({"id": "local/small-v1", "settings": {"dim": 64}})
    whole = ("policy.horizon=80", "policy.execute_steps=80", "heads.act.settings.readout=mean", "stages.robot.steps=1500")
    changes = [text for setting in (f"backbone={backbone}", *whole) for text in ("--set", setting)]
    gf("train", "recipe.json", "--data", demos, "--out", "heart", *plugin, *changes)
    rows = [json.loads(line) for line in (folder / "heart" / "metrics.jsonl").read_text().splitlines()]
    assert np.mean([row["losses"]["act/l1"] for row in rows[-50:]]) < 0.04
    gf(
        *("run", "gf/demos@1", "--limit", 3, "--env-set", "render=fast", "--out", "heart-run", *plugin),
        *("--policy", "gf/vla-v1", "--set", "checkpoint=heart/checkpoint"),
    )
    played = [json.loads(line) for line in (folder / "heart-run" / "episodes.jsonl").read_text().splitlines()]
    assert [row["success"] for row in played] == [True] * 3


def test_the_card_of_a_submission_knows_what_the_checkpoint_knows(gf: Gf, checkpoint: Path, folder: Path) -> None:
    gf("run", "gf/smoke@1", "--policy", "gf/vla-v1", "--set", f"checkpoint={checkpoint}", "--out", "whole", "--set", "device=cpu")
    card = {"name": "Nothing learned", "description": "two steps", "selected_by": [], "license": "Apache-2.0", "weights": "open"}
    (folder / "card.json").write_text(json.dumps({"schema_version": "1.0", "kind": "card", "technique": "mine", **card}))
    gf("submit", "pack", "whole", "--card", "card.json", "--out", "whole.zip")
    with zipfile.ZipFile(folder / "whole.zip") as archive:
        packed = json.loads(archive.read("card.json"))
    assert packed["technique"] == "mine"
    assert packed["head"] == "gf/regression-v1, chunks of 16, 8 played"
    assert packed["backbone"].startswith("vlm (weights ")
    assert packed["robot_data"][0].startswith("gf/demos@1 (")
    held = json.loads((checkpoint / "checkpoint.json").read_text())["links"][0]["stages"][0]["trainable"]
    assert packed["trainable_parameters"] == sum(held.values())
    assert len(packed["trained_items"]) == 9
    assert json.loads(packed["recipe"])[0]["name"] == "overfit"
    verdict = gf("submit", "check", "whole.zip")
    assert "replayed (physics verified, policy unverified)" in verdict.stdout


@pytest.mark.full
def test_evaluating_on_the_way_changes_no_weight(gf: Gf, demos: Path, folder: Path) -> None:
    watching = ("--set", "evaluation.suite=gf/smoke@1", "--set", "evaluation.every=1", "--set", "evaluation.episodes=2")
    gf("train", "recipe.json", "--data", demos, "--out", "watched", *watching)
    gf("train", "recipe.json", "--data", demos, "--out", "unwatched")
    rows = [json.loads(line) for line in (folder / "watched" / "metrics.jsonl").read_text().splitlines()]
    (evaluated,) = [row for row in rows if "evaluation" in row]
    assert evaluated["evaluation"].keys() == {"id success", "id execution", "id intent"}
    stage = Path("checkpoint/links/00/00-robot.safetensors")
    assert (folder / "watched" / stage).read_bytes() == (folder / "unwatched" / stage).read_bytes()
