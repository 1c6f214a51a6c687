"""Learning curves: a cell's losses by step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gf_core.errors import GrinningFaceError

MOST_POINTS = 120
"""Of a curve; neighbours are averaged beyond."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A loss of one training.

    Attributes:
        name: as in metrics.jsonl.
        points: (steps done in all, mean loss), by step.
    """

    name: str
    points: tuple[tuple[float, float], ...]


def read_curves(file: Path) -> tuple[Curve, ...]:
    """The losses in a metrics.jsonl, in the order of their names; none where there is no such file.

    A torn last line is left out, as are losses that aren't finite.

    Raises:
        GrinningFaceError: a line isn't a row of metrics.
    """
    if not file.is_file():
        return ()
    found: dict[str, list[tuple[float, float]]] = {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        for name, point in _losses(line, f"{file}:{number}"):
            found.setdefault(name, []).append(point)
    return tuple(Curve(name=name, points=thin(sorted(points))) for name, points in sorted(found.items()))


def thin(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> tuple[tuple[float, float], ...]:
    """At most so many points: means of as many neighbours as it takes."""
    size = math.ceil(len(points) / most) if points else 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return tuple((sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups)


def _losses(line: str, where: str) -> list[tuple[str, tuple[float, float]]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GrinningFaceError("isn't JSON", where=where, hint="the file was edited") from error
    losses, done = (row.get("losses", {}), row.get("done")) if isinstance(row, dict) else (None, None)
    if not isinstance(losses, Mapping) or not isinstance(done, int):
        raise GrinningFaceError("isn't a row of metrics", where=where, hint="the file was edited")
    numbers = {name: value for name, value in losses.items() if isinstance(value, int | float) and math.isfinite(value)}
    return [(str(name), (float(done), float(value))) for name, value in numbers.items()]
