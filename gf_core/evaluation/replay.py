"""Drives the recorded controls of an episode through its environment again, and says whether the same happens."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gf_core.contracts import BatchEnv, Episode, Images, Outcome
from gf_core.errors import GrinningFaceError, PluginError, RunDirectoryError, did_you_mean
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.registry import one_line
from gf_core.runs import Row, Run
from gf_core.specs import Observes
from gf_core.summary import ENV_ERROR, POLICY_ERROR
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
        differences: what went otherwise than recorded, ``steps: 68 recorded, 66 replayed``; empty if nothing did.
    """

    episode: Episode
    record: Row
    differences: tuple[str, ...]


def replay_episode(
    run: Run, name: str, host: PluginHost, *, suite_file: Path | None = None, camera: Camera | None = None
) -> Replayed:
    """Replay one episode of a run. The policy isn't needed.

    An episode that the policy broke is compared by how it stood then; one that the environment broke is shown but not compared.

    Args:
        run: the run.
        name: the episode's id, or ``first-failure``.
        host: the plugins.
        suite_file: where the suite is, if it is ``local/``.
        camera: films it.

    Raises:
        GrinningFaceError: no such episode, camera or suite, a suite that isn't the run's, or a damaged recording.
    """
    suite = _suite_of(run, host, suite_file)
    record = _record(run, name)
    trajectory = run.trajectory(record["episode"])
    hz = float(run.identity["control_hz"])
    episode = at_rate(next(e for e in suite.episodes if e.id == record["episode"]), hz)
    with contextlib.closing(make_env(suite, run.identity["environment"]["config"], hz, host, slots=1, threads=1)) as env:
        filmed = _checked(camera, env) if camera else None
        try:
            differences = _drive(env, episode, record, trajectory, filmed)
        except GrinningFaceError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{suite.env} broke during the replay ({one_line(error)})", where=record["episode"]) from error
    return Replayed(episode=episode, record=record, differences=tuple(differences))


def _suite_of(run: Run, host: PluginHost, suite_file: Path | None) -> Suite:
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


def _record(run: Run, name: str) -> Row:
    names = [row["episode"] for row in run.records]
    if name == FIRST_FAILURE:
        failures = [row for row in run.records if not row["success"]]
        if not failures:
            raise GrinningFaceError("no recorded episode failed", where=str(run.path))
        return failures[0]
    if name not in names:
        hint = did_you_mean(name, names) or (f"its first is {names[0]!r}" if names else "nothing is recorded yet")
        raise GrinningFaceError(f"no episode {name!r} is recorded", where=str(run.path), hint=hint)
    return run.records[names.index(name)]


def _checked(camera: Camera, env: BatchEnv) -> Camera:
    cameras = env.spec.cameras
    if not cameras:
        raise GrinningFaceError(f"{env.spec.id} has no camera", where="--video")
    if camera.name and camera.name not in cameras:
        hint = did_you_mean(camera.name, cameras) or f"it has {', '.join(cameras)}"
        raise GrinningFaceError(f"{env.spec.id} has no camera {camera.name!r}", where="--camera", hint=hint)
    return dataclasses.replace(camera, name=camera.name or cameras[0])


def _drive(env: BatchEnv, episode: Episode, record: Row, trajectory: Trajectory, camera: Camera | None) -> list[str]:
    def film(step: int) -> None:
        if camera is not None:
            wanted = Observes(cameras=(camera.name,), size=camera.size, proprio=False)
            camera.shoot(episode, record, step, env.observe(_SLOT, wanted).images[camera.name][0])

    env.reset(_SLOT, [episode])
    film(0)
    done, step = False, 0
    for step, controls in enumerate(trajectory.controls, start=1):
        done = bool(env.step_controls(_SLOT, controls[None])[0])
        film(step)
        if done:
            break
    (outcome,) = env.outcome(_SLOT)
    return list(_differences(record, outcome, step))


def _differences(record: Mapping[str, object], outcome: Outcome, steps: int) -> list[str]:
    if record["ending"] == ENV_ERROR:
        return []
    replayed: dict[str, object] = {"steps": steps}
    recorded: dict[str, object] = {"steps": record["steps"]}
    if record["ending"] != POLICY_ERROR:
        replayed |= {"success": outcome.success, "ending": outcome.ending}
        recorded |= {"success": record["success"], "ending": record["ending"]}
    metrics = record["metrics"]
    assert isinstance(metrics, Mapping)
    recorded |= metrics
    replayed |= outcome.metrics
    return [
        f"{name}: {recorded.get(name)!r} recorded, {replayed.get(name)!r} replayed"
        for name in recorded | replayed
        if recorded.get(name) != replayed.get(name)
    ]
