"""Successes per cluster (for GrinningFace: per target emoji) and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gf_core.reporting.faces import Face, Faces
from gf_core.reporting.model import Evidence
from gf_core.summary import ENV_ERROR, POLICY_ERROR

SHADES = 5
"""Steps of colour, the first for 0 % alone and the last for 100 % alone."""

MOST_ROWS = 1000
"""Most clusters of a map; the easiest are left out beyond."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """k of n episodes; ``shade`` is 0 .. SHADES - 1, or -1 without an episode."""

    k: int
    n: int
    shade: int


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """A cluster's results, in the order of the runs."""

    face: Face
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Clusters by runs of one split, the hardest first; ``left_out`` clusters aren't shown."""

    rows: tuple[MapRow, ...]
    left_out: int


def heat_map(group: Sequence[Evidence], split: str, faces: Faces) -> HeatMap:
    """Successes of these runs of one suite; an infrastructure fault isn't counted."""
    counted: dict[str, list[list[int]]] = {}
    for number, one in enumerate(group):
        for row in one.run.records:
            if row["split"] != split or row["ending"] == ENV_ERROR:
                continue
            cell = counted.setdefault(row["cluster"], [[0, 0] for _ in group])[number]
            cell[0] += row["success"] and row["ending"] != POLICY_ERROR
            cell[1] += 1

    def hardest(item: tuple[str, list[list[int]]]) -> tuple[float, str]:
        cluster, cells = item
        return sum(k for k, _ in cells) / sum(n for _, n in cells), cluster

    ordered = sorted(counted.items(), key=hardest)
    rows = [
        MapRow(face=faces.find(cluster), cells=tuple(Cell(k=k, n=n, shade=_shade(k, n)) for k, n in cells))
        for cluster, cells in ordered[:MOST_ROWS]
    ]
    return HeatMap(rows=tuple(rows), left_out=len(ordered) - len(rows))


def _shade(k: int, n: int) -> int:
    if n == 0:
        return -1
    if k in (0, n):
        return 0 if k == 0 else SHADES - 1
    return 1 + min(SHADES - 3, (SHADES - 2) * k // n)
