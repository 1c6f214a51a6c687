"""The run directory: the one place that writes it and the one place that reads it.

``run.json`` says what was run and nothing else; ``journal.jsonl`` is on disk, row by row, before the runner goes on;
``episodes.jsonl`` is made from the journal when the last episode is done: plan order, canonical JSON, hash-chained.
A file is written beside its place, flushed to disk and renamed, so that it is whole or absent.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core import trajectories
from gf_core._files import explained, flush_directory, take, write_whole
from gf_core.canonical import canonical_json, sha256
from gf_core.errors import RunDirectoryError, SchemaError
from gf_core.schemas import parse_json, validate
from gf_core.summary import ENV_ERROR
from gf_core.trajectories import Trajectory

RUN, JOURNAL, EPISODES, TRAJECTORIES, LOCK, POLICY_LOG = (
    "run.json",
    "journal.jsonl",
    "episodes.jsonl",
    "trajectories",
    ".lock",
    "policy.log",
)
INVALID_ERROR_RATE = 0.02
"""A run with a larger share of infrastructure faults is invalid."""

Row = dict[str, Any]

_ROW: Mapping[str, type] = {
    "episode": str,
    "split": str,
    "cluster": str,
    "success": bool,
    "ending": str,
    "steps": int,
    "clipped_steps": int,
    "metrics": dict,
    "trajectory_sha256": str,
}
"""What is read from a row of an episode, wherever it is read."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory as read.

    Attributes:
        path: the directory.
        identity: run.json.
        records: rows of episodes.jsonl in plan order; of an unfinished run, what the journal has, without ``previous``.
        complete: whether all episodes are recorded.
    """

    path: Path
    identity: Mapping[str, Any]
    records: tuple[Row, ...]
    complete: bool

    @property
    def valid(self) -> bool:
        """Whether at most 2 % of the episodes ended in an infrastructure fault."""
        return is_valid(self.records)

    def trajectory(self, episode: str) -> Trajectory:
        """What a recorded episode did.

        Raises:
            RunDirectoryError: if the file is missing, damaged, or not the one that was recorded.
        """
        record = next(row for row in self.records if row["episode"] == episode)
        path = self.path / TRAJECTORIES / f"{episode}.npz"
        if not path.exists():
            raise RunDirectoryError("the file is missing", where=str(path))
        data = _read(path)
        if sha256(data) != record["trajectory_sha256"]:
            raise RunDirectoryError("the file was changed after the episode was recorded", where=str(path))
        return trajectories.from_bytes(data, where=str(path))


def is_valid(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether at most 2 % of the episodes ended in an infrastructure fault."""
    faults = [row for row in records if row["ending"] == ENV_ERROR]
    return len(faults) <= INVALID_ERROR_RATE * len(records)


def read_run(path: Path) -> Run:
    """Read a run directory, finished or not.

    Raises:
        RunDirectoryError: if it isn't one, its hash chain is broken, or a row isn't an episode's; the first bad row is named.
        SchemaError: run.json isn't what its schema says.
    """
    if not (path / RUN).is_file():
        what = f"no {RUN} in it" if path.is_dir() else "there is no such directory"
        raise RunDirectoryError(what, where=str(path), hint="give a directory that `gf run` wrote")
    head = _read(path / RUN)
    identity = _identity(head, path)
    if (path / EPISODES).is_file():
        records = tuple(_read_chain(path, head))
        _check_rows(path, records)
        _check_end(path)
        return Run(path=path, identity=identity, records=records, complete=True)
    rows, _ = _read_journal(path / JOURNAL)
    found = {row["record"]["episode"]: row["record"] for row in rows if row["kind"] == "episode"}
    return Run(path=path, identity=identity, records=tuple(found.values()), complete=False)


def read_identity(path: Path) -> Row:
    """A run directory's run.json. Raises RunDirectoryError if it isn't JSON, SchemaError if it isn't what its schema says."""
    return _identity(_read(path / RUN), path)


def _identity(data: bytes, path: Path) -> Row:
    identity = _json_object(data, where=str(path / RUN))
    validate(identity, "run", source=str(path / RUN))
    return identity


def read_journal(path: Path) -> list[Row]:
    """The rows of a run directory's journal in the order in which things happened; none where there is no journal.

    Raises:
        RunDirectoryError: if it isn't one; the first bad row is named. A torn last row is left out.
    """
    return _read_journal(path / JOURNAL)[0]


def _read_chain(path: Path, head: bytes) -> Iterator[Row]:
    previous = sha256(head)
    for number, line in enumerate(_read(path / EPISODES).splitlines(), start=1):
        where = f"{path / EPISODES}:{number}"
        row = _json_object(line, where=where)
        if row.get("previous") != previous:
            raise RunDirectoryError("the row doesn't follow from the one before it", where=where, hint="the file was edited")
        yield row
        previous = sha256(line)


def _check_rows(path: Path, rows: Sequence[Row]) -> None:
    """The chain holds; a forged row may still be of any form."""
    names: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if bad := _improper(row):
            raise RunDirectoryError(f"episode row {number} has no proper {bad!r}", where=str(path), hint="the file was edited")
        if row["episode"] in names:
            what = f"the episode {row['episode']!r} is recorded twice"
            raise RunDirectoryError(what, where=str(path), hint="the file was edited")
        names.add(row["episode"])


def _improper(row: Row) -> str:
    """The first key that an episode's row lacks, or that has another type; empty if there is none."""
    return next((key for key, kind in _ROW.items() if not isinstance(row.get(key), kind)), "")


def _check_end(path: Path) -> None:
    """Hold episodes.jsonl against what the journal's last row says of it: the chain alone doesn't cover its own last row."""
    lines = _read(path / JOURNAL).splitlines() if (path / JOURNAL).exists() else []
    ends = [(number, line) for number, line in enumerate(lines, start=1) if b'"kind":"end"' in line]
    if ends:
        number, line = ends[-1]
        row = _json_object(line, where=f"{path / JOURNAL}:{number}")
        if sha256(_read(path / EPISODES)) != row.get("episodes_sha256"):
            raise _changed(path, EPISODES)


def _changed(path: Path, name: str) -> RunDirectoryError:
    return RunDirectoryError(f"{name} was changed after the run ended", where=str(path), hint="run into another --out")


def _check_journal_row(row: Row, where: str) -> Row:
    """The row, if it has what is read from it."""
    record = row.get("record")
    known = {
        "session": True,
        "fault": True,
        "end": isinstance(row.get("episodes_sha256"), str),
        "episode": isinstance(record, dict) and not _improper(record),
    }
    if not known.get(str(row.get("kind"))):
        raise RunDirectoryError("not a row of a journal", where=where, hint="the file was edited")
    return row


def _read_journal(path: Path) -> tuple[list[Row], int]:
    """The whole rows, and the length in bytes of what they take; a torn last line is left out."""
    data = _read(path) if path.exists() else b""
    rows: list[Row] = []
    end = 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            if not line.endswith(b"\n"):
                break
            where = f"{path}:{number}"
            rows.append(_check_journal_row(_json_object(line, where=where), where))
        except RunDirectoryError:
            if number < len(lines):
                raise
            break
        end += len(line)
    return rows, end


class RunWriter:
    """The one writer of a run directory. Make it with :func:`open_run`.

    Attributes:
        path: the directory.
        done: records of earlier sessions, by episode id, each with a trajectory that is as it was recorded.
        finished: whether the run was complete before this session.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], order: Sequence[str]) -> None:
        self.path = path
        self._order = list(order)
        self._head = (canonical_json(identity) + "\n").encode()
        _identity(self._head, path)  # what couldn't be read again isn't begun
        rows, end = _read_journal(path / JOURNAL)
        found = {row["record"]["episode"]: row["record"] for row in rows if row["kind"] == "episode"}
        if self._adopt(identity, blank=not found):
            rows, end = [], 0
        whole = {name: found[name] for name in self._order if name in found and self._trajectory_is_whole(found[name])}
        self.done = whole
        self.finished = self._is_finished(rows)
        if not self.finished:
            for leftover in (path / TRAJECTORIES).glob(".*.tmp"):
                leftover.unlink()
        with explained(path / JOURNAL):
            self._journal = os.open(path / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._journal, end)
            os.lseek(self._journal, end, os.SEEK_SET)
            flush_directory(path)

    def _adopt(self, identity: Mapping[str, Any], *, blank: bool) -> bool:
        """Write run.json, or refuse another configuration's; of a ``blank`` run, where nothing was recorded, nothing is lost.

        Returns whether the journal begins anew.
        """
        target = self.path / RUN
        if not target.exists():
            with explained(self.path):
                (self.path / TRAJECTORIES).mkdir(exist_ok=True)
            write_whole(target, self._head)
            return False
        there = _read(target)
        if there == self._head:
            return False
        old = _json_object(there, where=str(target))
        if blank:
            write_whole(target, self._head)
            return True
        differing = differences(old, dict(identity))
        telling = [line for line in differing if "sha256" not in line.partition(" ")[0]] or differing
        raise RunDirectoryError(
            "the directory belongs to another configuration: " + "; ".join(telling[:6]),
            where=str(self.path),
            hint="give another --out",
        )

    def _is_finished(self, rows: Sequence[Row]) -> bool:
        ends = [row for row in rows if row["kind"] == "end"]
        if not ends or not (self.path / EPISODES).exists():
            return False
        if sha256(_read(self.path / EPISODES)) != ends[-1]["episodes_sha256"]:
            raise _changed(self.path, EPISODES)
        for name in self._order:
            if name not in self.done:
                raise _changed(self.path, f"{TRAJECTORIES}/{name}.npz")
        return True

    def _trajectory_is_whole(self, record: Row) -> bool:
        path = self.path / TRAJECTORIES / f"{record['episode']}.npz"
        return path.is_file() and sha256(_read(path)) == record["trajectory_sha256"]

    def session(self, *, slots: int, threads: int, in_process: bool) -> None:
        """Note in the journal that a session begins."""
        self._append(
            kind="session",
            schema_version="1.0",
            run_sha256=sha256(self._head),
            slots=slots,
            threads=threads,
            in_process=in_process,
            done=len(self.done),
        )

    def episode(
        self, record: Row, trajectory: Trajectory, *, slot: int, attempts: int, seconds: float, ask_seconds: float
    ) -> Row:
        """Put an episode on disk: first its trajectory, then its journal row. Returns the record with the trajectory's hash."""
        data = trajectories.to_bytes(trajectory)
        write_whole(self.path / TRAJECTORIES / f"{record['episode']}.npz", data)
        whole = {**record, "trajectory_sha256": sha256(data)}
        times = {"seconds": round(seconds, 6), "ask_seconds": round(ask_seconds, 6)}
        self._append(kind="episode", record=whole, slot=slot, attempts=attempts, **times)
        self.done[record["episode"]] = whole
        return whole

    def fault(self, cause: str, episodes: Sequence[str], reason: str) -> None:
        """Note in the journal that these episodes begin again, and why."""
        self._append(kind="fault", cause=cause, episodes=list(episodes), reason=reason)

    def finish(self) -> None:
        """Write episodes.jsonl from the records, in plan order, hash-chained; then the journal's last row."""
        lines: list[str] = []
        previous = sha256(self._head)
        for name in self._order:
            lines.append(canonical_json({**self.done[name], "previous": previous}))
            previous = sha256(lines[-1])
        data = "".join(line + "\n" for line in lines).encode()
        write_whole(self.path / EPISODES, data)
        self._append(kind="end", episodes_sha256=sha256(data), valid=is_valid(list(self.done.values())))
        self.finished = True

    def _append(self, **row: Any) -> None:
        line = (canonical_json({**row, "time": round(time.time(), 3)}) + "\n").encode()
        start = os.lseek(self._journal, 0, os.SEEK_CUR)
        with explained(self.path / JOURNAL):
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._journal, line[written:])
                os.fsync(self._journal)
            except OSError:
                os.ftruncate(self._journal, start)
                raise

    def close(self) -> None:
        """Close the journal."""
        os.close(self._journal)


@contextmanager
def open_run(path: Path, identity: Mapping[str, Any], order: Sequence[str]) -> Iterator[RunWriter]:
    """Create a run directory, or take up an unfinished one of the same configuration, and hold its lock.

    Args:
        path: the directory; parents are made.
        identity: what run.json holds.
        order: ids of the episodes in plan order.

    Raises:
        RunDirectoryError: if another runner holds it, it belongs to another configuration, is damaged, or can't be written.
        SchemaError: the identity isn't what the schema of run.json says.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        lock = (path / LOCK).open("ab")
    with lock:
        take(lock, path, "runner")
        writer = RunWriter(path, identity, order)
        try:
            yield writer
        finally:
            writer.close()


def _refuse_foreign(path: Path) -> None:
    """Leave somebody's folder as it is."""
    names = sorted(entry.name for entry in path.iterdir())
    strangers = [name for name in names if name not in {LOCK, TRAJECTORIES, f".{RUN}.tmp"}]
    if strangers and RUN not in names:
        what = f"the directory holds {strangers[0]!r} but no {RUN}"
        raise RunDirectoryError(what, where=str(path), hint="give an empty or a new one with --out")


def differences(old: object, new: object, pointer: str = "") -> list[str]:
    """Where two JSON documents differ: ``/pointer: old -> new``, sorted by pointer."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = [
            differences(old.get(k, "absent"), new.get(k, "absent"), f"{pointer}/{k}") for k in sorted(old.keys() | new.keys())
        ]
        return [line for lines in found for line in lines]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, f"{pointer}/{i}")]
    return [] if old == new else [f"{pointer} is {_short(old)} there and {_short(new)} here"]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunDirectoryError(f"can't be read ({error.strerror or error})", where=str(path)) from error


def _json_object(data: bytes, *, where: str) -> Row:
    try:
        value = parse_json(data, source=where)
    except SchemaError as error:
        raise RunDirectoryError(f"not JSON ({error.what})", where=where) from error
    if not isinstance(value, dict):
        raise RunDirectoryError("not a JSON object", where=where)
    return value
