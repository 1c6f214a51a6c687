"""The numbers of a study, held against what its run directories say."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gf_core.errors import RunDirectoryError
from gf_core.statistics import clustered_rate, two_level_difference, two_level_interval, two_level_test
from gf_core.studies.document import Cell, Study
from gf_core.studies.folder import StudyFolder
from gf_core.studies.report.evidence import Condition, StudyEvidence, read_evidence_of_study
from gf_core.studies.report.tables import Table, make_tables
from gf_core.studies.report.wording import needs

from . import making
from .making import Skill, make_study, write_cell, write_run, write_study, write_whole_study

PLAN = making.suite(12, 2).episodes
CLUMSY = Skill(0.8, 0.7)
Counts = list[dict[str, tuple[int, int]]]


def read(root: Path) -> StudyEvidence:
    return read_evidence_of_study(root, lambda _: making.suite(12, 2))


def tables_of(root: Path) -> dict[str, Table]:
    return {table.split: table for table in make_tables(read(root))}


def arm(name: str) -> Condition:
    return Condition(backbone="nano", arm=name, head="act")


def counted(root: Path, name: str, split: str, metric: str, only: Sequence[str] | None = None) -> Counts:
    """Seed by seed, k and n of each cluster, straight from the files."""
    found = []
    for file in sorted((root / "cells/nano" / name / "act").glob("*/runs/*/episodes.jsonl")):
        cells: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            value = row["success"] if metric == "success" else row["metrics"][metric]
            if row["split"] == split and value is not None and (only is None or row["episode"] in only):
                cells[row["cluster"]][0] += value
                cells[row["cluster"]][1] += 1
        found.append({cluster: (k, n) for cluster, (k, n) in cells.items()})
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies") / "whole"
    write_whole_study(root, make_study(), PLAN, {**making.SKILLS, "scratch": Skill(0.5, 1 / 3)})
    return root


def test_rates_and_intervals_are_those_of_the_recorded_episodes(whole: Path) -> None:
    for split, table in tables_of(whole).items():
        assert [decl.name for decl in table.rates] == ["success", "execution", "recognition", "intent"]
        for row in table.rows:
            for found, metric in zip(row.figures, ("success", "executed", "recognized", "intent_correct"), strict=True):
                expected = two_level_interval(counted(whole, row.condition.arm, split, metric))
                assert found.claim
                assert (found.estimate, found.interval) == (expected.estimate, expected.interval)


def test_the_headline_split_comes_first_and_alone_is_spoken_of(whole: Path) -> None:
    assert [(table.split, table.headline) for table in make_tables(read(whole))] == [("val", True), ("id", False)]


def test_contrasts_are_the_named_ones_and_adjusted_by_holm(whole: Path) -> None:
    table = tables_of(whole)["val"]
    by_success = table.compared["success"]
    assert [(c.first.arm, c.second.arm) for c in by_success] == [("lora", "full"), ("full", "scratch")]
    assert set(table.compared) == {"success", "execution", "intent"}
    ps = []
    for one in by_success:
        sides = [counted(whole, c.arm, "val", "success") for c in (one.first, one.second)]
        difference = two_level_difference(*sides)
        assert (one.difference, one.interval, one.p) == (difference.estimate, difference.interval, two_level_test(*sides).p)
        ps.append(one.p)
    smaller, larger = sorted(ps)
    adjusted = sorted(c.p_adjusted for c in by_success)
    assert adjusted == pytest.approx([min(2 * smaller, 1), max(min(2 * smaller, 1), larger)])


def test_letters_compare_all_pairs_so_that_the_unnamed_worst_shares_none_with_the_best(whole: Path) -> None:
    letters = {row.condition.arm: set(row.letters["success"]) for row in tables_of(whole)["val"].rows}
    assert "a" in letters["lora"]
    assert not letters["lora"] & letters["scratch"]


def test_fewer_than_three_seeds_are_no_claim(tmp_path: Path) -> None:
    root = tmp_path / "study"
    write_whole_study(root, make_study(seeds=[0]), PLAN)
    table = tables_of(root)["val"]
    for row in table.rows:
        assert row.notes == ("provisional: 1 seed",)
        assert not row.letters
        (cells,) = counted(root, row.condition.arm, "val", "success")
        expected = clustered_rate([k for k, _ in cells.values()], [n for _, n in cells.values()])
        assert not row.figures[0].claim
        assert (row.figures[0].estimate, row.figures[0].interval) == (expected.estimate, expected.interval)
    lora = table.compared["success"][0]
    assert not lora.claim
    assert lora.seeds == (1, 1)
    assert lora.seeds_needed is None


def test_where_nothing_varies_no_number_of_seeds_is_named(tmp_path: Path) -> None:
    root = tmp_path / "study"
    skills = {"full": Skill(-1.0, 0.5), "lora": Skill(1.5, 1.5), "scratch": Skill(0.5, 0.5)}
    write_whole_study(root, make_study(), PLAN[:8], skills)
    lora = tables_of(root)["val"].compared["success"][0]
    assert (lora.claim, lora.difference, lora.separable, lora.seeds_needed) == (True, 1.0, False, None)
    assert needs(lora) == "more targets: no number of seeds up to 100 is known to do"


def test_only_common_episodes_are_compared(tmp_path: Path) -> None:
    root = tmp_path / "study"
    study = make_study()
    folder = write_whole_study(root, study, PLAN)
    part = [episode for episode in PLAN if not episode.id.endswith("-1")]
    rewrite(folder, study, Cell(backbone="nano", arm="full", head="act", seed=1), part)
    lora, scratch = tables_of(root)["val"].compared["success"]
    assert (lora.episodes, scratch.episodes) == (12, 12)
    only = [episode.id for episode in part]
    sides = [counted(root, name, "val", "success", only) for name in ("lora", "full")]
    assert lora.difference == two_level_difference(*sides).estimate


def rewrite(folder: StudyFolder, study: Study, cell: Cell, plan: Sequence[making.Episode], skill: Skill = CLUMSY) -> None:
    shutil.rmtree(folder.cell(cell))
    run = write_run(folder.cell(cell) / "runs" / "demo.suite@1", skill, cell.id, plan)
    write_cell(folder, study, cell, {"demo/suite@1": run})


def test_failed_missing_and_damaged_cells_are_listed_and_count_in_the_family(tmp_path: Path) -> None:
    root = tmp_path / "study"
    study = make_study()
    folder = write_study(root, study)
    for cell in study.cells:
        if cell.arm == "scratch":
            if cell.seed == 0:
                write_cell(folder, study, cell, {}, failed=("train", "the loss isn't finite"))
            continue
        run = write_run(folder.cell(cell) / "runs" / "demo.suite@1", making.SKILLS[cell.arm], cell.id, PLAN)
        write_cell(folder, study, cell, {"demo/suite@1": run})
    damaged = folder.cell(Cell(backbone="nano", arm="full", head="act", seed=2)) / "runs" / "demo.suite@1" / "episodes.jsonl"
    damaged.write_bytes(damaged.read_bytes().replace(b'"steps":70', b'"steps":71', 1))
    evidence = read(root)
    told = {cell.cell.id: (cell.state, cell.told) for cell in evidence.cells if not cell.done}
    assert told["nano/scratch/act/0"] == ("failed", "train: the loss isn't finite")
    assert told["nano/scratch/act/1"] == ("to do", "")
    state, reason = told["nano/full/act/2"]
    assert state == "failed"
    assert "episodes.jsonl" in reason
    table = make_tables(evidence)[0]
    rows = {row.condition.arm: row for row in table.rows}
    assert (rows["scratch"].seeds, rows["scratch"].notes, rows["scratch"].figures) == ("0 of 3", ("no finished cell",), ())
    assert (rows["full"].seeds, rows["full"].notes) == ("2 of 3", ("provisional: 2 seeds",))
    lora, scratch = table.compared["success"]
    assert scratch.problem == "no finished cell of scratch"
    assert scratch.p == 1.0
    assert lora.p_adjusted == pytest.approx(min(1.0, 2 * lora.p))


def test_another_run_than_the_recorded_one_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "study"
    study = make_study(seeds=[0])
    folder = write_whole_study(root, study, PLAN)
    place = folder.cell(study.cells[0]) / "runs" / "demo.suite@1"
    shutil.rmtree(place)
    write_run(place, Skill(1.1, 1.1), "other", PLAN)
    (bad,) = [cell for cell in read(root).cells if not cell.done]
    assert "isn't the one that the cell recorded" in bad.told


def test_a_seed_that_never_executes_leaves_recognition_without_a_claim(tmp_path: Path) -> None:
    root = tmp_path / "study"
    study = make_study()
    folder = write_whole_study(root, study, PLAN)
    rewrite(folder, study, Cell(backbone="nano", arm="full", head="act", seed=0), PLAN, Skill(-1.0, 0.5))
    figures = {f.decl.name: f for row in tables_of(root)["val"].rows if row.condition == arm("full") for f in row.figures}
    assert figures["execution"].claim
    assert (figures["recognition"].claim, figures["recognition"].scored_seeds) == (False, 2)


def test_all_pairs_are_compared_where_none_is_named_and_settings_stay_apart(tmp_path: Path) -> None:
    root = tmp_path / "study"
    backbones = {name: {"id": "gf/nano-v1"} for name in ("nano", "pixel")}
    write_whole_study(root, make_study(contrasts=[], backbones=backbones, seeds=[0]), PLAN[:8])
    (compared,) = {name: found for name, found in tables_of(root)["val"].compared.items() if name == "success"}.values()
    assert len(compared) == 6
    assert all(one.first.backbone == one.second.backbone for one in compared)


def test_overall_is_shown_where_success_is_something_else(tmp_path: Path) -> None:
    root = tmp_path / "study"
    study = make_study(seeds=[0])
    folder = write_study(root, study)
    for cell in study.cells:
        run = write_run(folder.cell(cell) / "runs" / "x", Skill(0.9, 0.5), cell.id, PLAN)
        write_cell(folder, study, cell, {"demo/suite@1": run})
    strict = replace(making.suite(12, 2), metrics=tuple(d for d in making.METRICS if d.name != "success"))
    table = make_tables(read_evidence_of_study(root, lambda _: strict))[0]
    assert [decl.name for decl in table.rates] == ["success", "execution", "recognition", "intent"]
    loose = (replace(making.METRICS[0], metric="executed"), *making.METRICS[1:])
    table = make_tables(read_evidence_of_study(root, lambda _: replace(making.suite(12, 2), metrics=loose)))[0]
    assert [decl.name for decl in table.rates][:2] == ["success", "overall"]
    figures = {f.decl.name: f for f in table.rows[0].figures}
    (cells,) = counted(root, "full", "val", "success")
    assert figures["overall"].k == sum(k for k, _ in cells.values()) < figures["success"].k


def test_no_study_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"holds no study\.json; give a directory that `gf study run` wrote"):
        read(tmp_path)
