"""Runs of one split against each other, as a page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gf_core.reporting.model import Evidence
from gf_core.statistics import Comparison, PairComparison, compare
from gf_core.summary import MetricDecl, comparable, outcomes


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Runs compared by one rate on one split.

    Attributes:
        decl: the rate.
        letters: number of a run to its letters; runs without an episode that counts have none.
        pairs: two numbers of runs, the better on their common episodes first, with their comparison.
    """

    decl: MetricDecl
    letters: Mapping[int, str]
    pairs: tuple[tuple[int, int, PairComparison], ...]


def by_suite(evidence: Sequence[Evidence]) -> list[dict[int, Evidence]]:
    """Runs that may be compared: for each suite, number (from 1, in the order given) to run."""
    groups: dict[tuple[str, str], dict[int, Evidence]] = {}
    for number, one in enumerate(evidence, start=1):
        groups.setdefault((one.report.suite, one.report.suite_sha256), {})[number] = one
    return list(groups.values())


def compare_split(group: Mapping[int, Evidence], split: str, declarations: Sequence[MetricDecl]) -> list[Compared]:
    """Every rate that counts the same episodes in all runs, compared over all pairs; another would compare other episodes.

    Args:
        group: number to run, of one suite.
        split: the split.
        declarations: the suite's rates.
    """
    rows = {number: [row for row in one.run.records if row["split"] == split] for number, one in group.items()}
    clusters = {row["episode"]: row["cluster"] for members in rows.values() for row in members}
    found = []
    for decl in declarations:
        counted = {str(number): outcomes(members, decl) for number, members in rows.items()}
        counted = {name: run for name, run in counted.items() if run}
        if len(counted) > 1 and comparable(rows.values(), decl):
            found.append(_compared(decl, compare(counted, clusters)))
    return found


def _compared(decl: MetricDecl, comparison: Comparison) -> Compared:
    return Compared(
        decl=decl,
        letters={int(name): text for name, text in comparison.letters.items()},
        pairs=tuple((int(pair.first), int(pair.second), pair) for pair in comparison.pairs),
    )
