"""What became of an episode, in words that people count by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum

from gf_core.summary import ENV_ERROR, POLICY_ERROR, MetricDecl, Row


class Kind(Enum):
    """What became of an episode. The value is what a reader sees.

    The first four are for suites with a conditional rate (recognition given execution), the next two for those without.
    """

    RIGHT = "right choice"
    WRONG = "wrong choice"
    NEITHER = "a choice where none is right"
    MISSED = "not executed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    POLICY_ERROR = "policy error"
    ENV_ERROR = "infrastructure fault"


def conditional(declarations: Iterable[MetricDecl]) -> MetricDecl | None:
    """The first rate that counts only some episodes (recognition given execution), or ``None``."""
    return next((d for d in declarations if d.given), None)


def kind_of(row: Row, decl: MetricDecl | None) -> Kind:
    """What became of a recorded episode, by the suite's conditional rate if it has one."""
    if row["ending"] in (ENV_ERROR, POLICY_ERROR):
        return Kind.ENV_ERROR if row["ending"] == ENV_ERROR else Kind.POLICY_ERROR
    if decl is None:
        return Kind.SUCCEEDED if row["success"] else Kind.FAILED
    if _value(row, decl.given) is not True:
        return Kind.MISSED
    chosen = _value(row, decl.metric)
    return Kind.NEITHER if chosen is None else Kind.RIGHT if chosen is True else Kind.WRONG


def chosen_card(row: Row) -> int | None:
    """Which card was chosen, counted from the left; ``None`` for no card, and where the policy broke the episode."""
    metrics = row["metrics"]
    chosen = metrics.get("chosen") if isinstance(metrics, Mapping) and row["ending"] != POLICY_ERROR else None
    return chosen if isinstance(chosen, int) and not isinstance(chosen, bool) else None


def count_kinds(rows: Iterable[Row], decl: MetricDecl | None) -> dict[Kind, int]:
    """How many episodes became what, in the order of :class:`Kind`; kinds that don't occur are left out."""
    found = Counter(kind_of(row, decl) for row in rows)
    return {kind: found[kind] for kind in Kind if found[kind]}


def _value(row: Row, metric: str) -> object:
    metrics = row["metrics"]
    return row["success"] if metric == "success" else metrics.get(metric) if isinstance(metrics, Mapping) else None
