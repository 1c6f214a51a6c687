"""Successes per cluster (for GrinningFace: per target emoji) and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    columns: list[dict[str, tuple[int, int]]] = []
    for one in group:
        column: dict[str, tuple[int, int]] = {}
        for row in one.run.records:
            if row["split"] == split and row["ending"] != ENV_ERROR:
                k, n = column.get(row["cluster"], (0, 0))
                column[row["cluster"]] = (k + (row["success"] and row["ending"] != POLICY_ERROR), n + 1)
        columns.append(column)
    return draw_map(columns, faces)


def draw_map(columns: Sequence[Mapping[str, tuple[int, int]]], faces: Faces) -> HeatMap:
    """A map of columns that say k of n for each cluster, the hardest cluster first.

    Args:
        columns: cluster to (k, n).
        faces: the clusters' faces.
    """
    clusters = dict.fromkeys(cluster for column in columns for cluster in column)
    counted = {cluster: [column.get(cluster, (0, 0)) for column in columns] for cluster in clusters}

    def hardest(item: tuple[str, list[tuple[int, int]]]) -> tuple[float, str]:
        cluster, cells = item
        return sum(k for k, _ in cells) / max(sum(n for _, n in cells), 1), cluster

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
