"""A suite as LeRobot's evaluation wants it: a ``gymnasium.Env`` whose seeds are episodes. Knows no LeRobot.

The distribution ``lerobot_env_grinningface`` (in ``integrations/``) registers it there. What the evaluation asks of an
environment is in ``lerobot/scripts/lerobot_eval.py`` of 0.4.4 and 0.6.1: ``_max_episode_steps``, ``task_description``, ``task``,
``metadata["render_fps"]``, observations ``pixels`` and ``agent_pos``, and ``info["is_success"]`` after every step.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from gf_core.canonical import canonical_json
from gf_core.contracts import Episode, Images, Outcome
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.actions import unplayable, wild_limits
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.matching import check_decks, check_observes, check_rate, check_scenes
from gf_core.evaluation.suites import Suite, at_rate, check_splits, load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.schemas import validate_config
from gf_core.specs import EnvSpec, Observes, PolicyInterface

_SLOT = np.zeros(1, np.int32)

Observed = dict[str, Any]
Info = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is played: episodes of a suite at a control rate [1/s], and the environment's spec."""

    suite: Suite
    host: PluginHost
    spec: EnvSpec
    episodes: tuple[Episode, ...]
    control_hz: float


@functools.lru_cache(maxsize=4)
def choose(suite: str, split: str = "", limit: int = 0, control_hz: float = 0, plugins: tuple[str, ...] = ()) -> Chosen:
    """Read a suite.

    Args:
        suite: its id, or its ``.json`` file.
        split: only this one; empty for all.
        limit: only the first so many episodes; 0 for all.
        control_hz: control rate [1/s]; 0 for the suite's.
        plugins: files that are loaded as plugins, too.

    Raises:
        GrinningFaceError: there is no such suite, split or rate, or it lacks a deck.
    """
    host = load_plugins([Path(file) for file in plugins])
    found = load_suite(suite, host)
    spec = host.envs.get(found.env)
    if split:
        check_splits(found, [split], where="split")
    if limit < 0:
        raise GrinningFaceError(f"{limit} is not a number of episodes", where="limit", hint="0 for all")
    hz = control_hz or found.control_hz
    check_rate(spec, hz, asked_by="fps")
    check_decks(found.decks, host, source=found.source)
    check_scenes(spec, found.episodes, source=found.source)
    episodes = [episode for episode in found.episodes if split in ("", episode.split)][: limit or None]
    return Chosen(suite=found, host=host, spec=spec, episodes=tuple(at_rate(one, hz) for one in episodes), control_hz=hz)


class LeRobotEnv(gymnasium.Env[Observed, NDArray[Any]]):
    """Episodes of a suite, one at a time.

    Observation: ``pixels`` {camera: ``(H, W, 3) uint8`` RGB} and ``agent_pos (P,) float32``, the proprioceptive state. Action:
    ``(A,) float32`` in the environment's units. Reward: 1 for the step that ends an episode in success, otherwise 0.
    Info: ``is_success``, ``episode_id``; at the end ``ending`` and ``metrics``.

    The seed of ``reset`` names the episode: its remainder by the number of episodes, so that as many seeds in a row as there are
    episodes play each of them once. A reset without a seed, with which a vector environment goes on by itself, plays the next.

    Args:
        suite, split, limit, plugins: as of :func:`choose`.
        fps: control rate [1/s]; 0 for the suite's.
        cameras: what is seen; by default the environment's first.
        size: height and width of images [px].
        results: a file to which a line of JSON is added for each episode that was begun by a seed and ended; empty for none.
        render_mode: ``"rgb_array"``: ``render`` returns what the first camera sees.

    Raises:
        GrinningFaceError: as of :func:`choose`; there is no such camera.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  (gymnasium's own type)

    def __init__(
        self,
        *,
        suite: str = "gf/standard@1",
        split: str = "",
        limit: int = 0,
        fps: float = 0,
        cameras: Sequence[str] = (),
        size: int = 224,
        plugins: Sequence[str] = (),
        results: str = "",
        render_mode: str | None = "rgb_array",
    ) -> None:
        self._chosen = choose(suite, split, limit, fps, tuple(plugins))
        spec, hz = self._chosen.spec, self._chosen.control_hz
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": hz}
        self._wanted = Observes(cameras=tuple(cameras) or spec.cameras[:1], size=(size, size))
        check_observes("lerobot-eval", PolicyInterface(observes=self._wanted, action=None), spec)
        config = validate_config(self._chosen.suite.env_config, spec.config_schema, source=self._chosen.suite.source)
        self._env = make_env(self._chosen.suite, config, hz, self._chosen.host, slots=1, threads=1)
        self._limits = wild_limits(self._env.action)
        self.action_space = _box(self._env.action.field.shape, self._env.action.field.low, self._env.action.field.high)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Dict({name: spaces.Box(0, 255, (size, size, 3), np.uint8) for name in self._wanted.cameras}),
                "agent_pos": _box(spec.proprio.shape, spec.proprio.low, spec.proprio.high),
            }
        )
        self._results = Path(results) if results else None
        self._number, self._step, self._running = -1, 0, False
        self._seed: int | None = None
        self._image: Images | None = None

    @property
    def task(self) -> str:
        """The suite."""
        return self._chosen.suite.id

    @property
    def task_description(self) -> str:
        """The instruction that holds now; empty before the first episode."""
        return self._episode.instruction_at(self._step) if self._number >= 0 else ""

    @property
    def _max_episode_steps(self) -> int:
        """The longest horizon: LeRobot asks once, for all episodes."""
        return max(episode.horizon for episode in self._chosen.episodes)

    @property
    def _episode(self) -> Episode:
        return self._chosen.episodes[self._number]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observed, Info]:
        """Begin the episode that the seed names. Options are LeRobot's own, and change nothing."""
        super().reset(seed=seed)
        self._number = (self._number + 1 if seed is None else seed) % len(self._chosen.episodes)
        self._seed, self._step, self._running = seed, 0, True
        self._env.reset(_SLOT, [self._episode])
        return self._look(), {"is_success": False, "episode_id": self._episode.id}

    def step(self, action: NDArray[Any]) -> tuple[Observed, float, bool, bool, Info]:
        """One control step. An action that `gf run` fails an episode for ends it here, too.

        Raises:
            ResetNeeded: no episode is being played.
            GrinningFaceError: the action has another shape.
        """
        if not self._running:
            raise ResetNeeded("call reset before step: no episode is being played")
        actions = np.asarray(action, np.float32)
        if actions.shape != self.action_space.shape:
            raise GrinningFaceError(f"an action of shape {actions.shape}, not {self.action_space.shape}", where=self._episode.id)
        info: Info = {"is_success": False, "episode_id": self._episode.id}
        if reason := unplayable(actions[None], self._limits):
            (stands,) = self._env.outcome(_SLOT)
            outcome = Outcome(success=False, ending="policy_error", steps=self._step, metrics=stands.metrics)
            return self._end(outcome, {**info, "reason": reason})
        done = bool(self._env.step(_SLOT, actions[None]).done[0])
        self._step += 1
        if not done and self._step < self._episode.horizon:
            return self._look(), 0.0, False, False, info
        (outcome,) = self._env.outcome(_SLOT)
        return self._end(outcome, info)

    def render(self) -> Images | None:
        """``(H, W, 3) uint8`` RGB that the first camera saw last; ``None`` without a render mode."""
        return self._image if self.render_mode else None

    def close(self) -> None:
        """Free threads and GL contexts."""
        self._env.close()

    def _end(self, outcome: Outcome, info: Info) -> tuple[Observed, float, bool, bool, Info]:
        self._running = False
        info |= {"is_success": outcome.success, "ending": outcome.ending, "metrics": dict(outcome.metrics)}
        if self._results is not None and self._seed is not None:
            row = {"episode": self._episode.id, "seed": int(self._seed), "success": outcome.success, "ending": outcome.ending}
            _append(self._results, {**row, "steps": self._step, "metrics": dict(outcome.metrics)})
        truncated = outcome.ending == "horizon"
        return self._look(), float(outcome.success), not truncated, truncated, info

    def _look(self) -> Observed:
        seen = self._env.observe(_SLOT, self._wanted)
        assert seen.proprio is not None
        pixels = {camera: images[0] for camera, images in seen.images.items()}
        self._image = next(iter(pixels.values()), None)
        return {"pixels": pixels, "agent_pos": seen.proprio[0]}


def _box(shape: tuple[int, ...], low: Sequence[float], high: Sequence[float]) -> spaces.Box:
    def bound(given: Sequence[float], absent: float) -> NDArray[np.float32]:
        return np.broadcast_to(np.asarray(given if len(given) else [absent], np.float32), shape).copy()

    return spaces.Box(bound(low, -np.inf), bound(high, np.inf), dtype=np.float32)


def _append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line in one write: several environments may add to one file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, (canonical_json(row) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise GrinningFaceError(f"can't be written ({os.strerror(error.errno or 0)})", where=str(path)) from error
