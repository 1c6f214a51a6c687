"""Takes submissions into a results repository: checked, each on its own, in any number of sessions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gf_core._files import flush_directory
from gf_core._problems import printable, shorten
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.progress import Progress
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard import checks
from gf_core.leaderboard.archive import MAX_BYTES, open_archive
from gf_core.leaderboard.board.outcomes import pack_run, prints_of, suite_of, suites_here
from gf_core.leaderboard.board.pictures import draw_failures
from gf_core.leaderboard.board.repository import (
    CARD,
    ENTRIES,
    ENTRY,
    HALF,
    OUTCOMES,
    VERDICT,
    Board,
    Entry,
    changing,
    slug,
    today,
    write_json,
)
from gf_core.leaderboard.bundle import CARD as CARD_MEMBER
from gf_core.leaderboard.bundle import MAX_DOCUMENT, PROBE, read_document, read_manifest
from gf_core.leaderboard.pack import file_sha256
from gf_core.leaderboard.probes import MAX_BYTES as MAX_PROBE
from gf_core.leaderboard.probes import MAX_VALUES
from gf_core.leaderboard.verdict import Verdict, to_document
from gf_core.leaderboard.verify import Known, verify_each
from gf_core.schemas import validate

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

_OF_FILE = re.compile(r"[0-9]{4}-.*-([0-9a-f]{8})")
"""What the folder of an entry is called, with the beginning of its file's hash. One that is half-written is called otherwise."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of a file.

    Attributes:
        file: its name.
        outcome: ``added``; ``there``: it is an entry already; ``refused``: a rule is broken.
        entry: the entry's id; empty for one that was refused, and where nothing is written.
        why: why it was refused.
        verdict: what checking it came to; ``None`` for one that was an entry before.
        note: what an entry that was added lacks: pictures, and why.
    """

    file: str
    outcome: Literal["added", "there", "refused"]
    entry: str = ""
    why: str = ""
    verdict: Verdict | None = None
    note: str = ""


def add(
    path: Path,
    files: Sequence[Path],
    make_host: Callable[[], PluginHost],
    *,
    jobs: int = 1,
    date: str | None = None,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Iterator[Added]:
    """Check files and make an entry of each that breaks no rule; yields what became of each, as it is done.

    In the order of their names: of two that are alike the earlier stands, and whatever is in the repository came before. A file
    that is an entry already is left as it is, so the same command may be given again after an interruption.

    Args:
        path: the repository.
        files: submissions.
        make_host: makes the plugin host, in every process; picklable.
        jobs: files that are checked at once.
        date: the day of the entries, ``YYYY-MM-DD``; by default today's, UTC.
        pictures: whether to draw some of their failures (:mod:`gf_core.leaderboard.board.pictures`).
        progress: a display, for ``jobs = 1``.

    Raises:
        GrinningFaceError: no repository, one that somebody else is changing, or a storage that fails.
    """
    host = make_host()
    with changing(path, host) as board:
        _clean(path)

        def write(file: Path, verdict: Verdict) -> tuple[str, str]:
            return _write(board, file, verdict, host, date or today(), pictures)

        yield from _each(board, files, make_host, host, write, jobs, progress)


def foresee(
    board: Board,
    files: Sequence[Path],
    make_host: Callable[[], PluginHost],
    host: PluginHost,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Added]:
    """What :func:`add` would make of files; changes nothing.

    Args:
        board: the repository, held against the suites.
        files: as of :func:`add`, as are the other arguments.
        make_host: makes the plugin host, in every process; picklable.
        host: one that was made.
        jobs: files that are checked at once.
        progress: a display, for ``jobs = 1``.
    """
    yield from _each(board, files, make_host, host, lambda file, verdict: ("", ""), jobs, progress)


def _each(
    board: Board,
    files: Sequence[Path],
    make_host: Callable[[], PluginHost],
    host: PluginHost,
    write: Callable[[Path, Verdict], tuple[str, str]],
    jobs: int,
    progress: Progress | None,
) -> Iterator[Added]:
    """What becomes of each file; ``write`` makes an entry of one that breaks no rule, and returns its id and what it lacks."""
    known = known_in(board, host)
    there = {entry.document["submission"]["sha256"]: entry.id for entry in (*board.entries, *board.twins)}
    new: list[tuple[Path, str]] = []
    again: list[tuple[Path, str]] = []
    for file in sorted(files, key=lambda one: (one.name, str(one))):
        digest = _digest(file)
        if digest in there:
            yield Added(file=printable(file.name), outcome="there", entry=there[digest])
        else:
            (again if digest and any(digest == other for _, other in new) else new).append((file, digest))
    done: dict[str, Added] = {}
    verdicts = verify_each([file for file, _ in new], make_host, jobs=jobs, progress=progress)
    for (file, digest), checked in zip(new, verdicts, strict=True):
        verdict = known.hold_against(checked)
        if verdict.badge == "disputed":
            one = Added(file=verdict.file, outcome="refused", why=_why_not(verdict), verdict=verdict)
        else:
            name, note = write(file, verdict)
            known.learn(name or verdict.file, verdict.prints, verdict.name)
            one = Added(file=verdict.file, outcome="added", entry=name, verdict=verdict, note=note)
        done[digest] = one
        yield one
    for file, digest in again:
        yield _once_more(done[digest], printable(file.name))


def _once_more(first: Added, file: str) -> Added:
    """What becomes of a file with the bytes of one before it."""
    assert first.verdict is not None
    verdict = replace(first.verdict, file=file)
    return replace(first, file=file, verdict=verdict, note="", outcome="refused" if first.outcome == "refused" else "there")


def _digest(file: Path) -> str:
    """Of a file that can be read at all; checking it says why it can't."""
    try:
        return file_sha256(file) if file.is_file() and file.stat().st_size <= MAX_BYTES else ""
    except OSError:
        return ""


def _why_not(verdict: Verdict) -> str:
    finding = next(finding for finding in verdict.findings if finding.status == "fail")
    return f"{finding.code}: {finding.detail}"


def known_in(board: Board, host: PluginHost) -> Known:
    """What the repository's entries hold, for finding copies. What was withdrawn may be handed in again, corrected."""
    known = Known(names=True)
    find = suites_here(host)
    for entry in (*board.entries, *board.twins):
        if entry.listed:
            known.learn(entry.id, _prints(entry, find), entry.name)
    for problem in board.problems:
        folder = problem.where.removeprefix(f"{ENTRIES}/")
        if match := _OF_FILE.fullmatch(folder):
            what = (
                f"{problem.where} was made of it, and is broken; remove it or put it right first ({shorten(problem.what, 300)})"
            )
            known.learn_broken(match[1], what)
    return known


def _prints(entry: Entry, find: Callable[[str], Suite | None]) -> dict[str, dict[str, str]]:
    """Run key to episode to print; of a suite that isn't installed any more, the key alone."""
    found: dict[str, dict[str, str]] = {}
    for run in entry.outcomes["runs"]:
        suite = suite_of(run, find)
        found[run["key"]] = prints_of(run, suite) if suite is not None else {}
    return found


def _clean(path: Path) -> None:
    """Half-written entries of an earlier session go; their submissions are added again."""
    for folder in (path / ENTRIES).glob(f"{HALF}*"):
        shutil.rmtree(folder)


def _write(board: Board, file: Path, verdict: Verdict, host: PluginHost, date: str, pictures: bool) -> tuple[str, str]:
    """Store the submission and write its entry; the folder gets its name when all of it is on disk."""
    assert verdict.sha256 is not None
    documents = _documents(file, verdict, host, date)
    name: str = documents[ENTRY]["id"]
    if file_sha256(file) != verdict.sha256:
        raise GrinningFaceError("the file changed while it was checked", where=str(file), hint="add it again")
    if not board.storage.has(verdict.sha256):
        board.storage.put(file, verdict.sha256)
    half = board.path / ENTRIES / f"{HALF}{name}"
    for kind, document in documents.items():
        validate(document, kind.removesuffix(".json"), source=f"{name}/{kind}")
        write_json(half / kind, document)
    note = draw_failures(file, documents[VERDICT]["submissions"][0], host, half) if pictures else ""
    half.rename(board.path / ENTRIES / name)
    flush_directory(board.path / ENTRIES)
    return name, note


def _documents(file: Path, verdict: Verdict, host: PluginHost, date: str) -> dict[str, dict[str, Any]]:
    with open_archive(file) as archive:
        card = read_document(archive, CARD_MEMBER, "card", MAX_DOCUMENT)
        read_manifest(archive)
        probe = read_document(archive, PROBE, "probe", MAX_PROBE, MAX_VALUES) if PROBE in archive.members else None
        packed = []
        for run in verdict.runs:
            identity = checks.read_identity(archive, run.path)
            suite = load_suite(run.suite, host)
            bundled = checks.check_rows(archive, run.path, identity, suite)
            packed.append(pack_run(bundled, suite, verdict.prints.get(checks.run_key(identity), {})))
    assert verdict.sha256 is not None
    entry = {
        "id": f"{date}-{slug(card['name'])}-{verdict.sha256[:8]}",
        "added": date,
        "submission": {"file": verdict.file[:300], "sha256": verdict.sha256, "bytes": file.stat().st_size},
        "events": [{"date": date, "event": "added", "reason": ""}],
    }

    def headed(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return {"schema_version": "1.0", "kind": kind, **content}

    found = {
        ENTRY: headed("entry", entry),
        CARD: dict(card),
        VERDICT: headed("verdict", to_document([verdict])),
        OUTCOMES: headed("outcomes", {"runs": packed}),
    }
    return found if probe is None else {**found, PROBE: probe}
