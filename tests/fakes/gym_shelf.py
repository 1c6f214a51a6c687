"""A third party's package: registers gymnasium environments that know nothing of this program."""

from __future__ import annotations

import itertools
from typing import ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

COUNTER = itertools.count()


class Reach(gymnasium.Env):
    """A hand on a shelf of 2 m by 1 m goes to the cup that the task names. Centimetres; its gripper closes at 1 and opens at -1.

    ``broken`` is what is wrong with it.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array", "rgb_array_list"], "render_fps": 10}

    def __init__(self, render_mode=None, broken="", box=200.0):
        if broken == "init":
            raise RuntimeError("no shelf here")
        self.render_mode, self._broken = render_mode, broken
        self.action_space = spaces.Box(np.array([-10, -10, -1, 0], np.float32), np.array([10, 10, 1, box], np.float32))
        if broken == "discrete":
            self.action_space = spaces.Discrete(4)
        self.observation_space = spaces.Dict({"robot": spaces.Dict({}), "top": spaces.Box(0, 255, (3, 8, 16), np.uint8)})
        self.task = "?"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=None if self._broken == "seedless" else seed)
        self._at = self.np_random.uniform(0, 30, 2)
        self._goal = np.array((options or {}).get("goal", self.np_random.uniform(40, 60, 2)), float)
        self._grip, self._step = -1.0, 0
        self.task = f"reach the {('red', 'blue')[int(self._goal[0] > 50)]} cup"
        if self._broken == "seedless":
            self.task += f", {next(COUNTER)}"
        return self._look(), {"task": self.task, "near": False}

    def step(self, action):
        assert action in self.action_space, action
        assert action[3] == 7
        self._at, self._grip = self._at + action[:2], float(action[2])
        if self._broken == "random":
            self._at = self._at + 1e-9 * next(COUNTER)
        self._step += 1
        distance = float(np.linalg.norm(self._at - self._goal))
        info = {"is_success": np.bool_(distance < 5), "cm": np.float64(distance), "near": distance < 20, "grip": self._grip}
        if self._broken == "raises":
            raise ZeroDivisionError("the shelf fell")
        if self._broken == "late":
            info = {"is_success": True} if distance < 5 else {}
        bits = 1e-14 * next(COUNTER) if self._broken == "bits" else 0
        return self._look(), bits - distance, False, self._step >= 500, info

    def render(self):
        frame = np.moveaxis(self._look()["top"], 0, -1)
        return [frame] if self.render_mode == "rgb_array_list" else frame if self.render_mode else None

    def _look(self):
        top = np.zeros((3, 8, 16), np.uint8)
        top[0, :4], top[1, :, :8] = 255, 200
        return {
            "robot": {"at": self._at, "grip": self._grip, "name": "arm"},
            "goal": self._goal,
            "top": top,
            "depth": np.zeros((8, 16)),
        }


gymnasium.register("gf_shelf/Reach-v0", Reach, max_episode_steps=5)
