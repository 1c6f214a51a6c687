"""Rates of a condition over its training seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gf_core.errors import GrinningFaceError
from gf_core.reporting.outcomes import conditional
from gf_core.runs import Row
from gf_core.statistics import FEWEST_SEEDS, Interval, clustered_rate, two_level_interval
from gf_core.summary import SUCCESS, MetricDecl, outcomes

OVERALL = MetricDecl(
    name="overall", metric="overall", description="Execution × recognition: the share of all episodes that did both."
)
"""Shown where it isn't what the suite calls success."""

Counts = Mapping[str, tuple[int, int]]
"""Cluster to (k, n) of one training seed."""


@dataclass(frozen=True, kw_only=True)
class SeedRate:
    """A rate of one trained model: k of n episodes."""

    seed: int
    k: int
    n: int

    @property
    def estimate(self) -> float | None:
        """k / n; ``None`` without an episode."""
        return self.k / self.n if self.n else None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A rate over training seeds.

    Attributes:
        decl: which rate.
        seeds: the models, by seed; those without an episode that counts as well.
        k, n, clusters: episodes counted, episodes scored and clusters among them, all seeds together.
        estimate: k / n; ``None`` without an episode.
        interval: with seeds and clusters as random where it is a claim, else with clusters alone; ``None`` without an episode.
        claim: whether it says something about the technique: enough seeds and clusters. Otherwise it says something about these
            models alone.
    """

    decl: MetricDecl
    seeds: tuple[SeedRate, ...]
    k: int
    n: int
    clusters: int
    estimate: float | None
    interval: Interval | None
    claim: bool

    @property
    def scored_seeds(self) -> int:
        """Seeds with an episode that counts."""
        return sum(seed.n > 0 for seed in self.seeds)


def shown_rates(metrics: Sequence[MetricDecl], runs: Sequence[Sequence[Row]]) -> list[MetricDecl]:
    """The rates of a table of these runs: success unless declared under that name, what the suite declares, and :data:`OVERALL`
    where it isn't success by another name."""
    decls = list(metrics)
    if all(decl.name != SUCCESS.name for decl in decls):
        decls.insert(0, SUCCESS)
    if conditional(decls) and any(right(rows, OVERALL, decls) != right(rows, decls[0], decls) for rows in runs):
        decls.insert(1, OVERALL)
    return decls


def right(rows: Sequence[Row], decl: MetricDecl, decls: Sequence[MetricDecl]) -> dict[str, bool]:
    """Episode to whether ``decl`` is true, for the episodes that count in it; ``decls`` are all of the suite's rates."""
    given = conditional(decls)
    if decl is not OVERALL or given is None:
        return outcomes(rows, decl)
    executed = outcomes(rows, MetricDecl(name=given.given, metric=given.given))
    recognized = outcomes(rows, given)
    return {episode: done and recognized.get(episode, False) for episode, done in executed.items()}


def counts(outcome: Mapping[str, bool], clusters: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Cluster to (k, n), from episode to outcome and episode to cluster."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for episode, value in outcome.items():
        cell = found[clusters[episode]]
        cell[0] += value
        cell[1] += 1
    return {cluster: (k, n) for cluster, (k, n) in found.items()}


def pooled(results: Iterable[Counts]) -> dict[str, tuple[int, int]]:
    """Cluster to (k, n) of all these together; clusters without an episode are left out."""
    found: dict[str, tuple[int, int]] = {}
    for seed in results:
        for cluster, (k, n) in seed.items():
            before = found.get(cluster, (0, 0))
            found[cluster] = (before[0] + k, before[1] + n)
    return {cluster: (k, n) for cluster, (k, n) in found.items() if n}


def figure(decl: MetricDecl, results: Mapping[int, Counts]) -> Figure:
    """A rate of a condition; ``results`` are seed to counts."""
    scored = list(pooled(results.values()).values())
    hits, episodes = [k for k, _ in scored], [n for _, n in scored]
    rate = clustered_rate(hits, episodes)
    found = Figure(
        decl=decl,
        seeds=tuple(
            SeedRate(seed=seed, k=sum(k for k, _ in cells.values()), n=sum(n for _, n in cells.values()))
            for seed, cells in sorted(results.items())
        ),
        k=rate.k,
        n=rate.n,
        clusters=rate.clusters,
        estimate=rate.estimate,
        interval=rate.interval,
        claim=False,
    )
    if found.scored_seeds < FEWEST_SEEDS:
        return found
    return _claim(found, list(results.values()))


def _claim(found: Figure, results: Sequence[Counts]) -> Figure:
    try:
        technique = two_level_interval(results)
    except GrinningFaceError:  # a single cluster: no claim then, and the table says so
        return found
    return replace(found, interval=technique.interval, claim=True)
