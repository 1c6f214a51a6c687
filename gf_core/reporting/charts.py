"""Charts as positions: what is drawn where. The template draws them; text is escaped there.

Horizontal positions are shares of the chart's width in per cent, so that a chart fits a phone and a desk without its text being
scaled; vertical ones are pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gf_core._problems import shorten
from gf_core.reporting.outcomes import Kind
from gf_core.reporting.tables import NONE, percent, points
from gf_core.statistics import Interval

ROW_HEIGHT, STACK_HEIGHT = 38, 44
"""Of a line of text with a bar below it [px]."""

AXIS_HEIGHT = 22
"""[px]"""

_LABEL = 34
"""Characters of a row's name that fit beside its number on a phone."""

_INSIDE = 7.0
"""Least width of a segment that its number fits into [%]."""


class Estimated(Protocol):
    """A rate in 0..1 and its interval; ``None`` where there is none."""

    @property
    def estimate(self) -> float | None:
        """The rate."""

    @property
    def interval(self) -> Interval | None:
        """Its interval."""


@dataclass(frozen=True, kw_only=True)
class Whisker:
    """A rate with its interval.

    Attributes:
        name: whose.
        text: the rate, in per cent; a dash where there is none.
        spoken: the same with its interval.
        y: top of its row [px].
        at, low, high: the rate and its limits [%]; ``None`` where there is none.
        hollow: marks a run that is no contender.
    """

    name: str
    text: str
    spoken: str
    y: int
    at: float | None
    low: float | None
    high: float | None
    hollow: bool


@dataclass(frozen=True, kw_only=True)
class Whiskers:
    """A rate of several runs, from 0 to 100 %.

    Attributes:
        title: which rate.
        chance: what guessing reaches [%]; ``None`` where that has no meaning.
        rows: the runs.
        height: without the axis [px].
    """

    title: str
    chance: float | None
    rows: tuple[Whisker, ...]
    height: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a bar: how many episodes, where it begins and how wide it is [%]; ``text`` is empty where it doesn't fit."""

    kind: Kind
    count: int
    x: float
    width: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A run's episodes as a bar of 100 %; no segments where there is no episode."""

    name: str
    y: int
    spoken: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """What became of the episodes of several runs.

    Attributes:
        rows: the runs.
        kinds: what occurs, for the legend.
        height: without the axis [px].
    """

    rows: tuple[Stack, ...]
    kinds: tuple[Kind, ...]
    height: int


def whiskers(title: str, chance: float | None, rates: Sequence[tuple[str, Estimated | None, bool]]) -> Whiskers:
    """A chart of one rate.

    Args:
        title: the rate's name.
        chance: what guessing reaches, as a share.
        rates: name, rate and whether it is no contender, for each run.
    """
    rows = tuple(_whisker(number * ROW_HEIGHT, *row) for number, row in enumerate(rates))
    return Whiskers(
        title=title,
        chance=None if chance is None else _at(chance),
        rows=rows,
        height=len(rows) * ROW_HEIGHT,
    )


def stacks(runs: Sequence[tuple[str, Mapping[Kind, int]]]) -> Stacks:
    """A chart of what became of the episodes; infrastructure faults count nowhere and are left out."""
    shown: list[tuple[str, dict[Kind, int]]] = [
        (name, {k: n for k, n in counts.items() if k is not Kind.ENV_ERROR}) for name, counts in runs
    ]
    rows = tuple(_stack(number * STACK_HEIGHT, name, counts) for number, (name, counts) in enumerate(shown))
    kinds = tuple(kind for kind in Kind if any(kind in counts for _, counts in shown))
    return Stacks(rows=rows, kinds=kinds, height=len(rows) * STACK_HEIGHT)


def _whisker(y: int, name: str, rate: Estimated | None, hollow: bool) -> Whisker:
    estimate, interval = (rate.estimate, rate.interval) if rate else (None, None)
    return Whisker(
        name=shorten(name, _LABEL),
        text=NONE if estimate is None else f"{points(estimate)} %",
        spoken=percent(estimate, interval),
        y=y,
        at=None if estimate is None else _at(estimate),
        low=None if interval is None else _at(interval.low),
        high=None if interval is None else _at(interval.high),
        hollow=hollow,
    )


def _stack(y: int, name: str, counts: Mapping[Kind, int]) -> Stack:
    total = sum(counts.values())
    segments, before = [], 0
    for kind, count in counts.items():
        width = _at(count / total)
        text = f"{count}" if width >= _INSIDE else ""
        segments.append(Segment(kind=kind, count=count, x=_at(before / total), width=width, text=text))
        before += count
    spoken = ", ".join(f"{kind.value} {count}" for kind, count in counts.items()) or "no episodes"
    return Stack(name=shorten(name, _LABEL + 8), y=y, spoken=spoken, segments=tuple(segments))


def _at(share: float) -> float:
    return round(100 * share, 2)
