"""Drives the recording of an episode through its environment again, says whether the same happens, and films it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gf_core.contracts import BatchEnv, Episode, Images
from gf_core.errors import GrinningFaceError, PluginError, RunDirectoryError, did_you_mean
from gf_core.evaluation.driver import By, end_differences, other_controls, unplayable
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.returned import check_step
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.evaluation.verification import how_to_drive, recorded_episodes
from gf_core.registry import one_line
from gf_core.runs import Row, Run
from gf_core.specs import Observes
from gf_core.summary import ENV_ERROR
from gf_core.trajectories import Trajectory

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

FIRST_FAILURE = "first-failure"
_SLOT = np.zeros(1, np.int32)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Who watches a replay.

    Attributes:
        name: of the camera; empty for the environment's first.
        size: height and width [px].
        shoot: gets the episode, its record, the step and an image ``(H, W, 3) uint8`` RGB: before the first step and after each.
    """

    name: str
    size: tuple[int, int]
    shoot: Callable[[Episode, Row, int, Images], None]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay showed.

    Attributes:
        episode: the episode.
        record: its row.
        by: whether the recorded actions were driven, or the controls (:mod:`gf_core.evaluation.verification`).
        compared: whether it was compared: not after an infrastructure fault, whose recording ends anywhere.
        differences: what went otherwise than recorded, ``ending: 'success' recorded, 'horizon' replayed``; empty if nothing did.
    """

    episode: Episode
    record: Row
    by: By
    compared: bool
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether it was compared, and went as recorded."""
        return self.compared and not self.differences


def replay_episode(
    run: Run,
    name: str,
    host: PluginHost,
    *,
    suite_file: Path | None = None,
    camera: Camera | None = None,
    by: By | None = None,
) -> Replayed:
    """Replay one episode of a run. The policy isn't needed.

    An episode that the policy broke is compared by how it stood then; one that the environment broke is shown but not compared.

    Args:
        run: the run.
        name: the episode's id, or ``first-failure``.
        host: the plugins.
        suite_file: where the suite is, if it is ``local/``.
        camera: films it.
        by: what to drive; by default what :func:`gf_core.evaluation.verification.how_to_drive` says.

    Raises:
        GrinningFaceError: no such episode, camera or suite, a suite that isn't the run's, or a damaged recording.
    """
    suite = recorded_suite(run, host, suite_file)
    number = _number(run, name)
    record = run.records[number]
    trajectory = run.trajectory(record["episode"])
    hz = float(run.identity["control_hz"])
    episode = recorded_episodes(run, suite, hz)(number)
    chosen = by or how_to_drive(run.identity)[0]
    with contextlib.closing(make_env(suite, run.identity["environment"]["config"], hz, host, slots=1, threads=1)) as env:
        filmed = _checked(camera, env) if camera else None
        try:
            found = _drive(env, episode, record, trajectory, filmed, chosen)
        except GrinningFaceError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{suite.env} broke during the replay ({one_line(error)})", where=record["episode"]) from error
    compared = found is not None
    return Replayed(episode=episode, record=record, by=chosen, compared=compared, differences=tuple(found or ()))


def recorded_suite(run: Run, host: PluginHost, suite_file: Path | None = None) -> Suite:
    """The suite that a run was of.

    Args:
        run: the run.
        host: the plugins.
        suite_file: where the suite is, if it is ``local/``.

    Raises:
        GrinningFaceError: it isn't known here, or it isn't the one that was run.
    """
    recorded = run.identity["suite"]
    if suite_file is None and recorded["id"].startswith("local/"):
        raise GrinningFaceError(f"the run's suite is {recorded['id']}", where=str(run.path), hint="give its file with --suite")
    suite = load_suite(recorded["id"] if suite_file is None else str(suite_file), host)
    if suite.sha256 != recorded["sha256"]:
        raise RunDirectoryError(
            f"the run's suite has the hash {recorded['sha256'][:12]}…, and {suite.source} has {suite.sha256[:12]}…",
            where=str(run.path),
            hint="give the suite as it was with --suite",
        )
    return suite


def _number(run: Run, name: str) -> int:
    """The place in the records of an episode that is given by id or as ``first-failure``."""
    names = [row["episode"] for row in run.records]
    if name == FIRST_FAILURE:
        failures = [number for number, row in enumerate(run.records) if not row["success"]]
        if not failures:
            raise GrinningFaceError("no recorded episode failed", where=str(run.path))
        return failures[0]
    if name not in names:
        hint = did_you_mean(name, names) or (f"its first is {names[0]!r}" if names else "nothing is recorded yet")
        raise GrinningFaceError(f"no episode {name!r} is recorded", where=str(run.path), hint=hint)
    return names.index(name)


def _checked(camera: Camera, env: BatchEnv) -> Camera:
    cameras = env.spec.cameras
    if not cameras:
        raise GrinningFaceError(f"{env.spec.id} has no camera", where="--video")
    if camera.name and camera.name not in cameras:
        hint = did_you_mean(camera.name, cameras) or f"it has {', '.join(cameras)}"
        raise GrinningFaceError(f"{env.spec.id} has no camera {camera.name!r}", where="--camera", hint=hint)
    return dataclasses.replace(camera, name=camera.name or cameras[0])


def _drive(
    env: BatchEnv, episode: Episode, record: Row, trajectory: Trajectory, camera: Camera | None, by: By
) -> list[str] | None:
    """What went otherwise than recorded; ``None`` where there is nothing to compare with."""

    def film(step: int) -> None:
        if camera is not None:
            wanted = Observes(cameras=(camera.name,), size=camera.size, proprio=False)
            camera.shoot(episode, record, step, env.observe(_SLOT, wanted).images[camera.name][0])

    env.reset(_SLOT, [episode])
    film(0)
    if wrong := unplayable(env, record, trajectory):
        return [wrong]
    other, clipped, step, over = "", 0, 0, False
    for step, (action, controls) in enumerate(zip(trajectory.actions, trajectory.controls, strict=True), start=1):
        if by == "actions":
            result = check_step(env.step(_SLOT, action[None]), env.spec, 1)
            done, clipped = result.done, clipped + bool(result.clipped[0])
            what = other_controls(controls, np.asarray(result.controls[0], np.float64))
            other = other or (f"step {step}: {what}" if what else "")
        else:
            done = env.step_controls(_SLOT, controls[None])
        film(step)
        if over := bool(done[0]) or step >= episode.horizon:
            break
    if record["ending"] == ENV_ERROR:
        return None
    counted = clipped if by == "actions" else None
    ended = end_differences(env, _SLOT, record, step, len(trajectory.actions), over=over, clipped=counted)
    return [other, *ended] if other else ended
