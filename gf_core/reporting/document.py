"""A report as JSON, for programs. Shares are in 0..1, null where there is no number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gf_core.canonical import JSON
from gf_core.reporting.comparisons import Compared, by_suite, compare_split
from gf_core.reporting.controls import Control, read_controls
from gf_core.reporting.inheritance import inheritance
from gf_core.reporting.inheritance import to_json as gap_json
from gf_core.reporting.model import Evidence, RunReport
from gf_core.reporting.tables import declarations
from gf_core.specs import to_json
from gf_core.statistics import LEVEL, RESAMPLES, Interval, PairComparison, PositionBias, Rate
from gf_core.summary import MetricSummary, SplitSummary


def to_document(reports: Iterable[RunReport], evidence: Sequence[Evidence] = ()) -> dict[str, JSON]:
    """A document of kind ``report`` (report-1.schema.json); the same runs give the same document.

    Args:
        reports: the runs.
        evidence: the same runs with their episodes, for comparisons between runs and for controls; these are left out without.
    """
    compared: dict[str, JSON] = {}
    if evidence:
        groups = by_suite(evidence)
        compared["comparisons"] = [entry for group in groups for entry in _comparisons(group)]
        compared["controls"] = [entry for group in groups for entry in _controls(group)]
        if any(one.probe is not None for one in evidence):
            compared["inheritance"] = [entry for number, one in enumerate(evidence, start=1) for entry in _gaps(number, one)]
    return {
        "schema_version": "1.2",
        "kind": "report",
        "intervals": {
            "level": LEVEL,
            "method": "BCa bootstrap over clusters, widened to Wilson at the effective size",
            "resamples": RESAMPLES,
        },
        "runs": [_run(report) for report in reports],
        **compared,
    }


def _comparisons(group: Mapping[int, Evidence]) -> Iterable[JSON]:
    reports = [one.report for one in group.values()]
    for split in dict.fromkeys(summary.split for report in reports for summary in report.splits):
        present = {n: one for n, one in group.items() if any(s.split == split for s in one.report.splits)}
        for compared in compare_split(present, split, declarations(reports)):
            yield _compared(reports[0].suite, split, compared)


def _compared(suite: str, split: str, compared: Compared) -> JSON:
    return {
        "suite": suite,
        "split": split,
        "name": compared.decl.name,
        "letters": {str(number): letters for number, letters in compared.letters.items()},
        "pairs": [_pair(first, second, pair) for first, second, pair in compared.pairs],
    }


def _pair(first: int, second: int, pair: PairComparison) -> JSON:
    return {
        "first": first,
        "second": second,
        "method": pair.method,
        "episodes": pair.episodes,
        "difference": pair.difference,
        "interval": _interval(pair.interval),
        "p": pair.p,
        "p_adjusted": pair.p_adjusted,
        "separable": pair.separable,
        "episodes_needed": pair.episodes_needed,
    }


def _controls(group: Mapping[int, Evidence]) -> Iterable[JSON]:
    found = read_controls(list(group.values()))
    if found is None:
        return
    for number, row in zip(group, found.rows, strict=True):
        yield {
            "run": number,
            "suite": group[number].report.suite,
            "cards": found.cards,
            "guessing": {
                "consistency": found.guessing_consistency,
                "switches": row.guessing_switches,
                "recognition": found.chance,
            },
            **_control(row),
        }


def _gaps(number: int, one: Evidence) -> Iterable[JSON]:
    for summary in one.report.splits:
        if one.probe is not None and (found := inheritance(one, summary.split)) is not None:
            yield {
                "run": number,
                "suite": one.report.suite,
                "split": summary.split,
                "checkpoint_sha256": str(one.probe["checkpoint"]["sha256"]),
                **gap_json(found),
            }


def _control(row: Control) -> dict[str, JSON]:
    return {
        "untold": {split: _rate(rate) for split, rate in row.blind.items()},
        "acts_without_target": _rate(row.acts) if row.acts else None,
        "consistency": _rate(row.consistency) if row.consistency else None,
        "switches": _rate(row.switches) if row.switches else None,
        "positions": {split: _positions(bias) for split, bias in row.positions.items()},
    }


def _positions(bias: PositionBias) -> JSON:
    return {"rates": [_rate(rate) for rate in bias.rates], "p": bias.p}


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
