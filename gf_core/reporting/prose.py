"""What a report says in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gf_core._problems import printable
from gf_core.reporting.comparisons import Compared
from gf_core.reporting.controls import Controls
from gf_core.reporting.model import RunReport
from gf_core.statistics import LEVEL, Interval, PairComparison, Rate
from gf_core.summary import MetricSummary

HEADLINE = "val"
"""The split that a summary speaks of; a suite without it is spoken of by its last."""

_MOST = 8
BY_CHANCE = round(2 / (1 - LEVEL))
"""Of so many intervals at the level one lies above what is true."""


def headline_split(splits: Sequence[str]) -> str:
    """The split that a summary speaks of; empty without any."""
    return HEADLINE if HEADLINE in splits else splits[-1] if splits else ""


def sentences(group: Mapping[int, RunReport], names: Mapping[int, str], split: str, compared: Compared | None) -> list[str]:
    """What runs of one suite did on a split, the best first, and which of them can't be told apart."""
    found = [(number, s.metrics) for number, report in group.items() for s in report.splits if s.split == split]

    def success(item: tuple[int, tuple[MetricSummary, ...]]) -> float:
        return -(item[1][0].rate.estimate or 0.0)

    ordered = sorted(found, key=success)
    lines = [_did(names[number], metrics, split) for number, metrics in ordered[:_MOST]]
    if len(ordered) > _MOST:
        lines.append(f"{len(ordered) - _MOST} more runs are in the tables below.")
    if compared is not None:
        lines.append(_separated(compared, names))
    return lines


def pair_verdict(pair: PairComparison) -> str:
    """``separable``, or why not and what it would take."""
    return "separable" if pair.separable else "not separable"


def episodes_needed(pair: PairComparison) -> str:
    """``about 900``, or a dash where the pair is separable."""
    if pair.separable:
        return "—"
    return "no number: no difference was observed" if pair.episodes_needed is None else f"about {_round(pair.episodes_needed):,}"


def read_control(number: int, controls: Controls, name: str) -> str:
    """What the controls say of a run, in a sentence."""
    row = controls.rows[number]
    parts = []
    if row.consistency and row.consistency.interval:
        beyond = row.consistency.interval.low > controls.guessing_consistency
        verdict = "more often than by guessing" if beyond else "no more often than guessing might"
        share = f"{_share(row.consistency)} of the scenes"
        parts.append(f"{name} follows the instruction for each of the {controls.cards} cards in {share}, {verdict}")
    if row.switches and row.switches.estimate is not None:
        parts.append(f"its choice changes with the instruction in {_share(row.switches)}")
    told = [split for split, rate in row.blind.items() if _above(rate, controls.chance)]
    if told:
        often = f"it finds the target with a {' and a '.join(told)} instruction more often than by guessing"
        parts.append(f"{often}: something else gives it away, or it is chance, as in one of {BY_CHANCE} such comparisons")
    return "; ".join(parts) + "." if parts else f"{name} has too few episodes of the control splits."


def _did(name: str, metrics: Sequence[MetricSummary], split: str) -> str:
    success = metrics[0].rate
    if success.estimate is None:
        return f"{name} has no scored {split} episode."
    others = "".join(
        f"; {printable(m.decl.name)} {_share(m.rate)}"
        + (f" (guessing: {100 * m.decl.chance:.0f} %)" if m.decl.chance is not None else "")
        for m in metrics[1:]
        if m.rate.estimate is not None and m.decl.given
    )
    return f"{name} succeeds in {_share(success)} of {success.n} {split} episodes{others}."


def _separated(compared: Compared, names: Mapping[int, str]) -> str:
    close = [entry for entry in compared.pairs if not entry[2].separable]
    if not close:
        return "All of them are separable." if len(compared.pairs) > 1 else "The two are separable."
    texts = []
    for first, second, pair in close[:3]:
        need = pair.episodes_needed
        more = f" (about {_round(need):,} episodes would be needed)" if need is not None else ""
        texts.append(f"{names[first]} and {names[second]}{more}")
    rest = f"; {len(close) - 3} more pair{'s' * (len(close) > 4)}" if len(close) > 3 else ""
    return f"Not separable by {printable(compared.decl.name)}: {'; '.join(texts)}{rest}."


def _above(rate: Rate, chance: float | None) -> bool:
    return chance is not None and rate.interval is not None and rate.interval.low > chance


def _share(rate: Rate) -> str:
    """``71 % [66, 76]``."""
    if rate.estimate is None or rate.interval is None:
        return "—"
    return f"{100 * rate.estimate:.0f} % {_limits(rate.interval)}"


def _limits(interval: Interval) -> str:
    return f"[{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def _round(count: int) -> int:
    """To two digits, upwards: the figure is no more certain than that."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit
