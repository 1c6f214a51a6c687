"""Drives what a run recorded through its environment again, many episodes side by side, and names the first thing that differs.

On the same platform the recorded *actions* are played, and every control step must give the recorded controls, the last one the
recorded outcome and state, bit for bit. Elsewhere bits aren't promised: the recorded *controls* are played, and the outcome must
be the recorded one. Either way the physics is verified and the policy isn't: it takes no part.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from gf_core.contracts import BatchEnv, Episode
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation.driver import By, Difference, Driver, Recorded
from gf_core.evaluation.environment import Stage, make_env
from gf_core.evaluation.progress import Progress, Quiet
from gf_core.evaluation.suites import Suite, at_rate
from gf_core.summary import ENV_ERROR

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

SLOTS = 64
_PHYSICS = (("numpy",), ("mujoco", "mujoco-core"))
"""Distributions that results depend on in their bits, each under all its names."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What driving a run again showed.

    Attributes:
        by: what was driven.
        why: why controls were driven and not actions; empty for actions.
        episodes: how many are recorded.
        compared: how many were driven and compared, differing ones included.
        not_compared: infrastructure faults, whose recordings end anywhere.
        steps: control steps driven.
        differences: the first of each episode that differs, in plan order.
    """

    by: By
    why: str
    episodes: int
    compared: int
    not_compared: int
    steps: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether something was compared, and all of it went as recorded."""
        return self.compared > 0 and not self.differences


def how_to_drive(identity: Mapping[str, Any]) -> tuple[By, str]:
    """``actions``, or ``controls`` and why: what this machine's bits may differ in from those where run.json was written."""
    recorded = identity["platform"]
    pairs = [(recorded["system"], platform.system()), (recorded["machine"], platform.machine())]
    for names in _PHYSICS:
        there = {name: identity["versions"][name] for name in names if name in identity["versions"]}
        for name, version in there.items():
            here = _installed(names)
            pairs.append((f"{name} {version}", f"{name} {here}"))
    other = [f"recorded with {a}, and this is {b}" for a, b in pairs if a != b]
    return ("controls", other[0]) if other else ("actions", "")


def _installed(names: Sequence[str]) -> str:
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "none"


def verify_run(
    run: Recorded,
    suite: Suite,
    host: PluginHost,
    *,
    by: By | None = None,
    slots: int = SLOTS,
    threads: int = 0,
    first_only: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Drive every recorded episode through the environment again. Trajectories are read as slots fall free, one at a time.

    An episode that the policy broke is driven as far as it went and compared by how it stood; one that ended in an infrastructure
    fault is counted and not compared.

    Args:
        run: the run, finished or not.
        suite: the suite that it was run on.
        host: the plugins.
        by: what to drive; by default what :func:`how_to_drive` says.
        slots: episodes side by side; changes nothing but the time.
        threads: threads for physics; 0 for all.
        first_only: stop at the first episode in plan order that differs.
        progress: a display.

    Raises:
        GrinningFaceError: an environment that can't be made or whose recordings can't be driven, an episode that isn't in the
            suite.
    """
    if not host.envs.get(suite.env).replayable:
        raise GrinningFaceError(f"recordings of {suite.env} can't be driven again", where="replayable")
    chosen, why = how_to_drive(run.identity)
    if by is not None and by != chosen:
        chosen, why = by, "" if by == "actions" else "asked for"
    hz, config = float(run.identity["control_hz"]), run.identity["environment"]["config"]
    wide = max(1, min(slots, len(run.records)))

    def make() -> BatchEnv:
        return make_env(suite, config, hz, host, slots=wide, threads=threads)

    episodes, progress = recorded_episodes(run, suite, hz), progress or Quiet()
    progress.started(sum(row["ending"] != ENV_ERROR for row in run.records), 0, f"replay of {suite.id} by {chosen}")
    complete = False
    try:
        with contextlib.closing(Stage(make)) as stage:
            driver = Driver(run, episodes, stage, chosen, wide, first_only, progress)
            driver.drive()
            complete = True
    finally:
        progress.finished(complete)
    differences = tuple(driver.differences[number] for number in sorted(driver.differences))
    return Verification(
        by=chosen,
        why=why,
        episodes=len(run.records),
        compared=driver.compared,
        not_compared=sum(row["ending"] == ENV_ERROR for row in run.records),
        steps=driver.steps,
        differences=differences[:1] if first_only else differences,
    )


def recorded_episodes(run: Recorded, suite: Suite, hz: float) -> Callable[[int], Episode]:
    """From a row's number to its episode at a control rate. Raises RunDirectoryError: one isn't the suite's."""
    known = {episode.id: episode for episode in suite.episodes}
    strange = next((row["episode"] for row in run.records if row["episode"] not in known), None)
    if strange is not None:
        raise RunDirectoryError(f"{suite.id} has no episode {strange!r}", hint="the file was edited")
    return lambda number: at_rate(known[run.records[number]["episode"]], hz)
