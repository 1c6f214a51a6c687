"""`gf submit` and `gf leaderboard`, through the real program."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gf_core.schemas import load_schema, validate

from .forging import CARD, Forgery


@pytest.fixture
def card(tmp_path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    return path


def test_from_an_empty_card_to_a_badge(gf, forge, tmp_path):
    run = forge().write()
    assert gf("submit", "card", "--out", tmp_path / "card.json")[0] == 0
    code, _, err = gf("submit", "pack", run, "--card", tmp_path / "card.json", "--out", tmp_path / "a.zip")
    assert code == 2
    missing = set(re.findall(r"card\.json#: '(\w+)' is missing", err))
    assert missing == set(load_schema("card")["required"]) - {"schema_version", "kind"}
    assert not (tmp_path / "a.zip").exists()

    filled = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**filled, **CARD}))
    code, out, _ = gf("submit", "pack", run, "--card", tmp_path / "card.json", "--out", tmp_path / "a.zip")
    assert code == 0
    assert out.startswith("runs/1: acme-vla/open-v1 on gf/smoke@1, 12 episodes, policy seed 0\n")

    code, out, _ = gf("submit", "check", tmp_path / "a.zip")
    assert code == 0
    assert out.startswith("a.zip · An entry: replayed (physics verified, policy unverified)\n")
    assert re.search(r"^GF420  pass", out, re.MULTILINE)
    assert "val: success 4/4" in out
    assert gf("leaderboard", "verify", tmp_path / "a.zip")[:2] == (0, out)


@pytest.mark.parametrize("command", ["submit check", "leaderboard verify", "leaderboard check BOARD", "leaderboard add BOARD"])
def test_what_an_environment_prints_is_no_part_of_the_json(gf, forge, card, tmp_path, monkeypatch, command):
    from gf_core.leaderboard import verify

    def talk(*arguments, **options):
        print("GPU 0 was chosen")
        os.write(1, b"as a library in C would say\n")

    assert gf("submit", "pack", forge().write(), "--card", card, "--out", tmp_path / "a.zip")[0] == 0
    assert gf("leaderboard", "init", tmp_path / "board")[0] == 0
    monkeypatch.setattr(verify, "_replay", talk)
    words = command.replace("BOARD", str(tmp_path / "board")).split()
    _, out, err = gf(*words, tmp_path / "a.zip", "--json")
    assert json.loads(out)["kind"] in ("verdict", "additions")
    assert "GPU 0 was chosen" in err
    assert "as a library in C would say" in err


def test_a_disputed_submission(gf, forge, card, tmp_path):
    forgery = forge("gf/random-v1")
    forgery.rows[0].update(success=True, ending="success")
    assert gf("submit", "pack", forgery.write(), "--card", card, "--out", tmp_path / "a.zip")[0] == 0
    code, out, _ = gf("submit", "check", tmp_path / "a.zip", "--json")
    document = json.loads(out)
    validate(document, "verdict", source="stdout")
    (entry,) = document["submissions"]
    assert (code, entry["badge"], entry["first_failed"], entry["runs"]) == (1, "disputed", "GF420", [])
    code, out, _ = gf("leaderboard", "verify", tmp_path / "a.zip")
    assert code == 1
    assert "disputed by GF420: `gf replay RUN` names the first" in out
    code, out, _ = gf("replay", forgery.path)
    assert code == 1
    assert out.splitlines()[1].startswith(
        f"1 replayed otherwise than recorded; the first: {forgery.rows[0]['episode']} (episode 1)"
    )


def test_a_run_is_verified_as_a_whole(gf, smoke):
    code, out, _ = gf("replay", smoke("gf/expert-v1"))
    assert (code, out.splitlines()) == (
        0,
        [
            "12 episodes driven again by their recorded actions",
            "replayed exactly as recorded: physics verified, policy unverified",
        ],
    )
    code, out, _ = gf("replay", smoke("gf/expert-v1"), "--by", "controls", "--slots", 5, "--json")
    document = json.loads(out)
    validate(document, "verification", source="stdout")
    assert (code, document["equal"], document["by"], document["compared"]) == (0, True, "controls", 12)
    code, _, err = gf("replay", smoke("gf/expert-v1"), "--video", "e.webp")
    assert (code, "--video: which episode?" in err) == (2, True)


def test_in_a_directory_of_two_alike_the_earlier_stands(gf, smoke, forge, card, tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    runs = {"1-first.zip": forge().write(), "2-same.zip": forge().write(), "3-copy.zip": forge().relabel(seed=7).write()}
    for name, run in {**runs, "4-other.zip": smoke("gf/random-v1")}.items():
        assert gf("submit", "pack", run, "--card", card, "--out", folder / name)[0] == 0
    (folder / "5-broken.zip").write_bytes(b"PK")
    outputs = [gf("leaderboard", "verify", folder, "--jobs", jobs, "--json") for jobs in (1, 2)]
    assert outputs[0][:2] == outputs[1][:2]
    code, out, _ = outputs[0]
    entries = json.loads(out)["submissions"]
    assert code == 1
    assert [(e["file"], e["badge"], e["first_failed"]) for e in entries] == [
        ("1-first.zip", "replayed", None),
        ("2-same.zip", "disputed", "GF421"),
        ("3-copy.zip", "disputed", "GF422"),
        ("4-other.zip", "replayed", None),
        ("5-broken.zip", "disputed", "GF401"),
    ]
    details = {rule["code"]: rule["detail"] for rule in entries[2]["rules"]}
    assert details["GF422"].endswith("is as in 1-first.zip")


def test_the_same_content_is_the_same_bytes(gf, smoke, card, tmp_path):
    first, second = smoke("gf/random-v1"), smoke("gf/random-v1", 1)
    for name, runs in (("a.zip", (first, second)), ("b.zip", (second, first))):
        assert gf("submit", "pack", *runs, "--card", card, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_only_results_are_packed(smoke, submit):
    from gf_core.leaderboard.archive import open_archive

    with open_archive(submit(smoke("gf/random-v1"))) as archive:
        names = set(archive.members)
    assert {name for name in names if not name.endswith(".npz")} == {
        "card.json",
        "submission.json",
        "runs/1/run.json",
        "runs/1/episodes.jsonl",
    }
    assert len(names) == 16


def test_a_terminal_is_asked_for_what_is_missing(forge, card, tmp_path):
    """Once wrong, then right: the prompt comes again."""
    card.write_text(
        json.dumps({key: value for key, value in CARD.items() if key not in ("backbone", "trained_items", "weights")})
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gf_core.cli.main", "submit", "pack", str(forge().write())]
    process = subprocess.Popen(
        [*command, "--card", str(card), "--out", str(tmp_path / "a.zip")],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"PaliGemma\ntrain, rest\nperhaps\nopen\n")
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, out
    assert "The vision-language model that it is built on" in out
    from gf_core.leaderboard.archive import open_archive

    with open_archive(tmp_path / "a.zip") as archive:
        found = json.loads(archive.read("card.json", 1 << 20))
    assert found == {**CARD, "backbone": "PaliGemma", "trained_items": ["train", "rest"], "weights": "open"}


def test_the_card_is_printed_and_not_overwritten(gf, card):
    code, out, _ = gf("submit", "card")
    assert code == 0
    assert json.loads(out)["name"] is None
    assert json.loads(out)["x-name"].startswith("needed: ")
    before = card.read_bytes()
    code, _, err = gf("submit", "card", "--out", card)
    assert (code, "there already" in err, card.read_bytes()) == (2, True, before)


def test_mistakes_in_packing(gf, forge, card, tmp_path):
    run = forge().write()
    pack = ("submit", "pack", run, "--card", card, "--out")
    assert gf(*pack, tmp_path / "a.tar")[2].startswith("error: --out: a submission is a .zip file; try ")
    assert gf(*pack, tmp_path / "no" / "a.zip")[0] == 2
    assert gf("submit", "pack", tmp_path, "--card", card, "--out", tmp_path / "a.zip")[2].startswith("error: ")
    (run / "trajectories" / f"{Forgery(run, tmp_path / 'x').rows[3]['episode']}.npz").unlink()
    code, _, err = gf(*pack, tmp_path / "a.zip")
    assert (code, "the file is missing" in err) == (2, True)
    (run / "episodes.jsonl").unlink()
    code, _, err = gf(*pack, tmp_path / "a.zip")
    assert (code, "isn't finished" in err) == (2, True)
    assert not (tmp_path / "a.zip").exists()


def test_mistakes_in_checking(gf, tmp_path):
    assert gf("leaderboard", "verify", tmp_path)[0] == 2
    assert gf("leaderboard", "verify", tmp_path / "none.zip")[0] == 2
    assert gf("submit", "check", tmp_path / "none.zip")[0] == 2
    (tmp_path / "a.zip").write_bytes(b"")
    code, out, _ = gf("submit", "check", tmp_path / "a.zip")
    assert (code, "disputed by GF401" in out) == (1, True)


def test_the_rules_are_listed(gf):
    code, out, _ = gf("leaderboard", "rules")
    assert code == 0
    assert re.search(r"^GF401 .*archive", out, re.MULTILINE)
