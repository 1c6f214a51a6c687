"""The report as lines of text that fit a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from gf_core._problems import printable
from gf_core.reporting.tables import NONE, percent, points
from gf_core.reporting.text import Line
from gf_core.statistics import FEWEST_SEEDS, LEVEL
from gf_core.studies.report.evidence import StudyEvidence
from gf_core.studies.report.figures import Figure
from gf_core.studies.report.probes import Drift, Questions, read_drift, read_questions
from gf_core.studies.report.prose import paragraph
from gf_core.studies.report.tables import Table, TableRow, make_tables
from gf_core.studies.report.wording import Names, needs, probability, rate, signed, signed_interval, verdict
from gf_core.summary import RANKABLE_EPISODES

_GAP = "  "
_Row = tuple[Sequence[str], str]
"""Cells, and their style."""


def render_study(evidence: StudyEvidence, *, width: int = 100) -> list[Line]:
    """The report's lines: the paragraph, a table for each suite and split, probes, sweeps, and what is missing.

    Contrasts are those on each suite's headline split by success and by what tells best what a policy knows; the page and the
    document have all of them.

    Args:
        evidence: the study.
        width: characters that a line should fit into, as far as names allow.
    """
    names = Names(evidence.conditions)
    tables, questions = make_tables(evidence), read_questions(evidence)
    lines: list[Line] = [((f"{printable(evidence.study.name)}: {printable(evidence.study.question)}", "bold"),), ()]
    for sentence in paragraph(evidence, tables, questions, names):
        lines += _wrapped(sentence, width, "")
    for table in tables:
        lines += [(), *_table(table, names, width)]
        lines += [(), *_contrasts(table, names, width)] if table.headline and any(table.compared.values()) else []
    lines += _probes(questions, read_drift(evidence), names, width)
    lines += _sweep(evidence, names, width)
    lines += _absent(evidence, width)
    return [*lines, (), *_legend(width)]


def _table(table: Table, names: Names, width: int) -> Iterator[Line]:
    marks = [
        *table.marks,
        *([f"provisional: fewer than {RANKABLE_EPISODES} episodes"] if table.episodes < RANKABLE_EPISODES else []),
    ]
    head = f"{printable(table.suite)} {printable(table.split)}, {table.episodes} episode{'s' * (table.episodes != 1)} a seed"
    yield ((head, "bold"), *((f" · {mark}", "yellow") for mark in map(printable, marks)))
    headers = ["arm", "seeds", *(f"{decl.name} %" for decl in table.rates)]
    rows = [_condition(table, row, names) for row in table.rows]
    if any(decl.chance is not None for decl in table.rates):
        rows.append((["guessing", "", *("" if d.chance is None else points(d.chance) for d in table.rates)], "dim"))
    for control in table.controls:
        cells = [percent(m.rate.estimate, m.rate.interval).replace(" %", "") for m in control.summary.metrics]
        shown = dict(zip((m.decl.name for m in control.summary.metrics), cells, strict=True))
        mark = " (privileged)" if control.privileged else ""
        rows.append(([f"control: {control.name}{mark}", "", *(shown.get(d.name, "") for d in table.rates)], "dim"))
    yield from _grid(headers, rows, width)
    for row in table.rows:
        if row.notes:
            yield ((f"{_GAP}{names[row.condition]}: {'; '.join(map(printable, row.notes))}", "yellow"),)


def _condition(table: Table, row: TableRow, names: Names) -> _Row:
    if not row.figures:
        return [names[row.condition], row.seeds, *(NONE for _ in table.rates)], "dim"
    cells = [_cell(f, row) for f in row.figures]
    return [names[row.condition], row.seeds, *cells], "" if row.figures[0].claim else "dim"


def _cell(found: Figure, row: TableRow) -> str:
    seeds = found.scored_seeds
    fewer = f"({seeds} seed{'s' * (seeds > 1)})" if row.figures[0].claim and found.n and not found.claim else ""
    return " ".join(filter(None, [rate(found), row.letters.get(found.decl.name, ""), fewer]))


def _contrasts(table: Table, names: Names, width: int) -> Iterator[Line]:
    headers = ["contrast", "by", "points", "p", "verdict"]
    rows: list[_Row] = []
    for name in dict.fromkeys((table.rates[0].name, table.knowledge.name)):
        for one in table.compared.get(name, ()):
            difference = NONE if one.difference is None else f"{signed(one.difference)} {signed_interval(one.interval)}"
            p = NONE if one.problem else probability(one.p_adjusted)
            wanted = "" if needs(one) == NONE else f" ({needs(one)})"
            cells = [names.pair(one), name, difference, p, f"{verdict(one)}{wanted}"]
            rows.append((cells, "" if one.claim else "dim"))
    yield from _grid(headers, rows, width, left={0, 1, 4}, repeated=2)


def _probes(questions: Sequence[Questions], drift: Sequence[Drift], names: Names, width: int) -> Iterator[Line]:
    for asked in questions:
        yield from [(), ((f"Asked: {printable(asked.title)} (guessing: {points(asked.chance)} %)", "bold"),)]
        rows = [([names[r.condition], str(len(r.after.seeds)), rate(r.before), rate(r.after)], "") for r in asked.rows]
        yield from _grid(["arm", "seeds", "before %", "after %"], rows, width)
    if drift:
        roles = list(dict.fromkeys(role for one in drift for role in one.weights))
        yield from [(), (("Drift: relative change of weights by role; KL of the next token on the questions [nat]", "bold"),)]
        rows = [
            ([names[d.condition], *(_number(d.weights.get(role)) for role in roles), _number(d.prompt), _number(d.answer)], "")
            for d in drift
        ]
        yield from _grid(["arm", *roles, "KL prompt", "KL answer"], rows, width)


def _sweep(evidence: StudyEvidence, names: Names, width: int) -> Iterator[Line]:
    sweep = evidence.study.sweep
    if sweep is None or not evidence.choices:
        return
    yield from [(), ((f"Sweep on {sweep.suite}, {sweep.metric} %, seed {sweep.seed}; * is what was chosen", "bold"),)]
    rows = []
    for condition, choice in evidence.choices.items():
        cells = []
        for tried in choice["tried"]:
            text = "failed" if tried["estimate"] is None else points(tried["estimate"])
            cells.append(f"{text} *" if tried["value"] == choice["chosen"] else text)
        rows.append(([names[condition], *cells], ""))
    yield from _grid(["arm", *(f"{value:g}" for value in sweep.values)], rows, width)


def _absent(evidence: StudyEvidence, width: int) -> Iterator[Line]:
    absent = [cell for cell in evidence.cells if not cell.done]
    if not absent:
        return
    yield from [(), (("Cells without results", "bold"),)]
    for cell in absent:
        text = f"{cell.cell.id} {cell.state}" + (f": {cell.told}" if cell.told else "")
        yield from _wrapped(printable(text), width, "red" if cell.state == "failed" else "yellow")


def _legend(width: int) -> Iterator[Line]:
    text = (
        f"In brackets: {100 * LEVEL:g} % intervals over training seeds and targets; with fewer than {FEWEST_SEEDS} seeds over "
        "targets alone, for these models only. Arms with the same backbone and head that share a letter aren't separable (Holm "
        "over all such pairs of a table); contrasts are a family of their own."
    )
    yield from _wrapped(text, width, "dim")


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _wrapped(text: str, width: int, style: str) -> Iterator[Line]:
    for line in textwrap.wrap(printable(text), width, break_on_hyphens=False):
        yield ((line, style),)


def _grid(
    headers: Sequence[str], rows: Sequence[_Row], width: int, left: set[int] | None = None, repeated: int = 1
) -> Iterator[Line]:
    """Columns in as many tables, one below the other, as it takes to fit; each repeats the first ones, which name a row."""
    aligned = {0} if left is None else left
    widths = [max(len(cells[n]) for cells in [headers, *(c for c, _ in rows)]) for n in range(len(headers))]
    names = range(repeated)
    blocks: list[list[int]] = [[]]
    for column in range(repeated, len(headers)):
        used = sum(len(_GAP) + widths[n] for n in (*names, *blocks[-1]))
        if blocks[-1] and used + widths[column] > width:
            blocks.append([])
        blocks[-1].append(column)
    for block in blocks:
        for cells, style in [(headers, "dim"), *rows]:
            shown = [cells[n].ljust(widths[n]) if n in aligned else cells[n].rjust(widths[n]) for n in (*names, *block)]
            yield ((_GAP.join(shown).rstrip(), style),)
