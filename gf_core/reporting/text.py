"""A report for people: lines of text that fit a terminal, with colours and whiskers where it has them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from gf_core._problems import printable
from gf_core.reporting.model import RunReport
from gf_core.reporting.tables import Column, by_suite, columns, declarations, label
from gf_core.statistics import LEVEL, Rate
from gf_core.summary import RANKABLE_EPISODES, Tally

Span = tuple[str, str]
"""Text and its style, as rich names it; the empty string for none."""
Line = tuple[Span, ...]

_GAP = "  "


def render(reports: Sequence[RunReport], *, width: int = 100, whiskers: bool = False, notes: bool = True) -> list[Line]:
    """The report's lines, at most ``width`` characters wide as far as names allow.

    Args:
        reports: what to show, grouped by suite in this order.
        width: characters.
        whiskers: draw each interval on a scale from 0 to 100 % below its numbers.
        notes: explain the rates, the splits and the intervals.
    """
    lines: list[Line] = []
    for group in by_suite(reports):
        lines += _suite(group, width, whiskers)
        lines += [*_legend(group, width), ()] if notes else []
    return lines + _notes(reports, width) if notes else lines


def plain(lines: Iterable[Line]) -> str:
    """Lines without their styles."""
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def _suite(group: Sequence[RunReport], width: int, whiskers: bool) -> list[Line]:
    lines: list[Line] = [((printable(group[0].suite), "bold"),)]
    splits = [printable(s.split) for r in group for s in r.splits]
    first = max(len(s) for s in ["chance", *(_GAP + s for s in splits)])
    blocks = _blocks(columns(group), group, first, width)
    for number, block in enumerate(blocks):
        widths = [_width(c, group) for c in block]
        lines.append((("".ljust(first), ""), *(((_GAP + c.title.rjust(w)), "dim") for c, w in zip(block, widths, strict=True))))
        for report in group:
            lines += [((label(report), "bold"),)] if number else _heading(report, width)
            for split in report.splits:
                cells = [(_GAP + c.cell(split).rjust(w), "") for c, w in zip(block, widths, strict=True)]
                lines.append((((_GAP + printable(split.split)).ljust(first), ""), *cells))
                if whiskers:
                    drawn = [_whisker(c.rate(split), c.chance_level, w) for c, w in zip(block, widths, strict=True)]
                    lines.append((("".ljust(first), ""), *((_GAP + d, "dim cyan") for d in drawn)))
            if number == 0:
                lines += _paragraph(_happened(report.tally), width, "dim", indent=_GAP)
        if any(c.chance for c in block):
            chance = [(_GAP + c.chance.rjust(w), "dim") for c, w in zip(block, widths, strict=True)]
            lines.append((("chance".ljust(first), "dim"), *chance))
    return lines


def _blocks(shown: list[Column], group: Sequence[RunReport], first: int, width: int) -> list[list[Column]]:
    """Columns in as many tables, one below the other, as it takes to fit."""
    blocks: list[list[Column]] = []
    room = 0
    for column in shown:
        needed = len(_GAP) + _width(column, group)
        if needed > room:
            blocks.append([])
            room = width - first
        blocks[-1].append(column)
        room -= needed
    return blocks


def _width(column: Column, group: Sequence[RunReport]) -> int:
    cells = [column.cell(s) for r in group for s in r.splits]
    return max(len(text) for text in [column.title, column.chance, *cells])


def _heading(report: RunReport, width: int) -> list[Line]:
    marks = tuple(
        (f" · {mark}", "bold red" if mark.isupper() or mark[:4].isupper() else "yellow") for mark in map(printable, report.marks)
    )
    lines: list[Line] = [((label(report), "bold"), *marks)]
    where = printable(report.path)
    if sum(len(text) for text, _ in lines[0]) + len(where) + 3 <= width:
        lines[0] = (*lines[0], (f" · {where}", "dim"))
    else:
        lines.append(((f"{_GAP}{where}", "dim"),))
    return lines + (_paragraph(report.problem, width, "yellow", indent=_GAP) if report.problem else [])


def _happened(tally: Tally) -> str:
    parts = [
        "endings: " + ", ".join(f"{printable(ending)} {count}" for ending, count in tally.endings.items())
        if tally.endings
        else "no episodes"
    ]
    if tally.steps_median is not None:
        parts.append(f"median {tally.steps_median:g} steps")
    if tally.clipped_steps:
        parts.append(f"{tally.clipped_steps} clipped steps")
    if tally.slip_max is not None:
        parts.append(f"slip ≤ {tally.slip_max:.2g}")
    return " · ".join(parts)


def _whisker(rate: Rate | None, chance: float | None, width: int) -> str:
    """``··├──●──┤····`` from 0 to 100 %; chance is ``┊``."""
    if rate is None or rate.estimate is None or rate.interval is None:
        return " " * width

    def at(share: float) -> int:
        return round(share * (width - 1))

    drawn = ["·"] * width
    low, high = at(rate.interval.low), at(rate.interval.high)
    drawn[low : high + 1] = "─" * (high + 1 - low)
    drawn[low], drawn[high] = "├", "┤"
    if chance is not None:
        drawn[at(chance)] = "┊"
    drawn[at(rate.estimate)] = "●"
    return "".join(drawn)


def _legend(group: Sequence[RunReport], width: int) -> list[Line]:
    notes = [f"{d.name}: {d.description}" for d in declarations(group) if d.description]
    described = max((r.split_notes for r in group), key=len)
    shown = {s.split for r in group for s in r.splits}
    notes += [f"{split}: {note}" for split, note in described.items() if split in shown]
    return [line for note in notes for line in _paragraph(printable(note), width, "dim", indent=_GAP)]


def _notes(reports: Sequence[RunReport], width: int) -> list[Line]:
    interval = (
        f"In brackets: {100 * LEVEL:g} % intervals. Episodes of one cluster (for GrinningFace, one target emoji) are alike, so "
        "whole clusters are resampled."
    )
    notes = [interval]
    rates = [m for r in reports for s in r.splits for m in s.metrics]
    if any(m.decl.given for m in rates):
        notes.append("n after a rate: only these episodes count for it. corr.: corrected for chance, which is 0; 100 is perfect.")
    if any(m.rate.n > m.rate.clusters and m.rate.k in (0, m.rate.n) for m in rates):
        notes.append("Where all episodes agree, a cluster counts as one episode, since nothing shows how far clusters differ.")
    if any(s.tally.provisional for r in reports for s in r.splits):
        notes.append(f"Provisional: a split of fewer than {RANKABLE_EPISODES} episodes isn't ranked.")
    if any("privileged" in r.marks for r in reports):
        notes.append("privileged: sees the simulator's state; a control, never ranked.")
    faults = sum(r.tally.env_errors for r in reports)
    if faults:
        notes.append(f"{faults} infrastructure fault{'s' * (faults > 1)} (env_error) left out of every rate.")
    return [line for note in notes for line in _paragraph(note, width, "dim")]


def _paragraph(text: str, width: int, style: str, indent: str = "") -> list[Line]:
    wrapped = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + _GAP, break_on_hyphens=False)
    return [((line, style),) for line in wrapped]
