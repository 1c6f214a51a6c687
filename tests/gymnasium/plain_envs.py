"""A plugin file for tests: two plain gymnasium environments, and a policy for each."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from gf_core.contracts import ActionChunk
from gf_core.gymnasium_adapter import Binding, batch
from gf_core.hookspecs import hookimpl
from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, MetricSpec, Observes, PolicySpec

PENDULUM = EnvSpec(
    id="local/pendulum-v1",
    summary="swing a pendulum up and hold it there",
    entry_point="plain_envs:make_pendulum",
    action=ActionSpec(
        field=FieldSpec(name="action", shape=(1,), names=("torque",), unit=("N m",), low=(-2.0,), high=(2.0,)),
        hz=20,
        representation="joint_delta",
        reference="measured",
        rotation="none",
    ),
    control_hz=(20.0,),
    controls=FieldSpec(name="torque", shape=(1,), dtype="float64", unit=("N m",)),
    cameras=("front",),
    proprio=FieldSpec(name="proprio", shape=(3,), names=("cos", "sin", "speed"), unit=("1", "1", "rad/s")),
    privileged=(FieldSpec(name="angle", shape=(), dtype="float64", unit=("rad",)),),
    metrics=(MetricSpec(name="return", kind="float", description="sum of rewards"),),
    scene_schema={
        "type": "object",
        "properties": {"x_init": {"type": "number"}, "y_init": {"type": "number"}},
        "additionalProperties": False,
    },
    replayable=True,
)
SLIDER = EnvSpec(
    id="local/slider-v1",
    summary="push the dot into the light",
    entry_point="plain_envs:make_slider",
    action=ActionSpec(
        field=FieldSpec(name="action", shape=(1,), names=("dx",), unit=("m",), low=(-0.1,), high=(0.1,)),
        hz=10,
        representation="ee_delta",
        reference="measured",
        rotation="none",
    ),
    control_hz=(10.0,),
    controls=FieldSpec(name="dx", shape=(1,), dtype="float64", unit=("m",)),
    cameras=("top",),
    proprio=FieldSpec(name="state", shape=(1,), names=("x",), unit=("m",)),
    metrics=(MetricSpec(name="executed", kind="bool", description="stopped on one of the lights"),),
    scene_schema={"type": "object", "required": ["light"], "properties": {"light": {"enum": ["left", "right"]}}},
)


class Slider(gymnasium.Env):
    """A dot on a line; its image shows which end is lit. Beyond an end it is over."""

    observation_space = spaces.Dict({"pixels": spaces.Box(0, 255, (12, 24, 3), np.uint8), "state": spaces.Box(-2, 2, (1,))})
    action_space = spaces.Box(-0.1, 0.1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._lit = {"left": -1, "right": 1}[options["light"]]
        self._x = float(self.np_random.uniform(-0.2, 0.2))
        return self._look(), {}

    def step(self, action):
        assert action in self.action_space
        self._x += float(action[0])
        over = abs(self._x) > 1
        info = {"is_success": self._x * self._lit > 1, "executed": np.bool_(over)} if over else {}
        return self._look(), 0.0, over, False, info

    def _look(self):
        pixels = np.zeros((12, 24, 3), np.uint8)
        pixels[:, :4] = 255 * (self._lit < 0)
        pixels[:, -4:] = 255 * (self._lit > 0)
        return {"pixels": pixels, "state": np.array([self._x], np.float32)}


def draw_pendulum(env, observation, size):
    """White, with a black line from the middle towards where the pendulum points."""
    image = np.full((*size, 3), 255, np.uint8)
    for r in np.linspace(0, 0.45, 40):
        image[int(size[0] * (0.5 - r * observation[0])), int(size[1] * (0.5 - r * observation[1]))] = 0
    return image


PENDULUM_BINDING = Binding(
    images={"front": draw_pendulum},
    proprio=lambda observation: observation,
    privileged=lambda env: {"angle": env.unwrapped.state[0]},
    success=lambda moment: moment.observation[0] > 0.95,
    metrics=lambda moment: {"return": moment.total_reward},
    state=lambda env: env.unwrapped.state.tobytes(),
)
SLIDER_BINDING = Binding(images={"top": "pixels"}, proprio="state")


def make_pendulum(config, context):
    return batch(lambda: gymnasium.make("Pendulum-v1", max_episode_steps=-1), PENDULUM, context, PENDULUM_BINDING)


def make_slider(config, context):
    return batch(Slider, SLIDER, context, SLIDER_BINDING)


class SwingUp:
    """Pumps energy in until the pendulum is nearly up, then holds it. Asks for more torque than there is."""

    def __init__(self, config, context):
        pass

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        cos, sin, speed = observation.proprio.T
        angle = np.arctan2(sin, cos)
        pump = 4 * np.sign(speed + 1e-6) * (speed**2 / 6 + 5 * cos < 5.2)
        torque = np.where(np.abs(angle) < 0.35, -(14 * angle + 3 * speed), pump)
        return ActionChunk(actions=torque.astype(np.float32)[:, None, None])

    def close(self):
        pass


class ToTheLight:
    """Looks where it is bright and goes there."""

    def __init__(self, config, context):
        pass

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        image = observation.images["top"]
        half = image.shape[2] // 2
        right = image[:, :, half:].mean(axis=(1, 2, 3)) > image[:, :, :half].mean(axis=(1, 2, 3))
        return ActionChunk(actions=np.where(right, 0.1, -0.1).astype(np.float32)[:, None, None])

    def close(self):
        pass


@hookimpl
def gf_register_envs(register):
    register(PENDULUM)
    register(SLIDER)


@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="local/swing-up-v1", summary="swings", entry_point="plain_envs:SwingUp", action=PENDULUM.action))
    for name, size in (("sees", (12, 24)), ("sees-large", (64, 64))):
        register(
            PolicySpec(
                id=f"local/{name}-v1",
                summary="looks",
                entry_point="plain_envs:ToTheLight",
                action=SLIDER.action,
                observes=Observes(cameras=("top",), size=size),
            )
        )
