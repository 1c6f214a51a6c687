"""A study as one file: all that its report is counted from, without data, weights, trajectories and logs.

A pack is a zip of the documents of a study's directory under their own names, so unzipped it is such a directory again, and a
report of it has the same numbers. Several directories and packs of one study go into one: cells that several machines
computed come together that way. The same documents give the same bytes.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gf_core._files import write_whole
from gf_core._problems import shorten
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.runs import EPISODES, RUN, differences
from gf_core.studies.document import Cell, Study
from gf_core.studies.folder import (
    CHOICES,
    CONTROLS,
    PROBE,
    RECORD,
    STUDY,
    CellState,
    StudyResults,
    choices_document,
    document_bytes,
    read_study,
)

METRICS = "training/metrics.jsonl"
_RUN_FILES = (RUN, EPISODES)
_PART = r"(?!\.{1,2}/)[^/\\:\x00-\x1f]{1,255}"
_RUN = f"(?:{re.escape(RUN)}|{re.escape(EPISODES)})"
_KNOWN = re.compile(
    rf"{re.escape(STUDY)}|{re.escape(CHOICES)}"
    rf"|cells/(?:{_PART}/){{4}}(?:{re.escape(RECORD)}|{re.escape(PROBE)}|{re.escape(METRICS)}|runs/{_PART}/{_RUN})"
    rf"|{CONTROLS}/(?:{_PART}/){{1,2}}{_RUN}"
)
_MOST_FILES = 200_000
_MOST_BYTES = 2 * 1024**3
"""Of a pack's files together: 1,500 cells of 1,200 episodes have about as much."""
_BEGAN = (1980, 1, 1, 0, 0, 0)
"""Zip's first moment: the same documents give the same bytes."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What went into a pack.

    Attributes:
        study: which study.
        states: every cell of the matrix, in the study's order, as it is in the pack: ``done``, ``failed``, or without results.
        size: of the file [bytes].
    """

    study: Study
    states: tuple[CellState, ...]
    size: int

    @property
    def done(self) -> int:
        """Cells with results."""
        return sum(state.state == "done" for state in self.states)


def pack(places: Sequence[Path], out: Path) -> Packed:
    """Write one file of a study's directories and packs.

    A cell that is finished in one place and isn't in another is taken from the first; one that failed everywhere is packed with
    its reason; one that was begun is left out.

    Args:
        places: directories that ``gf study run`` wrote, and packs, of one study.
        out: the file; what was there is replaced.

    Raises:
        GrinningFaceError: a place isn't a study, they are of different studies, or two of them finished a cell, chose a value or
            played a control differently; or the file can't be written.
    """
    if out.suffix in (".json", ".jsonl"):
        raise GrinningFaceError("is named as a study's own files are", where=str(out), hint="a pack is a zip: study.zip")
    with ExitStack() as stack:
        found = [(place, read_study(stack.enter_context(opened(place)))) for place in places]
        study = _one_study(found)
        files, states = _gather(found)
        _check_data(study, states)
        documents = {STUDY: document_bytes(study.document)}
        if choices := _choices(found, study):
            documents[CHOICES] = document_bytes(choices_document(study, choices))
        write_whole(out, lambda file: _write(file, documents, files))
    return Packed(study=study, states=states, size=out.stat().st_size)


@contextmanager
def opened(place: Path) -> Iterator[Path]:
    """A study's directory: the one that is given, or what a pack unzips to, for a while.

    Raises:
        RunDirectoryError: a file is no pack, is damaged, holds what no pack holds, or can't be unzipped. What is raised while it
            is open names the pack, not where it was unzipped to.
    """
    if not place.is_file():
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="gf-study-") as folder:
        try:
            with zipfile.ZipFile(place) as archive:
                _unzip(archive, Path(folder), place)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
            hint = "give a study's directory, or a file that `gf study pack` wrote"
            raise RunDirectoryError(f"is no study's pack, or a damaged one ({error})", where=str(place), hint=hint) from error
        except OSError as error:
            what = f"can't be unzipped ({error.strerror or error})"
            raise RunDirectoryError(what, where=str(place), hint=f"make room in {tempfile.gettempdir()}") from error
        try:
            yield Path(folder)
        except GrinningFaceError as error:  # where it was unzipped to says nothing to whoever reads the message
            what, where = (
                text.replace(f"{folder}/", f"{place}: ").replace(folder, str(place)) for text in (error.what, error.where)
            )
            raise type(error)(what, where=where, hint=error.hint, code=error.code) from error


def _unzip(archive: zipfile.ZipFile, folder: Path, place: Path) -> None:
    members = [member for member in archive.infolist() if not member.is_dir()]  # as other programs zip a folder
    names, anew = [member.filename for member in members], "pack the study anew with `gf study pack`"
    plain = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    strange = [
        member.filename for member in members if not _KNOWN.fullmatch(member.filename) or member.compress_type not in plain
    ]
    if strange:
        what = f"holds {shorten(strange[0], 80)!r}, which no study's pack holds, or not like this"
        raise RunDirectoryError(what, where=str(place), hint=anew)
    if len(set(names)) != len(names):
        raise RunDirectoryError("holds a file twice", where=str(place), hint=anew)
    if len(names) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
        what = f"holds more than {_MOST_FILES:,} files, or than {_MOST_BYTES / 1024**3:g} GiB"
        raise RunDirectoryError(what, where=str(place), hint="split the study")
    for member in members:
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)  # ends at the size that was counted above, or with BadZipFile


def _one_study(found: Sequence[tuple[Path, StudyResults]]) -> Study:
    (first, results), *others = found
    for place, other in others:
        if other.study.sha256 != results.study.sha256:
            different = differences(results.study.document, other.study.document)
            shown = "; ".join(different[:4]) + ("; …" if len(different) > 4 else "")
            raise RunDirectoryError(f"holds another study than {first}: {shown}", where=str(place), hint="pack it by itself")
    return results.study


def _gather(found: Sequence[tuple[Path, StudyResults]]) -> tuple[dict[str, Path], tuple[CellState, ...]]:
    """Names in the pack to files; and what became of each cell."""
    files: dict[str, Path] = {}
    states = []
    for number, cell in enumerate(found[0][1].study.cells):
        place, state = _best(cell, [(place, results.states[number]) for place, results in found])
        if state.record is not None and not state.damaged:
            root = next(results.folder.path for where, results in found if where == place)
            files |= {file.relative_to(root).as_posix(): file for file in _files(state)}
        states.append(state)
    for place, results in found:
        for name, file in _controls(results.folder.path).items():
            if not _KNOWN.fullmatch(name):
                what, hint = (
                    f"the name of {shorten(name, 80)!r} can't be packed",
                    "rename it: no colon, backslash or control character",
                )
                raise RunDirectoryError(what, where=str(place), hint=hint)
            if name in files and not _same(files[name], file):
                what = f"{name} isn't the same as in another place"
                raise RunDirectoryError(what, where=str(place), hint=f"rename one of the two below {CONTROLS}/")
            files.setdefault(name, file)
    return files, tuple(states)


def _best(cell: Cell, states: Sequence[tuple[Path, CellState]]) -> tuple[Path, CellState]:
    """Where a cell is farthest.

    Raises:
        RunDirectoryError: it was finished twice, with different results.
    """
    done = [(place, state) for place, state in states if state.state == "done"]
    for place, state in done[1:]:
        if _came_to(state) != _came_to(done[0][1]):
            what = f"cell {cell.id} is finished in {done[0][0]} too, with other results"
            raise RunDirectoryError(what, where=str(place), hint="a seed counts once: leave one of the two places out")
    order = ("done", "failed", "started", "to do")
    return (done or sorted(states, key=lambda one: (one[1].damaged, order.index(one[1].state))))[0]


def _came_to(state: CellState) -> dict[str, Any]:
    """What a finished cell says of itself, hashes of its checkpoint, its data and its runs among it, but for how long it took."""
    assert state.record is not None
    return {name: value for name, value in state.record.document.items() if name != "seconds"}


def _check_data(study: Study, states: Sequence[CellState]) -> None:
    """Raise RunDirectoryError where finished cells were trained on different data of one name."""
    seen: dict[str, tuple[str, str]] = {}
    for state in states:
        hashes = state.record.document["data"] if state.state == "done" and state.record else {}
        for source, digest in hashes.items():
            name = study.arms[state.cell.arm].data.get(source, source)
            other, cell = seen.setdefault(name, (digest, state.cell.id))
            if other != digest:
                what = f"cells {cell} and {state.cell.id} were trained on different data {name!r}"
                raise RunDirectoryError(what, hint="make data once, and copy study.json and data/ to every machine first")


def _files(state: CellState) -> list[Path]:
    """What a cell's results are counted from: its record first."""
    record = state.record
    if record is None:
        return []
    runs = [run.path / name for run in record.runs.values() for name in _RUN_FILES]
    more = [*runs, *([record.probe] if record.probe else []), record.metrics]
    return [record.path / RECORD, *(file for file in more if file.is_file())]  # one that failed may lack some


def _controls(root: Path) -> dict[str, Path]:
    """Those that were played to their end: until then their episodes are in a journal, which isn't packed."""
    folder = root / CONTROLS
    runs = [run.parent for pattern in (f"*/{RUN}", f"*/*/{RUN}") for run in folder.glob(pattern)]
    found = [run / name for run in runs for name in _RUN_FILES if (run / EPISODES).is_file()]
    return {file.relative_to(root).as_posix(): file for file in found}


def _choices(found: Sequence[tuple[Path, StudyResults]], study: Study) -> list[Mapping[str, Any]]:
    """What sweeps chose, in the study's order.

    Raises:
        RunDirectoryError: two places chose differently.
    """
    chosen: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for place, results in found:
        for group, entry in results.choices.items():
            if chosen.setdefault(group, entry) != entry:
                what = f"the sweep of {'/'.join(group)} isn't the same as in another place"
                hint = "cells with different values aren't seeds of one thing: sweep on one machine, then copy its directory"
                raise RunDirectoryError(what, where=str(place), hint=hint)
    order = list(dict.fromkeys(cell.group for cell in study.cells))
    return [chosen[group] for group in sorted(chosen, key=order.index)]


def _same(first: Path, second: Path) -> bool:
    return first.name == second.name and sha256(first.read_bytes()) == sha256(second.read_bytes())


def _write(file: BinaryIO, documents: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted({*documents, *files}):
            info = zipfile.ZipInfo(name, date_time=_BEGAN)
            info.create_system, info.external_attr = 3, 0o644 << 16  # zipfile writes the operating system's number otherwise
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, documents[name] if name in documents else _bytes(files[name]))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RunDirectoryError(f"can't be read ({error.strerror})", where=str(file), hint="is the study being run?") from error
