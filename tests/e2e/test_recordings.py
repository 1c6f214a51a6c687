"""What becomes of a run afterwards: reports, replays and videos; and whoever tampered with it is found out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gf_core.schemas import validate

from .conftest import Gf, call, results, rows

Change = Callable[[Path], None]


def test_a_video_shows_the_whole_episode(gf: Gf, expert_run: Path, tmp_path: Path) -> None:
    row = rows(expert_run)[0]
    for suffix in ("webp", "gif"):
        done = gf("replay", expert_run, row["episode"], "--video", f"a.{suffix}", "--size", "64")
        assert (done.returncode, done.stderr) == (0, "")
        assert "replayed exactly as recorded" in done.stdout
        with Image.open(tmp_path / f"a.{suffix}") as film:
            assert getattr(film, "n_frames", 0) == row["steps"] + 1
            first = film.convert("RGB").tobytes()
            film.seek(row["steps"])
            assert film.convert("RGB").tobytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.webp"]


@pytest.mark.parametrize(
    ("name", "line"),
    [("a.mp4", "use .webp or .gif"), ("nowhere/a.gif", "nowhere: there is no such folder"), (".", "is a directory")],
)
def test_a_video_that_can_not_be_is_refused_before_it_is_drawn(
    refused: Callable[..., str], expert_run: Path, name: str, line: str
) -> None:
    assert line in refused("replay", expert_run, rows(expert_run)[0]["episode"], "--video", name)


def replace(name: str, old: bytes, new: bytes, line: int) -> Change:
    def change(run: Path) -> None:
        lines = (run / name).read_bytes().splitlines(keepends=True)
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new)
        (run / name).write_bytes(b"".join(lines))

    return change


def drop_last(run: Path) -> None:
    lines = (run / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (run / "episodes.jsonl").write_bytes(b"".join(lines[:-1]))


def unfinished(change: Change) -> Change:
    def both(run: Path) -> None:
        (run / "episodes.jsonl").unlink()
        change(run)

    return both


SUCCESS = (b'"success":true', b'"success":false')


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (replace("episodes.jsonl", *SUCCESS, 3), "run/episodes.jsonl:5: the row doesn't follow from the one before it"),
        (replace("episodes.jsonl", *SUCCESS, -1), "run: episodes.jsonl was changed after the run ended"),
        (drop_last, "run: episodes.jsonl was changed after the run ended"),
        (replace("run.json", b'"partial":false', b'"partial":true', 0), "run/episodes.jsonl:1: the row doesn't follow"),
        (unfinished(replace("journal.jsonl", b'"kind"', b'"knd"', 3)), "run/journal.jsonl:4: not a row of a journal"),
        (unfinished(replace("journal.jsonl", b'"record"', b'"rec"', 3)), "run/journal.jsonl:4: not a row of a journal"),
        (unfinished(replace("journal.jsonl", b"{", b"", 3)), "run/journal.jsonl:4: not JSON"),
    ],
    ids=["a row", "the last row", "no last row", "run.json", "no kind", "no record", "no JSON"],
)
def test_an_edited_run_is_named(refused: Callable[..., str], expert_run: Path, tmp_path: Path, change: Change, line: str) -> None:
    shutil.copytree(expert_run, tmp_path / "run")
    change(tmp_path / "run")
    assert refused("report", "run").startswith(line)
    assert refused("replay", "run", rows(expert_run)[0]["episode"]).startswith(line)


def test_an_edited_trajectory_is_named_and_never_counted(
    refused: Callable[..., str], gf: Gf, expert_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(expert_run, tmp_path / "run")
    episode = rows(expert_run)[0]["episode"]
    file = tmp_path / "run" / "trajectories" / f"{episode}.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    again = ("run", "gf/smoke@1", "--policy", "gf/expert-v1", "--out", "run")
    changed = f"run: trajectories/{episode}.npz was changed after the run ended; run into another --out"
    assert refused("replay", "run", episode) == (
        f"run/trajectories/{episode}.npz: the file was changed after the episode was recorded"
    )
    assert refused(*again) == changed
    file.unlink()
    assert refused("replay", "run", episode) == f"run/trajectories/{episode}.npz: the file is missing"
    assert refused(*again) == changed
    (tmp_path / "run" / "episodes.jsonl").unlink()  # a run that isn't finished plays the episode again
    assert gf(*again).returncode == 0
    assert results(tmp_path / "run") == results(expert_run)


def test_an_unfinished_run_is_reported_as_such(gf: Gf, expert_run: Path, tmp_path: Path) -> None:
    shutil.copytree(expert_run, tmp_path / "half")
    (tmp_path / "half" / "episodes.jsonl").unlink()
    journal = (tmp_path / "half" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "half" / "journal.jsonl").write_bytes(b"".join(journal[:6]) + journal[6][:50])  # torn in the middle of a row
    done = gf("report", "half")
    assert (done.returncode, done.stderr) == (0, "")
    assert "INCOMPLETE: 5 of 12 episodes" in done.stdout
    (tmp_path / "half" / "journal.jsonl").write_bytes(journal[0])
    done = gf("report", "half", expert_run)
    assert (done.returncode, done.stderr) == (0, "")
    assert "INCOMPLETE: 0 of 12 episodes" in done.stdout
    assert done.stdout.count("gf/expert-v1") == 2


def test_every_json_is_what_its_schema_says(expert_run: Path, tmp_path: Path) -> None:
    def document(*arguments: object) -> dict[str, object]:
        done = call(tmp_path, *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    commands: dict[str, tuple[object, ...]] = {
        "list": ("list",),
        "plugins": ("plugins", "list"),
        "doctor": ("doctor",),
        "report": ("report", expert_run),
        "replay": ("replay", expert_run, rows(expert_run)[0]["episode"]),
        "spec": ("show", "gf/tabletop-v1"),
    }
    for kind, command in commands.items():
        validate(document(*command), kind, source=kind)
    again = document("run", "gf/smoke@1", "--policy", "gf/expert-v1", "--out", expert_run)
    validate(again, "report", source="run")


def test_everything_that_is_listed_can_be_shown(refused: object, capfd: pytest.CaptureFixture[str]) -> None:
    from gf_core.cli.main import main

    assert main(["list", "--json"]) == 0
    specs = json.loads(capfd.readouterr().out)["specs"]
    assert {spec["of"] for spec in specs} >= {"policies", "envs", "decks", "suites"}
    for spec in specs:
        assert main(["show", spec["id"], "--json"]) == 0
        validate(json.loads(capfd.readouterr().out), "spec", source=spec["id"])
        assert main(["show", spec["id"]]) == 0
        assert spec["summary"] in capfd.readouterr().out
