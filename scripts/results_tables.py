"""The tables of docs/results.md: ``python scripts/results_tables.py docs/results/inheritance.json [ARM…]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    ("gf/standard@1", "val", "success"),
    ("gf/standard@1", "val", "execution"),
    ("gf/standard@1", "val", "recognition"),
    ("gf/shifts@1", "paraphrase", "success"),
    ("gf/shifts@1", "hard", "success"),
    ("gf/shifts@1", "hard", "recognition"),
)
HEADS = ("success", "execution", "recognition", "success, other sentences", "success, hard", "recognition, hard")


def main(path: str, *arms: str) -> None:
    """Print them."""
    print("\n\n".join(tables(json.loads(Path(path).read_bytes()), arms)))


def tables(report: Mapping[str, Any], arms: Sequence[str] = ()) -> tuple[str, str, str]:
    """Rates over seeds with intervals, success seed by seed, and the probe, as Markdown. [%], but for the probe's counts.

    Args:
        report: of kind ``study_report``.
        arms: only these; none for all that have a finished cell.
    """
    shown = [arm for arm in _arms(report) if arm in arms or not arms]
    return _rates(report, shown), _by_seed(report, shown), _probe(report, shown)


def _rates(report: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = []
    for arm in arms:
        figures = [_figure(report, arm, *column) for column in COLUMNS]
        seeds = len(figures[0]["seeds"])
        lines.append([f"`{arm}`", str(seeds), *(_percent(one) for one in figures)])
    return _table(["arm", "seeds", *HEADS], lines)


def _by_seed(report: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = []
    for arm in arms:
        found = [_figure(report, arm, *COLUMNS[number])["seeds"] for number in (0, 3, 4)]
        lines.append([f"`{arm}`", *(" / ".join(f"{100 * one['k'] / one['n']:.1f}" for one in seeds) for seeds in found)])
    return _table(["arm", "success, seed by seed", "in other sentences", "hard"], lines)


def _probe(report: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = []
    for arm in arms:
        card = _probed(report, arm, "which-card")
        pages = [_probed(report, arm, probe["kind"]) for probe in report["probes"] if probe["kind"].startswith("web/")]
        sums = [tuple(sum(one[when][key] for one in pages) for key in ("k", "n")) for when in ("before", "after")]
        before, after = (f"{card[when]['k']} of {card[when]['n']}" for when in ("before", "after"))
        lines.append([f"`{arm}`", before, after, *(f"{k} of {n}" for k, n in sums)])
    return _table(["arm", "which card: before", "after training", "about pages: before", "after training"], lines)


def _arms(report: Mapping[str, Any]) -> list[str]:
    """Those with a finished cell, in the study's order."""
    rows = report["tables"][0]["rows"]
    return [row["condition"]["arm"] for row in rows if row["figures"] and row["figures"][0]["seeds"]]


def _figure(report: Mapping[str, Any], arm: str, suite: str, split: str, name: str) -> Mapping[str, Any]:
    table = next(one for one in report["tables"] if (one["suite"]["id"], one["split"]) == (suite, split))
    row = next(one for one in table["rows"] if one["condition"]["arm"] == arm)
    found: Mapping[str, Any] = next(one for one in row["figures"] if one["name"] == name)
    return found


def _probed(report: Mapping[str, Any], arm: str, kind: str) -> Mapping[str, Any]:
    probe = next(one for one in report["probes"] if one["kind"] == kind)
    found: Mapping[str, Any] = next(one for one in probe["rows"] if one["condition"]["arm"] == arm)
    return found


def _percent(figure: Mapping[str, Any]) -> str:
    if figure["interval"] is None:
        return "—"
    low, high = figure["interval"]
    return f"{100 * figure['estimate']:.1f} [{100 * low:.1f}, {100 * high:.1f}]".replace("100.0", "100")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    main(*sys.argv[1:])
