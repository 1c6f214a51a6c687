"""The tabletop as a plain ``gymnasium.Env``: ``gymnasium.make("gf_envs:gf/tabletop-v1")``.

One arm, its camera images after every step, and no runner; what is played and judged is the same as in a run. For many
environments side by side at a fraction of the cost, use the BatchEnv in ``gf_envs.tabletop.env``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from numpy.typing import NDArray

from gf_core.contracts import EnvContext, Episode, Images
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.matching import check_observes, check_rate
from gf_core.schemas import validate_config
from gf_core.specs import Observes, PolicyInterface
from gf_envs.gymnasium_episodes import WHERE, Episodes, instructions
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.env import make
from gf_envs.tabletop.spec import TABLETOP, action_spec

REACH = 1.0
"""The tool doesn't get further than this from its base along any axis [m]: outstretched, the links measure 0.79 m."""
OPENING = (0.0, 1.0)
LONGEST_INSTRUCTION = 256
PRINTABLE = frozenset(map(chr, range(32, 127)))

_SLOT = np.zeros(1, np.int32)

Observed = dict[str, Any]
Info = dict[str, Any]


class TabletopGymnasiumEnv(gymnasium.Env[Observed, NDArray[Any]]):
    """The tabletop, one episode at a time.

    Observation: ``images`` {camera: ``(H, W, 3) uint8`` RGB}, absent without cameras; ``proprio (7,) float32``; ``instruction``,
    a text. Action: ``(7,) float32``. Units and frames: ``gf show gf/tabletop-v1``.
    Reward: 1 for the step that ends the episode in success, otherwise 0.
    Terminated: a placement decided the episode. Truncated: the horizon came first.
    Info: ``is_success``, ``instruction``, ``episode_id``; after a step ``clipped``; at the end ``ending`` and ``metrics``; with
    ``privileged`` also ``privileged``, as in the EnvSpec (NaN for cards that aren't there, so no two of them compare equal).

    With gymnasium's AsyncVectorEnv take the instruction from ``info``, or give it ``shared_memory=False``: from shared memory it
    reads texts only once, at the beginning.

    ``reset(options={"episode": ...})`` takes the id of one of the suite's episodes, a ``gf_core.contracts.Episode``, or a mapping
    like a row of a suite: at least ``instruction`` and ``scene``, and a ``horizon`` in control steps (by default those of 10 s).
    Otherwise the episode is drawn from the suite, by the seed.

    Args:
        suite: id or ``.json`` file that episodes are drawn from.
        cameras: what is rendered after every step; ``()`` for nothing, which is many times faster.
        size: height and width of the images [px].
        control_hz: control rate [1/s].
        preset: render preset; empty for that of the episode's scene.
        privileged: whether ``info`` tells what only privileged policies may know.
        render_mode: ``"rgb_array"`` for what ``render`` returns; ``None`` for nothing.
        render_camera, render_size: who films for ``render``, and its height and width [px].
        plugins: Python files that are plugins too, for their suites and decks.

    Raises:
        GrinningFaceError: an unknown suite, camera, preset or rate; at the first image, where OpenGL is missing.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": g.CONTROL_HZ}  # noqa: RUF012  (gymnasium's own type)

    def __init__(
        self,
        *,
        suite: str = "gf/demos@1",
        cameras: Sequence[str] = ("third",),
        size: tuple[int, int] = (224, 224),
        control_hz: float = g.CONTROL_HZ,
        preset: str = "",
        privileged: bool = False,
        render_mode: str | None = None,
        render_camera: str = "demo",
        render_size: tuple[int, int] = (480, 640),
        plugins: Sequence[str | Path] = (),
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise GrinningFaceError(f"{render_mode!r} is not a render mode", where="render_mode", hint="there is 'rgb_array'")
        check_rate(TABLETOP, control_hz, asked_by="gymnasium.make")
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": control_hz}
        self._wanted = _observes(cameras, size, proprio=True)
        self._filmed = _observes([render_camera], render_size, proprio=False)
        self._privileged = privileged
        self._episodes = Episodes(suite, control_hz, [Path(file) for file in plugins])
        self.action_space = _action_space(control_hz)
        self._texts = _text_space(self._episodes)
        self.observation_space = _observation_space(self._wanted, self._texts)
        given = {**self._episodes.suite.env_config, **({"render": preset} if preset else {})}
        config = validate_config(given, TABLETOP.config_schema, source="gymnasium.make")
        self._env = make(config, EnvContext(slots=1, threads=1, control_hz=control_hz, load_deck=self._episodes.load_deck))
        self._episode: Episode | None = None
        self._done = self._closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observed, Info]:
        """Begin an episode: the one in ``options``, or one that is drawn from the suite.

        Raises:
            GrinningFaceError: an option or an episode that isn't known or that contradicts itself.
        """
        if self._closed:
            raise ClosedEnvironmentError("the environment was closed")
        super().reset(seed=seed)
        for option in options or {}:
            if option != "episode":
                raise GrinningFaceError(f"there is no option {option!r}", where="reset(options)", hint="there is 'episode'")
        given = (options or {}).get("episode")
        episode = self._episodes.draw(self.np_random) if given is None else self._episodes.read(given)
        for text in instructions(episode):
            if text not in self._texts:
                raise GrinningFaceError(
                    f"{text!r} is not in the observation space",
                    where=f"{WHERE}/instruction",
                    hint=f"at most {LONGEST_INSTRUCTION} printable ASCII characters, unless the environment's suite has others",
                )
        self._episode, self._done = episode, False
        self._env.reset(_SLOT, [episode])
        observed, info = self._look(episode)
        return observed, {"is_success": False, **info}

    def step(self, action: NDArray[Any]) -> tuple[Observed, float, bool, bool, Info]:
        """One control step.

        Raises:
            ResetNeeded: no episode is being played.
            GrinningFaceError: the action has another shape, or isn't finite.
        """
        if self._episode is None or self._done:
            raise ResetNeeded("call reset before step: no episode is being played")
        actions = np.asarray(action, np.float32)
        if actions.shape != self.action_space.shape or not np.isfinite(actions).all():
            raise GrinningFaceError(f"it isn't {TABLETOP.action.field.shape[0]} finite numbers: {actions}", where="step(action)")
        result = self._env.step(_SLOT, actions[None])
        self._done = bool(result.done[0])
        observed, info = self._look(self._episode)
        info |= {"is_success": False, "clipped": bool(result.clipped[0])}
        if not self._done:
            return observed, 0.0, False, False, info
        (outcome,) = self._env.outcome(_SLOT)
        info |= {"is_success": outcome.success, "ending": outcome.ending, "metrics": dict(outcome.metrics)}
        truncated = outcome.ending == "horizon"
        return observed, float(outcome.success), not truncated, truncated, info

    def render(self) -> Images | None:
        """``(H, W, 3) uint8`` RGB of ``render_camera``; ``None`` without a render mode."""
        if self.render_mode is None:
            gymnasium.logger.warn('make the environment with render_mode="rgb_array": without a render mode there is no image')
            return None
        if self._episode is None:
            raise ResetNeeded("call reset before render: there is nothing to see yet")
        (camera,) = self._filmed.cameras
        image: Images = self._env.observe(_SLOT, self._filmed).images[camera][0]
        return image

    def close(self) -> None:
        """Free the render thread and its OpenGL contexts. May be called again."""
        if not self._closed:
            self._env.close()
        self._closed, self._episode = True, None

    def _look(self, episode: Episode) -> tuple[Observed, Info]:
        seen = self._env.observe(_SLOT, self._wanted, privileged=self._privileged)
        assert seen.proprio is not None
        observed: Observed = {"proprio": seen.proprio[0], "instruction": seen.instruction[0]}
        if seen.images:
            observed["images"] = {camera: images[0] for camera, images in seen.images.items()}
        info: Info = {"instruction": seen.instruction[0], "episode_id": episode.id}
        if self._privileged:
            info["privileged"] = {name: np.array(values[0]) for name, values in seen.privileged.items()}
        return observed, info


def _observes(cameras: Sequence[str], size: Sequence[int], *, proprio: bool) -> Observes:
    height, width = size
    observes = Observes(cameras=tuple(cameras), size=(int(height), int(width)), proprio=proprio)
    check_observes("gymnasium.make", PolicyInterface(observes=observes, action=None), TABLETOP)
    return observes


def _action_space(control_hz: float) -> spaces.Box:
    field = action_spec(control_hz).field
    return spaces.Box(np.array(field.low, np.float32), np.array(field.high, np.float32), dtype=np.float32)


def _text_space(episodes: Episodes) -> spaces.Text:
    texts = set(episodes.instructions())
    return spaces.Text(max(LONGEST_INSTRUCTION, *map(len, texts)), min_length=0, charset=PRINTABLE.union(*texts))


def _observation_space(wanted: Observes, texts: spaces.Text) -> spaces.Dict:
    pose = [REACH] * 3 + [np.pi, np.pi / 2, np.pi]
    low, high = ([*(sign * bound for bound in pose), opening] for sign, opening in zip((-1, 1), OPENING, strict=True))
    proprio = spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
    parts: dict[str, spaces.Space[Any]] = {"proprio": proprio, "instruction": texts}
    if wanted.cameras:
        parts["images"] = spaces.Dict({camera: spaces.Box(0, 255, (*wanted.size, 3), np.uint8) for camera in wanted.cameras})
    return spaces.Dict(parts)
