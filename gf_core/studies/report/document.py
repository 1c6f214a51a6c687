"""The report as JSON, for programs. Shares are in 0..1, null where there is no number; paths are relative to the study."""

from __future__ import annotations

from collections.abc import Iterator

from gf_core.canonical import JSON
from gf_core.specs import to_json
from gf_core.statistics import LEVEL, POWER, Interval
from gf_core.studies.report.contrasts import Compared
from gf_core.studies.report.evidence import CellEvidence, Condition, Played, StudyEvidence
from gf_core.studies.report.figures import Figure
from gf_core.studies.report.probes import Asked, Drift, Questions, read_drift, read_questions
from gf_core.studies.report.prose import paragraph
from gf_core.studies.report.tables import ControlRow, Table, TableRow, make_tables
from gf_core.studies.report.wording import Names


def to_document(evidence: StudyEvidence) -> dict[str, JSON]:
    """A document of kind ``study_report`` (study_report-1.schema.json); the same directory gives the same document."""
    study = evidence.study
    tables, questions = make_tables(evidence), read_questions(evidence)
    sweep = study.sweep
    return {
        "schema_version": "1.0",
        "kind": "study_report",
        "study": {"name": study.name, "question": study.question, "sha256": study.sha256, "seeds": list(study.seeds)},
        "summary": list(paragraph(evidence, tables, questions, Names(evidence.conditions))),
        "intervals": {"level": LEVEL, "power": POWER},
        "tables": [_table(table) for table in tables],
        "probes": [_questions(found) for found in questions],
        "drift": [_drift(found) for found in read_drift(evidence)],
        "sweep": None if sweep is None else {"suite": sweep.suite, "metric": sweep.metric, "choices": list(_choices(evidence))},
        "cells": [_cell(cell) for cell in evidence.cells],
        "controls": [{"name": name, **_played(played)} for name, played in evidence.controls],
    }


def _table(table: Table) -> JSON:
    return {
        "suite": {"id": table.suite, "sha256": table.suite_sha256},
        "split": table.split,
        "headline": table.headline,
        "marks": list(table.marks),
        "episodes": table.episodes,
        "rates": [to_json(decl) for decl in table.rates],
        "rows": [_row(row) for row in table.rows],
        "contrasts": [_compared(name, one) for name, found in table.compared.items() for one in found],
        "controls": [_control(control) for control in table.controls],
    }


def _row(row: TableRow) -> JSON:
    return {
        "condition": _condition(row.condition),
        "planned": row.planned,
        "notes": list(row.notes),
        "figures": [{**_figure(f), "name": f.decl.name, "letters": row.letters.get(f.decl.name)} for f in row.figures],
    }


def _figure(found: Figure) -> dict[str, JSON]:
    return {
        "k": found.k,
        "n": found.n,
        "clusters": found.clusters,
        "estimate": found.estimate,
        "interval": _interval(found.interval),
        "claim": found.claim,
        "seeds": [{"seed": s.seed, "k": s.k, "n": s.n} for s in found.seeds],
    }


def _compared(rate: str, one: Compared) -> JSON:
    return {
        "rate": rate,
        "first": _condition(one.first),
        "second": _condition(one.second),
        "question": one.question,
        "claim": one.claim,
        "seeds": list(one.seeds),
        "episodes": one.episodes,
        "difference": one.difference,
        "interval": _interval(one.interval),
        "p": one.p,
        "p_adjusted": one.p_adjusted,
        "separable": one.separable,
        "seeds_needed": one.seeds_needed,
        "episodes_needed": one.episodes_needed,
        "problem": one.problem or None,
    }


def _control(control: ControlRow) -> JSON:
    return {
        "name": control.name,
        "privileged": control.privileged,
        "run": control.played.path,
        "figures": [
            {
                "name": m.decl.name,
                "k": m.rate.k,
                "n": m.rate.n,
                "estimate": m.rate.estimate,
                "interval": _interval(m.rate.interval),
            }
            for m in control.summary.metrics
        ],
    }


def _questions(found: Questions) -> JSON:
    return {
        "kind": found.kind,
        "split": found.split,
        "suite": {"id": found.suite, "sha256": found.suite_sha256} if found.suite else None,
        "chance": found.chance,
        "rows": [_asked(row) for row in found.rows],
    }


def _asked(row: Asked) -> JSON:
    return {"condition": _condition(row.condition), "before": _figure(row.before), "after": _figure(row.after)}


def _drift(found: Drift) -> JSON:
    return {
        "condition": _condition(found.condition),
        "weights": dict(found.weights),
        "divergence": {"prompt": found.prompt, "answer": found.answer},
    }


def _choices(evidence: StudyEvidence) -> Iterator[JSON]:
    for condition, choice in evidence.choices.items():
        tried: list[JSON] = [
            {key: entry[key] for key in ("value", "estimate", "episodes", "run", "reason")} for entry in choice["tried"]
        ]
        yield {"condition": _condition(condition), "tried": tried, "chosen": choice["chosen"]}


def _cell(cell: CellEvidence) -> JSON:
    return {
        "condition": _condition(cell.condition),
        "seed": cell.cell.seed,
        "path": cell.path,
        "state": cell.state,
        "told": cell.told,
        "value": cell.value,
        "checkpoint_sha256": cell.checkpoint_sha256 or None,
        "seconds": dict(cell.seconds),
        "probe": cell.probe_path or None,
        "runs": [_played(played) for played in cell.runs],
    }


def _played(played: Played) -> dict[str, JSON]:
    report = played.evidence.report
    return {
        "suite": {"id": report.suite, "sha256": report.suite_sha256},
        "run": played.path,
        "episodes_sha256": played.sha256 or None,
        "marks": list(report.marks),
    }


def _condition(condition: Condition) -> JSON:
    return {"backbone": condition.backbone, "arm": condition.arm, "head": condition.head}


def _interval(interval: Interval | None) -> JSON:
    return [interval.low, interval.high] if interval else None
