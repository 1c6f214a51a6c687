"""What can be told and what can't, in sentences that say numbers and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gf_core.reporting.tables import points
from gf_core.statistics import FEWEST_SEEDS, LEVEL
from gf_core.studies.report.contrasts import Compared
from gf_core.studies.report.evidence import StudyEvidence
from gf_core.studies.report.figures import Figure
from gf_core.studies.report.probes import Questions, matching
from gf_core.studies.report.tables import Table
from gf_core.studies.report.wording import Names, joined, needs, percents, signed, signed_interval
from gf_core.summary import MetricDecl


def paragraph(evidence: StudyEvidence, tables: Sequence[Table], questions: Sequence[Questions], names: Names) -> list[str]:
    """Sentences: how much of the matrix there is, then for the headline split of each suite what was observed, which contrasts
    separate and which don't, who recognizes no more than guessing does, and what the vision-language models knew. What holds of
    several suites is said once."""
    told = (s for table in tables if table.headline for s in _table(table, questions, names))
    return list(dict.fromkeys([_coverage(evidence), *told]))


def _coverage(evidence: StudyEvidence) -> str:
    states = [cell.state for cell in evidence.cells]
    done, failed = states.count("done"), states.count("failed")
    rest = len(states) - done - failed
    parts = [f"{done} of {len(states)} cells are finished"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{rest} {'is' if rest == 1 else 'are'} missing"] if rest else []
    text = joined(parts) + "."
    seeds = len(evidence.study.seeds)
    if seeds < FEWEST_SEEDS:
        text += f" With {seeds} training seed{'s' * (seeds > 1)}, nothing can be said of a technique, only of these models."
    return text


def _table(table: Table, questions: Sequence[Questions], names: Names) -> Iterator[str]:
    where = f"{table.suite} {table.split}"
    shown = list(dict.fromkeys([table.rates[0], *filter(None, [table.execution]), table.knowledge]))
    ranges = [text for decl in shown if (text := _range(table, decl, names))]
    if ranges:
        yield f"On {where}, observed {joined(ranges)}."
    yield from _unclaimed(table, names)
    for decl in dict.fromkeys([table.rates[0], table.knowledge]):
        yield from _contrasts(table.compared.get(decl.name, ()), decl, where, names)
    void = dict.fromkeys(f"{names.pair(c)} ({c.problem})" for c in table.compared.get(table.rates[0].name, ()) if c.problem)
    if void:
        yield f"Not compared on {where}: {joined(void)}."
    yield from _guessing(table, names)
    yield from _knew(matching(questions, table), names)


def _unclaimed(table: Table, names: Names) -> Iterator[str]:
    """Of whom nothing can be said as techniques, and why; :func:`_coverage` says so of a study that asks for too few seeds."""
    rows = [row for row in table.rows if row.figures and not row.figures[0].claim and row.planned >= FEWEST_SEEDS]
    few = [row for row in rows if row.figures[0].scored_seeds < FEWEST_SEEDS]
    for why, found in (
        (f"fewer than {FEWEST_SEEDS} training seeds", few),
        ("fewer than two targets", [row for row in rows if row not in few]),
    ):
        if found:
            kind = "a technique" if len(found) == 1 else "techniques"
            yield f"Nothing can be said of {joined(names[row.condition] for row in found)} as {kind}: {why}."


def _range(table: Table, decl: MetricDecl, names: Names) -> str:
    found = [(f, row.condition) for row in table.rows if (f := table.figure(row.condition, decl)) and f.estimate is not None]
    if not found:
        return ""
    if len(found) == 1:
        return f"{decl.name} is {_share(found[0][0])} ({names[found[0][1]]})"
    ordered = sorted(found, key=lambda item: -(item[0].estimate or 0.0))
    (best, first), (worst, last) = ordered[0], ordered[-1]
    if best.estimate == worst.estimate:
        return f"{decl.name} is {points(best.estimate or 0.0)} % for all {len(found)}"
    return f"{decl.name} ranges from {_share(worst)} ({names[last]}) to {_share(best)} ({names[first]})"


def _contrasts(compared: Sequence[Compared], decl: MetricDecl, where: str, names: Names) -> Iterator[str]:
    """Claims apart from what is only known of these models."""
    if not compared:
        return
    for claim in (True, False):
        mine = [c for c in compared if c.claim is claim and not c.problem]
        if not mine:
            continue
        kind = "contrasts" if claim else "comparisons of single models"
        apart = [_difference(c, names) for c in mine if c.separable]
        close = [f"{names.pair(c)} ({needs(c)})" for c in mine if not c.separable]
        head = f"Separable by {decl.name} on {where} at {100 * LEVEL:g} %, {len(apart)} of {len(mine)} {kind}"
        yield head + f" (Holm over {len(compared)})" + (f": {joined(apart)}." if apart else ".")
        if close:
            yield f"Not separable by {decl.name}: {joined(close)}."


def _difference(one: Compared, names: Names) -> str:
    return f"{names.pair(one)} {signed(one.difference or 0.0)} points {signed_interval(one.interval)}"


def _guessing(table: Table, names: Names) -> Iterator[str]:
    chance = table.knowledge.chance
    if chance is None:
        return
    found = {row.condition: table.figure(row.condition, table.knowledge) for row in table.rows}
    within = [names[c] for c, f in found.items() if f and f.interval and f.interval.low <= chance <= f.interval.high]
    if within:
        verb = "holds" if len(within) == 1 else "hold"
        word = "interval" if len(within) == 1 else "intervals"
        yield f"The {table.knowledge.name} {word} of {joined(within)} {verb} the {points(chance)} % of guessing."


def _knew(questions: Questions | None, names: Names) -> Iterator[str]:
    rows = (
        [row for row in questions.rows if row.before.estimate is not None and row.after.estimate is not None] if questions else []
    )
    if not questions or not rows:
        return
    ordered = sorted(rows, key=lambda row: -(row.after.estimate or 0.0))
    before = [row.before.estimate or 0.0 for row in rows]
    span = f"{points(min(before))} %" if min(before) == max(before) else f"{points(min(before))} to {points(max(before))} %"
    best, worst = ordered[0], ordered[-1]
    after = f"{_share(best.after)} ({names[best.condition]})"
    if best.after.estimate != worst.after.estimate:
        after += f" to {_share(worst.after)} ({names[worst.condition]})"
    elif len(rows) > 1:
        after = f"{points(best.after.estimate or 0.0)} % (all {len(rows)})"
    yield f"Asked {questions.title}, the vision-language models were right in {span} before training and in {after} after it."


def _share(found: Figure) -> str:
    return f"{points(found.estimate or 0.0)} % {percents(found.interval)}"
