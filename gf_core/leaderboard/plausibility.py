"""What recordings show without any simulation, and what is implausible among them: GF409, GF410, GF418, GF419, GF450, GF452."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gf_core.contracts import BatchEnv, Doubles
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation.actions import unplayable, wild_limits
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.bundle import BundledRun
from gf_core.leaderboard.checks import suite_settings
from gf_core.runs import Row
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.statistics import wilson
from gf_core.summary import ENV_ERROR, POLICY_ERROR
from gf_core.trajectories import Trajectory

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

COPY_STEPS = 10
"""Shorter action sequences may be equal by chance, or because both begin by holding still."""
IDLE_SHARE = 0.5
FEWEST = 10
"""With fewer episodes, nothing is too good or too much alike."""
TOO_GOOD = 0.95
_LIMIT_TOLERANCE = 1e-6

_RunEpisode = tuple[BundledRun, Suite, Row]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is kept of a recording.

    Attributes:
        actions: hash of the action sequence; empty for one that is too short to compare, or repeats one action.
        idle: whether it is empty, or repeats one action.
        moved: whether the controls ever change.
    """

    actions: str
    idle: bool
    moved: bool


def read_traits(run: BundledRun, suite: Suite, host: PluginHost) -> dict[str, Traits]:
    """Episode to its recording's traits, all recordings being what the runner lets happen.

    Raises:
        GrinningFaceError: the first that is missing or no recording (GF409), or that no runner lets happen (GF410).
    """
    horizons = {episode.id: episode.horizon for episode in suite.episodes}
    with contextlib.closing(_environment(suite, host)) as env:
        action, controls = env.action, env.spec.controls
    traits: dict[str, Traits] = {}
    for row in run.records:
        name = row["episode"]
        try:
            trajectory = run.trajectory(name)
        except RunDirectoryError as error:
            raise RunDirectoryError(error.what, where=error.where, code="GF409") from error
        if wrong := _impossible(trajectory, row, horizons[name], action, controls):
            raise GrinningFaceError(wrong, where=f"{run.path}/{name}", code="GF410")
        traits[name] = _traits(trajectory)
    return traits


def _environment(suite: Suite, host: PluginHost) -> BatchEnv:
    return make_env(suite, suite_settings(suite, host), suite.control_hz, host, slots=1, threads=1)


def _impossible(trajectory: Trajectory, row: Row, horizon: int, action: ActionSpec, controls: FieldSpec) -> str:
    steps, starts = len(trajectory.actions), trajectory.chunk_starts
    widths = (trajectory.actions.shape[1], trajectory.controls.shape[1])
    if widths != (action.field.shape[0], controls.shape[0]):
        return f"{widths[0]} action elements and {widths[1]} controls"
    if steps != row["steps"] or steps > horizon:
        return f"{steps} steps recorded, {row['steps']} in its row, {horizon} allowed"
    # A policy may break when it is asked after the last step that was played.
    last = steps if row["ending"] in (POLICY_ERROR, ENV_ERROR) else steps - 1
    ascends = bool((np.diff(starts.astype(np.int64)) > 0).all())
    if len(starts) != row["chunks"] or not ascends or (len(starts) and (starts[0] != 0 or starts[-1] > last)):
        return f"asked {len(starts)} times where its row says {row['chunks']}, or not in ascending steps from 0"
    if steps and not len(starts):
        return "actions without a question to the policy"
    if wrong := unplayable(trajectory.actions, wild_limits(action)):
        return wrong.replace("chunk step", "step")
    return _beyond_limits(trajectory.controls, controls)


def _beyond_limits(values: Doubles, spec: FieldSpec) -> str:
    low = np.asarray(spec.low or (-np.inf,), np.float64) - _LIMIT_TOLERANCE
    high = np.asarray(spec.high or (np.inf,), np.float64) + _LIMIT_TOLERANCE
    bad = ~np.isfinite(values) | (values < low) | (values > high)
    if not bad.any():
        return ""
    step, element = np.argwhere(bad)[0]
    return f"control {element} at step {step} is {values[step, element]:g}, beyond its limits"


def _traits(trajectory: Trajectory) -> Traits:
    actions, controls = trajectory.actions, trajectory.controls
    idle = len(actions) == 0 or (len(actions) > 1 and bool((actions == actions[0]).all()))
    digest = "" if idle or len(actions) < COPY_STEPS else hashlib.sha256(actions.tobytes()).hexdigest()[:32]
    return Traits(actions=digest, idle=idle, moved=bool((controls != controls[:1]).any()))


def check_copies(runs: Sequence[tuple[BundledRun, Suite, Mapping[str, Traits]]], host: PluginHost) -> None:
    """No action sequence twice where episodes begin in different states. Raises GrinningFaceError naming the first two.

    Where they begin in the same state (the same layout with other emojis, or another instruction), a policy that ignores what
    differs does the same: poor, but no copy.
    """
    alike: dict[str, list[_RunEpisode]] = defaultdict(list)
    for run, suite, traits in runs:
        for row in run.records:
            if digest := traits[row["episode"]].actions:
                alike[digest].append((run, suite, row))
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return
    starts = _start_states((member for group in groups for member in group), host)
    for group in groups:
        (first, _, row), *others = group
        for run, suite, other in others:
            if starts[(suite.id, other["episode"])] != starts[(group[0][1].id, row["episode"])]:
                what = f"has the actions of {first.path}/{row['episode']}, which begins in another state"
                raise GrinningFaceError(what, where=f"{run.path}/{other['episode']}")


def _start_states(members: Iterable[_RunEpisode], host: PluginHost) -> dict[tuple[str, str], str]:
    """(suite, episode) to the hash of the state that it begins in."""
    wanted: dict[str, tuple[Suite, set[str]]] = {}
    for _, suite, row in members:
        wanted.setdefault(suite.id, (suite, set()))[1].add(row["episode"])
    found: dict[tuple[str, str], str] = {}
    slot = np.zeros(1, np.int32)
    for suite, names in wanted.values():
        with contextlib.closing(_environment(suite, host)) as env:
            for episode in suite.episodes:
                if episode.id in names:
                    env.reset(slot, [episode])
                    found[(suite.id, episode.id)] = env.state_hash(slot)[0]
    return found


def check_done(run: BundledRun, traits: Mapping[str, Traits]) -> None:
    """Something was done. Raises GrinningFaceError that says what wasn't."""
    played = [row for row in run.records if row["ending"] != ENV_ERROR]
    idle = [row["episode"] for row in played if traits[row["episode"]].idle]
    if len(idle) >= IDLE_SHARE * len(played):
        what = f"{len(idle)} of {len(played)} episodes are empty or repeat one action"
        raise GrinningFaceError(what, where=f"{run.path}/{idle[0]}" if idle else run.path)
    for row in played:
        if row["success"] and not traits[row["episode"]].moved:
            raise GrinningFaceError("a success without motion", where=f"{run.path}/{row['episode']}")
    alike = {(row["ending"], row["steps"], tuple(sorted(row["metrics"].items(), key=lambda m: m[0]))) for row in played}
    if len(played) >= FEWEST and len(alike) == 1 and played[0]["success"]:
        raise GrinningFaceError("all rows are alike, and successes", where=run.path)


def too_good(run: BundledRun) -> str:
    """Why it is better than can be believed unseen; empty if it isn't."""
    scored = [row for row in run.records if row["ending"] != ENV_ERROR]
    k, n = sum(row["success"] for row in scored), len(scored)
    interval = wilson(k, n)
    if n < FEWEST or interval is None or (k < n and interval.low <= TOO_GOOD):
        return ""
    return f"{run.path}: success in {k} of {n} episodes of {run.identity['suite']['id']}; needs to be run again"


def left_out(run: BundledRun) -> str:
    """Which episodes are in no rate, and what success could be with them; empty for none."""
    faults = [row["episode"] for row in run.records if row["ending"] == ENV_ERROR]
    if not faults:
        return ""
    k, n = sum(row["success"] for row in run.records), len(run.records)
    bounds = f"with them success would be {k} to {k + len(faults)} of {n}"
    return f"{run.path}: {len(faults)} infrastructure faults, the first {faults[0]!r}, are in no rate; {bounds}"
