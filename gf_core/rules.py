"""Rules that a JSON schema can't say, in one table with stable codes. A code is never reused or given another meaning."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gf_core._problems import MAX_PROBLEMS, Path, Problem, closest, in_order, refuse, show, suggest

Document = Mapping[str, Any]
Finding = tuple[Path, str, str]
"""Where, what is wrong, and a hint."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule for documents that fit their schema.

    Attributes:
        code: stable; GF1xx for suites, GF2xx for decks.
        kind: of the documents that it holds for.
        title: the rule, in one sentence.
        check: finds what breaks it; ``None`` for a rule that needs more than the document (:func:`check_suite_metrics`).
    """

    code: str
    kind: str
    title: str
    check: Callable[[Document], Iterable[Finding]] | None


def _repeats(values: Iterable[tuple[Path, Hashable]], what: str) -> Iterator[Finding]:
    first: dict[Hashable, Path] = {}
    for path, value in values:
        if value in first:
            yield path, f"{what} {show(value)} is already taken by {'/'.join(map(str, first[value]))}", "each may occur once"
        first.setdefault(value, path)


def _episode_ids(suite: Document) -> Iterator[Finding]:
    return _repeats(((("episodes", i, "id"), e["id"]) for i, e in enumerate(suite["episodes"])), "the id")


def _episode_splits(suite: Document) -> Iterator[Finding]:
    splits = suite["splits"]
    for i, episode in enumerate(suite["episodes"]):
        if episode["split"] not in splits:
            hint = suggest(episode["split"], splits, "declared are")
            yield ("episodes", i, "split"), f"the split {show(episode['split'])} isn't declared in splits", hint


def _splits_used(suite: Document) -> Iterator[Finding]:
    used = {episode["split"] for episode in suite["episodes"]}
    for split in suite["splits"]:
        if split not in used:
            yield ("splits", split), "no episode belongs to this split", "remove it, or add episodes"


def _metric_names(suite: Document) -> Iterator[Finding]:
    return _repeats(((("metrics", i, "name"), m["name"]) for i, m in enumerate(suite["metrics"])), "the name")


def _metric_conditions(suite: Document) -> Iterator[Finding]:
    reported = {metric["metric"] for metric in suite["metrics"] if "given" not in metric}
    for i, metric in enumerate(suite["metrics"]):
        if "given" in metric and metric["given"] not in reported:
            what = f"the condition {show(metric['given'])} isn't reported by itself"
            hint = closest(metric["given"], reported) or "add a metric without 'given' for it"
            yield ("metrics", i, "given"), what, hint


def _sub_goals(suite: Document) -> Iterator[Finding]:
    for i, episode in enumerate(suite["episodes"]):
        if isinstance(episode["instruction"], str):
            continue
        steps = [goal["from_step"] for goal in episode["instruction"]]
        path: Path = ("episodes", i, "instruction")
        if steps[0] != 0:
            yield (*path, 0, "from_step"), f"the first sub-goal begins at step {steps[0]}", "it must begin at step 0"
        for j in range(1, len(steps)):
            if steps[j] <= steps[j - 1]:
                yield (*path, j, "from_step"), f"step {steps[j]} doesn't come after step {steps[j - 1]}", "put them in order"
        if steps[-1] >= episode["horizon"]:
            yield (*path, len(steps) - 1, "from_step"), f"step {steps[-1]} isn't before the horizon", "it would never be told"


def _item_ids(deck: Document) -> Iterator[Finding]:
    return _repeats(((("items", i, "id"), item["id"]) for i, item in enumerate(deck["items"])), "the id")


def _item_tiles(deck: Document) -> Iterator[Finding]:
    return _repeats(((("items", i, "tile"), item["tile"]) for i, item in enumerate(deck["items"])), "the tile")


_TABLE = (
    Rule(code="GF101", kind="suite", title="Episode ids are unique.", check=_episode_ids),
    Rule(code="GF102", kind="suite", title="Each episode belongs to a declared split.", check=_episode_splits),
    Rule(code="GF103", kind="suite", title="Each split has an episode.", check=_splits_used),
    Rule(code="GF104", kind="suite", title="Names of metrics are unique.", check=_metric_names),
    Rule(code="GF105", kind="suite", title="A metric's condition is also reported by itself.", check=_metric_conditions),
    Rule(code="GF106", kind="suite", title="Sub-goals ascend from step 0 and begin before the horizon.", check=_sub_goals),
    Rule(code="GF107", kind="suite", title="The environment reports the outcome metrics that the suite names.", check=None),
    Rule(code="GF201", kind="deck", title="Item ids are unique.", check=_item_ids),
    Rule(code="GF202", kind="deck", title="Each item has a tile of its own.", check=_item_tiles),
)

RULES: Mapping[str, Rule] = {rule.code: rule for rule in _TABLE}
"""Code to rule."""


def rule_problems(document: Document, kind: str) -> list[Problem]:
    """Every rule that ``document``, which fits its schema, breaks; sorted by pointer, at most MAX_PROBLEMS findings."""
    problems = (
        Problem(path=path, what=what, hint=hint, code=rule.code)
        for rule in RULES.values()
        if rule.kind == kind and rule.check is not None
        for path, what, hint in rule.check(document)
    )
    return in_order(islice(problems, MAX_PROBLEMS))


def check_rules(document: Document, kind: str, source: str) -> None:
    """Check the rules for ``kind``; :func:`gf_core.schemas.validate` does this too.

    Raises:
        SchemaError: listing every finding with its code.
    """
    if problems := rule_problems(document, kind):
        refuse(problems, source)


def check_suite_metrics(suite: Document, outcome_metrics: Iterable[str], source: str) -> None:
    """Check that the outcome metrics that a suite names are reported by its environment.

    Args:
        suite: a valid suite.
        outcome_metrics: names of the boolean metrics in the EnvSpec; ``success`` always exists.
        source: what errors call the suite.

    Raises:
        SchemaError: listing every unknown metric, with code GF107.
    """
    known = sorted({"success", *outcome_metrics})
    problems = []
    for i, metric in enumerate(suite["metrics"]):
        for key in ("metric", "given"):
            name = metric.get(key)
            if name is not None and name not in known:
                what = f"the environment {suite['env']['id']} reports no {show(name)}"
                hint = suggest(name, known, "it reports")
                problems.append(Problem(path=("metrics", i, key), what=what, hint=hint, code="GF107"))
    if problems:
        refuse(problems, source)
