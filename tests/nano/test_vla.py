"""The nano policy that comes with the program: it finds cards and places cubes, through the runner."""

from __future__ import annotations

import json
from pathlib import Path

import gf_policies.nano
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.plugins import load_plugins
from gf_core.studies.document import load_study
from gf_core.studies.recipes import cell_training

FOLDER = Path(gf_policies.nano.__file__).with_name("vla")


def test_it_is_the_arm_of_the_study_that_the_docs_name() -> None:
    document = json.loads((FOLDER / "checkpoint.json").read_text())
    (link,) = document["links"]
    study = load_study("inheritance")
    (cell,) = (cell for cell in study.cells if cell.id == "nano/lora/standard/0")
    assert link["recipe_sha256"] == cell_training(study, cell, load_plugins()).recipe.sha256
    assert document["finished"]
    assert all(file.stat().st_size < 10_000_000 for file in FOLDER.rglob("*"))


def test_it_places_cubes_on_the_right_cards(tmp_path: Path) -> None:
    """docs/nano.md has the numbers over whole splits."""
    request = Request(suite="gf/quick@1", policy="gf/nano-vla-v1", policy_config={"threads": 1}, limit=6)
    result = run_suite(request, host=load_plugins(), out=tmp_path / "run", resources=Resources(slots=6, in_process=True))
    rows = [json.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()]
    assert result.run.valid
    assert len(rows) == 6
    assert sum(row["success"] for row in rows) >= 3
