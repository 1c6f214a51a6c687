"""Whether a run follows the instruction or a habit, for suites with the control splits of ``gf/controls@1``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gf_core.evaluation.suites import Suite
from gf_core.reporting.model import Evidence
from gf_core.reporting.outcomes import Kind, chosen_card, conditional, kind_of
from gf_core.runs import Row
from gf_core.statistics import PositionBias, Rate, consistency, guessed_switch_rate, position_bias, switch_rate
from gf_core.summary import ENV_ERROR, SplitSummary

BLANK, NONSENSE, ABSENT, COUNTERFACTUAL = "blank", "nonsense", "absent", "counterfactual"
CONTROL_SPLITS = (BLANK, NONSENSE, ABSENT, COUNTERFACTUAL)

_MOST_POSITIONS = 8


@dataclass(frozen=True, kw_only=True)
class Control:
    """A run on the control splits; ``None`` where it can't be said.

    Attributes:
        blind: split to the rate at which it comes upon the target that nobody told: it must be what guessing gives.
        acts: share of the episodes without a right card where it places the cube all the same.
        consistency: share of the scenes where every card's instruction was followed.
        switches: share of the scenes where the choice changes with the instruction.
        guessing_switches: what guessing gives for as many choices in each scene; ``None`` without a scene of two.
        positions: split to which positions it chooses.
    """

    blind: Mapping[str, Rate]
    acts: Rate | None
    consistency: Rate | None
    switches: Rate | None
    guessing_switches: float | None
    positions: Mapping[str, PositionBias]


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Runs of one suite on its control splits.

    Attributes:
        cards: cards of a scene, K.
        guessing_consistency: K^-K, for a policy that places each time.
        chance: recognition by guessing; ``None`` where the suite doesn't say.
        rows: one for each run.
    """

    cards: int
    guessing_consistency: float
    chance: float | None
    rows: tuple[Control, ...]


def read_controls(group: Sequence[Evidence]) -> Controls | None:
    """What the control splits say of these runs of one suite; ``None`` for a suite without a counterfactual split of scenes."""
    suite = group[0].suite
    if suite is None:
        return None
    return controls_of(suite, [(one.report.splits, one.run.records) for one in group])


def controls_of(suite: Suite, runs: Sequence[tuple[Sequence[SplitSummary], Sequence[Row]]]) -> Controls | None:
    """The same of runs' summaries and rows."""
    if COUNTERFACTUAL not in suite.splits:
        return None
    scenes = Counter(str(e.factors["scene"]) for e in suite.episodes if e.split == COUNTERFACTUAL and "scene" in e.factors)
    if not scenes or min(scenes.values()) < 2:
        return None
    cards = max(scenes.values())
    decl = conditional(suite.metrics)
    return Controls(
        cards=cards,
        guessing_consistency=float(cards) ** -cards,
        chance=decl.chance if decl else None,
        rows=tuple(_control(splits, records, suite, scenes) for splits, records in runs),
    )


def _control(splits: Sequence[SplitSummary], records: Sequence[Row], suite: Suite, scenes: Mapping[str, int]) -> Control:
    decl = conditional(suite.metrics)
    summaries = {s.split: s for s in splits}
    blind = {
        name: metric.rate
        for name in (BLANK, NONSENSE)
        if name in summaries
        for metric in summaries[name].metrics
        if metric.decl == decl
    }
    acts = [m.rate for m in summaries[ABSENT].metrics if decl and m.decl.metric == decl.given] if ABSENT in summaries else []
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in records:
        if row["ending"] != ENV_ERROR:
            rows[row["split"]].append(row)
    played = _by_scene(rows[COUNTERFACTUAL])
    whole = {scene: members for scene, members in played.items() if len(members) == scenes.get(scene)}
    clusters = _clusters(suite, whole)
    right = {scene: [kind_of(row, decl) in (Kind.RIGHT, Kind.SUCCEEDED) for row in members] for scene, members in whole.items()}
    chosen = {scene: [chosen_card(row) for row in members] for scene, members in whole.items()}
    return Control(
        blind=blind,
        acts=acts[0] if acts else None,
        consistency=consistency(right, clusters) if right else None,
        switches=switch_rate(chosen, clusters) if right else None,
        guessing_switches=guessed_switch_rate(chosen, max(scenes.values())),
        positions={
            split: bias for split in CONTROL_SPLITS if (bias := _positions(rows[split], max(scenes.values()))) is not None
        },
    )


def _by_scene(rows: Sequence[Row]) -> dict[str, list[Row]]:
    scenes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        factors = row.get("factors")
        scenes[str(factors.get("scene") if isinstance(factors, Mapping) else row["episode"])].append(row)
    return dict(scenes)


def _clusters(suite: Suite, scenes: Mapping[str, object]) -> dict[str, str]:
    """A scene's cluster is that of the episodes which keep its target; its own where there are none."""
    kept = {str(e.factors.get("scene")): e.cluster for e in suite.episodes if e.split in (BLANK, NONSENSE)}
    return {scene: kept.get(scene, scene) for scene in scenes}


def _positions(rows: Sequence[Row], cards: int) -> PositionBias | None:
    if cards > _MOST_POSITIONS:
        return None
    counts = []
    for members in _by_scene(rows).values():
        found = Counter(chosen_card(row) for row in members)
        counts.append([found[position] for position in range(cards)])
    return position_bias(counts) if any(map(any, counts)) else None
