"""How many episodes it takes to separate two runs.

A figure from observed data answers "if the true difference is what was observed": it is as uncertain as that difference, a plan
and not a promise.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gf_core.statistics._clusters import LEVEL, normal_quantile
from gf_core.statistics.paired import Discordance, discordance

POWER = 0.8
"""Probability of finding a difference that there is."""


@dataclass(frozen=True, kw_only=True)
class PairedNeed:
    """What separating two runs on the same episodes takes.

    Attributes:
        episodes: common episodes, in clusters like those observed; ``None`` where no number would do, the observed difference
            being 0.
        discordance: share of the episodes where exactly one of the two was right.
        design_effect: variance of the observed difference over what independent episodes would give; 1 where that is 0.
    """

    episodes: int | None
    discordance: float
    design_effect: float


def episodes_needed(p1: float, p2: float, *, power: float = POWER, alpha: float = 1 - LEVEL) -> int | None:
    """Independent episodes of each of two runs to tell rates p1 and p2 apart, two-sided; ``None`` if they are equal.

    J. L. Fleiss, B. Levin, M. C. Paik, Statistical Methods for Rates and Proportions, 3rd edition 2003, chapter 4 (without
    continuity correction). 60 % against 70 %: 356.
    """
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1):
        raise ValueError("rates lie in 0..1")
    if p1 == p2:
        return None
    pooled = (p1 + p2) / 2
    under_null = normal_quantile(1 - alpha) * math.sqrt(2 * pooled * (1 - pooled))
    under_truth = NormalDist().inv_cdf(power) * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return math.ceil(((under_null + under_truth) / (p1 - p2)) ** 2)


def paired_episodes_needed(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | NDArray[np.int64],
    *,
    power: float = POWER,
    alpha: float = 1 - LEVEL,
) -> PairedNeed:
    """Common episodes for :func:`gf_core.statistics.paired_permutation` to separate two runs, from their common episodes.

    R. J. Connor, Biometrics 43 (1987) 207-211, with the variances of McNemar's test replaced by those between clusters, which
    hold the discordance and the correlation within clusters together; clusters of one episode give Connor's figure. At least as
    many clusters as any exact test needs to reach alpha at all: swaps of G clusters can't give a p below 2^(1-G).

    Args:
        a, b, clusters: as in :mod:`gf_core.statistics.paired`.
        power: probability of finding the difference.
        alpha: two-sided level; the family's level over the number of its comparisons where there are several.
    """
    counts = discordance(a, b, clusters)
    total = int(counts.sizes.sum())
    discordant = int((counts.wins + counts.losses).sum()) / max(total, 1)
    return PairedNeed(episodes=_needed(counts, power, alpha), discordance=discordant, design_effect=_design_effect(counts))


def _needed(counts: Discordance, power: float, alpha: float) -> int | None:
    ahead, total = int(counts.difference.sum()), int(counts.sizes.sum())
    if ahead == 0:
        return None
    under_null = normal_quantile(1 - alpha) * math.sqrt(float((counts.difference**2).sum()))
    under_truth = NormalDist().inv_cdf(power) * math.sqrt(_between(counts))
    fewest = math.ceil(1 - math.log2(alpha)) * total / len(counts.sizes)
    return math.ceil(max(total * ((under_null + under_truth) / ahead) ** 2, fewest))


def _design_effect(counts: Discordance) -> float:
    """L. Kish, Survey Sampling, 1965, 8.2, by linearization."""
    ahead, total = int(counts.difference.sum()), int(counts.sizes.sum())
    independent = int((counts.wins + counts.losses).sum()) - ahead**2 / max(total, 1)
    return _between(counts) / independent if independent > 0 else 1.0


def _between(counts: Discordance) -> float:
    """Sum of squares, between clusters, of the lead that isn't explained by the overall difference."""
    mean = int(counts.difference.sum()) / max(int(counts.sizes.sum()), 1)
    return float(((counts.difference - mean * counts.sizes) ** 2).sum())
