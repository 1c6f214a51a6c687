"""Asks a policy again what it did in recorded episodes: the recording moves the robot, and what the policy would do is compared.

So a recording is tied to a policy: an expert's relabelled as another's, or one of another checkpoint, differs at once, while a
replay of the physics alone can't tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import BatchEnv, Episode, Observation
from gf_core.evaluation.actions import PolicyFaultError
from gf_core.evaluation.driver import By, Recorded
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.plan import Plan
from gf_core.evaluation.policy_process import Asked
from gf_core.evaluation.trial import Frames
from gf_core.evaluation.verification import how_to_drive
from gf_core.specs import ActionSpec
from gf_core.trajectories import Trajectory

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

CLOSE = 0.02
"""Share of an element's range by which an action may differ and still be the same decision: on other hardware bits differ, and so
then do the actions, a little."""
_SLOT = np.zeros(1, np.int32)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What asking again came to.

    Attributes:
        episodes: which.
        chunks: how often the policy was asked.
        close: in how many of these every action that was played is the recorded one, to :data:`CLOSE`.
        largest: the largest difference, as a share of the element's range.
        first: the first question whose answer isn't close: ``EPISODE, step N``; empty for none.
        faults: questions that the policy broke on.
    """

    episodes: tuple[str, ...]
    chunks: int
    close: int
    largest: float
    first: str
    faults: int


def ask_again(run: Recorded, plan: Plan, policy: Asked, episodes: Sequence[str], host: PluginHost) -> Answers:
    """Ask a policy at every step at which it was asked in some recorded episodes, one after the other.

    Args:
        run: the recording.
        plan: the policy on the suite that was recorded, with the recorded seed.
        policy: the policy, with one slot.
        episodes: ids of recorded episodes.
        host: the plugins.
    """
    by = how_to_drive(run.identity)[0]
    known = {episode.id: episode for episode in plan.episodes}
    chunks = close = faults = 0
    largest, first = 0.0, ""
    with contextlib.closing(make_env(plan.suite, plan.env_config, plan.control_hz, host, slots=1, threads=1)) as env:
        scale = _ranges(env.action)
        for name in episodes:
            for step, difference in _ask_through(env, known[name], run.trajectory(name), plan, policy, by, scale):
                chunks += 1
                if difference is None:
                    faults += 1
                else:
                    largest = max(largest, difference)
                if difference is not None and difference <= CLOSE:
                    close += 1
                else:
                    first = first or f"{name}, step {step}"
    return Answers(episodes=tuple(episodes), chunks=chunks, close=close, largest=largest, first=first, faults=faults)


def _ask_through(
    env: BatchEnv, episode: Episode, trajectory: Trajectory, plan: Plan, policy: Asked, by: By, scale: np.ndarray
) -> list[tuple[int, float | None]]:
    """(step, largest difference) of every question of an episode; ``None`` where the policy broke, which ends the episode."""
    env.reset(_SLOT, [episode])
    frames = Frames(plan.interface.observes.history)
    starts = trajectory.chunk_starts.tolist()
    ends = [*starts[1:], len(trajectory.actions)]
    asked = dict(zip(starts, ends, strict=False))
    told: list[tuple[int, float | None]] = []
    for step in range(len(trajectory.actions)):
        observation = _observe(env, episode, plan, frames, step, asks=step in asked)
        if observation is not None:
            new = _SLOT if step == 0 else _SLOT[:0]
            seeds = [derive_seed(plan.request.policy_seed, episode.id)] if step == 0 else []
            try:
                chunk = policy.ask(new, seeds, observation)
            except PolicyFaultError:
                return [*told, (step, None)]
            told.append((step, _difference(chunk.actions[0], trajectory.actions[step : asked[step]], scale)))
        if by == "actions":
            env.step(_SLOT, trajectory.actions[step][None])
        else:
            env.step_controls(_SLOT, trajectory.controls[step][None])
    return told


def _observe(env: BatchEnv, episode: Episode, plan: Plan, frames: Frames, step: int, *, asks: bool) -> Observation | None:
    """What the policy sees when it is asked. One that looks back sees past frames, so all are kept."""
    wanted = plan.interface.observes
    if not asks and wanted.history == (0,):
        return None
    now = env.observe(_SLOT, wanted, privileged=plan.policy.privileged)
    images = {camera: now.images[camera] for camera in wanted.cameras}
    if wanted.history != (0,):
        frames.keep(step, {camera: batch[0] for camera, batch in images.items()})
        images = {camera: image[None] for camera, image in frames.seen(step).items()}
    if not asks:
        return None
    return Observation(
        slots=_SLOT,
        instruction=[episode.instruction_at(step)],
        images=images,
        proprio=now.proprio if wanted.proprio else None,
        privileged=dict(now.privileged) if plan.policy.privileged else {},
        unplayed=(),
    )


def _ranges(action: ActionSpec) -> np.ndarray:
    """The range of each element ``(A,)``; 1 where it is unbounded."""
    spec = action.field
    low = np.asarray(spec.low or (-0.5,) * spec.shape[0], np.float64)
    high = np.asarray(spec.high or (0.5,) * spec.shape[0], np.float64)
    width = high - low
    return np.where(np.isfinite(width) & (width > 0), width, 1.0)


def _difference(answer: np.ndarray, recorded: np.ndarray, scale: np.ndarray) -> float:
    """The largest difference over the actions that were played; infinite for an answer of fewer."""
    if len(answer) < len(recorded):
        return float("inf")
    return float((np.abs(answer[: len(recorded)].astype(np.float64) - recorded) / scale).max(initial=0.0))
