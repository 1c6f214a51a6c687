"""Makes one BatchEnv of N plain ``gymnasium.Env``, so that a plugin can bring an environment that exists already.

A plain environment doesn't say what its numbers mean, so its plugin declares it: an EnvSpec, as every environment has, and a
:class:`Binding`. The environments live in this process and are stepped one after the other; results of a slot don't depend on the
others as long as the environments share nothing.

>>> import gymnasium
>>> from gf_core.contracts import EnvContext
>>> from gf_core.gymnasium_adapter import Binding, batch
>>> from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, MetricSpec
>>>
>>> TORQUE = FieldSpec(name="action", shape=(1,), names=("torque",), unit=("N m",), low=(-2.0,), high=(2.0,))
>>> PENDULUM = EnvSpec(
...     id="local/pendulum-v1",
...     summary="swing a pendulum up and hold it there",
...     entry_point="my_plugin:make_env",
...     action=ActionSpec(field=TORQUE, hz=20, representation="joint_delta", reference="measured", rotation="none"),
...     control_hz=(20.0,),
...     controls=FieldSpec(name="torque", shape=(1,), dtype="float64", unit=("N m",)),
...     cameras=(),
...     proprio=FieldSpec(name="proprio", shape=(3,), names=("cos", "sin", "speed"), unit=("1", "1", "rad/s")),
...     metrics=(MetricSpec(name="return", kind="float", description="sum of rewards"),),
...     scene_schema={"type": "object", "properties": {"x_init": {"type": "number"}, "y_init": {"type": "number"}}},
...     replayable=True,
... )
>>> BINDING = Binding(
...     proprio=lambda observation: observation,
...     success=lambda moment: moment.observation[0] > 0.95,
...     metrics=lambda moment: {"return": moment.total_reward},
...     state=lambda env: env.unwrapped.state.tobytes(),
... )
>>> def make_env(config, context):
...     return batch(lambda: gymnasium.make("Pendulum-v1", max_episode_steps=-1), PENDULUM, context, BINDING)
>>> env = make_env({}, EnvContext(slots=2, threads=1, control_hz=20.0, load_deck=lambda name: None))
>>> env.action.field.names
('torque',)
>>> env.close()
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gf_core.canonical import sha256
from gf_core.contracts import (
    BatchEnv,
    Bools,
    Doubles,
    EnvContext,
    Episode,
    Floats,
    Images,
    Observation,
    Outcome,
    Slots,
    StepResult,
)
from gf_core.errors import PluginError, did_you_mean
from gf_core.specs import EnvSpec, Observes

if TYPE_CHECKING:
    import gymnasium

    Env: TypeAlias = gymnasium.Env[Any, Any]

FAILURE = "failure"
"""The ending of an episode that the environment terminated without success."""
Picture = Callable[["Env", Any, tuple[int, int]], Images]
"""Draws a camera's image ``(H, W, 3) uint8`` RGB of an environment, given its observation and the (H, W) that is wanted."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a plain environment said last.

    Attributes:
        observation: as it returned it.
        info: of its last ``step``; of its ``reset`` before the first.
        steps: control steps taken.
        reward: of its last ``step``.
        total_reward: sum of the rewards.
        terminated, truncated: of its last ``step``.
    """

    observation: Any
    info: Mapping[str, Any]
    steps: int = 0
    reward: float = 0.0
    total_reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


def scene_as_options(episode: Episode) -> tuple[int, dict[str, Any]]:
    """Begins an episode with ``reset(seed=episode.seed, options=episode.scene)``."""
    return episode.seed, dict(episode.scene)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What a plain environment's words mean. A name stands for a key of its observation or its info.

    Attributes:
        begin: seed and options for ``reset``. The policy is told the instruction anyway; here an environment can be told, too.
        began: called after it, to refuse an episode that isn't the one that was asked for.
        images: each camera of the EnvSpec to a key, whose images are resized (bilinear) to what the policy asks for, or to a
            function, which is called when an image is wanted.
        proprio: a key, or a function of the observation.
        privileged: what only privileged policies see, by the names in the EnvSpec.
        action: turns controls ``(C,) float64`` into what ``step`` takes; by default an array of the action space's dtype.
        success: whether an episode that is over succeeded: a key of info, which the environment sets at the latest when it ends
            the episode itself, or a function.
        ends: whether an episode is over now, besides at its horizon and when the environment says so.
        metrics: those of the EnvSpec; by default info's values under their names.
        state: all that the next step depends on, for an environment that is ``replayable``.
        versions: of what its results depend on, by name; recorded with a run.
    """

    begin: Callable[[Episode], tuple[int, dict[str, Any] | None]] = scene_as_options
    began: Callable[[Episode, Env, Moment], None] | None = None
    images: Mapping[str, str | Picture] = field(default_factory=dict)
    proprio: str | Callable[[Any], NDArray[Any]] = "proprio"
    privileged: Callable[[Env], Mapping[str, Any]] | None = None
    action: Callable[[Doubles], Any] | None = None
    success: str | Callable[[Moment], bool] = "is_success"
    ends: Callable[[Moment], bool] | None = None
    metrics: Callable[[Moment], Mapping[str, Any]] | None = None
    state: Callable[[Env], bytes] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def batch(make_env: Callable[[], Env], spec: EnvSpec, context: EnvContext, binding: Binding) -> BatchEnv:
    """``context.slots`` environments made by ``make_env``, as one BatchEnv.

    Controls are the clipped actions in float64, so replaying them is stepping with the same actions again. The EnvSpec is
    ``replayable`` if the same seed, options and actions give the same states.

    Raises:
        PluginError: binding, EnvSpec and environment contradict each other.
    """
    with contextlib.ExitStack() as stack:
        envs = [stack.enter_context(contextlib.closing(make_env())) for _ in range(context.slots)]
        made = _GymnasiumBatch(envs, spec, context.control_hz, binding)
        stack.pop_all()  # closing them is now its own business
    return made


class _GymnasiumBatch:
    def __init__(self, envs: Sequence[Env], spec: EnvSpec, control_hz: float, binding: Binding) -> None:
        self.action = dataclasses.replace(spec.action, hz=control_hz)
        self.spec = dataclasses.replace(spec, action=self.action)
        self._envs, self._binding = envs, binding
        self._episodes: dict[int, Episode] = {}
        self._moments: dict[int, Moment] = {}
        width = spec.action.field.shape[0]
        sides = spec.action.field.low or (-np.inf,), spec.action.field.high or (np.inf,)
        self._low, self._high = (np.broadcast_to(np.asarray(side, np.float64), (width,)) for side in sides)
        if spec.controls.shape != spec.action.field.shape:
            raise self._wrong(
                "controls", f"their shape is {spec.controls.shape}, and that of the actions {spec.action.field.shape}"
            )
        if set(binding.images) != set(spec.cameras):
            raise self._wrong("images", f"it binds images of {sorted(binding.images)} to the cameras {sorted(spec.cameras)}")
        if spec.replayable and binding.state is None:
            raise self._wrong("state", "a replayable environment shows its state, and none is bound")
        if binding.action is None:
            self._check_action_space()

    def _check_action_space(self) -> None:
        from gymnasium.spaces import Box

        space = self._envs[0].action_space
        if not isinstance(space, Box) or space.shape != self.spec.action.field.shape:
            raise self._wrong("action", f"actions {self.spec.action.field.shape} don't fit the action space {space}")
        if (self._low.astype(space.dtype) < space.low).any() or (self._high.astype(space.dtype) > space.high).any():
            raise self._wrong("action", f"the EnvSpec's bounds allow actions outside the action space {space}")

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> None:
        for slot, episode in zip(map(int, slots), episodes, strict=True):
            seed, options = self._binding.begin(episode)
            observation, info = self._envs[slot].reset(seed=seed, options=options)
            self._episodes[slot], self._moments[slot] = episode, Moment(observation=observation, info=info)
            if self._binding.began is not None:
                self._binding.began(episode, self._envs[slot], self._moments[slot])

    def observe(self, slots: Slots, wanted: Observes, *, privileged: bool = False) -> Observation:
        numbers = [int(slot) for slot in slots]
        bound = self._binding.privileged
        secrets = [bound(self._envs[slot]) for slot in numbers] if privileged and bound is not None else []
        return Observation(
            slots=np.asarray(slots, np.int32),
            instruction=[self._episodes[slot].instruction_at(self._moments[slot].steps) for slot in numbers],
            images={camera: np.stack([self._image(slot, camera, wanted.size) for slot in numbers]) for camera in wanted.cameras},
            proprio=np.stack([self._proprio(slot) for slot in numbers]) if wanted.proprio else None,
            privileged={name: np.stack([secret[name] for secret in secrets]) for name in (secrets[0] if secrets else ())},
        )

    def step(self, slots: Slots, actions: Floats) -> StepResult:
        controls = np.clip(actions.astype(np.float64), self._low, self._high)
        # Compared in float32, in which a bound such as 0.1 is another number: an action at its bound isn't clipped.
        low, high = self._low.astype(np.float32), self._high.astype(np.float32)
        clipped = np.logical_or(actions < low, actions > high).any(axis=1)
        return StepResult(done=self.step_controls(slots, controls), controls=controls, clipped=np.asarray(clipped))

    def step_controls(self, slots: Slots, controls: Doubles) -> Bools:
        return np.array([self._step(int(slot), row) for slot, row in zip(slots, controls, strict=True)], np.bool_)

    def _step(self, slot: int, controls: Doubles) -> bool:
        env, before = self._envs[slot], self._moments[slot]
        convert = self._binding.action
        action = controls.astype(env.action_space.dtype) if convert is None else convert(controls)
        observation, reward, terminated, truncated, info = env.step(action)
        self._moments[slot] = Moment(
            observation=observation,
            info=info,
            steps=before.steps + 1,
            reward=float(reward),
            total_reward=before.total_reward + float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
        )
        return self._over(slot)

    def _over(self, slot: int) -> bool:
        moment, ends = self._moments[slot], self._binding.ends
        over = moment.terminated or moment.truncated or moment.steps >= self._episodes[slot].horizon
        return over or (ends is not None and ends(moment))

    def outcome(self, slots: Slots) -> list[Outcome]:
        return [self._outcome(int(slot)) for slot in slots]

    def _outcome(self, slot: int) -> Outcome:
        moment, binding = self._moments[slot], self._binding

        def told(key: str, bound: str) -> Any:
            # Many environments fill their info in at the end only, so what isn't there before that isn't a mistake.
            ended = moment.terminated or moment.truncated
            return self._item(moment.info, key, bound) if ended else moment.info.get(key)

        rule = binding.success
        success = self._over(slot) and bool(told(rule, "success") if isinstance(rule, str) else rule(moment))
        ending = "success" if success else FAILURE if moment.terminated else "horizon"
        if binding.metrics is None:
            metrics: Mapping[str, Any] = {metric.name: told(metric.name, "metrics") for metric in self.spec.metrics}
        else:
            metrics = binding.metrics(moment)
        plain = {name: value.item() if isinstance(value, np.generic | np.ndarray) else value for name, value in metrics.items()}
        return Outcome(success=success, ending=ending, steps=moment.steps, metrics=plain)

    def state_hash(self, slots: Slots) -> list[str]:
        state = self._binding.state
        return ["" if state is None else sha256(state(self._envs[int(slot)])) for slot in slots]

    def versions(self) -> Mapping[str, str]:
        return self._binding.versions

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # every one of them, even if one raises
            for env in self._envs:
                stack.callback(env.close)

    def _image(self, slot: int, camera: str, size: tuple[int, int]) -> Images:
        source, observation = self._binding.images[camera], self._moments[slot].observation
        if isinstance(source, str):
            image = resized(np.asarray(self._item(observation, source, f"images/{camera}")), size)
        else:
            image = np.asarray(source(self._envs[slot], observation, size))
        if image.shape != (*size, 3) or image.dtype != np.uint8:
            raise self._wrong(f"images/{camera}", f"it is {image.shape} {image.dtype}, and {(*size, 3)} uint8 is wanted")
        return image

    def _proprio(self, slot: int) -> Floats:
        source, observation = self._binding.proprio, self._moments[slot].observation
        found = self._item(observation, source, "proprio") if isinstance(source, str) else source(observation)
        proprio = np.asarray(found, np.float32)
        if proprio.shape != self.spec.proprio.shape:
            raise self._wrong("proprio", f"it has the shape {proprio.shape}, and the EnvSpec says {self.spec.proprio.shape}")
        return proprio

    def _item(self, found: Any, key: str, bound: str) -> Any:
        if isinstance(found, Mapping) and key in found:
            return found[key]
        keys = [str(known) for known in found] if isinstance(found, Mapping) else []
        has = f"there are {', '.join(keys) or 'no keys'}" if isinstance(found, Mapping) else f"it is {type(found).__name__}"
        raise self._wrong(bound, f"there is no {key!r}, {has}", did_you_mean(key, keys))

    def _wrong(self, bound: str, what: str, hint: str = "") -> PluginError:
        return PluginError(what, where=f"{self.spec.id}, {bound}", hint=hint)


def resized(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """``image (H, W, 3) uint8`` in another size; anything else as it is."""
    if image.shape[:2] == size or image.ndim != 3 or image.dtype != np.uint8:
        return image
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))  # smooth when smaller, too
