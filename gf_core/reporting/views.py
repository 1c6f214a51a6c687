"""What the page shows of the runs: numbers, suites, splits, and texts cut to a length that a page bears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gf_core._problems import printable, shorten
from gf_core.reporting import prose
from gf_core.reporting.charts import Stacks, Whiskers, stacks, whiskers
from gf_core.reporting.comparisons import Compared, by_suite, compare_split
from gf_core.reporting.controls import CONTROL_SPLITS, Controls, read_controls
from gf_core.reporting.faces import Faces
from gf_core.reporting.heatmap import HeatMap, heat_map
from gf_core.reporting.inheritance import Inheritance, inheritance
from gf_core.reporting.model import Evidence
from gf_core.reporting.outcomes import Kind, conditional, count_kinds
from gf_core.reporting.provenance import Fact, command, facts
from gf_core.reporting.tables import Column, columns, declarations, label, points
from gf_core.summary import SplitSummary, Tally

_NAME, _NAME_IN_SENTENCE, _TEXT = 120, 60, 600


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as the page names it: by its number."""

    number: int
    name: str
    path: str
    marks: tuple[str, ...]
    privileged: bool
    problem: str
    episodes: str
    facts: tuple[Fact, ...]
    command: str


@dataclass(frozen=True, kw_only=True)
class FigureCell:
    """A cell of a table of rates: the figure, and its interval below it."""

    text: str
    interval: str = ""


@dataclass(frozen=True, kw_only=True)
class SplitView:
    """A split of a suite."""

    anchor: str
    name: str
    note: str
    provisional: bool
    columns: tuple[Column, ...]
    rows: tuple[tuple[RunView, tuple[FigureCell, ...]], ...]
    has_chance: bool
    letters: Mapping[int, str]
    charts: tuple[Whiskers, ...]
    stacks: Stacks
    kinds: tuple[Kind, ...]
    happened: tuple[tuple[RunView, Mapping[Kind, int], Tally], ...]
    compared: tuple[Compared, ...]
    inherited: tuple[tuple[RunView, Inheritance], ...]
    heat: HeatMap | None


@dataclass(frozen=True, kw_only=True)
class SuiteView:
    """A suite with its runs; numbers of different suites are never in one table."""

    anchor: str
    name: str
    sha256: str
    summary: str
    runs: tuple[RunView, ...]
    splits: tuple[SplitView, ...]
    sentences: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    controls: Controls | None


def view_runs(evidence: Sequence[Evidence]) -> dict[int, RunView]:
    """The runs by their numbers, from 1."""
    return {number: _run(number, one) for number, one in enumerate(evidence, start=1)}


def view_suites(evidence: Sequence[Evidence], runs: Mapping[int, RunView], faces: Faces) -> list[SuiteView]:
    """The suites in the order in which they first appear."""
    return [_suite(place, group, runs, faces) for place, group in enumerate(by_suite(evidence), start=1)]


def clean(text: str) -> str:
    """``text`` without control or bidirectional characters, and not longer than a page bears."""
    return shorten(printable(text), _TEXT)


def _run(number: int, one: Evidence) -> RunView:
    report = one.report
    return RunView(
        number=number,
        name=shorten(label(report), _NAME),
        path=clean(report.path),
        marks=tuple(map(clean, report.marks)),
        privileged=report.privileged,
        problem=clean(report.problem),
        episodes=f"{report.recorded} of {report.planned}" if report.planned is not None else str(report.recorded),
        facts=tuple(facts(one)),
        command=command(one),
    )


def _suite(place: int, group: Mapping[int, Evidence], runs: Mapping[int, RunView], faces: Faces) -> SuiteView:
    members = list(group.values())
    suite = next((one.suite for one in members if one.suite is not None), None)
    found = dict.fromkeys(s.split for one in members for s in one.report.splits)
    order = [split for split in suite.splits if split in found] if suite else list(found)
    splits = [_split(f"suite-{place}-{i}", split, group, runs, faces) for i, split in enumerate(order, start=1)]
    controls = read_controls(members)
    names = {number: _named(runs[number]) for number in group}
    if controls:
        sentences = [prose.read_control(i, controls, names[number]) for i, number in enumerate(group)]
    else:
        headline = prose.headline_split(order)
        compared = next((v.compared[0] for s, v in zip(order, splits, strict=True) if s == headline and v.compared), None)
        sentences = prose.sentences({n: one.report for n, one in group.items()}, names, clean(headline), compared)
    return SuiteView(
        anchor=f"suite-{place}",
        name=clean(members[0].report.suite),
        sha256=members[0].report.suite_sha256,
        summary=clean(suite.summary) if suite else "",
        runs=tuple(runs[number] for number in group),
        splits=tuple(splits),
        sentences=tuple(sentences),
        notes=tuple((clean(d.name), clean(d.description)) for d in declarations([m.report for m in members]) if d.description),
        controls=controls,
    )


def _named(run: RunView) -> str:
    """A run in a sentence."""
    return f"{run.number} {shorten(run.name, _NAME_IN_SENTENCE)}{' (privileged)' if run.privileged else ''}"


def _split(anchor: str, split: str, group: Mapping[int, Evidence], runs: Mapping[int, RunView], faces: Faces) -> SplitView:
    reports = [one.report for one in group.values()]
    summaries = {n: s for n, one in group.items() for s in one.report.splits if s.split == split}
    shown, decls = columns(reports), declarations(reports)
    decl = conditional(decls)
    rows = {n: [row for row in group[n].run.records if row["split"] == split] for n in summaries}
    kinds = {n: count_kinds(rows[n], decl) for n in summaries}
    compared = compare_split({n: group[n] for n in summaries}, split, decls)
    notes = max((r.split_notes for r in reports), key=len)
    return SplitView(
        anchor=anchor,
        name=clean(split),
        note=clean(notes.get(split, "")),
        provisional=any(s.tally.provisional for s in summaries.values()),
        columns=tuple(shown),
        rows=tuple((runs[n], tuple(_figure(c, s) for c in shown)) for n, s in summaries.items()),
        has_chance=any(c.chance for c in shown),
        letters=compared[0].letters if compared else {},
        charts=tuple(_chart(c, summaries, runs) for c in shown if _is_rate(c, summaries)),
        stacks=stacks([(f"{n} {runs[n].name}", kinds[n]) for n in summaries]),
        kinds=tuple(k for k in Kind if any(k in counts for counts in kinds.values())),
        happened=tuple((runs[n], kinds[n], s.tally) for n, s in summaries.items()),
        compared=tuple(compared),
        inherited=tuple((runs[n], found) for n in summaries if (found := inheritance(group[n], split)) is not None),
        heat=None if split in CONTROL_SPLITS else heat_map(list(group.values()), split, faces),
    )


def _is_rate(column: Column, summaries: Mapping[int, SplitSummary]) -> bool:
    return any(column.rate(s) is not None for s in summaries.values())


def _figure(column: Column, split: SplitSummary) -> FigureCell:
    rate = column.rate(split)
    if rate is None or rate.estimate is None or rate.interval is None:
        return FigureCell(text=column.cell(split))
    return FigureCell(text=points(rate.estimate), interval=f"[{points(rate.interval.low)}, {points(rate.interval.high)}]")


def _chart(column: Column, summaries: Mapping[int, SplitSummary], runs: Mapping[int, RunView]) -> Whiskers:
    rates = [(f"{n} {runs[n].name}", column.rate(s), runs[n].privileged) for n, s in summaries.items()]
    return whiskers(shorten(column.title.removesuffix(" %"), _NAME), column.chance_level, rates)
