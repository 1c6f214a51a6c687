"""`gf demos`, as it is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from gf_core import schemas
from gf_core.cli.main import main


def gf(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "demos"
    assert gf("demos", "record", "gf/smoke@1", "--out", out, "--limit", 1, "--size", 32, "--cameras", "third, demo") == 0
    return out


def test_record_prints_its_document_when_asked_again(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ("demos", "record", "gf/smoke@1", "--out", recorded, "--limit", 1, "--size", 32, "--cameras", "third,demo")
    assert gf(*again, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    schemas.validate(document, "demos", source="stdout")
    assert [camera["name"] for camera in document["cameras"]] == ["third", "demo"]
    assert document["recording"]["policy"]["id"] == "gf/expert-v1"
    assert gf(*again) == 0
    out, err = capsys.readouterr()
    assert out.startswith("1 of 1 episodes, ")
    assert err == "it was complete: nothing was done\n"


def test_show_says_what_the_numbers_mean(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gf("demos", "show", recorded) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 episodes, ")
    assert lines[0].endswith("at 20 Hz · third 32 × 32, demo 32 × 32")
    assert lines[1] == "actions: ee_delta, relative to previous_target, rotation rotvec"
    assert [line.split()[:2] for line in lines[3:5]] == [["action.dx", "m"], ["action.dy", "m"]]
    assert len(lines) == 3 + 7 + 7


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_show_draws_a_sheet(recorded: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"sheet{suffix}"
    assert gf("demos", "show", recorded, "--out", file, "--frames", 3, "--camera", "demo") == 0
    page = Image.open(file).convert("RGB")
    assert page.width == 8 + 3 * 168 + 300 + 8
    colours = page.getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 50, "frames and curves are on it"


def test_retries_and_perturbations_choose_the_demonstrator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--limit", 1, "--size", 16, "--retries", 1, "--perturb", 0.5, "--env-set", "render=fast", "--format", "webp")
    assert gf("demos", "record", "gf/smoke@1", "--out", tmp_path / "out", *arguments, "--json") == 0
    recording = json.loads(capsys.readouterr().out)["recording"]
    settings = {"retries": 1.0, "perturb": 0.5, "unnoticed": 0}
    assert recording["policy"] == {"id": "gf/demonstrator-v1", "config": settings, "seed": 0}
    assert recording["environment"]["config"] == {"render": "fast"}
    assert recording["format"] == "webp"
    assert gf("demos", "record", "gf/smoke@1", "--out", tmp_path / "out", *arguments) == 0
    assert "LeRobot ignores that, and its own policies would learn them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("record", "gf/smoke@1", "--out", "new", "--cameras", "first"), "gf/tabletop-v1 has no camera 'first'"),
        (("record", "gf/smoke@1", "--out", "new", "--cameras", ","), "it names no camera, or one twice"),
        (("record", "gf/smoke@2", "--out", "new"), "did you mean 'gf/smoke@1'?"),
        (("record", "gf/smoke@1", "--out", "new", "--retries", "2"), "--retries"),
        (("record", "gf/smoke@1", "--out", "new", "--policy", "gf/expert-v1", "--set", "retries=1"), "retries: unknown key"),
        (("show", "nowhere"), "nowhere: there is no such directory; give the directory of a LeRobot data set"),
        (("show", "nowhere", "--out", "sheet.gif"), ".gif isn't a kind of sheet; use .png or .webp"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert gf("demos", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err
    assert list(tmp_path.iterdir()) == []
