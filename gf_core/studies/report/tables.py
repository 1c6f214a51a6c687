"""The numbers of a study: for each suite and split, every condition's rates, their comparison and their letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from gf_core.evaluation.suites import Suite
from gf_core.reporting.outcomes import conditional
from gf_core.reporting.prose import headline_split
from gf_core.runs import Row
from gf_core.statistics import FEWEST_SEEDS
from gf_core.studies.document import Cell
from gf_core.studies.report.contrasts import Compared, compare_family, condition_letters, named_pairs
from gf_core.studies.report.evidence import CellEvidence, Condition, Played, StudyEvidence
from gf_core.studies.report.figures import Figure, counts, figure, pooled, right, shown_rates
from gf_core.summary import ENV_ERROR, MetricDecl, SplitSummary, comparable


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A condition.

    Attributes:
        condition: which.
        figures: its rates, in the order of the table's; empty without a finished cell.
        letters: rate to letters, where something is claimed.
        planned: seeds that the study asks for.
        notes: what a reader must know: ``provisional: 1 seed``, ``no finished cell``, ``INVALID ...``.
    """

    condition: Condition
    figures: tuple[Figure, ...]
    letters: Mapping[str, str]
    planned: int
    notes: tuple[str, ...]

    @property
    def seeds(self) -> str:
        """``3``, or ``1 of 3``."""
        done = len(self.figures[0].seeds) if self.figures else 0
        return str(done) if done == self.planned else f"{done} of {self.planned}"


@dataclass(frozen=True, kw_only=True)
class ControlRow:
    """A run that isn't an arm: what it is called, where it is, and its rates; its split may hold other episodes."""

    name: str
    played: Played
    privileged: bool
    summary: SplitSummary


@dataclass(frozen=True, kw_only=True)
class Table:
    """A split of a suite.

    Attributes:
        suite, suite_sha256, split: which.
        headline: whether a summary speaks of this split of the suite.
        note: what the split holds, or why only success is shown.
        marks: what all runs have in common that a reader must know: ``partial ...``, ``variant ...``.
        rates: the columns.
        rows: the conditions, in the study's order.
        compared: rate to the named comparisons; only rates that count all episodes.
        controls: other policies on the same split.
        episodes: most scored episodes of a cell.
        targets: condition to (k, n) of each cluster by :attr:`knowledge`, all seeds together.
    """

    suite: str
    suite_sha256: str
    split: str
    headline: bool
    note: str
    marks: tuple[str, ...]
    rates: tuple[MetricDecl, ...]
    rows: tuple[TableRow, ...]
    compared: Mapping[str, tuple[Compared, ...]]
    controls: tuple[ControlRow, ...]
    episodes: int
    targets: Mapping[Condition, Mapping[str, tuple[int, int]]]

    @property
    def knowledge(self) -> MetricDecl:
        """The rate that tells best what a policy knows: one that counts all episodes and has a chance level, else success."""
        return _knowledge(self.rates)

    @property
    def execution(self) -> MetricDecl | None:
        """What the conditional rate is conditional on."""
        given = conditional(self.rates)
        return next((d for d in self.rates if given and d.metric == given.given and not d.given), None)

    def figure(self, condition: Condition, decl: MetricDecl) -> Figure | None:
        """A condition's rate; ``None`` without a finished cell."""
        row = next(row for row in self.rows if row.condition == condition)
        return next((f for f in row.figures if f.decl == decl), None)


def _knowledge(rates: Sequence[MetricDecl]) -> MetricDecl:
    return next((d for d in rates if not d.given and d.chance is not None), rates[0])


def make_tables(evidence: StudyEvidence) -> list[Table]:
    """A table for each suite and split that was played: suites as the study names them, each one's headline split first."""
    groups: dict[tuple[str, str], list[tuple[CellEvidence, Played]]] = {}
    for cell in evidence.cells:
        for played in cell.runs:
            report = played.evidence.report
            groups.setdefault((report.suite, report.suite_sha256), []).append((cell, played))
    found = []
    for members in groups.values():
        suite = next((played.evidence.suite for _, played in members if played.evidence.suite is not None), None)
        splits = dict.fromkeys(s.split for _, played in members for s in played.evidence.report.splits)
        order = [split for split in suite.splits if split in splits] if suite else list(splits)
        first = headline_split(order)
        order.sort(key=lambda split: split != first)
        found += [_table(evidence, members, suite, split, headline=split == first) for split in order]
    return found


def _table(
    evidence: StudyEvidence, members: Sequence[tuple[CellEvidence, Played]], suite: Suite | None, split: str, *, headline: bool
) -> Table:
    rows = {cell.cell: [r for r in played.evidence.run.records if r["split"] == split] for cell, played in members}
    clusters = {str(row["episode"]): str(row["cluster"]) for played in rows.values() for row in played}
    rates = shown_rates(suite.metrics if suite else (), list(rows.values()))
    results = {decl: _results(members, rows, decl, rates) for decl in rates}
    tallies = {
        decl: {c: {seed: counts(o, clusters) for seed, o in seeds.items()} for c, seeds in found.items()}
        for decl, found in results.items()
    }
    figures = {c: tuple(figure(decl, tallies[decl][c]) for decl in rates) for c in results[rates[0]]}
    pairs = named_pairs(evidence.study, evidence.conditions)
    told = [d for d in rates if comparable(rows.values(), d)]
    compared = {d.name: tuple(compare_family(pairs, results[d], clusters)) for d in told}
    letters = {d.name: condition_letters(_claimed(figures, d), results[d], clusters) for d in told}
    report = members[0][1].evidence.report
    common = set.intersection(*(set(played.evidence.report.marks) for _, played in members))
    return Table(
        suite=report.suite,
        suite_sha256=report.suite_sha256,
        split=split,
        headline=headline,
        note=suite.splits.get(split, "") if suite else report.problem,
        marks=tuple(mark for mark in report.marks if mark in common),
        rates=tuple(rates),
        rows=tuple(
            TableRow(
                condition=condition,
                figures=figures.get(condition, ()),
                letters={name: found[condition] for name, found in letters.items() if condition in found},
                planned=sum(cell.condition == condition for cell in evidence.cells),
                notes=_notes([p for c, p in members if c.condition == condition], common),
            )
            for condition in evidence.conditions
        ),
        compared=compared,
        controls=tuple(_controls(evidence, report.suite_sha256, split)),
        episodes=max(sum(row["ending"] != ENV_ERROR for row in played) for played in rows.values()),
        targets={condition: pooled(seeds.values()) for condition, seeds in tallies[_knowledge(rates)].items()},
    )


def _results(
    members: Sequence[tuple[CellEvidence, Played]],
    rows: Mapping[Cell, Sequence[Row]],
    decl: MetricDecl,
    rates: Sequence[MetricDecl],
) -> dict[Condition, dict[int, dict[str, bool]]]:
    """Condition to seed to outcomes by episode."""
    found: dict[Condition, dict[int, dict[str, bool]]] = {}
    for cell, _ in members:
        found.setdefault(cell.condition, {})[cell.cell.seed] = right(rows[cell.cell], decl, rates)
    return found


def _claimed(figures: Mapping[Condition, Sequence[Figure]], decl: MetricDecl) -> dict[Condition, float]:
    shown = {condition: next(f for f in found if f.decl == decl) for condition, found in figures.items()}
    return {c: f.estimate for c, f in shown.items() if f.claim and f.estimate is not None}


def _notes(runs: Sequence[Played], common: Set[str]) -> tuple[str, ...]:
    notes = []
    if not runs:
        notes.append("no finished cell")
    elif len(runs) < FEWEST_SEEDS:
        notes.append(f"provisional: {len(runs)} seed{'s' * (len(runs) > 1)}")
    return (*notes, *dict.fromkeys(m for played in runs for m in played.evidence.report.marks if m not in common))


def _controls(evidence: StudyEvidence, suite_sha256: str, split: str) -> Iterator[ControlRow]:
    for name, played in evidence.controls:
        report = played.evidence.report
        for summary in report.splits:
            if (report.suite_sha256, summary.split) == (suite_sha256, split):
                yield ControlRow(name=name, played=played, privileged=report.privileged, summary=summary)
