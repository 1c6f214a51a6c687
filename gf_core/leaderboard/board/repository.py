"""Reads a results repository, whatever state it is in, and changes how entries stand."""

from __future__ import annotations

import datetime
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from gf_core._files import occupied, write_whole
from gf_core._problems import printable
from gf_core.canonical import JSON, canonical_json
from gf_core.errors import GrinningFaceError, UnknownIdError, did_you_mean
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.board.outcomes import check_fits, check_run, in_common, suite_of, suites_here
from gf_core.leaderboard.board.storage import Storage, open_storage
from gf_core.leaderboard.bundle import PROBE
from gf_core.leaderboard.card import alike
from gf_core.leaderboard.verdict import Badge
from gf_core.schemas import load_document, validate

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

BOARD, ENTRIES, LOCK = "leaderboard.json", "entries", ".lock"
ENTRY, CARD, VERDICT, OUTCOMES = "entry.json", "card.json", "verdict.json", "outcomes.json"
HALF = ".half-"
"""What the folder of an entry that is being written begins with."""
_ID = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[a-z0-9-]{1,60}-[0-9a-f]{8}")
_TAKEN = {BOARD, ENTRIES, LOCK, "claims", "epochs", "incoming", ".git", ".github", ".gitignore", "readme.md", "site", "secrets"}
"""What submissions can't lie in: other files and folders of a repository, and what git leaves out of it."""
_CONTROLLED = re.compile(r"gf/demos@1( .*)?")

Objection = Literal["disputed", "withdrawn"]
Change = Literal["disputed", "lifted", "withdrawn", "restored"]
Division = Literal["controlled", "open"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry as read.

    Attributes:
        id: its folder's name.
        path: its folder.
        document: entry.json.
        card: card.json.
        verdict: what checking it came to: the one submission in verdict.json.
    """

    id: str
    path: Path
    document: Mapping[str, Any]
    card: Mapping[str, Any]
    verdict: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The card's name."""
        return str(self.card["name"])

    @property
    def against(self) -> Mapping[Objection, Mapping[str, Any]]:
        """What stands against it, each with its event; empty for an entry that is as it was added.

        A dispute survives a withdrawal: ``restored`` ends the withdrawal of an entry that is withdrawn, and otherwise its
        dispute.
        """
        found: dict[Objection, Mapping[str, Any]] = {}
        for event in self.document["events"]:
            if event["event"] == "restored":
                found.pop("withdrawn" if "withdrawn" in found else "disputed", None)
            elif event["event"] != "added":
                found[event["event"]] = event
        return found

    @property
    def standing(self) -> Objection | Literal["added"]:
        """The weightiest of what stands against it; ``added`` where nothing does."""
        return "withdrawn" if "withdrawn" in self.against else "disputed" if self.against else "added"

    @property
    def reason(self) -> str:
        """Why it stands as it does: of its withdrawal, else of its dispute, else of what happened to it last."""
        last = self.document["events"][-1]
        return str(self.against.get("withdrawn", self.against.get("disputed", last))["reason"])

    @property
    def listed(self) -> bool:
        """Whether it is in tables."""
        return self.standing != "withdrawn"

    @property
    def badge(self) -> Badge:
        """How far its numbers can be trusted, as it stands."""
        return "disputed" if "disputed" in self.against else cast(Badge, self.verdict["badge"])

    @property
    def division(self) -> Division:
        """``controlled`` where techniques compare: its robot data is gf/demos@1 and nothing else, and it has a backbone."""
        data = self.card["robot_data"]
        same = bool(data) and all(_CONTROLLED.fullmatch(line) for line in data)
        return "controlled" if same and self.card["backbone"] != "none" else "open"

    @cached_property
    def probe(self) -> Mapping[str, Any] | None:
        """What its vision-language model answered, by its submitters' word; ``None`` where they don't say.

        Raises GrinningFaceError: probe.json isn't what its schema says.
        """
        path = self.path / PROBE
        return load_document(path, "probe") if path.is_file() else None

    @cached_property
    def outcomes(self) -> Mapping[str, Any]:
        """outcomes.json. Raises GrinningFaceError: it isn't what its schema says, or was edited."""
        path = self.path / OUTCOMES
        document = load_document(path, "outcomes")
        for number, run in enumerate(document["runs"]):
            check_run(run, where=f"{path}#/runs/{number}")
        return document


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something in a repository that is no entry and should be one, or isn't what it should be.

    Attributes:
        where: the folder or file, relative to the repository.
        what: what is wrong with it.
    """

    where: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """A results repository as read.

    Attributes:
        path: its directory.
        document: leaderboard.json.
        entries: all that could be read, oldest first.
        twins: those whose name an entry before them has: in no table, told among the problems, and known all the same.
        problems: what couldn't be read, by name. Nothing else suffers from it.
    """

    path: Path
    document: Mapping[str, Any]
    entries: tuple[Entry, ...]
    twins: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def storage(self) -> Storage:
        """Where its submissions lie."""
        return open_storage(self.path, self.document["storage"])

    def entry(self, name: str) -> Entry:
        """The entry with an id, or with a beginning of one that no other has; it may be a twin.

        Raises:
            UnknownIdError: there is none, or several.
        """
        there = (*self.entries, *self.twins)
        found = [entry for entry in there if entry.id == name] or [entry for entry in there if entry.id.startswith(name)]
        if len(found) != 1:
            known = [entry.id for entry in there]
            what = f"{len(found)} entries begin with {name!r}" if found else f"no entry is called {name!r}"
            raise UnknownIdError(what, where=str(self.path), hint=did_you_mean(name, known) or "`gf leaderboard list` shows them")
        return found[0]


def init(path: Path, *, title: str, storage: str, contact: str | None = None) -> None:
    """Make an empty repository.

    Args:
        path: its directory: empty, a git repository's that holds no leaderboard, or new.
        title: what it is called.
        storage: a folder in it, or a URL.
        contact: where disputes go.

    Raises:
        GrinningFaceError: there is one already, or the storage can't be opened, is used for something else or keeps nothing.
    """
    if (path / BOARD).exists():
        raise GrinningFaceError("there is a leaderboard already", where=str(path / BOARD), hint="give another directory")
    document: dict[str, JSON] = {"schema_version": "1.0", "kind": "leaderboard", "title": title, "storage": storage}
    if contact:
        document["contact"] = contact
    validate(document, "leaderboard", source="what was asked for")
    _check_storage(storage)
    open_storage(path, storage)
    from gf_core.leaderboard.board.template import write_template

    write_template(path, document)
    write_json(path / BOARD, document)


def _check_storage(storage: str) -> None:
    if "://" in storage and storage.lower().partition("://")[0].endswith("memory"):
        raise GrinningFaceError(f"the storage {storage!r} is gone when the program ends", where="--storage", hint="give a folder")
    first = os.path.normpath(storage).partition("/")[0]
    if "://" not in storage and first.casefold() in _TAKEN:
        what = f"the storage {storage!r} would lie in what the repository keeps in {first}"
        raise GrinningFaceError(what, where="--storage", hint="give another folder, such as files")


def read_board(path: Path, host: PluginHost | None = None) -> Board:
    """Read a repository. Entries that are broken or half-written, or whose name another has, become problems.

    Args:
        path: the repository.
        host: the plugins, which know the suites: without them runs aren't held against their suites.

    Raises:
        GrinningFaceError: there is no repository, or its leaderboard.json isn't one.
    """
    if not (path / BOARD).is_file():
        raise GrinningFaceError(f"there is no {BOARD}", where=str(path), hint="`gf leaderboard init` makes a results repository")
    document = load_document(path / BOARD, "leaderboard")
    entries: list[Entry] = []
    twins: list[Entry] = []
    problems: list[Problem] = []
    names: dict[str, str] = {}
    find = suites_here(host) if host is not None else None
    for folder in sorted(found) if (found := _folders(path)) else ():
        where = printable(f"{ENTRIES}/{folder.name}")
        if folder.name.startswith(HALF):
            problems.append(Problem(where=where, what="half-written; `gf leaderboard add` with the same files writes it anew"))
            continue
        try:
            entry = _read_entry(folder, find)
        except GrinningFaceError as error:
            problems.append(Problem(where=where, what=error.line))
            continue
        if entry.listed and (other := names.setdefault(alike(entry.name), entry.id)) != entry.id:
            twins.append(entry)
            what = f"its name {printable(entry.name)!r} is that of {other}, which came first; withdraw one of them"
            problems.append(Problem(where=where, what=what))
            continue
        entries.append(entry)
    return Board(path=path, document=document, entries=tuple(entries), twins=tuple(twins), problems=tuple(problems))


def _folders(path: Path) -> list[Path]:
    folder = path / ENTRIES
    return [one for one in folder.iterdir() if one.is_dir() or not one.name.startswith(".")] if folder.is_dir() else []


def _read_entry(folder: Path, find: Callable[[str], Suite | None] | None) -> Entry:
    if not folder.is_dir() or folder.is_symlink() or not _ID.fullmatch(folder.name):
        raise GrinningFaceError("no folder that `gf leaderboard add` wrote", hint="move it away")
    missing = next((name for name in (ENTRY, CARD, VERDICT, OUTCOMES) if not (folder / name).is_file()), None)
    if missing:
        raise GrinningFaceError(f"half-written: {missing} is missing", hint="remove the folder, and add the submission again")
    document, card = load_document(folder / ENTRY, "entry"), load_document(folder / CARD, "card")
    verdict = load_document(folder / VERDICT, "verdict")
    if document["id"] != folder.name:
        raise GrinningFaceError(f"{ENTRY} says that it is {document['id']}", hint="the folder was renamed")
    checked = verdict["submissions"]
    if len(checked) != 1 or checked[0]["sha256"] != document["submission"]["sha256"]:
        raise GrinningFaceError(f"{VERDICT} is of another submission", hint="remove the folder, and add the submission again")
    entry = Entry(id=folder.name, path=folder, document=document, card=card, verdict=checked[0])
    # Broken ones are told here, and not to whoever reads them first.
    _ = entry.probe
    for number, run in enumerate(entry.outcomes["runs"]):
        if find is not None and (suite := suite_of(run, find)) is not None:
            check_fits(run, suite, where=f"{folder / OUTCOMES}#/runs/{number}")
    return entry


@contextmanager
def changing(path: Path, host: PluginHost | None = None) -> Iterator[Board]:
    """The repository, held: nobody else changes it meanwhile. Arguments and errors as of :func:`read_board`."""
    read_board(path)
    with occupied(path, identity=BOARD, lock=LOCK, what=BOARD, who="maintainer"):
        yield read_board(path, host)


def change(path: Path, name: str, what: Change, reason: str, *, date: str | None = None) -> Entry:
    """Record that an entry was disputed, its dispute lifted, or that it was withdrawn or restored. Nothing is deleted: what was
    published can be looked up.

    Args:
        path: the repository.
        name: the entry's id, or a beginning of it.
        what: what happened. ``lifted`` undoes ``disputed`` alone, and ``restored`` undoes ``withdrawn`` alone.
        reason: why, shown on its page.
        date: the day, ``YYYY-MM-DD``; by default today's, UTC.

    Raises:
        GrinningFaceError: no such entry; it stands so already; an empty or unfit reason.
    """
    if not reason.strip():
        raise GrinningFaceError("a reason is needed", hint="--reason TEXT")
    with changing(path) as board:
        entry = board.entry(name)
        _check_change(entry, what)
        if what == "restored":
            _check_room(entry, board)
        event = "restored" if what == "lifted" else what
        events = [*entry.document["events"], {"date": date or today(), "event": event, "reason": reason}]
        document = {**entry.document, "events": events}
        validate(document, "entry", source=f"{entry.id}/{ENTRY}")
        write_json(entry.path / ENTRY, document)
    return replace(entry, document=document)


_UNDO: Mapping[Objection, str] = {"disputed": "`dispute --lift`", "withdrawn": "`remove --restore`"}


def _check_change(entry: Entry, what: Change) -> None:
    """Nothing, if the entry stands so that this can happen to it. Raises GrinningFaceError."""
    if what in ("disputed", "withdrawn"):
        if what in entry.against:
            raise GrinningFaceError(f"it is {what} already", where=entry.id)
        return
    undone: Objection = "disputed" if what == "lifted" else "withdrawn"
    if undone not in entry.against:
        hint = "".join(f"it is {other}: {_UNDO[other]} undoes that" for other in entry.against)
        raise GrinningFaceError(f"it isn't {undone}", where=entry.id, hint=hint)
    if what == "lifted" and not entry.listed:
        raise GrinningFaceError("it is withdrawn, too", where=entry.id, hint=f"{_UNDO['withdrawn']} comes first")


def _check_room(entry: Entry, board: Board) -> None:
    """Nothing, if no entry took a withdrawn one's place meanwhile: name, runs or recordings. Raises GrinningFaceError."""
    for other in (*board.entries, *board.twins):
        if not other.listed:
            continue
        taken = (
            "its name" if alike(other.name) == alike(entry.name) else in_common(entry.outcomes["runs"], other.outcomes["runs"])
        )
        if taken:
            raise GrinningFaceError(f"{other.id} has {taken} by now", where=entry.id, hint="withdraw that one first")


def slug(name: str) -> str:
    """A name as part of a file's: a-z, 0-9 and hyphens, at most 60."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "entry"


def today() -> str:
    """The day, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Canonical JSON and a newline, whole or not at all."""
    write_whole(path, (canonical_json(document) + "\n").encode(), kind=GrinningFaceError)
