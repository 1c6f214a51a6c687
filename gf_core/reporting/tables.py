"""The table that every form of a report shows, and its Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gf_core._problems import printable
from gf_core.canonical import canonical_json
from gf_core.reporting.model import RunReport
from gf_core.statistics import LEVEL, Interval, Rate
from gf_core.summary import MetricDecl, SplitSummary

NONE = "—"
"""Stands where there is no number."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of rates.

    Attributes:
        title: its heading.
        cell: a split's text.
        chance: text in the chance line.
        rate: the split's rate, for a whisker; returns ``None`` for columns of other numbers.
        chance_level: chance as a share.
    """

    title: str
    cell: Callable[[SplitSummary], str]
    chance: str = ""
    rate: Callable[[SplitSummary], Rate | None] = lambda _: None
    chance_level: float | None = None


def points(share: float) -> str:
    """A share in per cent: ``71.2``; exactly 1 is ``100``."""
    return f"{100 * share:.1f}".replace("100.0", "100")


def percent(estimate: float | None, interval: Interval | None) -> str:
    """``71.2 % [66.1, 75.8]``, or a dash."""
    if estimate is None or interval is None:
        return NONE
    return f"{points(estimate)} % [{points(interval.low)}, {points(interval.high)}]"


def cell(rate: Rate) -> str:
    """``71.2 [66.1, 75.8]`` in per cent, or a dash."""
    return percent(rate.estimate, rate.interval).replace(" %", "")


def by_suite(reports: Iterable[RunReport]) -> list[list[RunReport]]:
    """Reports of the same suite together, in the order given. Numbers of different suites are never in one table."""
    groups: dict[tuple[str, str], list[RunReport]] = {}
    for report in reports:
        groups.setdefault((report.suite, report.suite_sha256), []).append(report)
    return list(groups.values())


def declarations(reports: Sequence[RunReport]) -> list[MetricDecl]:
    """What the runs of one suite report, in the suite's order."""
    widest = max((s.metrics for r in reports for s in r.splits), key=len, default=())
    return [m.decl for m in widest]


def columns(reports: Sequence[RunReport]) -> list[Column]:
    """Columns for runs of one suite: episodes, then each rate; a conditional one has its n and is also chance-corrected."""
    found = [Column(title="n", cell=lambda s: str(s.tally.episodes - s.tally.env_errors))]
    for index, decl in enumerate(declarations(reports)):
        found += _metric_columns(index, decl)
    both = [(s.overall, s.metrics[0].rate) for r in reports for s in r.splits if s.overall]
    if any(overall.k != success.k for overall, success in both):
        found.append(
            Column(title="overall %", cell=lambda s: cell(s.overall) if s.overall else NONE, rate=lambda s: s.overall)
        )  # else it repeats success
    return found


def _metric_columns(index: int, decl: MetricDecl) -> list[Column]:
    def rate(split: SplitSummary) -> Rate | None:
        return split.metrics[index].rate if index < len(split.metrics) else None

    def text(split: SplitSummary) -> str:
        return cell(value) if (value := rate(split)) else NONE

    def scored(split: SplitSummary) -> str:
        return str(value.n) if (value := rate(split)) else NONE

    def corrected(split: SplitSummary) -> str:
        value = split.metrics[index].corrected if index < len(split.metrics) else None
        return NONE if value is None else points(value)

    chance = "" if decl.chance is None else points(decl.chance)
    found = [Column(title=f"{printable(decl.name)} %", cell=text, chance=chance, rate=rate, chance_level=decl.chance)]
    if decl.given:
        found.append(Column(title="n", cell=scored))
    if decl.given and decl.chance is not None:
        found.append(Column(title="corr.", cell=corrected, chance="0.0"))
    return found


def label(report: RunReport) -> str:
    """The policy and what tells this run of it from others."""
    chosen = report.chosen_settings.items()
    settings = [f"{key}={value if isinstance(value, str) else canonical_json(value)}" for key, value in chosen]
    return printable(" ".join([report.policy, *settings]))


def to_markdown(reports: Sequence[RunReport]) -> str:
    """A GitHub-flavoured table per suite; text of strangers is escaped."""
    lines: list[str] = []
    for group in by_suite(reports):
        shown = columns(group)
        lines += [f"### {_markdown(group[0].suite)}", ""]
        lines.append("| policy | split | " + " | ".join(c.title for c in shown) + " |")
        lines.append("|---|---|" + "---:|" * len(shown))
        for report in group:
            name = _markdown(label(report)) + "".join(f"<br>*{_markdown(mark)}*" for mark in report.marks)
            lines += [f"| {name} | {_markdown(s.split)} | " + " | ".join(c.cell(s) for c in shown) + " |" for s in report.splits]
        if any(c.chance for c in shown):
            lines.append("| chance |  | " + " | ".join(c.chance for c in shown) + " |")
        lines += ["", f"In brackets: {100 * LEVEL:g} % intervals, bootstrapped over clusters of dependent episodes.", ""]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    # As character references, so that neither Markdown nor HTML sees them.
    return "".join(f"&#{ord(c)};" if c in "|<>&`*_[]()!#\\~@" else c for c in printable(text))


_CSV = (
    *("suite", "suite_sha256", "run", "policy", "settings", "marks", "split", "metric", "given"),
    *("k", "n", "clusters", "estimate", "low", "high", "wilson_low", "wilson_high"),
    *("chance", "corrected", "corrected_low", "corrected_high", "provisional"),
)


def to_csv(reports: Iterable[RunReport]) -> str:
    """One row per run, split and rate, with a heading; shares in 0..1, nothing where there is no number.

    Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection").
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for report in reports:
        run = [
            report.suite,
            report.suite_sha256,
            report.path,
            report.policy,
            canonical_json(dict(report.settings)),
            "; ".join(report.marks),
        ]
        for split in report.splits:
            for m in split.metrics:
                texts = [*run, split.split, m.decl.name, m.decl.given]
                intervals = [*_limits(m.rate.interval), *_limits(m.rate.wilson)]
                numbers = [m.rate.k, m.rate.n, m.rate.clusters, m.rate.estimate, *intervals, m.decl.chance, m.corrected]
                writer.writerow(
                    [csv_text(t) for t in texts] + [*numbers, *_limits(m.corrected_interval), split.tally.provisional]
                )
    return out.getvalue()


def _limits(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def csv_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text
