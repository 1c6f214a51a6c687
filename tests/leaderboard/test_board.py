"""The results repository: what becomes of submissions, and of whatever else lies in it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_core.leaderboard.board import Added, add, adding, change, init, read_board
from gf_core.leaderboard.board.outcomes import unpack_run
from gf_core.leaderboard.board.repository import changing
from gf_core.leaderboard.rules import RULES
from gf_core.plugins import PluginHost
from gf_core.schemas import validate
from gf_core.summary import summarize

from .boards import edit, suite, write_entry
from .forging import Forgery

Forge, Submit, Gf = Callable[..., Forgery], Callable[..., Path], Callable[..., tuple[int, str, str]]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    init(tmp_path / "board", title="Ours", storage="files")
    return tmp_path / "board"


@pytest.fixture
def take(board: Path, host: PluginHost) -> Callable[..., list[Added]]:
    def call(*files: Path, **options: Any) -> list[Added]:
        return list(add(board, files, lambda: host, **{"date": "2026-01-31", "pictures": False, **options}))

    return call


def outcomes_of(added: Sequence[Added]) -> list[str]:
    return [one.outcome for one in added]


def test_a_submission_becomes_an_entry_that_tells_every_episode(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit
) -> None:
    forged = forge("gf/random-v1")
    (one,) = take(submit(forged.write()))
    assert (one.outcome, one.entry) == ("added", f"2026-01-31-an-entry-{one.verdict and one.verdict.sha256[:8]}")
    found = read_board(board)
    assert not found.problems
    (entry,) = found.entries
    assert (entry.name, entry.badge, entry.against, entry.division) == ("An entry", "replayed", {}, "open")
    (run,) = entry.outcomes["runs"]
    rows = unpack_run(run, suite("gf/smoke@1"))
    for row, recorded in zip(rows, forged.rows, strict=True):
        for key in ("episode", "split", "cluster", "success", "ending", "steps", "clipped_steps", "factors"):
            assert row[key] == recorded[key]
        assert row["metrics"].items() <= recorded["metrics"].items()
    metrics = suite("gf/smoke@1").metrics
    assert [s.metrics for s in summarize(rows, metrics)] == [s.metrics for s in summarize(forged.rows, metrics)]
    stored = board / "files" / f"{entry.document['submission']['sha256']}.zip"
    assert stored.stat().st_size == entry.document["submission"]["bytes"]


def test_the_same_again_changes_nothing_and_a_copy_is_refused(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit
) -> None:
    run = forge("gf/random-v1").write()
    first = submit(run, name="first.zip")
    assert outcomes_of(take(first)) == ["added"]
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert outcomes_of(take(first)) == ["there"]
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before
    (copied,) = take(submit(run, name="second.zip", **{"notes": "mine, honestly"}))
    assert copied.outcome == "refused"
    assert copied.why.startswith("GF421: 2026-01-31-an-entry-")
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


def test_a_name_is_given_once(take: Callable[..., list[Added]], forge: Forge, submit: Submit) -> None:
    one = submit(forge("gf/random-v1").write(), name="1.zip")
    other = submit(forge("gf/random-v1", 1).write(), name="2.zip")
    added, refused = take(other, one)
    assert (added.file, refused.file, refused.outcome) == ("1.zip", "2.zip", "refused")
    assert refused.why == f"GF424: {added.entry} has its name"


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("OpenVLA 7B", "openvla\u00a0 7b ", True),
        ("OpenVLA", "\uff2fpenVLA", True),
        ("OpenVLA", "Open\u00adVLA\u3164", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("\u00e9", "e\u0301", True),
        ("OpenVLA 7B", "OpenVLA-7B", False),
        ("OpenVLA", "\u041epenVLA", False),  # a Cyrillic letter: of other scripts nothing is said
    ],
)
def test_names_that_look_the_same_are_the_same(board: Path, name: str, other: str, same: bool) -> None:
    write_entry(board, name, of=suite("gf/smoke@1"), date="2026-01-30")
    second = write_entry(board, other, of=suite("gf/smoke@1"))
    assert [entry.id for entry in read_board(board).twins] == [second] * same
    change(board, second, "withdrawn", "for the test")
    if same:
        with pytest.raises(GrinningFaceError, match="has its name by now"):
            change(board, second, "restored", "again")


def test_a_check_says_what_adding_comes_to(
    board: Path, take: Callable[..., list[Added]], gf: Gf, forge: Forge, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "incoming").mkdir()
    run, other = forge("gf/random-v1").write(), forge("gf/random-v1", 1).write()
    (there,) = take(submit(run, name="0.zip"))
    named = submit(other, name="incoming/1-named.zip")
    new = submit(other, name="incoming/2-new.zip", titled="Another")
    shutil.copy(new, tmp_path / "incoming" / "3-again.zip")
    shutil.copy(tmp_path / "0.zip", tmp_path / "incoming" / "4-there.zip")
    submit(run, name="incoming/5-copy.zip", titled="A third")
    files = sorted((tmp_path / "incoming").iterdir())
    code, text, _ = gf("leaderboard", "check", board, tmp_path / "incoming", "--json")
    document = json.loads(text)
    validate(document, "verdict", source="check")
    foreseen = [(one["file"], one["badge"], one["first_failed"], one.get("entry")) for one in document["submissions"]]
    assert (code, foreseen) == (
        1,
        [
            ("1-named.zip", "disputed", "GF424", None),
            ("2-new.zip", "replayed", None, None),
            ("3-again.zip", "replayed", None, None),
            ("4-there.zip", "replayed", None, there.entry),
            ("5-copy.zip", "disputed", "GF421", None),
        ],
    )
    code, text, _ = gf("leaderboard", "check", board, files[3])
    assert (code, text) == (0, f"4-there.zip: is {there.entry} already\n")
    code, text, _ = gf("leaderboard", "check", board, named)
    assert (code, "disputed by GF424: Give the card another name" in text) == (1, True)
    told = {one.file: one for one in take(*files, new)}
    assert {file: one.outcome for file, one in told.items()} == {
        "1-named.zip": "refused",
        "2-new.zip": "there",  # it was given twice: added, and there
        "3-again.zip": "there",
        "4-there.zip": "there",
        "5-copy.zip": "refused",
    }
    assert told["2-new.zip"].entry == told["3-again.zip"].entry == read_board(board).entries[1].id
    assert (told["1-named.zip"].why, told["5-copy.zip"].why[:6]) == (f"GF424: {there.entry} has its name", "GF421:")


def test_what_is_no_file_is_not_read(board: Path, gf: Gf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = gf("leaderboard", "add", board, tmp_path / "empty")
    assert (code, "no .zip is in it" in err) == (2, True)
    code, text, _ = gf("leaderboard", "add", board, "/dev/zero")  # which never ends
    assert (code, text) == (1, "zero: refused: GF401: isn't a regular file\n")


def test_a_file_whose_entry_is_damaged_is_refused_and_holds_nothing_up(
    board: Path, take: Callable[..., list[Added]], gf: Gf, forge: Forge, submit: Submit
) -> None:
    first, second = (
        submit(forge("gf/random-v1").write(), name="1.zip"),
        submit(forge("gf/random-v1", 1).write(), name="2.zip", titled="B"),
    )
    (one,) = take(first)
    folder = board / "entries" / one.entry
    (folder / "verdict.json").unlink()
    (folder / "mine.txt").write_text("kept")
    told = take(first, second)
    assert outcomes_of(told) == ["refused", "added"]
    assert told[0].why.startswith(f"GF421: entries/{one.entry} was made of it, and is broken; remove it or put it right first (")
    assert (folder / "mine.txt").read_text() == "kept"
    assert outcomes_of(take(first, date="2026-02-01")) == ["refused"]
    code, text, _ = gf("leaderboard", "check", board, first)
    assert (code, "was made of it, and is broken" in text) == (1, True)
    shutil.rmtree(folder)
    assert outcomes_of(take(first)) == ["added"]


def test_what_breaks_a_rule_is_refused_and_holds_nothing_up(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "0.zip").write_bytes(b"no zip")
    good = submit(forge("gf/random-v1").write(), name="1.zip")
    told = take(tmp_path / "0.zip", good, tmp_path / "missing.zip")
    assert [(one.file, one.outcome) for one in told] == [("0.zip", "refused"), ("1.zip", "added"), ("missing.zip", "refused")]
    assert told[0].why.startswith("GF401")
    assert len(read_board(board).entries) == 1


def test_an_interruption_loses_at_most_the_running_file(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = submit(forge("gf/random-v1").write())
    real = adding.write_json

    def breaks(path: Path, document: Any) -> None:
        if path.name == "outcomes.json":
            raise KeyboardInterrupt
        real(path, document)

    monkeypatch.setattr(adding, "write_json", breaks)
    with pytest.raises(KeyboardInterrupt):
        take(file)
    monkeypatch.undo()
    (problem,) = read_board(board).problems
    assert "half-written" in problem.what
    assert outcomes_of(take(file)) == ["added"]
    assert not read_board(board).problems


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda entry: (entry / "outcomes.json").unlink(), "half-written: outcomes.json is missing"),
        (lambda entry: (entry / "card.json").write_text("{"), "card.json"),
        (lambda entry: edit(entry / "entry.json", lambda d: d.update(id="2026-01-31-other-00000000")), "says that it is"),
        (lambda entry: edit(entry / "verdict.json", lambda d: d["submissions"][0].update(sha256="0" * 64)), "another submission"),
        (lambda entry: edit(entry / "outcomes.json", lambda d: d["runs"][0]["metrics"].update(success="1")), "doesn't tell of"),
        (lambda entry: edit(entry / "outcomes.json", lambda d: d["runs"][0].update(endings=["success"])), "isn't listed"),
        (lambda entry: (entry / "probe.json").write_text("{}"), "probe.json"),
        (lambda entry: entry.rename(entry.with_name("what")), "no folder that"),
        (lambda entry: (entry.with_name(".half-x")).mkdir() or shutil.rmtree(entry), "half-written"),
    ],
)
def test_a_broken_entry_is_named_and_the_others_stand(board: Path, damage: Callable[[Path], object], told: str) -> None:
    write_entry(board, "Good", of=suite("gf/smoke@1"))
    bad = write_entry(board, "Bad", of=suite("gf/smoke@1"))
    damage(board / "entries" / bad)
    found = read_board(board)
    assert [entry.name for entry in found.entries] == ["Good"]
    assert told in found.problems[0].what


def shortened(run: dict[str, Any]) -> None:
    """One episode less, consistently."""
    run["described"]["episodes"] -= 1
    run.update(ending=run["ending"][:-1], prints=run["prints"][:-16])
    for key in ("steps", "clipped_steps"):
        run[key] = run[key].rpartition(" ")[0]
    for key in ("metrics", "numbers"):
        run[key] = {name: text[:-1] for name, text in run[key].items()}


OF_ANOTHER_SUITE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "shortened": (shortened, "it tells of 11 episodes, and gf/smoke@1 has 12"),
    "emptied": (lambda run: run.update(described={"episodes": 12}), "#/runs/0/described: 'suite' is missing"),
    "numbered": (lambda run: run["described"].update(suite=5), "#/runs/0/described/suite: expected a string"),
    "unmeasured": (lambda run: run["metrics"].pop("executed"), "the metric 'executed' is missing, which gf/smoke@1 declares"),
}


def test_an_entry_whose_outcomes_are_not_its_suites_is_named_and_holds_nothing_up(
    board: Path, gf: Gf, forge: Forge, submit: Submit, tmp_path: Path
) -> None:
    write_entry(board, "Good", of=suite("gf/smoke@1"))
    told = {}
    for name, (damage, what) in OF_ANOTHER_SUITE.items():
        bad = write_entry(board, name, of=suite("gf/smoke@1"))
        edit(board / "entries" / bad / "outcomes.json", lambda document, damage=damage: damage(document["runs"][0]))
        told[f"entries/{bad}"] = what
    code, text, _ = gf("leaderboard", "list", board, "--json")
    document = json.loads(text)
    assert (code, [one["entry"]["name"] for one in document["unranked"]]) == (1, ["Good"])
    found = {problem["where"]: problem["what"] for problem in document["problems"]}
    assert found.keys() == told.keys()
    assert all(what in found[where] for where, what in told.items())
    code, text, _ = gf("leaderboard", "audit", board)
    assert (code, [where for where in told if where not in text], text.splitlines()[-1]) == (1, [], "4 problems")
    code, text, err = gf("leaderboard", "add", board, submit(forge("gf/random-v1").write()), "--no-pictures")
    assert (code, ": added, replayed: " in text) == (0, True), text + err
    pytest.importorskip("itables")
    code, _, err = gf("leaderboard", "build", board, "--out", tmp_path / "site")
    assert code == 0, err
    assert all(where in (tmp_path / "site" / "about.html").read_text() for where in told)


def test_an_audit_says_what_it_could_not_look_at(board: Path, gf: Gf) -> None:
    write_entry(board, "Here", of=suite("gf/smoke@1"))
    assert gf("leaderboard", "audit", board)[:2] == (0, "all is as the repository says\n")
    for name, changes in {"1": {"suite": "acme/x@1"}, "2": {"suite": "acme/x@1"}, "3": {"suite_sha256": "0" * 64}}.items():
        entry = write_entry(board, name, of=suite("gf/smoke@1"))
        path = board / "entries" / entry / "outcomes.json"
        edit(path, lambda document, changes=changes: document["runs"][0]["described"].update(changes))
    code, text, _ = gf("leaderboard", "audit", board)
    assert (code, text.splitlines()) == (
        1,
        [
            "2 runs couldn't be looked at: acme/x@1 isn't here",
            "1 run couldn't be looked at: gf/smoke@1 here has another content than what was run",
            "the rest is as the repository says",
        ],
    )


def test_two_entries_of_one_name_that_were_merged_by_hand(board: Path) -> None:
    first = write_entry(board, "Same", of=suite("gf/smoke@1"), date="2026-01-30")
    later = write_entry(board, "Same", of=suite("gf/smoke@1"), date="2026-01-31", seed=1)
    found = read_board(board)
    assert [entry.id for entry in found.entries] == [first]
    assert found.problems[0].where == f"entries/{later}"
    assert first in found.problems[0].what
    assert [entry.id for entry in found.twins] == [later]
    assert not change(board, later, "withdrawn", "the other one came first").listed
    found = read_board(board)
    assert ([entry.id for entry in found.entries], found.problems) == ([first, later], ())
    with pytest.raises(GrinningFaceError, match="has its name by now"):
        change(board, later, "restored", "it was first, really")


def test_the_recordings_of_a_twin_are_known(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit, tmp_path: Path
) -> None:
    run = forge("gf/random-v1").write()
    write_entry(board, "Same", of=suite("gf/smoke@1"), date="2026-01-30")
    (one,) = take(submit(run, name="1.zip", titled="For now"))
    edit(board / "entries" / one.entry / "card.json", lambda d: d.update(name="Same"))  # as in a branch that was merged
    assert len(read_board(board).twins) == 1
    assert outcomes_of(take(tmp_path / "1.zip")) == ["there"]
    (copied,) = take(submit(run, name="2.zip", titled="Mine"))
    assert copied.why == f"GF421: {one.entry} has it too"


def test_how_an_entry_stands(board: Path) -> None:
    name = write_entry(board, "An entry", of=suite("gf/smoke@1"))
    assert change(board, name[:20], "disputed", "trained on val").badge == "disputed"
    with pytest.raises(GrinningFaceError, match="disputed already"):
        change(board, name, "disputed", "again")
    assert change(board, name, "lifted", "it wasn't").badge == "replayed"
    with pytest.raises(GrinningFaceError, match="it isn't disputed"):
        change(board, name, "lifted", "again")
    assert not change(board, name, "withdrawn", "wrong card", date="2026-02-01").listed
    write_entry(board, "An entry", of=suite("gf/smoke@1"), seed=1)
    with pytest.raises(GrinningFaceError, match="has its name by now"):
        change(board, name, "restored", "sorry")
    document = json.loads((board / "entries" / name / "entry.json").read_bytes())
    assert [event["event"] for event in document["events"]] == ["added", "disputed", "restored", "withdrawn"]
    with pytest.raises(UnknownIdError, match="no entry is called"):
        change(board, "nobody", "disputed", "x")
    with pytest.raises(GrinningFaceError, match="a reason"):
        change(board, name, "disputed", "  ")


def test_a_dispute_survives_a_withdrawal_and_each_is_undone_alone(board: Path, gf: Gf) -> None:
    name = write_entry(board, "An entry", of=suite("gf/smoke@1"))

    def say(command: str, *more: str) -> tuple[int, str]:
        code, _, err = gf("leaderboard", command, board, name, "--reason", f"{command}{len(more)}", *more)
        return code, err

    def stands() -> tuple[str, bool, str]:
        (entry,) = read_board(board).entries
        return entry.badge, entry.listed, entry.reason

    assert say("remove", "--restore")[1] == f"error: {name}: it isn't withdrawn\n"
    assert say("dispute")[0] == 0
    code, err = say("remove", "--restore")
    assert (code, "it isn't withdrawn; it is disputed: `dispute --lift` undoes that" in err) == (2, True)
    assert say("remove")[0] == 0
    assert stands() == ("disputed", False, "remove0")
    code, err = say("dispute", "--lift")
    assert (code, "it is withdrawn, too; `remove --restore` comes first" in err) == (2, True)
    assert say("remove", "--restore") == (0, f"{name}: restored; it is disputed still\n")
    assert stands() == ("disputed", True, "dispute0")
    assert say("dispute", "--lift") == (0, f"{name}: dispute lifted\n")
    assert say("remove")[0] == 0
    code, err = say("dispute", "--lift")
    assert (code, "it isn't disputed; it is withdrawn: `remove --restore` undoes that" in err) == (2, True)
    assert say("dispute")[0] == 0
    assert say("remove", "--restore")[0] == 0
    assert stands() == ("disputed", True, "dispute0")


def test_what_was_withdrawn_may_be_handed_in_again(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit
) -> None:
    run = forge("gf/random-v1").write()
    (one,) = take(submit(run, name="1.zip"))
    change(board, one.entry, "withdrawn", "wrong licence")
    assert outcomes_of(take(submit(run, name="2.zip", license="MIT"))) == ["added"]


def test_what_was_handed_in_again_meanwhile_is_not_restored(
    board: Path, take: Callable[..., list[Added]], forge: Forge, submit: Submit
) -> None:
    run, copied = forge("gf/random-v1").write(), forge("gf/random-v1").relabel(seed=7).write()
    (first,) = take(submit(run, name="1.zip"))
    change(board, first.entry, "withdrawn", "wrong name")
    for other, taken in ((run, "a run of it"), (copied, "a recording of it")):
        (again,) = take(submit(other, name="2.zip", titled="Another name"))
        with pytest.raises(GrinningFaceError, match=f"{again.entry} has {taken} by now; withdraw that one first"):
            change(board, first.entry, "restored", "it wasn't")
        change(board, again.entry, "withdrawn", "for the test")
    assert change(board, first.entry, "restored", "it wasn't").listed


def test_a_storage_that_fsspec_opens(tmp_path: Path, host: PluginHost, forge: Forge, submit: Submit) -> None:
    pytest.importorskip("fsspec")
    init(tmp_path / "board", title="Ours", storage=f"file://{tmp_path}/elsewhere")
    file = submit(forge("gf/random-v1").write())
    (one,) = add(tmp_path / "board", [file], lambda: host)
    found = read_board(tmp_path / "board")
    digest = found.entry(one.entry).document["submission"]["sha256"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [f"{digest}.zip"]
    found.storage.fetch(digest, tmp_path / "back.zip")
    assert (tmp_path / "back.zip").read_bytes() == file.read_bytes()
    (tmp_path / "elsewhere" / f"{digest}.zip").write_bytes(b"another")
    with pytest.raises(GrinningFaceError, match="isn't the one"):
        found.storage.fetch(digest, tmp_path / "other.zip")
    assert not (tmp_path / "other.zip").exists()
    with pytest.raises(GrinningFaceError, match="isn't in the storage"):
        found.storage.fetch("0" * 64, tmp_path / "other.zip")


@pytest.mark.parametrize(
    "storage",
    [
        "../outside",
        "nonsense://x",
        "memory://x",
        "simplecache::memory://x",
        "entries",
        "./entries/files",
        "Entries",
        "leaderboard.json",
        "claims",
        "epochs",
        "incoming",
        ".github",
    ],
)
def test_a_storage_that_can_not_be(tmp_path: Path, storage: str) -> None:
    with pytest.raises(GrinningFaceError, match="storage"):
        init(tmp_path / "board", title="Ours", storage=storage)
    assert not (tmp_path / "board").exists()


def test_through_the_command_line(gf: Gf, tmp_path: Path, forge: Forge, submit: Submit) -> None:
    board, file = tmp_path / "board", submit(forge("gf/random-v1").write())
    assert gf("leaderboard", "init", board)[0] == 0
    code, _, text = gf("leaderboard", "init", board)
    assert (code, "there is a leaderboard already" in text) == (2, True)
    code, text, _ = gf("leaderboard", "check", board, file, "--json")
    document = json.loads(text)
    validate(document, "verdict", source="check")
    found = {rule["code"]: rule["status"] for rule in document["submissions"][0]["rules"]}
    assert (code, found["GF421"], found["GF422"]) == (0, "pass", "pass")
    code, text, _ = gf("leaderboard", "add", board, file, tmp_path / "missing.zip", "--json", "--date", "2026-01-31")
    document = json.loads(text)
    validate(document, "additions", source="add")
    assert (code, [one["outcome"] for one in document["files"]]) == (1, ["added", "refused"])
    code, text, _ = gf("leaderboard", "list", board, "--json")
    document = json.loads(text)
    validate(document, "ranking", source="list")
    assert (code, document["tables"]) == (0, [])
    assert document["unranked"][0]["why"] == "gf/smoke@1 isn't for ranking"
    code, text, _ = gf("leaderboard", "check", board, file)
    assert (code, text.endswith("already\n")) == (0, True)
    for date in ("yesterday", "20260131", "2026-W05-6", "2026-02-30", "1999-01-31"):
        code, _, text = gf("leaderboard", "add", board, file, "--date", date)
        assert (code, f"{date!r} is no day" in text) == (2, True)
    code, _, text = gf("leaderboard", "list", tmp_path)
    assert (code, "there is no leaderboard.json" in text) == (2, True)


def test_what_a_busy_or_unfit_repository_hints_at_is_an_option_of_no_command(gf: Gf, board: Path) -> None:
    entry = write_entry(board, "An entry")
    with changing(board):
        code, _, text = gf("leaderboard", "dispute", board, entry, "--reason", "x")
    assert (code, "another maintainer is at work in it; wait for it, or choose another place" in text) == (2, True)
    (board / ".lock").unlink()
    (board / ".lock").mkdir()
    code, _, text = gf("leaderboard", "dispute", board, entry, "--reason", "x")
    assert (code, "can't be written (Is a directory); choose another place" in text) == (2, True)


STRANGERS = (
    "an entry",
    "http://1249763844/login",
    "https://evil/x",
    "www.evil.com",
    "mailto:a@evil.com",
    "@everyone, see #12, GH-12, a/b#12 and 1688c51a0b2f",
    "<img src=x> [a](http://b) | c \\| d",
    "a`b``c",
    "`",
    "# big\n\n- [ ] _a_ **b** ~~c~~ &#64;everyone",
    " ",
    "",
)


@pytest.mark.parametrize("strange", STRANGERS)
def test_a_comment_says_what_strangers_wrote_as_code_and_nothing_else(gf: Gf, tmp_path: Path, strange: str) -> None:
    """GitHub looks for links, people, numbers of issues and hashes of commits everywhere but in code."""
    code_span = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
    rules = [{"code": code, "title": strange, "status": "fail", "detail": strange} for code in ("GF404", "GF499")]
    rate = {"name": strange, "k": 1, "n": 2, "estimate": 0.5, "interval": None}
    run = {"path": strange, "suite": strange, "suite_sha256": "", "ranked": True, "policy": strange, "episodes": 2}
    run |= {"env_errors": 0, "replayed_by": None, "splits": [{"split": strange, "rates": [rate]}]}
    one = {"file": strange, "sha256": None, "name": strange, "badge": "disputed", "means": strange, "first_failed": "GF404"}
    document = {"schema_version": "1.0", "kind": "verdict", "submissions": [{**one, "rules": rules, "runs": [run]}]}
    (tmp_path / "verdict.json").write_text(json.dumps(document))
    code, text, _ = gf("leaderboard", "comment", tmp_path / "verdict.json")
    assert code == 0
    assert code_span.sub("TEXT", text).splitlines() == [
        "### TEXT · TEXT: disputed",
        "",
        "a rule is broken.",
        "",
        f"- GF404, fail: {RULES['GF404'].title} TEXT",
        "- GF499, fail: TEXT TEXT",
        "",
        "- TEXT, TEXT: TEXT 1/2",
        "",
        "Counted again from the recorded episodes. A maintainer decides whether it becomes an entry.",
    ]
    assert {found.strip() for _, found in code_span.findall(text)} == {strange.replace("\n", "\\n").strip()}


def test_a_comment_is_made_of_verdicts_alone(gf: Gf, tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text(json.dumps({"schema_version": "1.0", "kind": "verdict", "submissions": [{"file": 1}]}))
    code, _, text = gf("leaderboard", "comment", tmp_path / "verdict.json")
    assert (code, "submissions/0" in text) == (2, True)


def test_the_workflow_that_comments_takes_only_the_verdict_from_a_request(board: Path) -> None:
    check = (board / ".github/workflows/check-submission.yml").read_text()
    comment = (board / ".github/workflows/comment-result.yml").read_text()
    assert "contents: read" in check
    assert ": write" not in check
    assert "checkout" not in comment
    assert "gf leaderboard comment stranger/verdict.json" in comment


CLAIM = {
    "schema_version": "1.0",
    "kind": "claim",
    "name": "A method",
    "description": "It does.",
    "source": "arXiv:2511.06619, table 2",
    "backbone": "some/vlm",
    "technique": "co-training",
    "head": "flow matching",
    "results": [{"on": "GrinningFace v8, val", "rate": "success", "value": 0.5, "episodes": 100}],
}


def test_claims_are_listed_and_never_ranked(gf: Gf, board: Path, tmp_path: Path) -> None:
    (tmp_path / "claim.json").write_text(json.dumps(CLAIM))
    assert gf("leaderboard", "claim", board, tmp_path / "claim.json", "--date", "2026-01-31")[0] == 0
    code, _, text = gf("leaderboard", "claim", board, tmp_path / "claim.json")
    assert (code, "a claim of this name is there" in text, "claims/a-method.json" in text) == (2, True, True)
    (board / "claims" / "broken.json").write_text("{}")
    code, text, err = gf("leaderboard", "list", board)
    assert code == 1
    assert "GrinningFace v8, val: success 50.0 %" in text
    assert "broken: claims/broken.json" in err
    _, text, _ = gf("leaderboard", "list", board, "--json")
    document = json.loads(text)
    validate(document, "ranking", source="list")
    assert (document["tables"], document["claims"]) == ([], [{**CLAIM, "added": "2026-01-31"}])
    for name in ("a-method", "\u6a21\u578b\u7532", "\u6a21\u578b\u4e59"):  # of one file name, and different names
        (tmp_path / "claim.json").write_text(json.dumps({**CLAIM, "name": name}))
        assert gf("leaderboard", "claim", board, tmp_path / "claim.json")[0] == 0
    files = sorted(path.name.partition("-")[0] for path in (board / "claims").iterdir())
    assert files == ["a", "a", "broken.json", "entry", "entry.json"]
    (tmp_path / "claim.json").write_text(json.dumps({**CLAIM, "name": " A  METHOD"}))
    code, _, text = gf("leaderboard", "claim", board, tmp_path / "claim.json")
    assert (code, "a claim of this name is there" in text) == (2, True)
    (tmp_path / "claim.json").write_text(json.dumps({**CLAIM, "name": "Another", "results": []}))
    code, _, text = gf("leaderboard", "claim", board, tmp_path / "claim.json")
    assert (code, "claim.json#/results" in text) == (2, True)
