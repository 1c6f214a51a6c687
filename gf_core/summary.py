"""What a report says about a run, from plain rows of episodes; the order of rows and the names of clusters don't matter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.statistics import Interval, Rate, chance_corrected, clustered_rate

RANKABLE_EPISODES = 400
"""A split with fewer scored episodes is provisional."""

ENV_ERROR = "env_error"
POLICY_ERROR = "policy_error"

Row = Mapping[str, object]
"""A row of episodes.jsonl (episode_record-1.schema.json); of it ``split``, ``cluster``, ``success``, ``ending``, ``steps``,
``metrics`` and ``clipped_steps`` are read."""


@dataclass(frozen=True, kw_only=True)
class MetricDecl:
    """A rate that a suite declares.

    Attributes:
        name: what the rate is called in reports, e.g. ``"recognition"``.
        metric: which boolean of a row is counted: ``"success"`` or a key of its ``metrics``. An episode where
            it is null isn't counted: the question doesn't arise there.
        given: another such boolean: only episodes where it is true are in the denominator; empty for all episodes.
        chance: the rate that guessing reaches; ``None`` where that has no meaning.
        description: one sentence.
    """

    name: str
    metric: str
    given: str = ""
    chance: float | None = None
    description: str = ""


SUCCESS = MetricDecl(name="success", metric="success", description="Episodes that end in success by the suite's rule.")
"""What every suite reports, declared or not."""


@dataclass(frozen=True, kw_only=True)
class MetricSummary:
    """A declared rate on one split; corrected for chance where a chance level below 1 is declared and n > 0,
    else ``None``."""

    decl: MetricDecl
    rate: Rate
    corrected: float | None
    corrected_interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What happened in some episodes, apart from rates.

    Attributes:
        episodes: how many, infrastructure faults included.
        env_errors: infrastructure faults.
        endings: ending to number of episodes.
        clipped_steps: control steps whose action lay outside its bounds.
        steps_median: median control steps; ``None`` without a scored episode.
        slip_max: largest metric ``slip`` in the environment's unit (the tabletop: m); ``None`` where it isn't reported.
    """

    episodes: int
    env_errors: int
    endings: Mapping[str, int]
    clipped_steps: int
    steps_median: float | None
    slip_max: float | None

    @property
    def provisional(self) -> bool:
        """Whether there are too few scored episodes to rank by; meant for one split."""
        return self.episodes - self.env_errors < RANKABLE_EPISODES


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Everything that a report says about one split of one run.

    Attributes:
        split: its name.
        tally: what happened.
        metrics: success first unless declared elsewhere, then as declared.
        overall: execution × recognition-given-execution, the share of *all* episodes that did both; ``None`` for a suite
            without a conditional rate.
    """

    split: str
    tally: Tally
    metrics: tuple[MetricSummary, ...]
    overall: Rate | None


def summarize(rows: Sequence[Row], metrics: Iterable[MetricDecl]) -> list[SplitSummary]:
    """One summary per split, in the order in which splits first appear.

    An episode that the policy broke (``policy_error``) is false in every rate that has an episode in its split; an infrastructure
    fault (``env_error``) is in none.

    Args:
        rows: episodes.
        metrics: the suite's rates; :data:`SUCCESS` is added in front unless one has that name.

    Raises:
        GrinningFaceError: a declared metric is in no row, or isn't a boolean.
    """
    decls = list(metrics)
    if all(d.name != SUCCESS.name for d in decls):
        decls.insert(0, SUCCESS)
    _check_declared(rows, decls)
    splits: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        splits[str(row["split"])].append(row)
    return [_summarize_split(split, members, decls) for split, members in splits.items()]


def outcomes(rows: Iterable[Row], decl: MetricDecl) -> dict[str, bool]:
    """Episode id to whether a rate's metric is true, for the episodes of one split that count in it: its n, and its k of them."""
    scored = [r for r in rows if r["ending"] != ENV_ERROR]
    return {str(r["episode"]): _flag(r, decl.metric) for r in _counted(scored, decl)}


def comparable(runs: Iterable[Iterable[Row]], decl: MetricDecl) -> bool:
    """Whether a rate counts the same episodes of a split in all of these runs, but for those that broke: only then does it
    compare policies. What is asked of executed episodes alone counts others for each policy, whether or not the suite declares
    it as conditional."""
    null: set[object] = set()
    counted: set[object] = set()
    for rows in runs:
        for row in rows:
            if row["ending"] not in (ENV_ERROR, POLICY_ERROR):
                (null if _value(row, decl.metric) is None else counted).add(row["episode"])
    return not decl.given and null.isdisjoint(counted)


def tally(rows: Sequence[Row]) -> Tally:
    """What happened in these episodes."""
    scored = [r for r in rows if r["ending"] != ENV_ERROR]
    slips = [s for r in scored if isinstance(s := _metrics(r).get("slip"), int | float)]
    return Tally(
        episodes=len(rows),
        env_errors=len(rows) - len(scored),
        endings=dict(sorted(Counter(str(r["ending"]) for r in rows).items())),
        clipped_steps=sum(_integer(r, "clipped_steps") for r in scored),
        steps_median=float(median(_integer(r, "steps") for r in scored)) if scored else None,
        slip_max=float(max(slips)) if slips else None,
    )


def _summarize_split(split: str, rows: list[Row], decls: list[MetricDecl]) -> SplitSummary:
    scored = [r for r in rows if r["ending"] != ENV_ERROR]
    conditional = next((d for d in decls if d.given), None)
    return SplitSummary(
        split=split,
        tally=tally(rows),
        metrics=tuple(_summarize_metric(scored, d) for d in decls),
        overall=_rate(scored, [conditional.given, conditional.metric]) if conditional else None,
    )


def _summarize_metric(scored: list[Row], decl: MetricDecl) -> MetricSummary:
    rate = _rate(_counted(scored, decl), [decl.metric])
    if decl.chance is None or decl.chance >= 1 or rate.estimate is None or rate.interval is None:
        return MetricSummary(decl=decl, rate=rate, corrected=None, corrected_interval=None)
    low, high = (chance_corrected(limit, decl.chance) for limit in (rate.interval.low, rate.interval.high))
    corrected = chance_corrected(rate.estimate, decl.chance)
    return MetricSummary(decl=decl, rate=rate, corrected=corrected, corrected_interval=Interval(low, high))


def _counted(scored: list[Row], decl: MetricDecl) -> list[Row]:
    """The episodes of a split in a rate's denominator: also one that the policy broke, whatever its metrics were by then, unless
    the question arises in no episode of the split (it has no target, say)."""
    asked = [r for r in scored if not decl.given or _flag(r, decl.given)]
    if all(_value(r, decl.metric) is None for r in asked):
        return []
    return [r for r in asked if r["ending"] == POLICY_ERROR or _value(r, decl.metric) is not None]


def _rate(rows: list[Row], metrics: list[str]) -> Rate:
    """The share of rows where all of ``metrics`` are true."""
    clusters: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        clusters[str(row["cluster"])].append(all(_flag(row, m) for m in metrics))
    return clustered_rate([sum(c) for c in clusters.values()], [len(c) for c in clusters.values()])


def _metrics(row: Row) -> Mapping[str, object]:
    metrics = row["metrics"]
    return metrics if isinstance(metrics, Mapping) else {}


def _value(row: Row, metric: str) -> object:
    return row["success"] if metric == SUCCESS.metric else _metrics(row).get(metric)


def _flag(row: Row, metric: str) -> bool:
    return row["ending"] != POLICY_ERROR and _value(row, metric) is True


def _integer(row: Row, key: str) -> int:
    value = row[key]
    return value if isinstance(value, int) else 0


def _check_declared(rows: Sequence[Row], decls: list[MetricDecl]) -> None:
    """A misspelled or numeric metric would otherwise be a rate of 0 %."""
    played = [r for r in rows if r["ending"] not in (ENV_ERROR, POLICY_ERROR)]
    known = {name for r in played for name in _metrics(r)} | {SUCCESS.metric}
    for name in [m for d in decls for m in (d.metric, d.given) if m]:
        if played and name not in known:
            raise GrinningFaceError(
                f"no episode reports the metric {name!r} that the suite declares", hint=did_you_mean(name, known)
            )
        odd = next((v for r in played if not isinstance(v := _value(r, name), bool | None)), None)
        if odd is not None:
            raise GrinningFaceError(
                f"the metric {name!r} is {odd!r}, and a rate counts true and false", hint="declare a boolean metric"
            )
