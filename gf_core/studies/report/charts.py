"""Charts of a study as positions: what is drawn where. The template draws them; text is escaped there.

Rows of a forest are placed as in :mod:`gf_core.reporting.charts`: per cent across, pixels down. Scatter plots and curves have a
fixed drawing of their own, which the page scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gf_core._problems import shorten
from gf_core.reporting.charts import ROW_HEIGHT
from gf_core.statistics import Interval
from gf_core.studies.report.contrasts import Compared
from gf_core.studies.report.curves import Curve
from gf_core.studies.report.figures import Figure
from gf_core.studies.report.wording import Names, signed, signed_interval, verdict

_LABEL = 40
_SPANS = (0.1, 0.2, 0.3, 0.5, 1.0)

LEFT, RIGHT, TOP, BOTTOM = 44.0, 350.0, 12.0, 292.0
"""Edges of a scatter plot's field in its drawing of 360 × 336."""

CURVE_WIDTH, CURVE_HEIGHT = 300.0, 100.0
_LINE_STYLES = 6


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """A difference with its interval; positions in per cent of the width, ``None`` where nothing was compared."""

    name: str
    text: str
    spoken: str
    y: int
    at: float | None
    low: float | None
    high: float | None
    claim: bool
    separable: bool


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Contrasts by one rate. ``ticks`` are positions and labels; ``height`` is without the axis [px]."""

    title: str
    rows: tuple[ForestRow, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


@dataclass(frozen=True, kw_only=True)
class Point:
    """A condition in a scatter plot, in the drawing's units.

    Attributes:
        label: its number.
        name: what it is called.
        spoken: both rates in words.
        x, y: where it is.
        x_limits, y_limits: ends of its intervals; ``None`` without one.
        text_x, text_y: where its number stands.
        origin: where it came from, on the same height; ``None`` if nobody knows.
        claim: whether it says something about the technique.
    """

    label: str
    name: str
    spoken: str
    x: float
    y: float
    x_limits: tuple[float, float] | None
    y_limits: tuple[float, float] | None
    text_x: float
    text_y: float
    origin: float | None
    claim: bool


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Two rates of several conditions, from 0 to 100 %; ``x_chance`` and ``y_chance`` are places of guessing."""

    title: str
    x_title: str
    y_title: str
    x_chance: float | None
    y_chance: float | None
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A loss of one seed: a path in the drawing, and the style of its name."""

    path: str
    style: int


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A condition's losses; ``logarithmic`` says how they are drawn, ``spoken`` where each begins and ends."""

    label: str
    name: str
    lines: tuple[Line, ...]
    legend: tuple[tuple[int, str, str], ...]
    low: float
    high: float
    steps: int
    logarithmic: bool
    spoken: str


def forest_span(compared: Iterable[Compared]) -> float:
    """How far the axis of a chart that holds all these differences reaches to both sides."""
    limits = [abs(x) for c in compared if c.interval for x in (c.interval.low, c.interval.high)]
    return next((s for s in _SPANS if max(limits, default=0.0) <= s), 1.0)


def forest(title: str, compared: Sequence[Compared], names: Names, span: float) -> Forest:
    """A chart of differences in points, from -span to span."""

    def at(share: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, share / span)), 2)

    rows = tuple(
        ForestRow(
            name=shorten(names.numbered_pair(one), _LABEL),
            text="—" if one.difference is None else signed(one.difference),
            spoken=verdict(one) if one.difference is None else _difference(one),
            y=number * ROW_HEIGHT,
            at=None if one.difference is None else at(one.difference),
            low=at(one.interval.low) if one.interval else None,
            high=at(one.interval.high) if one.interval else None,
            claim=one.claim,
            separable=one.separable,
        )
        for number, one in enumerate(compared)
    )
    ticks = tuple(
        (at(share), f"{100 * share:+g}".replace("-", "−") if share else "0") for share in (-span, -span / 2, 0.0, span / 2, span)
    )
    return Forest(title=title, rows=rows, ticks=ticks, height=len(rows) * ROW_HEIGHT)


def _difference(one: Compared) -> str:
    return f"{signed(one.difference or 0.0)} points {signed_interval(one.interval)}, {verdict(one)}"


@dataclass(frozen=True, kw_only=True)
class Dot:
    """What a scatter plot is made of: a condition's two rates, and where the first one was before."""

    label: str
    name: str
    x: Figure
    y: Figure
    before: Figure | None = None


def scatter(title: str, axes: tuple[str, str], chances: tuple[float | None, float | None], dots: Sequence[Dot]) -> Scatter | None:
    """A scatter plot of the conditions that have both rates; ``None`` where none has."""
    shown = [d for d in dots if d.x.estimate is not None and d.y.estimate is not None]
    if not shown:
        return None
    places = _spread_labels([(_x(d.x.estimate or 0.0), _y(d.y.estimate or 0.0)) for d in shown])
    points = tuple(
        Point(
            label=d.label,
            name=d.name,
            spoken=f"{axes[0]} {100 * (d.x.estimate or 0.0):.1f} %, {axes[1]} {100 * (d.y.estimate or 0.0):.1f} %",
            x=_x(d.x.estimate or 0.0),
            y=_y(d.y.estimate or 0.0),
            x_limits=_limits(d.x.interval, _x),
            y_limits=_limits(d.y.interval, _y),
            text_x=place[0],
            text_y=place[1],
            origin=None if d.before is None or d.before.estimate is None else _x(d.before.estimate),
            claim=d.x.claim and d.y.claim,
        )
        for d, place in zip(shown, places, strict=True)
    )
    x_chance, y_chance = chances
    return Scatter(
        title=title,
        x_title=axes[0],
        y_title=axes[1],
        x_chance=None if x_chance is None else _x(x_chance),
        y_chance=None if y_chance is None else _y(y_chance),
        points=points,
    )


def _x(share: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * share, 1)


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)


def _limits(interval: Interval | None, place: Callable[[float], float]) -> tuple[float, float] | None:
    return (place(interval.low), place(interval.high)) if interval else None


def _spread_labels(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where numbers stand so that none covers another or a dot: the nearest of places on rings around each dot."""
    taken: list[tuple[float, float]] = []
    for x, y in points:
        rings = [
            (x + radius * math.cos(angle), y + radius * math.sin(angle))
            for radius in (14.0, 24.0, 36.0, 50.0)
            for angle in (-0.8, 0.8, -2.35, 2.35, -1.57, 1.57, 0.0, 3.14)
        ]
        inside = [(a, b) for a, b in rings if LEFT + 6 <= a <= RIGHT - 2 and TOP - 4 <= b <= BOTTOM - 4]
        blocked = [*taken, *points]
        free = [place for place in inside if all(math.dist(place, other) >= 12.0 for other in blocked)]
        best = next(iter([*free, *inside, (x + 14.0, y - 10.0)]))
        taken.append((round(best[0], 1), round(best[1], 1)))
    return taken


def draw_curves(label: str, name: str, seeds: Sequence[Sequence[Curve]], styles: Mapping[str, int]) -> Curves | None:
    """The losses of a condition's seeds over steps, on a logarithmic scale where all are positive; ``None`` without any.

    Args:
        label, name: of the condition.
        seeds: the curves of each seed.
        styles: name of a loss to the number of its style.
    """
    curves = [curve for seed in seeds for curve in seed if curve.points]
    if not curves:
        return None
    values = [y for curve in curves for _, y in curve.points]
    logarithmic = min(values) > 0
    low, high = min(values), max(values)
    steps = max(x for curve in curves for x, _ in curve.points)

    def scale(value: float) -> float:
        if low == high:
            return 0.5
        if logarithmic:
            return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    def path(curve: Curve) -> str:
        places = [(CURVE_WIDTH * x / steps, CURVE_HEIGHT * (1 - scale(y))) for x, y in curve.points]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)

    found = dict.fromkeys(curve.name for curve in curves)
    ends = {n: [c.points for c in curves if c.name == n] for n in found}
    told = {n: f"{fmean(p[0][1] for p in e):.3g} to {fmean(p[-1][1] for p in e):.3g}" for n, e in ends.items()}
    return Curves(
        label=label,
        name=name,
        lines=tuple(Line(path=path(curve), style=styles[curve.name] % _LINE_STYLES) for curve in curves),
        legend=tuple((styles[n] % _LINE_STYLES, n, text) for n, text in told.items()),
        low=low,
        high=high,
        steps=round(steps),
        logarithmic=logarithmic,
        spoken="; ".join(f"{n} from {text}" for n, text in told.items()),
    )
