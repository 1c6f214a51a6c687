"""What a study's directory holds so far: every cell of the matrix, with its runs, its probe and its losses, or why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core._problems import printable
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.reporting import DefaultsLoader, Evidence, SuiteLoader, find_runs, read_evidence
from gf_core.reporting.tables import label
from gf_core.runs import EPISODES, RUN
from gf_core.schemas import load_document
from gf_core.studies.document import Cell, Study
from gf_core.studies.folder import CONTROLS, CellState, StudyFolder, read_study
from gf_core.studies.report.curves import Curve, read_curves


@dataclass(frozen=True, kw_only=True, order=True)
class Condition:
    """One way of making a policy: what the cells of all seeds have in common.

    Attributes:
        backbone, arm, head: names in the study.
    """

    backbone: str
    arm: str
    head: str


@dataclass(frozen=True, kw_only=True)
class Played:
    """A run.

    Attributes:
        path: relative to the study's directory.
        sha256: of its episodes.jsonl; empty while it has none.
        evidence: the run as read.
    """

    path: str
    sha256: str
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class CellEvidence:
    """A cell as far as it is.

    Attributes:
        cell: which.
        path: its directory, relative to the study's.
        state: ``done``, ``failed``, ``started`` or ``to do``.
        told: why it has no results, or where it is; empty for one that is done.
        value: of the sweep; ``None`` without one.
        checkpoint_sha256: of what was trained; empty where nothing was.
        seconds: phase to wall-clock time.
        runs: of a cell that is done.
        probe: what its vision-language model was asked (probe-1.schema.json); ``None`` for nothing.
        probe_path: the probe's file, relative to the study's directory; empty for none.
        curves: losses.
    """

    cell: Cell
    path: str
    state: str
    told: str
    value: float | None
    checkpoint_sha256: str
    seconds: Mapping[str, float]
    runs: tuple[Played, ...]
    probe: Mapping[str, Any] | None
    probe_path: str
    curves: tuple[Curve, ...]

    @property
    def condition(self) -> Condition:
        """What it is a seed of."""
        return Condition(backbone=self.cell.backbone, arm=self.cell.arm, head=self.cell.head)

    @property
    def done(self) -> bool:
        """Whether it has results."""
        return self.state == "done"


@dataclass(frozen=True, kw_only=True)
class StudyEvidence:
    """A study with what its cells came to.

    Attributes:
        path: the directory, as given.
        study: the frozen document.
        cells: every cell of the matrix, in the study's order.
        choices: condition to what the sweep tried and chose (an entry of choices.json).
        controls: runs of other policies: what each is called, and the run.
    """

    path: Path
    study: Study
    cells: tuple[CellEvidence, ...]
    choices: Mapping[Condition, Mapping[str, Any]]
    controls: tuple[tuple[str, Played], ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """In the document's order: arms within heads within backbones."""
        places = [
            {name: n for n, name in enumerate(table)} for table in (self.study.backbones, self.study.heads, self.study.arms)
        ]

        def place(one: Condition) -> tuple[int, int, int]:
            return places[0][one.backbone], places[1][one.head], places[2][one.arm]

        return tuple(sorted({cell.condition for cell in self.cells}, key=place))

    def done(self, condition: Condition) -> tuple[CellEvidence, ...]:
        """The cells of a condition that have results, by seed."""
        found = [cell for cell in self.cells if cell.condition == condition and cell.done]
        return tuple(sorted(found, key=lambda cell: cell.cell.seed))


def read_evidence_of_study(path: Path, load_suite: SuiteLoader, load_defaults: DefaultsLoader = lambda _: {}) -> StudyEvidence:
    """Read a study's directory, finished or not. A cell whose files can't be read counts as failed, with the reason.

    Args:
        path: what `gf study run` wrote.
        load_suite: suites by id.
        load_defaults: as for `read_evidence`.

    Raises:
        GrinningFaceError: it is no study's directory; or its document, its choices or its controls are damaged.
    """
    found = read_study(path)
    choices = {Condition(backbone=b, arm=a, head=h): entry for (b, a, h), entry in found.choices.items()}
    return StudyEvidence(
        path=path,
        study=found.study,
        cells=tuple(_cell(path, found.folder.cell(state.cell), state, load_suite, load_defaults) for state in found.states),
        choices=choices,
        controls=tuple(_controls(path, load_suite, load_defaults)),
    )


def _cell(root: Path, folder: Path, state: CellState, load_suite: SuiteLoader, load_defaults: DefaultsLoader) -> CellEvidence:
    record, told, kind = state.record, state.told, str(state.state)
    runs: tuple[Played, ...] = ()
    probe: Mapping[str, Any] | None = None
    curves: tuple[Curve, ...] = ()
    if record is not None and not state.damaged:
        try:
            runs = tuple(_played(root, run.path, load_suite, load_defaults, run.sha256) for run in record.runs.values())
            probe = load_document(record.probe, "probe") if record.probe else None
            curves = read_curves(record.metrics)
        except GrinningFaceError as error:
            runs, probe, kind, told = (), None, "failed", f"its files can't be read: {error}"
    checkpoint = record.document["checkpoint"] if record else None
    return CellEvidence(
        cell=state.cell,
        path=folder.relative_to(root).as_posix(),
        state=kind,
        told=printable("; ".join(StudyFolder(root).told(told).split("\n"))),
        value=record.value if record else None,
        checkpoint_sha256=checkpoint["sha256"] if checkpoint else "",
        seconds=record.seconds if record else {},
        runs=runs if kind == "done" else (),
        probe=probe if kind == "done" else None,
        probe_path=record.probe.relative_to(root).as_posix() if kind == "done" and record and record.probe else "",
        curves=curves,
    )


def _played(root: Path, path: Path, load_suite: SuiteLoader, load_defaults: DefaultsLoader, expected: str = "") -> Played:
    evidence = read_evidence(path, load_suite, load_defaults)
    file = path / EPISODES
    digest = sha256(file.read_bytes()) if file.is_file() else ""
    if expected and digest != expected:
        raise RunDirectoryError(f"{EPISODES} isn't the one that the cell recorded", where=str(path), hint="the run was changed")
    return Played(path=path.relative_to(root).as_posix(), sha256=digest, evidence=evidence)


def _controls(root: Path, load_suite: SuiteLoader, load_defaults: DefaultsLoader) -> Iterator[tuple[str, Played]]:
    """``controls/RUN`` and ``controls/NAME/RUN``."""
    folder = root / CONTROLS
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if (entry / RUN).is_file() or list(entry.glob(f"*/{RUN}")):
            for path in find_runs([entry]):
                played = _played(root, path, load_suite, load_defaults)
                yield label(played.evidence.report), played
