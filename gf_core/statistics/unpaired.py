"""Two runs without a common episode: k1 of n1 against k2 of n2."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gf_core.statistics._clusters import LEVEL, Interval
from gf_core.statistics.intervals import wilson

_TIE = 1 + 1e-9
"""Tables whose one-sided p values agree to this factor are tied; rounding is far below it."""

_BLOCK = 1_000_000
"""Table entries that are worked on at once."""


def newcombe_difference(k1: float, n1: float, k2: float, n2: float, *, level: float = LEVEL) -> Interval | None:
    """Hybrid score interval of k1 / n1 - k2 / n2; ``None`` if n1 or n2 is 0. Counts may be fractional.

    R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10, from Wilson's limits of the two rates.
    """
    first, second = wilson(k1, n1, level=level), wilson(k2, n2, level=level)
    if first is None or second is None:
        return None
    return hybrid_difference(k1 / n1, first, k2 / n2, second)


def hybrid_difference(p1: float, first: Interval, p2: float, second: Interval) -> Interval:
    """Interval of p1 - p2 from those of two independent estimates.

    Newcombe's method 10 for any two intervals: G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008) 1693-1702 (MOVER).
    """
    below = math.hypot(p1 - first.low, second.high - p2)
    above = math.hypot(first.high - p1, p2 - second.low)
    return Interval(max(p1 - p2 - below, -1.0), min(p1 - p2 + above, 1.0))


def boschloo(k1: int, n1: int, k2: int, n2: int) -> float:
    """Two-sided p of Boschloo's exact unconditional test: twice the smaller one-sided p, at most 1. No episodes: 1.

    R. D. Boschloo, Statistica Neerlandica 24 (1970) 1-35; two-sided as in ``scipy.stats.boschloo_exact``, which it equals to the
    precision of the search over the common rate. SciPy visits every table at every rate (35 s at n1 = n2 = 1200). Here: given the
    total, a table's probability no longer depends on the rate, so the rejected share of each total is added up once and the size
    of the test at any rate is its mean over a binomial total (0.4 s).
    """
    if not (0 <= k1 <= n1 and 0 <= k2 <= n2):
        raise ValueError(f"{k1} of {n1} and {k2} of {n2} are not proportions")
    if min(n1, n2) == 0:
        return 1.0
    return min(1.0, 2 * min(_one_sided(k1, n1, k2, n2), _one_sided(k2, n2, k1, n1)))


def _one_sided(k1: int, n1: int, k2: int, n2: int) -> float:
    """Boschloo's p for the first rate being the smaller one."""
    from scipy.special import gammaln

    log_factorial = gammaln(np.arange(n1 + n2 + 1) + 1.0)
    observed = float(_conditional(log_factorial, n1, n2, np.array([k1 + k2]))[0, k1]) * _TIE
    totals = np.arange(n1 + n2 + 1)
    rejected = np.zeros(n1 + n2 + 1)
    step = max(_BLOCK // (n1 + 1), 1)
    for block in np.split(totals, range(step, len(totals), step)):
        tails = _conditional(log_factorial, n1, n2, block)
        rejected[block] = np.where(tails <= observed, tails, 0.0).max(axis=1)
    return _largest_mean(rejected, log_factorial)


def _conditional(log_factorial: NDArray[np.float64], n1: int, n2: int, totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(X1 ≤ x | X1 + X2 = total), Fisher's one-sided p, for every x in 0..n1 ``(T, n1 + 1)``; 1 where x is impossible."""
    x = np.arange(n1 + 1)
    rest = totals[:, None] - x
    possible = (rest >= 0) & (rest <= n2)
    rest = rest.clip(0, n2)
    table = log_factorial[n1] - log_factorial[x] - log_factorial[n1 - x]
    table = table + log_factorial[n2] - log_factorial[rest] - log_factorial[n2 - rest]
    table -= (log_factorial[-1] - log_factorial[totals] - log_factorial[n1 + n2 - totals])[:, None]
    tails = np.exp(np.where(possible, table, -np.inf)).cumsum(axis=1)
    return np.where(possible, tails, 1.0)


def _largest_mean(values: NDArray[np.float64], log_factorial: NDArray[np.float64]) -> float:
    """The largest mean of ``values[total]`` over binomial totals, whatever the rate of the binomial."""
    trials = len(values) - 1
    totals = np.arange(trials + 1)
    kept = values > 0
    log_choices = (log_factorial[-1] - log_factorial - log_factorial[::-1])[kept]
    counts, weights = totals[kept], values[kept]

    def means(angles: NDArray[np.float64]) -> NDArray[np.float64]:
        log_p, log_q = 2 * np.log(np.sin(angles))[:, None], 2 * np.log(np.cos(angles))[:, None]
        mean: NDArray[np.float64] = np.exp(log_choices + counts * log_p + (trials - counts) * log_q) @ weights
        return mean

    # In the angle arcsin √rate a binomial is equally wide everywhere, about 1 / (2 √trials): nothing is narrower than that.
    step = 1 / (8 * math.sqrt(trials))
    angles = np.arange(step / 2, math.pi / 2, step)
    found = means(angles)
    for _ in range(3):
        best = angles[found.argmax()]
        angles = np.linspace(max(best - step, 1e-12), min(best + step, math.pi / 2 - 1e-12), 33)
        found, step = means(angles), step / 16
    return float(found.max())
