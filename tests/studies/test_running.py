"""Whole studies through the program: cells, fronts, sweeps, failures, refusals, going on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gf_core import schemas
from gf_core.cli.main import main
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.plugins import PluginHost
from gf_core.studies.checks import check_disk
from gf_core.studies.document import Cell, complete_study
from gf_core.studies.folder import StudyFolder, open_study, read_study, write_document
from gf_core.studies.recipes import Training, cell_training
from gf_core.studies.sweep import is_tried, run_of, write_choices
from gf_core.studies.tasks import Means
from gf_core.studies.trainings import begin_with, make_job
from gf_core.training.lerobot import RobotDataset
from gf_core.training.recipe import Stage
from gf_core.training.running import Job
from gf_core.training.trainer import identity_of, train

from .report import making

Gf = Callable[..., tuple[int, str, str]]
Make = Callable[..., dict[str, Any]]
TWO_ARMS = {
    "full": {"description": "Everything trains."},
    "frozen": {"description": "The head trains.", "set": {"stages.robot.techniques": [{"id": "gf/freeze-v1"}]}},
}
DIVERGING = {"stages.robot.learning_rate.language": 1e30, "stages.robot.optimizer.clip": 0}


class Silent:
    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        pass

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finished(self) -> None:
        pass


def trained_directly(training: Training, host: PluginHost, demos: Path, out: Path) -> list[str]:
    sources = {"robot": RobotDataset(demos, name="robot")}
    checkpoint = train(Job(recipe=training.recipe, host=host, sources=sources, out=out, workers=0), Silent())
    return weights(checkpoint)


def weights(checkpoint: Path) -> list[str]:
    files = sorted(checkpoint.rglob("*.safetensors"))
    assert files
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


class Told(NamedTuple):
    """What is in a directory: file to size, time of change, inode."""

    files: dict[str, tuple[int, int, int]]

    @classmethod
    def of(cls, path: Path) -> Told:
        stats = {str(file): file.stat() for file in sorted(path.rglob("*")) if file.is_file() and file.name != ".lock"}
        return cls({name: (stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()})


def test_a_study_from_its_data_to_its_records(gf: Gf, study_document: Make, host: PluginHost, demos: Path) -> None:
    data = {"robot": {"demos": {"suite": "gf/smoke@1", "limit": 1, "size": 32}}}
    sweep = {"keys": ["stages.robot.learning_rate.*"], "values": [2, 1], "episodes": 1}
    arms = {"full": TWO_ARMS["full"], "frozen": {**TWO_ARMS["frozen"], "sweep": False}}
    document = study_document(data=data, arms=arms, sweep=sweep)
    code, out, err = gf(document, "--json")
    assert code == 0, err
    told = json.loads(out)
    schemas.validate(told, "study_state", source="told")
    assert [row["state"] for row in told["cells"]] == ["done", "done"]

    results = read_study(Path("study"))
    study = complete_study(document, source="s")
    assert results.study.sha256 == study.sha256
    for cell, record in results.records.items():
        assert record.probe is not None
        assert record.checkpoint is not None
        probe = schemas.load_document(record.probe, "probe")
        assert probe["checkpoint"]["sha256"] == record.document["checkpoint"]["sha256"]
        assert list(record.runs) == ["gf/smoke@1"]
        run = record.runs["gf/smoke@1"]
        assert hashlib.sha256((run.path / "episodes.jsonl").read_bytes()).hexdigest() == run.sha256
        assert {"train", "probe", "evaluate"} == record.seconds.keys()
        training = cell_training(study, cell, host, record.value)
        rows = [json.loads(line)["done"] for line in record.metrics.read_text().splitlines()]
        assert rows == [1, 2, 3, 4], "those of the front too"
        assert weights(record.checkpoint) == trained_directly(training, host, demos, Path("direct") / cell.arm)
    assert len(list(Path("study/fronts").iterdir())) == 1, "both arms and both values begin with the same warm-up"

    full, frozen = results.records.values()
    (choice,) = results.choices.values()
    assert choice["chosen"] == full.value == 1, "nothing succeeds after two steps: the smaller one of the tie"
    assert [tried["estimate"] for tried in choice["tried"]] == [0.0, 0.0]
    assert frozen.value is None
    assert full.checkpoint is not None
    assert weights(Path("study/sweeps/small/full/l1/1/training/checkpoint")) == weights(full.checkpoint)
    assert not list(Path("study/sweeps/small/full/l1/0").rglob("*.safetensors")), "what wasn't chosen goes"

    before = Told.of(Path("study"))
    code, out, err = gf(document)
    assert code == 0, err
    assert Told.of(Path("study")) == before, "nothing is done twice"
    assert "2 done" in out


def test_a_failing_cell_is_recorded_and_the_rest_goes_on(gf: Gf, study_document: Make, capfd: Any) -> None:
    arms = {"wild": {"description": "Too fast.", "set": DIVERGING}, **TWO_ARMS}
    document = study_document(arms=arms, probe=None, keep="nothing")
    code, out, err = gf(document)
    assert code == 1
    assert "small/wild/l1/0: FAILED, stage 'robot'" in err
    assert "2 done" in out
    assert "1 failed" in out
    record = read_study(Path("study")).records[Cell(backbone="small", arm="wild", head="l1", seed=0)]
    assert (record.done, record.phase, record.checkpoint) == (False, "train", None)
    assert "is nan at step 2" in record.reason or "is inf at step 2" in record.reason
    assert not list(Path("study/cells/small/full").rglob("*.safetensors")), "no weights are kept"
    assert Path("study/cells/small/full/l1/0/training/checkpoint/checkpoint.json").is_file()

    capfd.readouterr()
    assert main(["study", "show", "study", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    schemas.validate(shown, "study_state", source="shown")
    assert [(row["state"], row["phase"]) for row in shown["cells"]] == [("failed", "train"), ("done", None), ("done", None)]

    done = Told.of(Path("study/cells/small/full"))
    code, out, err = gf(document, "--only", "wild")
    assert code == 1
    assert "small/full" not in err
    assert Told.of(Path("study/cells/small/full")) == done

    frozen = Path("study/cells/small/frozen/l1/0")
    before = (frozen / "training/checkpoint/checkpoint.json").read_bytes()
    shutil.rmtree(frozen / "runs")
    assert gf(document, "--only", "frozen")[0] == 0, "its weights are gone, and it can be done again"
    assert (frozen / "training/checkpoint/checkpoint.json").read_bytes() == before


def test_a_damaged_cell_counts_as_failed_everywhere_and_is_tried_again(gf: Gf, study_document: Make, capfd: Any) -> None:
    arms = {**TWO_ARMS, "third": TWO_ARMS["full"]}
    document = study_document(arms=arms)
    assert gf(document)[0] == 0
    full, frozen, third = (Path("study/cells/small") / arm / "l1/0" for arm in arms)
    episodes = frozen / "runs/gf.smoke@1/episodes.jsonl"
    before = episodes.read_bytes()
    (full / "cell.json").write_text("{")
    episodes.unlink()
    (third / "probe.json").unlink()
    wrong = ("isn't JSON", "episodes.jsonl: No such file", "probe.json: there is no such file")
    for command in ("show", "report"):
        capfd.readouterr()
        assert main(["study", command, "study", "--json"]) == 0
        cells = json.loads(capfd.readouterr().out)["cells"]
        assert [cell["state"] for cell in cells] == ["failed"] * 3
        told = [cell["reason"] if command == "show" else cell["told"] for cell in cells]
        assert all(text in found for text, found in zip(wrong, told, strict=True)), told
    code, out, err = gf(document)
    assert (code, "3 done" in out) == (0, True), err
    assert episodes.read_bytes() == before


@pytest.mark.parametrize("name", ["episodes.jsonl", "run.json"])
def test_a_run_that_was_changed_is_told_by_run_too(gf: Gf, study_document: Make, name: str) -> None:
    document = study_document(probe=None)
    assert gf(document)[0] == 0
    file = Path("study/cells/small/full/l1/0/runs/gf.smoke@1") / name
    file.write_bytes(file.read_bytes().replace(b"smoke@1", b"smoke@2").replace(b'"clipped_steps":', b'"clipped_steps":1'))
    (state,) = read_study(Path("study")).states
    assert (state.state, state.damaged, f"{name} isn't the one" in state.told) == ("failed", True, True)
    code, out, _ = gf(document)
    assert (code, "1 failed" in out) == (1, True)


def test_cells_whose_files_are_torn_are_recorded_as_failed(gf: Gf, study_document: Make) -> None:
    document = study_document(arms=TWO_ARMS, probe=None)
    write_document(Path("study/study.json"), complete_study(document, source="s").document)
    for arm in TWO_ARMS:
        for name in ("training/checkpoint/checkpoint.json", ".seconds.json"):
            file = Path("study/cells/small") / arm / "l1/0" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{")
    code, out, err = gf(document)
    assert (code, "2 failed" in out) == (1, True), err
    assert all("checkpoint.json:1:2: isn't JSON" in record.reason for record in read_study(Path("study")).records.values())


def test_a_sweep_passes_over_a_value_that_diverges(gf: Gf, study_document: Make) -> None:
    sweep = {"keys": ["stages.robot.learning_rate.language"], "values": [1e30, 1e-3], "mode": "replace", "episodes": 1}
    sets = {"stages.robot.optimizer.clip": 0}
    protocol = {**study_document()["protocol"], "set": sets}
    code, _, err = gf(study_document(sweep=sweep, protocol=protocol, probe=None))
    assert code == 0, err
    choice = read_study(Path("study")).choices["small", "full", "l1"]
    first, second = choice["tried"]
    assert first["estimate"] is None
    assert "at step 2" in first["reason"]
    assert (second["estimate"], choice["chosen"]) == (0.0, 1e-3)


def test_only_a_valid_run_of_a_value_is_taken_for_tried(make_study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(sweep={"keys": ["stages.robot.learning_rate.*"], "values": [1, 2, 3], "episodes": 1})
    folder, group, plan = StudyFolder(tmp_path), study.cells[0].group, making.suite(2, 1).episodes
    skill = making.Skill(0.5, 0.5)
    making.write_run(run_of(folder, study, group, 0), skill, 0, plan)
    faulty = {**making.play(skill, plan[0], 0), "success": False, "ending": "env_error"}
    monkeypatch.setattr(making, "play", lambda *_: faulty)
    making.write_run(run_of(folder, study, group, 1), skill, 0, plan)
    assert [is_tried(folder, study, group, number) for number in range(3)] == [True, False, False]


def test_everything_wrong_is_told_at_once_and_nothing_is_made(gf: Gf, study_document: Make) -> None:
    arms = {
        "full": {"description": "x", "set": {"stages.robot.techniques": [{"id": "gf/fulll-finetune-v1"}]}},
        "both": {"description": "x", "set": {"stages.robot.techniques": [{"id": "gf/full-finetune-v1"}] * 2}},
        "vqa": {"description": "x", "set": {"stages.robot.mixture": [{"source": "vqa"}]}},
        "nowhere": {"description": "x", "set": {"stages.later.steps": 3}},
    }
    document = study_document(
        arms=arms,
        heads={"l1": {"id": "gf/regression-v1", "settings": {"width": "wide"}}},
        backbones={"small": {"id": "local/small-v1"}, "large": {"id": "local/smal-v1"}},
        evaluate=[{"suite": "gf/smok@1"}, {"suite": "gf/quick@1", "splits": ["vall"]}],
        policy={"batch_sise": 2},
        probe={"suite": "gf/quick@1", "splits": ["trian"]},
        contrasts=[{"first": "full", "second": "lora"}],
    )
    code, out, err = gf(document)
    assert code == 2
    assert out == ""
    assert "the study can't be run:" in err
    for part in (
        "the study has no arm 'lora'",
        "'local/smal-v1'",
        "'gf/smok@1'",
        "no split 'vall'; did you mean 'val'?",
        "no split 'trian'; did you mean 'train'?",
        "batch_sise",
        "there is no 'later' in the list",
        "expected an integer, found 'wide'",
    ):
        assert part in err, part
    code, out, err = gf(study_document(arms=arms))
    assert code == 2
    for part in ("'gf/fulll-finetune-v1'", "gf/full-finetune-v1 is there twice", "needs data 'vqa'"):
        assert part in err, part
    assert not Path("study").exists()


def test_what_only_a_model_can_tell_is_refused_before_the_first_cell(gf: Gf, study_document: Make) -> None:
    arms = {"full": {"description": "x", "set": {"stages.robot.learning_rate": {"head": 1e-3}}}, "other": TWO_ARMS["frozen"]}
    code, _, err = gf(study_document(arms=arms))
    assert code == 2
    assert "small/full/l1: stage 'robot'" in err
    assert "small/other" not in err
    assert not Path("study/cells").exists()


def test_too_little_disk(gf: Gf, study_document: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: whole._replace(free=1 << 10))
    code, _, err = gf(study_document())
    assert code == 2
    assert "GB are free" in err
    assert "--set keep=nothing" in err
    assert not Path("study/cells").exists()


def test_too_little_disk_for_the_rest(gf: Gf, study_document: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    document = study_document(seeds=[0, 1])
    write_document(Path("study/study.json"), complete_study(document, source="s").document)
    checkpoint = Path("study/cells/small/full/l1/0/training/checkpoint/checkpoint.json")
    checkpoint.parent.mkdir(parents=True)
    golden = Path(__file__).parents[1] / "schemas/golden/checkpoint-1/valid-one.json"
    checkpoint.write_text(golden.read_text().replace('"head": 3', '"head": 1000000000'))
    whole = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: whole._replace(free=10**9))
    code, _, err = gf(document)
    assert (code, "1.0 GB are free" in err) == (2, True), "the cell of the other seed takes what this one took"


def test_the_disk_is_asked_for_all_that_stays(
    make_study: Any, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two arms, a thousand million numbers in the stage that they share and two in their own."""
    whole = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: whole._replace(free=0))
    tasks = 4 * (1 + 2) + 2 * 3 * 4 * 2  # of a cell at work, in GB: its weights, and twice its stage's with two moments

    def asked(out: str, *done: str, **changes: Any) -> float:
        study = make_study(arms=TWO_ARMS, seeds=[0, 1], **changes)
        folder = StudyFolder(tmp_path / out)
        write_document(folder.path / "study.json", study.document)
        if "choices" in done:
            tried = [{"value": 1, "estimate": 0.5, "episodes": 2, "run": "run", "reason": None}]
            choice = {"backbone": "small", "head": "l1", "tried": tried, "chosen": 1}
            write_choices(study, folder, [{**choice, "arm": arm} for arm in TWO_ARMS])
        counts = {cell.group: [10**9, 2 * 10**9] for cell in study.cells}
        with pytest.raises(GrinningFaceError) as error:
            check_disk(study, folder, counts, host, Means(jobs=0), study.cells, study.cells[2:] if done else study.cells)
        return float(error.value.what.split()[4]) / 1.1

    sweep = {"keys": ["stages.robot.learning_rate.head"], "values": [1, 2], "episodes": 1}
    assert asked("all") == pytest.approx(tasks + 4 * 12, abs=0.1)
    assert asked("rest", "seed 0") == pytest.approx(tasks + 2 * 12, abs=0.1)
    assert asked("nothing", keep="nothing") == pytest.approx(tasks + 2 * 4, abs=0.1), "a front for each seed"
    swept = asked("swept", keep="nothing", sweep=sweep)
    assert swept == pytest.approx(tasks + 12 + 2 * 12 + 2 * 4, abs=0.1), "the values of one, and the chosen one of each arm"
    assert asked("chosen", "choices", keep="nothing", sweep=sweep) == pytest.approx(tasks + 4, abs=0.1)


def test_a_directory_has_one_study_and_one_runner(gf: Gf, study_document: Make) -> None:
    document = study_document()
    with open_study(Path("study"), complete_study(document, source="s")) as (folder, _):
        assert isinstance(folder, StudyFolder)
        code, _, err = gf(document)
        assert (code, "another study runner is at work in it" in err) == (2, True)
    Path("study/cells").mkdir()
    code, _, err = gf(document, "--set", "seeds=[1]")
    assert (code, "holds another study: /seeds/0 is 0 there and 1 here" in err) == (2, True)
    Path("other").mkdir()
    Path("other/notes.txt").write_text("mine")
    code, _, err = gf(document, out="other")
    assert (code, "holds 'notes.txt' but no study.json" in err) == (2, True)
    code, _, err = gf(document, "--only", "lora")
    assert (code, "no cell matches 'lora'; cells are called like small/full/l1/0" in err) == (2, True)


def test_a_dry_run_writes_nothing(gf: Gf, study_document: Make) -> None:
    code, out, _ = gf(study_document(arms=TWO_ARMS), "--dry-run", "--only", "*/frozen/*")
    assert code == 0
    assert "1 cells:\n  small/frozen/l1/0" in out
    assert not Path("study").exists()


def change(data: Path) -> None:
    info = data / "meta/info.json"
    info.write_text(info.read_text().replace('"robot_type"', '"x-note": 1, "robot_type"'))


def test_data_that_changed_since_is_refused(gf: Gf, study_document: Make, demos: Path) -> None:
    shutil.copytree(demos, "mine")
    document = study_document(data={"robot": {"path": "mine"}}, arms=TWO_ARMS, probe=None)
    assert gf(document, "--only", "full")[0] == 0
    change(Path("mine"))
    refusal = "mine: data 'robot' isn't what was trained on before; give a new --out"
    code, _, err = gf(document)
    assert (code, refusal in err) == (2, True)

    tried = Path("study/sweeps/small/full/l1/0")
    tried.parent.mkdir(parents=True)
    Path("study/cells/small/full/l1/0").rename(tried)
    shutil.rmtree("study/cells")
    document["sweep"] = {"keys": ["stages.robot.learning_rate.*"], "values": [1, 2], "episodes": 1}
    write_document(Path("study/study.json"), complete_study(document, source="s").document)
    code, _, err = gf(document)
    assert (code, refusal in err) == (2, True), "a value of the sweep was chosen by policies of other data"


def test_a_front_of_other_data_is_not_gone_on_from(make_study: Any, host: PluginHost, demos: Path, tmp_path: Path) -> None:
    shutil.copytree(demos, tmp_path / "mine")
    study = make_study(data={"robot": {"path": str(tmp_path / "mine")}})
    training, folder, means = cell_training(study, study.cells[0], host), StudyFolder(tmp_path), Means(jobs=0)
    front = tmp_path / "front"
    for name in ("stages/00-warmup.safetensors", "checkpoint/checkpoint.json", "progress.json", "metrics.jsonl"):
        (front / name).parent.mkdir(parents=True, exist_ok=True)
        (front / name).write_text("{}")
    write_document(front / "job.json", identity_of(make_job(training.front(1), study, folder, host, means, front), 1))
    begin_with(front, make_job(training, study, folder, host, means, tmp_path / "one"))
    assert (tmp_path / "one/stages/00-warmup.safetensors").is_file()
    change(tmp_path / "mine")
    other = make_job(training, study, folder, host, means, tmp_path / "two")
    with pytest.raises(MismatchError, match="front: was trained on other data; give a new --out"):
        begin_with(front, other)
    assert not other.out.exists()
