"""A study as one file: the same numbers, several machines' cells together, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.main import main
from gf_core.errors import RunDirectoryError
from gf_core.studies.document import Cell
from gf_core.studies.folder import RECORD, StudyFolder, read_study, write_document
from gf_core.studies.packing import opened, pack
from gf_core.studies.report import to_document
from gf_core.studies.report.evidence import read_evidence_of_study
from gf_core.studies.report.text import render_study

from . import making
from .making import SKILLS, Skill, make_study, write_cell, write_run, write_study, write_whole_study

PLAN = making.suite(6, 1).episodes
SWEEP = {"keys": ["stages.*.learning_rate.*"], "values": [0.5, 1], "seed": 0}


def report(place: Path) -> dict[str, Any]:
    with opened(place) as folder:
        return to_document(read_evidence_of_study(folder, lambda _: making.suite(6, 1)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("studies") / "whole"
    write_whole_study(root, make_study(seeds=[0, 1, 2]), PLAN)
    write_run(root / "controls" / "expert", Skill(1.1, 1.1), 0, PLAN, policy="gf/expert-v1")
    write_run(root / "controls" / "others" / "touring", Skill(1.1, 0.3), 0, PLAN, policy="gf/touring-v1")
    return root


def copy_of(root: Path, into: Path, keep: Callable[[Cell], bool] = lambda cell: True) -> StudyFolder:
    """The study with some of its cells."""
    shutil.copytree(root, into)
    folder = StudyFolder(into)
    for cell in make_study(seeds=[0, 1, 2]).cells:
        if not keep(cell):
            shutil.rmtree(folder.cell(cell))
    return folder


def test_a_pack_has_the_numbers_of_its_directory(whole: Path, tmp_path: Path) -> None:
    packed = pack([whole], tmp_path / "study.zip")
    assert [state.state for state in packed.states] == ["done"] * 9
    assert report(tmp_path / "study.zip") == report(whole)
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert names == {"study.json", "cell.json", "probe.json", "metrics.jsonl", "run.json", "episodes.jsonl"}


def test_the_same_results_give_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    copy_of(whole, tmp_path / "copy")
    pack([whole], tmp_path / "a.zip")
    pack([tmp_path / "copy", tmp_path / "a.zip"], tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_cells_of_several_machines_come_together(whole: Path, tmp_path: Path) -> None:
    first = copy_of(whole, tmp_path / "first", lambda cell: cell.arm == "full")
    copy_of(whole, tmp_path / "second", lambda cell: cell.arm != "full")
    study = make_study(seeds=[0, 1, 2])
    failing = next(cell for cell in study.cells if cell.arm == "lora")
    write_cell(first, study, failing, {}, failed=("train", "the loss isn't finite"))
    begun = next(cell for cell in study.cells if cell.arm == "scratch")
    (first.cell(begun) / "training").mkdir(parents=True)
    pack([tmp_path / "second"], tmp_path / "second.zip")
    pack([tmp_path / "first", tmp_path / "second.zip"], tmp_path / "both.zip")
    assert report(tmp_path / "both.zip") == report(whole)
    alone = pack([tmp_path / "first"], tmp_path / "one.zip")
    states = {state.cell.id: state.state for state in alone.states}
    assert states.pop(failing.id) == "failed"
    assert states.pop(begun.id) == "started"
    assert set(states.values()) == {"done", "to do"}
    cells = {tuple(cell["condition"].values()): cell for cell in report(tmp_path / "one.zip")["cells"] if cell["seed"] == 0}
    assert cells["nano", "lora", "act"]["told"] == "train: the loss isn't finite"
    assert cells["nano", "scratch", "act"]["state"] == "to do"


def test_what_sweeps_chose_comes_together(tmp_path: Path) -> None:
    study = make_study(seeds=[0, 1, 2], sweep=SWEEP)

    def choice(arm: str, chosen: float) -> dict[str, Any]:
        tried = [{"value": v, "estimate": 0.5, "episodes": 96, "run": "sweeps/x", "reason": None} for v in SWEEP["values"]]
        return {"backbone": "nano", "arm": arm, "head": "act", "tried": tried, "chosen": chosen}

    for name, choices in (("a", [("scratch", 1), ("full", 0.5)]), ("b", [("full", 0.5), ("lora", 1)]), ("c", [("lora", 0.5)])):
        write_study(tmp_path / name, study, [choice(*one) for one in choices])
    pack([tmp_path / "a", tmp_path / "b"], tmp_path / "ab.zip")
    with opened(tmp_path / "ab.zip") as folder:
        found = json.loads((folder / "choices.json").read_text())
    assert [(one["arm"], one["chosen"]) for one in found["choices"]] == [("full", 0.5), ("lora", 1), ("scratch", 1)]
    with pytest.raises(RunDirectoryError, match="the sweep of nano/lora/act isn't the same as in another place"):
        pack([tmp_path / "ab.zip", tmp_path / "c"], tmp_path / "abc.zip")
    assert not (tmp_path / "abc.zip").exists()


def test_one_seed_trained_twice_counts_once(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "again")
    study = make_study(seeds=[0, 1, 2])
    cell = study.cells[0]
    shutil.rmtree(folder.cell(cell))
    run = write_run(folder.cell(cell) / "runs" / "demo.suite@1", SKILLS[cell.arm], "another time", PLAN)
    write_cell(folder, study, cell, {"demo/suite@1": run})
    with pytest.raises(RunDirectoryError, match=f"cell {cell.id} is finished in .*whole too, with other results"):
        pack([whole, tmp_path / "again"], tmp_path / "both.zip")


def test_the_same_training_on_a_slower_machine_is_the_same_cell(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "slower")
    file = folder.cell(make_study(seeds=[0, 1, 2]).cells[0]) / RECORD
    write_document(file, json.loads(file.read_text()) | {"seconds": {"train": 1e6}})
    pack([whole, tmp_path / "slower"], tmp_path / "both.zip")
    assert report(tmp_path / "both.zip") == report(whole)


def test_controls_of_one_name_are_the_same_ones(whole: Path, tmp_path: Path) -> None:
    copy_of(whole, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "controls" / "expert")
    write_run(tmp_path / "copy" / "controls" / "expert", Skill(0.5, 0.5), 0, PLAN, policy="gf/expert-v1")
    with pytest.raises(RunDirectoryError, match=r"controls/expert/episodes\.jsonl isn't the same as in another place"):
        pack([whole, tmp_path / "copy"], tmp_path / "both.zip")


def test_another_study_is_refused(whole: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "other", make_study(seeds=[0, 1, 2], question="What else?"))
    with pytest.raises(RunDirectoryError, match=r"holds another study than .*whole: /question is"):
        pack([whole, tmp_path / "other"], tmp_path / "both.zip")


def test_cells_of_different_data_are_refused(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "copy")
    one, two = make_study(seeds=[0, 1, 2]).cells[:2]
    for cell, digest in ((one, "a" * 64), (two, "b" * 64)):
        file = folder.cell(cell) / RECORD
        write_document(file, json.loads(file.read_text()) | {"data": {"robot": digest}})
    with pytest.raises(RunDirectoryError, match=f"cells {one.id} and {two.id} were trained on different data 'robot'"):
        pack([tmp_path / "copy"], tmp_path / "study.zip")


def hostile(path: Path, names: list[str], content: bytes = b"{}") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../study.json",
        "/etc/study.json",
        "cells/../../../x/0/cell.json",
        "cells/a/b/c/0/training/checkpoint.json",
        "cells/a/b/c/0/runs/./run.json",
        "controls/../run.json",
        "cells\\a\\b\\c\\0\\cell.json",
    ],
)
def test_a_file_with_other_things_is_refused(name: str, tmp_path: Path) -> None:
    file = hostile(tmp_path / "x.zip", ["study.json", name])
    with pytest.raises(RunDirectoryError, match="which no study's pack holds"), opened(file):
        raise AssertionError
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.zip"]


def test_damaged_files_are_refused(whole: Path, tmp_path: Path) -> None:
    pack([whole], tmp_path / "study.zip")
    content = (tmp_path / "study.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:-400])
    (tmp_path / "text.zip").write_text("hello")
    for name in ("cut.zip", "text.zip"):
        with pytest.raises(RunDirectoryError, match="is no study's pack, or a damaged one"), opened(tmp_path / name):
            raise AssertionError
    luck, refused = random.Random(0), 0
    for _ in range(100):
        place = luck.randrange(len(content))
        (tmp_path / "flipped.zip").write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            with opened(tmp_path / "flipped.zip"):
                pass  # of the bytes of dates and attributes nothing depends
        except RunDirectoryError:
            refused += 1
    assert refused > 80


def test_methods_that_packs_do_not_use_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("study.json", b"{}")
    with pytest.raises(RunDirectoryError, match="or not like this"), opened(tmp_path / "x.zip"):
        raise AssertionError


def test_a_folder_that_another_program_zipped_is_a_pack(whole: Path, tmp_path: Path) -> None:
    pack([whole], tmp_path / "study.zip")
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        archive.extractall(tmp_path / "folder")
    shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "folder")
    assert report(tmp_path / "again.zip") == report(whole)


def test_messages_name_the_pack_and_not_where_it_is_unzipped(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of(whole, tmp_path / "copy")
    one, two = make_study(seeds=[0, 1, 2]).cells[:2]
    episodes = folder.cell(one) / "runs" / "demo.suite@1" / "episodes.jsonl"
    pack([tmp_path / "copy"], tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
        for name in old.namelist():
            if name != folder.cell(two).relative_to(folder.path).joinpath("cell.json").as_posix():
                same = name != episodes.relative_to(folder.path).as_posix()
                new.writestr(name, old.read(name) if same else old.read(name) + b"{}\n")
    with opened(tmp_path / "bad.zip") as place:
        told = read_study(place).states[0].told
    assert told.startswith("its files can't be read: cells/nano/full/act/0/runs/")
    hostile(tmp_path / "none.zip", ["cells/a/b/c/0/cell.json"])
    assert main(["study", "show", str(tmp_path / "none.zip")]) == 2
    assert f"error: {tmp_path / 'none.zip'}: holds no study.json" in capsys.readouterr().err


def test_a_cell_of_another_seed_or_study_is_not_taken_for_it(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "copy")
    one, two, three = make_study(seeds=[0, 1, 2]).cells[:3]
    shutil.rmtree(folder.cell(two))
    shutil.copytree(folder.cell(one), folder.cell(two))
    file = folder.cell(three) / RECORD
    write_document(file, json.loads(file.read_text()) | {"study_sha256": "f" * 64})
    states = read_study(tmp_path / "copy").states
    assert [state.state for state in states[:3]] == ["done", "failed", "failed"]
    assert states[1].told.endswith("cell.json: is another cell's, or another study's")


def test_a_control_that_is_still_played_is_left_out(whole: Path, tmp_path: Path) -> None:
    copy_of(whole, tmp_path / "copy")
    (tmp_path / "copy" / "controls" / "expert" / "episodes.jsonl").unlink()
    pack([tmp_path / "copy"], tmp_path / "study.zip")
    assert [control["run"] for control in report(tmp_path / "study.zip")["controls"]] == ["controls/others/touring"]


def test_a_record_leads_nowhere_else(whole: Path, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "copy")
    cell = make_study(seeds=[0, 1, 2]).cells[0]
    file = folder.cell(cell) / RECORD
    write_document(file, json.loads(file.read_text()) | {"probe": "../../../../../secret.json"})
    packed = pack([tmp_path / "copy"], tmp_path / "study.zip")
    assert [state.damaged for state in packed.states] == [True] + [False] * 8
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        assert not [name for name in archive.namelist() if cell.id.replace("nano/", "cells/nano/") in name]


def test_the_command(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "study.zip"
    assert main(["study", "pack", str(whole), "--out", str(out), "--json"]) == 0
    told = capsys.readouterr()
    assert f"wrote {out}" in told.err
    cells = json.loads(told.out)["cells"]
    assert {cell["state"] for cell in cells} == {"done"}
    assert main(["study", "show", str(out)]) == 0
    assert f"reported with  gf study report {out}" in capsys.readouterr().out
    assert main(["study", "pack", str(tmp_path), "--out", str(out)]) == 2
    assert "holds no study.json" in capsys.readouterr().err
    assert main(["study", "pack", str(whole), "--out", str(tmp_path / "study.json")]) == 2
    assert "is named as a study's own files are" in capsys.readouterr().err
    assert main(["study", "pack", str(whole), "--out", str(tmp_path / "no" / "x.zip")]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_text_can_be_written_after_the_file_is_closed(whole: Path, tmp_path: Path) -> None:
    pack([whole], tmp_path / "study.zip")
    with opened(tmp_path / "study.zip") as folder:
        evidence = read_evidence_of_study(folder, lambda _: making.suite(6, 1))
    assert not folder.exists()
    assert render_study(evidence, width=120) == render_study(
        read_evidence_of_study(whole, lambda _: making.suite(6, 1)), width=120
    )
