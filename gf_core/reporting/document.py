"""A report as JSON, for programs. Shares are in 0..1, null where there is no number."""

from __future__ import annotations

from collections.abc import Iterable

from gf_core.canonical import JSON
from gf_core.reporting.model import RunReport
from gf_core.specs import to_json
from gf_core.statistics import LEVEL, RESAMPLES, Interval, Rate
from gf_core.summary import MetricSummary, SplitSummary


def to_document(reports: Iterable[RunReport]) -> dict[str, JSON]:
    """A document of kind ``report`` (report-1.schema.json); the same runs give the same document."""
    return {
        "schema_version": "1.0",
        "kind": "report",
        "intervals": {
            "level": LEVEL,
            "method": "BCa bootstrap over clusters, widened to Wilson at the effective size",
            "resamples": RESAMPLES,
        },
        "runs": [_run(report) for report in reports],
    }


def _run(report: RunReport) -> JSON:
    return {
        "run": report.path,
        "suite": {"id": report.suite, "sha256": report.suite_sha256},
        "policy": {"id": report.policy, "settings": to_json(report.settings), "privileged": report.privileged},
        "marks": list(report.marks),
        "recorded": report.recorded,
        "planned": report.planned,
        "complete": report.complete,
        "valid": report.valid,
        "problem": report.problem or None,
        **to_json(report.tally),
        "splits": [_split(split) for split in report.splits],
    }


def _split(split: SplitSummary) -> JSON:
    return {
        "split": split.split,
        **to_json(split.tally),
        "provisional": split.tally.provisional,
        "metrics": [_metric(m) for m in split.metrics],
        "overall": _rate(split.overall) if split.overall else None,
    }


def _metric(metric: MetricSummary) -> JSON:
    decl = metric.decl
    return {
        "name": decl.name,
        "metric": decl.metric,
        "given": decl.given or None,
        "description": decl.description,
        **_rate(metric.rate),
        "chance": decl.chance,
        "corrected": metric.corrected,
        "corrected_interval": _interval(metric.corrected_interval),
    }


def _rate(rate: Rate) -> dict[str, JSON]:
    return {
        "k": rate.k,
        "n": rate.n,
        "clusters": rate.clusters,
        "n_effective": rate.n_effective,
        "estimate": rate.estimate,
        "interval": _interval(rate.interval),
        "wilson": _interval(rate.wilson),
    }


def _interval(interval: Interval | None) -> JSON:
    return [interval.low, interval.high] if interval else None
