"""A study's directory: who lies where in it, what it is, who is at work in it, and how it is read.

``study.json`` is the completed document. ``data/NAME/`` holds data that was made, ``fronts/NAME/`` trainings that several cells
go on from, ``sweeps/BACKBONE/ARM/HEAD/NUMBER/`` what was tried for each value of the sweep, ``choices.json`` what was chosen,
and ``cells/BACKBONE/ARM/HEAD/SEED/`` the cells: ``training/``, ``probe.json``, ``runs/SUITE/``, ``cell.json``, ``log.txt``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

from gf_core._files import occupied, write_whole
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.runs import EPISODES, RUN, differences
from gf_core.schemas import load_document
from gf_core.studies.document import Cell, Study

STUDY, CHOICES, RECORD, PROBE, LOCK, LOG = "study.json", "choices.json", "cell.json", "probe.json", ".lock", "log.txt"
CONTROLS = "controls"
"""Folder of a study with runs of other policies, which are shown beside its arms."""
CHECKPOINT = "training/checkpoint"
"""A cell's checkpoint, from the cell's directory."""
_TRAINED = ("fronts", "sweeps", "cells")
State = Literal["done", "failed", "started", "to do"]


@dataclass(frozen=True)
class StudyFolder:
    """Places within a study's directory."""

    path: Path

    def data(self, name: str) -> Path:
        """Data that was made."""
        return self.path / "data" / name

    def front(self, name: str) -> Path:
        """What several cells go on from: ``training/``."""
        return self.path / "fronts" / name

    def sweep(self, group: tuple[str, str, str], number: int) -> Path:
        """What was tried for a value of the sweep: ``training/``, ``runs/``."""
        return self.path.joinpath("sweeps", *group, str(number))

    def cell(self, cell: Cell) -> Path:
        """A cell's directory."""
        return self.path.joinpath("cells", *cell.group, str(cell.seed))

    def told(self, text: str) -> str:
        """A message with paths from the study's directory: its reader knows where that lies, or it is a pack's, unzipped for a
        while."""
        return text.replace(f"{self.path}/", "")


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """A finished run of a cell: the suite as the study names it, its directory, the hash of its episodes."""

    suite: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class CellRecord:
    """What became of a cell: its ``cell.json``, with places as they are from here.

    Attributes:
        path: the cell's directory.
        document: as in the schema ``study_cell-1``.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def done(self) -> bool:
        """Whether it is whole."""
        return bool(self.document["status"] == "done")

    @property
    def reason(self) -> str:
        """Why it failed; empty if it didn't."""
        return self.document["reason"] or ""

    @property
    def phase(self) -> str:
        """Where it failed; empty if it didn't."""
        return self.document["phase"] or ""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Phase to wall-clock seconds."""
        return dict(self.document["seconds"])

    @property
    def value(self) -> float | None:
        """The sweep's value."""
        found = self.document["value"]
        return None if found is None else float(found)

    @property
    def probe(self) -> Path | None:
        """Its probe."""
        found = self.document["probe"]
        return None if found is None else self.path / found

    @property
    def checkpoint(self) -> Path | None:
        """Its checkpoint; without weights if the study keeps none."""
        found = self.document["checkpoint"]
        return None if found is None else self.path / found["path"]

    @property
    def metrics(self) -> Path:
        """Rows of its training's losses."""
        return self.path / "training" / "metrics.jsonl"

    @property
    def runs(self) -> Mapping[str, CellRun]:
        """Suite to finished run."""
        found = self.document["runs"]
        return {r["suite"]: CellRun(suite=r["suite"], path=self.path / r["path"], sha256=r["sha256"]) for r in found}


@dataclass(frozen=True, kw_only=True)
class CellState:
    """How far a cell is.

    Attributes:
        cell: which.
        state: ``started`` is at work, or was interrupted.
        record: its record, if it has ended and the record can be read.
        told: where it is, or why it failed; may be empty.
        damaged: whether it failed because its record can't be read, or its files aren't those that it recorded.
    """

    cell: Cell
    state: State
    record: CellRecord | None
    told: str
    damaged: bool = False


@dataclass(frozen=True)
class StudyResults:
    """A study's directory as read."""

    folder: StudyFolder
    study: Study

    @cached_property
    def records(self) -> Mapping[Cell, CellRecord]:
        """The record of every cell that has ended, in the study's order; without those that can't be read."""
        return {cell: found for cell, found in self._read.items() if isinstance(found, CellRecord)}

    @cached_property
    def _read(self) -> Mapping[Cell, CellRecord | str | None]:
        return {cell: _record_or_why_not(self.folder.cell(cell), cell, self.study) for cell in self.study.cells}

    @cached_property
    def choices(self) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
        """Backbone, arm and head to what the sweep tried and chose (an entry of ``study_choices-1``).

        Raises:
            GrinningFaceError: the file was damaged, or is another study's.
        """
        path = self.folder.path / CHOICES
        if not path.is_file():
            return {}
        document = load_document(path, "study_choices")
        found = {(entry["backbone"], entry["arm"], entry["head"]): entry for entry in document["choices"]}
        if document["study_sha256"] != self.study.sha256 or not found.keys() <= {cell.group for cell in self.study.cells}:
            raise RunDirectoryError("is another study's", where=str(path), hint="copy back the one that the study's sweep wrote")
        return found

    @cached_property
    def states(self) -> tuple[CellState, ...]:
        """How far each cell is, in the study's order. Hashes the episodes of cells that are done, and nothing else of them.
        Files are told from the study's directory."""
        found = (_state(cell, self._read[cell], self.folder.cell(cell)) for cell in self.study.cells)
        return tuple(replace(state, told=self.folder.told(state.told)) for state in found)


def read_study(path: Path) -> StudyResults:
    """A study's directory.

    Raises:
        RunDirectoryError: it isn't one.
        SchemaError: study.json was damaged.
    """
    if not (path / STUDY).is_file():
        hint = "give a directory that `gf study run` wrote, or a file that `gf study pack` wrote"
        raise RunDirectoryError(
            f"holds no {STUDY}" if path.is_dir() else "there is no such directory, and no such file", where=str(path), hint=hint
        )
    return StudyResults(StudyFolder(path), Study(load_document(path / STUDY, "study")))


def read_record(path: Path) -> CellRecord | None:
    """The record of the cell in a directory; ``None`` while it hasn't ended. Raises SchemaError: it was damaged."""
    file = path / RECORD
    return CellRecord(path, load_document(file, "study_cell")) if file.is_file() else None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document whole."""
    write_whole(path, document_bytes(document))


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A document as it lies in a study's directory."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def choices_document(study: Study, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """choices.json, of an entry for each group."""
    return {"schema_version": "1.0", "kind": "study_choices", "study_sha256": study.sha256, "choices": list(choices)}


@contextmanager
def open_study(path: Path, study: Study) -> Iterator[tuple[StudyFolder, BinaryIO]]:
    """Create a study's directory, or take up one of the same study, and hold its lock.

    Yields:
        The directory, and the lock file, which processes that are started inherit: it is held until the last has ended.

    Raises:
        RunDirectoryError: another process holds it, it holds another study or something else, or it can't be written.
    """
    with occupied(path, identity=STUDY, lock=LOCK, what=STUDY, who="study runner") as lock:
        _adopt(path, study)
        yield StudyFolder(path), lock


def _adopt(path: Path, study: Study) -> None:
    """Write study.json, or refuse another study's; where nothing was trained yet, nothing is lost."""
    target = path / STUDY
    if not target.exists() or not any((path / name).is_dir() for name in _TRAINED):
        write_document(target, study.document)
        return
    there = Study(load_document(target, "study"))
    if there.sha256 != study.sha256:
        other = differences(there.document, study.document)
        shown = "; ".join(other[:4]) + ("; …" if len(other) > 4 else "")
        raise RunDirectoryError(f"the directory holds another study: {shown}", where=str(path), hint="give another --out")


def _record_or_why_not(path: Path, cell: Cell, study: Study) -> CellRecord | str | None:
    try:
        record = read_record(path)
    except GrinningFaceError as error:
        return error.line
    if record is None:
        return None
    mine = {"backbone": cell.backbone, "arm": cell.arm, "head": cell.head, "seed": cell.seed}
    if record.document["cell"] != mine or record.document["study_sha256"] != study.sha256:
        return f"{path / RECORD}: is another cell's, or another study's"
    strange = sorted(record.runs.keys() - {evaluation.suite for evaluation in study.evaluations})
    return f"{path / RECORD}: has a run of {strange[0]}, which the study doesn't name" if strange else record


def _state(cell: Cell, record: CellRecord | str | None, path: Path) -> CellState:
    if isinstance(record, str):
        return _damaged(cell, None, record)
    if record is not None and record.done:
        why = _changed(record)
        return _damaged(cell, record, why) if why else CellState(cell=cell, state="done", record=record, told="")
    if record is not None:
        return CellState(cell=cell, state="failed", record=record, told=f"{record.phase}: {record.reason}")
    if not path.is_dir():
        return CellState(cell=cell, state="to do", record=None, told="")
    return CellState(cell=cell, state="started", record=None, told=_whereabouts(path))


def _damaged(cell: Cell, record: CellRecord | None, why: str) -> CellState:
    return CellState(cell=cell, state="failed", record=record, told=f"its files can't be read: {why}", damaged=True)


def _changed(record: CellRecord) -> str:
    """What isn't as a finished cell recorded it; empty if all is."""
    for run in record.runs.values():
        try:
            episodes, identity = ((run.path / name).read_bytes() for name in (EPISODES, RUN))
        except OSError as error:
            return f"{error.filename or run.path}: {error.strerror}"
        # The first row names the hash of run.json.
        wrong = EPISODES if sha256(episodes) != run.sha256 else RUN if sha256(identity).encode() not in episodes else ""
        if wrong:
            return f"{run.path}: {wrong} isn't the one that the cell recorded; the run was changed"
    return f"{record.probe}: there is no such file" if record.probe is not None and not record.probe.is_file() else ""


def _whereabouts(path: Path) -> str:
    """The last thing that a cell without a record has done."""
    runs = sorted(path.glob("runs/*/journal.jsonl"), key=lambda file: file.stat().st_mtime)
    if runs:
        return f"evaluate: {runs[-1].parent.name}"
    if (path / PROBE).is_file():
        return "evaluate"
    if (path / CHECKPOINT / "checkpoint.json").is_file():
        return "probe"
    metrics = path / "training" / "metrics.jsonl"
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):  # a torn last line says nothing
        row = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
        return f"train: stage {row['stage']}, step {row['step']}"
    return "train"
