"""Arms against each other, on common episodes: the contrasts that the study named, and letters over all pairs.

These are two families, each with its own adjustment. Letters over the named contrasts alone would let arms share a letter that
nobody compared, however far apart they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from gf_core.errors import GrinningFaceError
from gf_core.statistics import (
    FEWEST_SEEDS,
    LEVEL,
    Interval,
    holm,
    letters,
    paired_difference_interval,
    paired_episodes_needed,
    paired_permutation,
    seeds_needed,
    two_level_difference,
    two_level_test,
)
from gf_core.studies.document import Study
from gf_core.studies.report.evidence import Condition
from gf_core.studies.report.figures import counts

Outcomes = Mapping[int, Mapping[str, bool]]
"""Seed to outcomes by episode."""

Pair = tuple[Condition, Condition, str]
"""Two conditions, and what the study asks by comparing them."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two conditions by one rate on one split.

    Attributes:
        first, second: the conditions; first minus second, in the study's order.
        question: what the study asks by it; may be empty.
        claim: whether it says something about the two techniques; otherwise about these models alone, seed by seed.
        seeds: training seeds of each that were compared.
        episodes: common episodes of one seed.
        difference: first minus second on these episodes; ``None`` where there are none.
        interval: of the difference, for this pair alone.
        p: of no difference, for this pair alone; 1 where nothing could be compared, so that the family keeps its size.
        p_adjusted: Holm's, over the family.
        separable: whether p_adjusted is at most 1 - LEVEL.
        seeds_needed: what would separate the techniques with the probability POWER, if the observed difference is the true one,
            on the same episodes; ``None`` if they are separable, and where no number is known to do.
        episodes_needed: the same for these models, in common episodes of each seed; ``None`` for a claim.
        problem: why nothing was compared; empty if something was.
    """

    first: Condition
    second: Condition
    question: str
    claim: bool = False
    seeds: tuple[int, int] = (0, 0)
    episodes: int = 0
    difference: float | None = None
    interval: Interval | None = None
    p: float = 1.0
    p_adjusted: float = 1.0
    separable: bool = False
    seeds_needed: int | None = None
    episodes_needed: int | None = None
    problem: str = ""


def named_pairs(study: Study, conditions: Sequence[Condition]) -> list[Pair]:
    """The study's contrasts, or all pairs of arms if it names none, for each backbone and head that both arms have."""
    known = set(conditions)
    named = [(c.first, c.second, c.question) for c in study.contrasts] or [(a, b, "") for a, b in combinations(study.arms, 2)]
    found = []
    for backbone, head in dict.fromkeys((c.backbone, c.head) for c in conditions):
        for one, other, question in named:
            first, second = (Condition(backbone=backbone, arm=arm, head=head) for arm in (one, other))
            if {first, second} <= known:
                found.append((first, second, question))
    return found


def all_pairs(conditions: Sequence[Condition]) -> list[Pair]:
    """All pairs of conditions with the same backbone and head."""
    return [(one, other, "") for one, other in combinations(conditions, 2) if _setting(one) == _setting(other)]


def compare_family(
    pairs: Sequence[Pair],
    results: Mapping[Condition, Outcomes],
    clusters: Mapping[str, str],
) -> list[Compared]:
    """Every pair of the family, compared by one rate; p values are adjusted over all of them, the impossible ones included.

    Args:
        pairs: the family.
        results: condition to outcomes; a condition may be missing.
        clusters: cluster of every episode.
    """
    alpha = (1 - LEVEL) / max(len(pairs), 1)
    found = [_compare(*pair, results, clusters, alpha) for pair in pairs]
    adjusted = holm({number: one.p for number, one in enumerate(found)})
    return [_judge(one, adjusted[number]) for number, one in enumerate(found)]


def condition_letters(
    estimates: Mapping[Condition, float], results: Mapping[Condition, Outcomes], clusters: Mapping[str, str]
) -> dict[Condition, str]:
    """Letters of the conditions of which something is claimed, best first within each backbone and head.

    Two of them share a letter exactly if they are not separable; the family is all pairs with the same backbone and head.

    Args:
        estimates: condition to rate, of those that a claim is about.
        results: condition to outcomes.
        clusters: cluster of every episode.
    """
    compared = compare_family(all_pairs(list(estimates)), results, clusters)
    found: dict[Condition, str] = {}
    for setting in dict.fromkeys(map(_setting, estimates)):
        ranked = sorted((c for c in estimates if _setting(c) == setting), key=lambda c: (-estimates[c], c.arm))
        if len(ranked) > 1:
            pairs = [frozenset((c.first.arm, c.second.arm)) for c in compared if c.separable and _setting(c.first) == setting]
            shown = letters([c.arm for c in ranked], pairs)
            found |= {c: shown[c.arm] for c in ranked}
    return found


def _setting(condition: Condition) -> tuple[str, str]:
    return condition.backbone, condition.head


def _judge(one: Compared, p_adjusted: float) -> Compared:
    if one.problem or p_adjusted > 1 - LEVEL:
        return replace(one, p_adjusted=p_adjusted)
    return replace(one, p_adjusted=p_adjusted, separable=True, seeds_needed=None, episodes_needed=None)


def _compare(
    first: Condition,
    second: Condition,
    question: str,
    results: Mapping[Condition, Outcomes],
    clusters: Mapping[str, str],
    alpha: float,
) -> Compared:
    one, other = ({seed: r for seed, r in results.get(c, {}).items() if r} for c in (first, second))
    base = Compared(first=first, second=second, question=question, seeds=(len(one), len(other)))
    if not one or not other:
        lacking = " and ".join(c.arm for c, r in ((first, one), (second, other)) if not r)
        return replace(base, problem=f"no finished cell of {lacking}")
    common = set.intersection(*(set(r) for side in (one, other) for r in side.values()))
    if not common:
        return replace(base, problem="they have no episode in common")
    if min(len(one), len(other)) < FEWEST_SEEDS:
        return _models(base, one, other, common, clusters, alpha)
    sides = [[counts({e: r[e] for e in common}, clusters) for _, r in sorted(side.items())] for side in (one, other)]
    try:
        difference, test = two_level_difference(*sides), two_level_test(*sides)
        needed = seeds_needed(*sides, alpha=alpha)
    except GrinningFaceError as error:
        return replace(base, problem=error.what)
    return replace(
        base,
        claim=True,
        episodes=len(common),
        difference=difference.estimate,
        interval=difference.interval,
        p=test.p,
        seeds_needed=needed,
    )


def _models(
    base: Compared, one: Outcomes, other: Outcomes, common: set[str], clusters: Mapping[str, str], alpha: float
) -> Compared:
    """The models of the same seeds against each other, or of the first seeds where there is none that both have."""
    shared = sorted(one.keys() & other.keys())
    pairs = [(seed, seed) for seed in shared] or [(min(one), min(other))]
    episodes = sorted(common)
    a = [one[first][e] for first, _ in pairs for e in episodes]
    b = [other[second][e] for _, second in pairs for e in episodes]
    members = [clusters[e] for _ in pairs for e in episodes]
    test = paired_permutation(a, b, members)
    need = paired_episodes_needed(a, b, members, alpha=alpha).episodes
    return replace(
        base,
        seeds=(len(pairs), len(pairs)),
        episodes=len(common),
        difference=test.estimate,
        interval=paired_difference_interval(a, b, members),
        p=test.p,
        episodes_needed=None if need is None else -(-need // len(pairs)),
    )
