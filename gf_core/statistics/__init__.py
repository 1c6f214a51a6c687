"""Every number that a report or the leaderboard shows: rates, intervals, tests and what they need.

Episodes that share a cluster (for GrinningFace: the target emoji) are not independent. The headline figures take whole clusters
as independent; those that take episodes so say it. Resampling is seeded by the data: the same runs give the same digits.
"""

from __future__ import annotations

from gf_core.statistics._clusters import (
    LEVEL,
    RESAMPLES,
    Interval,
)
from gf_core.statistics.comparisons import (
    Comparison,
    PairComparison,
    compare,
)
from gf_core.statistics.controls import (
    PositionBias,
    consistency,
    guessed_switch_rate,
    position_bias,
    switch_rate,
)
from gf_core.statistics.families import (
    holm,
    letters,
)
from gf_core.statistics.intervals import (
    Rate,
    chance_corrected,
    cluster_interval,
    clustered_rate,
    clustered_wilson,
    effective_size,
    intra_class_correlation,
    wilson,
)
from gf_core.statistics.paired import (
    TestResult,
    mcnemar_exact,
    paired_difference_interval,
    paired_permutation,
    paired_score_interval,
)
from gf_core.statistics.power import (
    POWER,
    PairedNeed,
    episodes_needed,
    paired_episodes_needed,
)
from gf_core.statistics.ranks import (
    Standings,
    standings,
)
from gf_core.statistics.seeds import (
    FEWEST_SEEDS,
    SeedResults,
    TechniqueRate,
    two_level_difference,
    two_level_interval,
)
from gf_core.statistics.techniques import (
    MOST_SEEDS,
    seeds_needed,
    two_level_test,
)
from gf_core.statistics.unpaired import (
    boschloo,
    hybrid_difference,
    newcombe_difference,
)

__all__ = [
    "FEWEST_SEEDS",
    "LEVEL",
    "MOST_SEEDS",
    "POWER",
    "RESAMPLES",
    "Comparison",
    "Interval",
    "PairComparison",
    "PairedNeed",
    "PositionBias",
    "Rate",
    "SeedResults",
    "Standings",
    "TechniqueRate",
    "TestResult",
    "boschloo",
    "chance_corrected",
    "cluster_interval",
    "clustered_rate",
    "clustered_wilson",
    "compare",
    "consistency",
    "effective_size",
    "episodes_needed",
    "guessed_switch_rate",
    "holm",
    "hybrid_difference",
    "intra_class_correlation",
    "letters",
    "mcnemar_exact",
    "newcombe_difference",
    "paired_difference_interval",
    "paired_episodes_needed",
    "paired_permutation",
    "paired_score_interval",
    "position_bias",
    "seeds_needed",
    "standings",
    "switch_rate",
    "two_level_difference",
    "two_level_interval",
    "two_level_test",
    "wilson",
]
