"""What the page shows of a study: numbered conditions, tables, charts, and links to where each number comes from."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gf_core._problems import printable, shorten
from gf_core.reporting.charts import Whiskers, whiskers
from gf_core.reporting.faces import Faces
from gf_core.reporting.heatmap import HeatMap, draw_map
from gf_core.reporting.tables import NONE, points
from gf_core.statistics import Rate
from gf_core.studies.report.charts import Curves, Dot, Forest, Scatter, draw_curves, forest, forest_span, scatter
from gf_core.studies.report.contrasts import Compared
from gf_core.studies.report.evidence import CellEvidence, Condition, Played, StudyEvidence
from gf_core.studies.report.figures import Figure
from gf_core.studies.report.probes import Questions, matching
from gf_core.studies.report.tables import ControlRow, Table, TableRow
from gf_core.studies.report.wording import Names, percents
from gf_core.summary import RANKABLE_EPISODES, MetricDecl

_NAME, _TEXT = 60, 600


@dataclass(frozen=True, kw_only=True)
class ConditionView:
    """A condition as the page names it: by its number. ``marks`` are badges, ``privileged`` is never true of one."""

    number: int
    name: str
    description: str
    anchor: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """A cell of a table of rates: the figure, its interval, its letters, and whether it is a claim about a technique."""

    text: str
    interval: str = ""
    letters: str = ""
    claim: bool = True


@dataclass(frozen=True, kw_only=True)
class ControlView:
    """A policy beside the arms."""

    name: str
    privileged: bool
    cells: tuple[FigureView, ...]
    href: str


@dataclass(frozen=True, kw_only=True)
class ContrastView:
    """A contrast by one rate."""

    first: ConditionView
    second: ConditionView
    compared: Compared


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A split of a suite."""

    anchor: str
    suite: str
    split: str
    headline: bool
    note: str
    marks: tuple[str, ...]
    provisional: bool
    episodes: int
    rates: tuple[MetricDecl, ...]
    rows: tuple[tuple[ConditionView, tuple[FigureView, ...], str], ...]
    controls: tuple[ControlView, ...]
    charts: tuple[Whiskers, ...]
    forests: tuple[Forest, ...]
    contrasts: tuple[tuple[str, tuple[ContrastView, ...]], ...]
    scatters: tuple[Scatter, ...]
    heat: HeatMap
    heat_rate: str


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run directory: a link to it, what it holds, and what proves it."""

    seed: int
    suite: str
    path: str
    href: str
    sha256: str
    checkpoint_sha256: str
    marks: tuple[str, ...]
    rates: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class CellsView:
    """Where a condition's numbers come from; ``rates`` are the columns of each run's splits."""

    condition: ConditionView
    rates: tuple[str, ...]
    runs: tuple[RunView, ...]
    cells: tuple[tuple[CellEvidence, str], ...]


class Views:
    """Everything that the page is made of.

    Args:
        evidence: the study.
        tables: its numbers.
        questions: its probes.
        names: what conditions are called.
        page: where the page will be, which links start from; ``None`` for a page without links to the study's directory.
        faces: the cards' faces.
    """

    def __init__(
        self,
        evidence: StudyEvidence,
        tables: Sequence[Table],
        questions: Sequence[Questions],
        names: Names,
        page: Path | None,
        faces: Faces,
    ) -> None:
        self._evidence, self._questions, self._faces = evidence, questions, faces
        self._names = names
        self._root = None if page is None else os.path.relpath(evidence.path.resolve(), page.parent.resolve())
        self.conditions: Mapping[Condition, ConditionView] = {
            c: ConditionView(
                number=number,
                name=shorten(names[c], _NAME),
                description=clean(evidence.study.arms[c.arm].description),
                anchor=f"condition-{number}",
            )
            for number, c in enumerate(evidence.conditions, start=1)
        }
        self.tables = [self._table(f"table-{number}", table) for number, table in enumerate(tables, start=1)]
        self.probe_scatters = [s for table in tables if table.headline and (s := self._probe_scatter(table)) is not None]
        self.curves = self._curves()
        self.cells = [self._cells(condition) for condition in evidence.conditions]

    @property
    def suites(self) -> Mapping[str, Sequence[TableView]]:
        """Suite to its tables, in the tables' order: the one with the first headline split is first, as in all other forms."""
        found: dict[str, list[TableView]] = {}
        for table in self.tables:
            found.setdefault(table.suite, []).append(table)
        return found

    def href(self, path: str) -> str:
        """A link to a directory of the study, relative to the page; empty on a page without links."""
        return self.file_href(path + "/")

    def file_href(self, path: str) -> str:
        """A link to a file of the study, relative to the page; empty on a page without links."""
        return "" if self._root is None else quote(posixpath.join(Path(self._root).as_posix(), path))

    def _table(self, anchor: str, table: Table) -> TableView:
        span = forest_span(one for found in table.compared.values() for one in found)
        return TableView(
            anchor=anchor,
            suite=clean(table.suite),
            split=clean(table.split),
            headline=table.headline,
            note=clean(table.note),
            marks=tuple(map(clean, table.marks)),
            provisional=table.episodes < RANKABLE_EPISODES,
            episodes=table.episodes,
            rates=table.rates,
            rows=tuple(self._row(table, row) for row in table.rows),
            controls=tuple(self._control(table, control) for control in table.controls),
            charts=tuple(_whiskers(table, decl, self._names) for decl in table.rates),
            forests=tuple(forest(name, found, self._names, span) for name, found in table.compared.items() if found),
            contrasts=tuple(
                (name, tuple(self._contrast(one) for one in found)) for name, found in table.compared.items() if found
            ),
            scatters=tuple(filter(None, [self._execution_scatter(table)])),
            heat=draw_map([table.targets.get(c, {}) for c in self.conditions], self._faces),
            heat_rate=table.knowledge.name,
        )

    def _row(self, table: Table, row: TableRow) -> tuple[ConditionView, tuple[FigureView, ...], str]:
        view = self.conditions[row.condition]
        marked = ConditionView(
            number=view.number,
            name=view.name,
            description=view.description,
            anchor=view.anchor,
            marks=tuple(map(clean, row.notes)),
        )
        cells = tuple(figure_view(f, row.letters.get(f.decl.name, "")) for f in row.figures)
        empty = tuple(FigureView(text=NONE, claim=False) for _ in table.rates)
        return marked, cells or empty, row.seeds

    def _control(self, table: Table, control: ControlRow) -> ControlView:
        found = {m.decl.name: m.rate for m in control.summary.metrics}
        return ControlView(
            name=shorten(control.name, _NAME),
            privileged=control.privileged,
            cells=tuple(_rate(found.get(decl.name)) for decl in table.rates),
            href=self.href(control.played.path),
        )

    def _contrast(self, one: Compared) -> ContrastView:
        return ContrastView(first=self.conditions[one.first], second=self.conditions[one.second], compared=one)

    def _execution_scatter(self, table: Table) -> Scatter | None:
        execution, knowledge = table.execution, table.knowledge
        if execution is None or knowledge == execution:
            return None
        dots = []
        for row in table.rows:
            x, y = table.figure(row.condition, execution), table.figure(row.condition, knowledge)
            if x and y:
                dots.append(self._dot(row.condition, x, y))
        title = f"{execution.name} against {knowledge.name}"
        return scatter(title, (execution.name, knowledge.name), (None, knowledge.chance), dots)

    def _probe_scatter(self, table: Table) -> Scatter | None:
        asked = matching(self._questions, table)
        if asked is None:
            return None
        dots = [
            self._dot(row.condition, row.after, y, row.before)
            for row in asked.rows
            if (y := table.figure(row.condition, table.knowledge)) is not None
        ]
        axes = (clean(asked.title), clean(f"{table.knowledge.name}, {table.suite} {table.split}"))
        return scatter("What the model knew against what the policy did", axes, (asked.chance, table.knowledge.chance), dots)

    def _dot(self, condition: Condition, x: Figure, y: Figure, before: Figure | None = None) -> Dot:
        view = self.conditions[condition]
        return Dot(label=str(view.number), name=view.name, x=x, y=y, before=before)

    def _curves(self) -> list[Curves]:
        found = {c: [cell.curves for cell in self._evidence.done(c)] for c in self.conditions}
        names = dict.fromkeys(curve.name for seeds in found.values() for seed in seeds for curve in seed)
        styles = {name: number for number, name in enumerate(sorted(names))}
        drawn = [draw_curves(str(v.number), v.name, found[c], styles) for c, v in self.conditions.items()]
        return [curves for curves in drawn if curves is not None]

    def _cells(self, condition: Condition) -> CellsView:
        cells = [cell for cell in self._evidence.cells if cell.condition == condition]
        columns = dict.fromkeys(
            m.decl.name for cell in cells for p in cell.runs for s in p.evidence.report.splits for m in s.metrics
        )
        return CellsView(
            condition=self.conditions[condition],
            rates=tuple(map(clean, columns)),
            runs=tuple(self._run(cell, played, list(columns)) for cell in cells for played in cell.runs),
            cells=tuple((cell, self.href(cell.path)) for cell in cells),
        )

    def _run(self, cell: CellEvidence, played: Played, columns: Sequence[str]) -> RunView:
        report = played.evidence.report
        rates = []
        for split in report.splits:
            found = {m.decl.name: m.rate for m in split.metrics}
            rates.append((clean(split.split), tuple(_share(found.get(name)) for name in columns)))
        return RunView(
            seed=cell.cell.seed,
            suite=clean(report.suite),
            path=clean(played.path),
            href=self.href(played.path),
            sha256=played.sha256,
            checkpoint_sha256=cell.checkpoint_sha256,
            marks=tuple(map(clean, report.marks)),
            rates=tuple(rates),
        )


def clean(text: str) -> str:
    """``text`` without control or bidirectional characters, and not longer than a page bears."""
    return shorten(printable(text), _TEXT)


def figure_view(found: Figure, letters: str = "") -> FigureView:
    """A cell of a table of rates."""
    if found.estimate is None:
        return FigureView(text=NONE, claim=found.claim)
    return FigureView(text=points(found.estimate), interval=percents(found.interval), letters=letters, claim=found.claim)


def _rate(found: Rate | None) -> FigureView:
    if found is None or found.estimate is None:
        return FigureView(text=NONE)
    return FigureView(text=points(found.estimate), interval=percents(found.interval))


def _share(found: Rate | None) -> str:
    return NONE if found is None or found.estimate is None else f"{points(found.estimate)} ({found.k}/{found.n})"


def _whiskers(table: Table, decl: MetricDecl, names: Names) -> Whiskers:
    rates = []
    for row in table.rows:
        found = table.figure(row.condition, decl)
        rates.append((names.numbered(row.condition), found, not (found and found.claim)))
    return whiskers(shorten(printable(decl.name), _NAME), decl.chance, rates)
