"""What the vision-language models still knew: their probes, over training seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from gf_core.reporting.inheritance import WHICH
from gf_core.studies.report.evidence import CellEvidence, Condition, StudyEvidence
from gf_core.studies.report.figures import Figure, figure
from gf_core.studies.report.tables import Table
from gf_core.summary import MetricDecl

_OF_THE_SUITE = ("naming", WHICH)
"""Kinds of questions that are asked about a suite's frames; others are asked from vision-language data."""

_NO_SUITE = {"id": "", "sha256": ""}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A condition's answers to one kind of question on one split, before and after training."""

    condition: Condition
    before: Figure
    after: Figure


@dataclass(frozen=True, kw_only=True)
class Questions:
    """One kind of question on one split of one suite, or of one set of vision-language data.

    Attributes:
        kind: ``naming``, ``which-card``, or a domain of the data.
        split: the episodes' or items' split, or the data's name.
        suite, suite_sha256: whose first frames were shown; empty for none.
        chance: what guessing reaches.
        rows: the conditions that were asked, in the study's order.
    """

    kind: str
    split: str
    suite: str
    suite_sha256: str
    chance: float
    rows: tuple[Asked, ...]

    @property
    def title(self) -> str:
        """``which-card, gf/dev@1 rest``."""
        return f"{self.kind}, {' '.join(filter(None, (self.suite, self.split)))}"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far a condition's model moved, mean over its seeds; ``None`` where nobody measured.

    Attributes:
        condition: which.
        weights: role to ||w - w0|| / ||w0||.
        prompt: KL(before || after) of the next token over the questions' tokens [nat].
        answer: the same over the right answers' tokens [nat].
    """

    condition: Condition
    weights: Mapping[str, float]
    prompt: float | None
    answer: float | None


def read_questions(evidence: StudyEvidence) -> list[Questions]:
    """Every kind of question with its answers, which-card questions first."""
    found: dict[tuple[str, str, str, str], dict[Condition, list[CellEvidence]]] = {}
    chances: dict[tuple[str, str, str, str], float] = {}
    for condition in evidence.conditions:
        for cell in evidence.done(condition):
            shown = (cell.probe or {}).get("suite") or _NO_SUITE
            for entry in (cell.probe or {}).get("accuracy", ()):
                suite = shown if entry["kind"] in _OF_THE_SUITE else _NO_SUITE
                key = (entry["kind"], entry["split"], suite["id"], suite["sha256"])
                found.setdefault(key, {}).setdefault(condition, []).append(cell)
                chances[key] = entry["chance"]
    questions = [_questions(key, chances[key], conditions) for key, conditions in found.items()]
    return sorted(questions, key=lambda q: q.kind != WHICH)


def _questions(key: tuple[str, str, str, str], chance: float, found: Mapping[Condition, Sequence[CellEvidence]]) -> Questions:
    kind, split, suite, digest = key
    decl = MetricDecl(name=kind, metric=kind, chance=chance)
    rows = [
        Asked(
            condition=condition,
            before=figure(decl, {cell.cell.seed: _counts(cell.probe or {}, kind, split, "before") for cell in cells}),
            after=figure(decl, {cell.cell.seed: _counts(cell.probe or {}, kind, split, "after") for cell in cells}),
        )
        for condition, cells in found.items()
    ]
    return Questions(kind=kind, split=split, suite=suite, suite_sha256=digest, chance=chance, rows=tuple(rows))


def _counts(probe: Mapping[str, Any], kind: str, split: str, time: str) -> dict[str, tuple[int, int]]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for answer in probe["answers"]:
        if (answer["kind"], answer["split"]) == (kind, split):
            cell = found[answer["cluster"]]
            cell[0] += answer[time] == answer["right"]
            cell[1] += 1
    return {cluster: (k, n) for cluster, (k, n) in found.items()}


def read_drift(evidence: StudyEvidence) -> list[Drift]:
    """How far the models of each condition moved, in the study's order; conditions without a probe are left out."""
    found = []
    for condition in evidence.conditions:
        probes = [cell.probe for cell in evidence.done(condition) if cell.probe is not None]
        if not probes:
            continue
        moved: dict[str, list[float]] = {}
        for probe in probes:
            for role, change in probe["weights"]["roles"].items():
                if change["relative"] is not None:
                    moved.setdefault(role, []).append(change["relative"])
        found.append(
            Drift(
                condition=condition,
                weights={role: mean(values) for role, values in moved.items()},
                prompt=_mean(entry["prompt"] for probe in probes for entry in probe["divergence"]),
                answer=_mean(entry["answer"] for probe in probes for entry in probe["divergence"]),
            )
        )
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def matching(questions: Sequence[Questions], table: Table) -> Questions | None:
    """The which-card questions that stand closest to a table: on its own episodes, else on a split of its name, else the first
    ones; ``None`` where nobody asked any."""
    which = [q for q in questions if q.kind == WHICH]
    same = [q for q in which if (q.suite_sha256, q.split) == (table.suite_sha256, table.split)]
    named = [q for q in which if q.split == table.split]
    return next(iter([*same, *named, *which]), None)
