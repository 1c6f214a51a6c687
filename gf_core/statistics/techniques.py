"""Two techniques against each other: is there a difference, and how many training seeds would tell.

Results are as in :mod:`gf_core.statistics.seeds`: one mapping a training seed, from the name of a cluster to (k, n).
"""

from __future__ import annotations

import math

from gf_core.statistics._clusters import LEVEL
from gf_core.statistics.paired import TestResult
from gf_core.statistics.power import POWER
from gf_core.statistics.seeds import SeedResults, Spread, combine, difference_spread, student, two_level_difference

MOST_SEEDS = 100
"""Seeds beyond which :func:`seeds_needed` doesn't look."""

_HALVINGS = 40


def two_level_test(first: SeedResults, second: SeedResults) -> TestResult:
    """Student's test of no difference, at the variance and the degrees of freedom of :func:`two_level_difference`.

    p is at most 1 - level exactly where that function's interval of this level doesn't hold 0. Where neither technique varies
    there is no variance to divide by, and p is found from the intervals themselves.

    Raises:
        GrinningFaceError, ValueError: as :func:`two_level_difference`.
    """
    from scipy.special import stdtr

    difference, spread = difference_spread(first, second)
    if difference == 0:
        return TestResult(p=1.0, estimate=0.0)
    if spread.variance > 0:
        p = 2 * float(stdtr(spread.degrees, -abs(difference) / math.sqrt(spread.variance)))
        return TestResult(p=min(p, 1.0), estimate=difference)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        level = (low + high) / 2
        interval = two_level_difference(first, second, level=level).interval
        low, high = (low, level) if interval.low <= 0 <= interval.high else (level, high)
    return TestResult(p=1 - low, estimate=difference)


def seeds_needed(
    first: SeedResults, second: SeedResults, *, power: float = POWER, alpha: float = 1 - LEVEL, most: int = MOST_SEEDS
) -> int | None:
    """Training seeds of each technique that :func:`two_level_test` needs, played on the same clusters.

    Seeds and clusters are crossed, so the part of the variance between seeds falls with their number, and of the part between
    clusters only what overlaps with it does (variance components: S. R. Searle, G. Casella, C. E. McCulloch, Variance Components,
    1992, chapter 4). Student's quantiles are taken at the degrees of freedom that so many seeds would have.

    Args:
        first, second: results of each technique.
        power: probability of finding the difference.
        alpha: two-sided level; the family's level over the number of its comparisons where there are several.
        most: where to stop looking.

    Returns:
        The fewest seeds, from those at hand on, that find the observed difference with the probability ``power`` if it is the
        true one; those at hand only if the test finds it with them. ``None`` where no number up to ``most`` is known to do: no
        difference was observed, the clusters decide, or the difference varies with neither seeds nor clusters and isn't found.

    Raises:
        GrinningFaceError, ValueError: as :func:`two_level_difference`.
    """
    difference, spread = difference_spread(first, second)
    fewest = 1 + round(min(degrees for _, degrees in spread.seeds))
    found = two_level_test(first, second).p <= alpha
    if difference == 0 or spread.variance <= 0:  # no variance tells what more seeds would do
        return fewest if found else None
    for seeds in range(fewest if found else fewest + 1, most + 1):
        more = _with_seeds(spread, seeds / fewest)
        reach = student(1 - alpha, more.degrees) + student(2 * power - 1, more.degrees)
        if reach**2 * more.variance <= difference**2:
            return seeds
    return None


def _with_seeds(spread: Spread, times: float) -> Spread:
    """The variance with so many times as many seeds."""
    seeds = tuple((part / times, times * (degrees + 1) - 1) for part, degrees in spread.seeds)
    part, degrees = spread.clusters
    overlap = spread.overlap / times
    return combine(seeds, (max(part - spread.overlap, 0.0) + overlap, degrees), overlap)
