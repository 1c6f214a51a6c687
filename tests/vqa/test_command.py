"""`gf vqa` end to end: what it writes, resumes, refuses, checks and shows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError
from gf_core.evaluation import load_suite
from gf_core.plugins import PluginHost
from gf_core.runs import Run
from gf_core.schemas import load_document
from gf_core.training.conversations import Conversations
from gf_core.training.samples import Wanted
from gf_envs.vqa.command import command
from gf_envs.vqa.making import Decks, usable_episodes

from .conftest import gf_vqa

FOX = "u1f98a"
FILE, MANIFEST = "conversations.jsonl", "manifest.json"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_data_is_a_source_of_samples(made: Path, records: list[dict[str, Any]]) -> None:
    source = Conversations(made, name="vqa")
    assert len(source) == len(records) == 6 * 9 * 4
    for index in (0, 100, len(source) - 1):
        sample = source.sample(index, Wanted())
        assert sample.prompt == records[index]["conversations"][0]["value"].replace("<image>\n", "")
        assert sample.answer == records[index]["conversations"][1]["value"]
        assert {frame.image.shape for frame in sample.frames} == {(64, 64, 3)}
    assert {len(source.sample(i, Wanted()).frames) for i in range(0, len(source), 5)} == {1, 2}


def test_the_manifest_counts_what_is_there(made: Path, records: list[dict[str, Any]], decks: Decks) -> None:
    manifest = load_document(made / MANIFEST, "conversations")
    assert manifest["domains"] == Counter(record["domain"] for record in records)
    assert manifest["kinds"] == Counter(record["metadata"]["kind"] for record in records)
    assert manifest["images"] == len(list((made / "images").iterdir()))
    assert manifest["episodes"] == {"used": 6, "left_out": {"not recorded, or no success": 494}}
    (name,) = decks.decks
    for how in ("shown", "named"):
        found = {name.partition("#")[2] for record in records for name in record["metadata"][how]}
        assert manifest["items"][name][how] == sorted(found)
        assert {decks.items[name, item].split for item in found} == {"train"}
    items = Conversations(made).manifest().items
    assert items is not None
    assert set(items[name]) == {*manifest["items"][name]["shown"], *manifest["items"][name]["named"]}


def test_the_same_seed_is_the_same_bytes_also_after_an_interruption(run: Run, tmp_path: Path) -> None:
    arguments = ("--run", run.path, "--size", 32, "--limit", 1)
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        if name == "two":  # what a call that was ended leaves
            (tmp_path / "two" / "images").mkdir(parents=True)
            (tmp_path / "two" / f".{FILE}.tmp").write_text("half a li", encoding="utf-8")
        gf_vqa("make", "--out", tmp_path / name, "--seed", seed, *arguments)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one")[FILE] != contents(tmp_path / "other")[FILE]


def test_a_finished_folder_is_left_alone(run: Run, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    shutil.copytree(made, out)
    same = ("make", "--out", out, "--run", run.path, "--per-episode", 4, "--size", 64)
    before = contents(out)
    gf_vqa(*same, "--json")
    printed = capsys.readouterr()
    assert "was finished before; nothing was done" in printed.err
    assert json.loads(printed.out) == json.loads((made / MANIFEST).read_text(encoding="utf-8"))
    with pytest.raises(GrinningFaceError, match=r"made otherwise: /seed is 0 there and 1 here; give another --out"):
        gf_vqa(*same, "--seed", 1)
    assert contents(out) == before
    (out / MANIFEST).unlink()
    (out / "thesis.tex").touch()
    with pytest.raises(GrinningFaceError, match=r"it holds 'thesis.tex'"):
        gf_vqa(*same)


def test_the_policy_plays_where_no_run_is_given(tmp_path: Path) -> None:
    out = tmp_path / "data"
    gf_vqa("make", "gf/smoke@1", "--out", out, "--limit", 1, "--size", 32, "--domains", "vqa/naming, camera")
    assert (out / "run" / "episodes.jsonl").is_file()
    manifest = load_document(out / MANIFEST, "conversations")
    assert manifest["domains"] == {"vqa/camera": 1, "vqa/naming": 1}
    assert manifest["run"]["policy"] == "gf/expert-v1"
    with pytest.raises(GrinningFaceError, match="no episode of the run can be used"):
        gf_vqa("make", "gf/smoke@1", "--out", tmp_path / "null", "--limit", 1, "--policy", "gf/null-v1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--domains", "grounding,special"), "there is no domain 'special'; did you mean 'spatial'"),
        (("--domains", ","), "it names no domain"),
        (("gf/smoke@1", "--run", "RUN"), "it is a run of gf/demos@1, not of gf/smoke@1; name gf/demos@1 as SUITE"),
        (("gf/demo@1",), "gf/demos@1"),
        (("--run", "nowhere"), "there is no such directory"),
        (("--include-split", "vale"), "has a split 'vale'; there are rest, train, val"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, run: Run, tmp_path: Path) -> None:
    given = [str(run.path) if argument == "RUN" else argument for argument in arguments]
    with pytest.raises(GrinningFaceError) as caught:
        gf_vqa("make", *given, "--out", tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_held_out_cards_need_leave(host: PluginHost) -> None:
    smoke, controls = load_suite("gf/smoke@1", host), load_suite("gf/controls@1", host)
    decks = Decks(smoke, host, ("train",))
    used = usable_episodes(smoke, decks, 0)
    assert {episode.split for episode in used} == {"id", "train"}
    assert len(usable_episodes(smoke, decks, 3)) == 3
    assert {episode.split for episode in usable_episodes(smoke, Decks(smoke, host, ("train", "val")), 0)} == {
        "id",
        "train",
        "val",
    }
    with pytest.raises(GrinningFaceError, match=r"every episode of gf/controls@1 shows a card that is held out \(split .*val"):
        usable_episodes(controls, Decks(controls, host, ("train",)), 0)
    assert {decks.items[face].split for face in decks.allowed} == {"train"}


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of the data, to be spoilt."""
    out = tmp_path / "data"
    shutil.copytree(made, out)
    return out


def spoil(data: Path, change: Callable[[dict[str, Any]], None], *, tell: bool = True) -> None:
    """Change the fifth record, and make the manifest fit unless ``tell`` is false."""
    lines = (data / FILE).read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[4])
    change(record)
    lines[4] = json.dumps(record)
    (data / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if tell:
        manifest = json.loads((data / MANIFEST).read_text(encoding="utf-8"))
        manifest["sha256"] = sha256((data / FILE).read_bytes())
        (data / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def answer(text: str) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["conversations"][1]["value"] = text

    return change


def metadata(how: str, name: str) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["metadata"][how].append(name)


def test_clean_data_passes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gf_vqa("check", made) == 0
    printed = capsys.readouterr().out
    assert "216 records" in printed
    assert "no held-out card occurs" in printed
    assert "held out" not in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (answer("a Fox, I think"), ":5: 'fox' (gf/emoji-noto@1 u1f98a, split val) in the text"),
        (answer("\N{FOX FACE}"), ":5: 'fox' (gf/emoji-noto@1 u1f98a, split val) in the text"),
        (metadata("shown", f"gf/emoji-noto@1#{FOX}"), ":5: 'fox' (gf/emoji-noto@1 u1f98a, split val) shown"),
        (metadata("named", f"gf/emoji-noto@1#{FOX}"), "only its records say that gf/emoji-noto@1 u1f98a is named"),
        (metadata("shown", "gf/emoji-noto@1#nobody"), ":5: no deck has 'gf/emoji-noto@1#nobody'"),
    ],
)
def test_a_planted_leak_is_found(
    change: Callable[[dict[str, Any]], None], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(data, change)
    assert gf_vqa("check", data) == 1
    assert message in capsys.readouterr().out


def test_longer_names_do_not_leak_shorter_ones(data: Path, decks: Decks, capsys: pytest.CaptureFixture[str]) -> None:
    items = decks.items.values()
    held_out = {item.label for item in items if item.split != "train"}
    whole, part = next(
        (item.label, word)
        for item in items
        if item.split == "train"
        for word in item.label.split()
        if word in held_out - {item.label}
    )
    spoil(data, answer(whole))
    gf_vqa("check", data)
    assert f"{part!r} (" not in capsys.readouterr().out
    spoil(data, answer(f"{whole} {part}"))
    assert gf_vqa("check", data) == 1
    assert f"{part!r} (" in capsys.readouterr().out


def test_a_name_that_a_held_out_card_shares_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.jsonl"
    turns = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "the sunrise"}]
    data.write_text(f"{json.dumps({'conversations': turns})}\n" * 2, encoding="utf-8")
    assert gf_vqa("check", data) == 0
    printed = capsys.readouterr().out
    assert "data.jsonl:1: 'sunset' (gf/emoji-noto@1 u1f305, split val) is also called 'sunrise', in the text" in printed
    assert printed.count("note: ") == 1
    assert "2 records, 0 images: no held-out card occurs" in printed
    assert gf_vqa("check", data, "--include-split", "val") == 0
    assert "note" not in capsys.readouterr().out


def test_held_out_cards_that_are_allowed_are_said_to_be_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(data, answer("a fox"))
    assert gf_vqa("check", data, "--include-split", "val") == 1  # the metadata still doesn't say it
    printed = capsys.readouterr().out
    assert "held-out" in printed
    assert "the text names 'fox', and the record's metadata doesn't" in printed
    assert "gf/emoji-noto@1  val" in printed


def test_data_that_is_not_what_its_manifest_says(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(data, lambda record: record.update(id="other"), tell=False)
    image = sorted((data / "images").iterdir())[0]
    Image.new("RGB", (64, 64)).save(image)
    assert gf_vqa("check", data) == 1
    printed = capsys.readouterr().out
    assert "it isn't the file that its manifest describes" in printed
    assert f"the image 'images/{image.name}' isn't the one that was made" in printed
    with pytest.raises(GrinningFaceError, match=r"isn't the one that manifest.json describes"):
        Conversations(data)


def test_anybodys_file_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.jsonl"
    turns = [{"role": "user", "content": "Which animal?"}, {"role": "assistant", "content": "a rooster"}]
    path.write_text(json.dumps({"messages": turns}), encoding="utf-8")
    assert gf_vqa("check", path) == 1
    assert f"{path}:1: 'rooster' (gf/emoji-noto@1 u1f414, split val) in the text" in capsys.readouterr().out
    assert gf_vqa("check", path, "--deck", "gf/emoji-noto@1", "--include-split", "val") == 0
    assert "1 records, 0 images: no held-out card occurs" in capsys.readouterr().out


def test_a_contact_sheet_and_a_page(data: Path, tmp_path: Path) -> None:
    spoil(data, answer("<script>alert(1)</script>"))
    sheet, page = tmp_path / "sheet.png", tmp_path / "page.html"
    gf_vqa("show", data, "--out", sheet, "--count", 3, "--domains", "grounding,vqa/camera")
    with Image.open(sheet) as image:
        assert image.width > 900
        marked = sum(count for count, color in image.getcolors(1 << 24) if color == (220, 0, 120))
    assert marked > 500
    gf_vqa("show", data, "--out", page, "--domains", "which-card", "--count", 100)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<figure>") == 24
    assert 'src="http' not in text
    with pytest.raises(GrinningFaceError, match="it has no domain 'vqa/special'"):
        gf_vqa("show", data, "--out", page, "--domains", "special")
    with pytest.raises(GrinningFaceError, match=r"'.gif' can't be written; .html or .png"):
        gf_vqa("show", data, "--out", tmp_path / "page.gif")


def test_the_command_costs_nothing_until_it_is_used() -> None:
    import subprocess
    import sys

    code = "import sys, gf_envs.vqa.command; assert not {'numpy', 'mujoco', 'PIL', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert set(command.commands) == {"make", "check", "show"}
