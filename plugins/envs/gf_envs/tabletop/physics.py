"""The simulations: one MuJoCo Batch and typed views of its fields. The one place that touches mujoco's physics API."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from gf_core.contracts import Bools, Doubles, Slots
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.bindings import mujoco
from gf_envs.tabletop.judge import State
from gf_envs.tabletop.model import CARD_PARKED_Z, TIMESTEP, card_quaternion, scene_xml
from gf_envs.tabletop.rotations import apply, transpose
from gf_envs.tabletop.scene import Scene

_ARM = slice(0, 6)
_FINGERS = slice(6, 8)
_CUBE_POSITION, _CUBE_QUATERNION = slice(8, 11), slice(11, 15)
_CUBE_LINEAR, _CUBE_ANGULAR = slice(8, 11), slice(11, 14)


class Physics:
    """N tabletop simulations side by side, stepped natively on several threads; bits don't depend on how many of either."""

    def __init__(self, slots: int, threads: int, control_hz: float) -> None:
        self.model = mujoco.MjModel.from_xml_string(scene_xml())
        substeps = 1.0 / (control_hz * TIMESTEP)
        self._substeps = round(substeps)
        if abs(substeps - self._substeps) > 1e-9 or self._substeps < 1:
            raise ValueError(f"a control step of 1/{control_hz} s is not a whole number of {TIMESTEP} s timesteps")
        self._fractions: Doubles = (np.arange(1, self._substeps + 1) / self._substeps)[None, :, None]
        self._batch = mujoco.batch.Batch(self.model, slots, min(threads or os.cpu_count() or 1, slots))
        self.qpos: Doubles = self._batch.bind("qpos")
        self._qvel: Doubles = self._batch.bind("qvel")
        self._ctrl: Doubles = self._batch.bind("ctrl")
        self._warmstart: Doubles = self._batch.bind("qacc_warmstart")
        self.mocap: Doubles = self._batch.bind("mocap_pos")
        self._mocap_quaternion: Doubles = self._batch.bind("mocap_quat")
        self._touch: Doubles = self._batch.bind("sensordata")
        tool, cube = self.model.site("tool").id, self.model.body("cube").id
        self._tool_position: Doubles = self._batch.bind("site_xpos")[:, tool]
        self._tool_matrix: Doubles = self._batch.bind("site_xmat")[:, tool]
        self._cube_position: Doubles = self._batch.bind("xpos")[:, cube]

    def reset(self, slots: Slots, scenes: Sequence[Scene]) -> None:
        """Lay out scenes: the arm at its start, fingers open, cube and cards in place, all at rest."""
        none = int(mujoco.mjtStage.mjSTAGE_NONE)
        self._batch.reset(slots, stage=none)
        for slot, scene in zip(slots, scenes, strict=True):
            x, y, yaw = scene.cube
            self.qpos[slot, _ARM] = g.START_JOINTS
            self.qpos[slot, _FINGERS] = g.FINGER_OPEN
            self.qpos[slot, _CUBE_POSITION] = (x, y, g.CUBE_HALF_SIZE)
            self.qpos[slot, _CUBE_QUATERNION] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
            self._ctrl[slot, _ARM] = g.START_JOINTS
            self._ctrl[slot, 6] = g.FINGER_OPEN
            self.mocap[slot] = [(-0.1 + 0.01 * i, 0.0, CARD_PARKED_Z) for i in range(g.MAX_CARDS)]
            for i, card in enumerate(scene.cards):
                self.mocap[slot, i] = (card.x, card.y, CARD_PARKED_Z if scene.printed else g.CARD_THICKNESS / 2)
                self._mocap_quaternion[slot, i] = card_quaternion(card.yaw)
        self._batch.forward(slots)

    def step(self, slots: Slots, controls: Doubles) -> None:
        """One control step with joint and finger targets ``(n, 7)``, approached in a straight line over the step.

        The real arm's servos interpolate likewise; a staircase would jerk the wrist at several g and shake the cube loose.
        """
        low, high = self.model.actuator_ctrlrange.T
        if not ((controls >= low - 1e-6) & (controls <= high + 1e-6)).all():
            raise ValueError("controls are not finite, or beyond the joints' limits")
        start = self._ctrl[slots][:, None]
        ramp = start + (controls[:, None] - start) * self._fractions
        self._batch.rollout(self._substeps, ramp, int(mujoco.mjtState.mjSTATE_CTRL), record=(), ids=slots)
        self._ctrl[slots] = controls

    def state(self, slots: Slots) -> State:
        """What the judge needs. Touch and the cube's place in the tool are those of the last substep's start (5 ms ago)."""
        velocity = self._qvel[slots]
        linear, angular = velocity[:, _CUBE_LINEAR], velocity[:, _CUBE_ANGULAR]
        touch: Bools = self._touch[slots] > 0
        matrix = self._tool_matrix[slots].reshape(-1, 3, 3)
        return State(
            cube_position=self.qpos[slots, _CUBE_POSITION],
            cube_speed=np.sqrt(linear[:, 0] ** 2 + linear[:, 1] ** 2 + linear[:, 2] ** 2),
            cube_spin=np.sqrt(angular[:, 0] ** 2 + angular[:, 1] ** 2 + angular[:, 2] ** 2),
            joint_speed=np.abs(velocity[:, _ARM]).max(axis=1),
            held=touch[:, 0] & touch[:, 1],
            touched=np.any(touch, axis=1),
            # MuJoCo resets a diverged simulation by itself and only counts a warning.
            unstable=np.any(self._batch.warning[slots, :, 1] > 0, axis=1),
            cube_in_tool=apply(transpose(matrix), self._cube_position[slots] - self._tool_position[slots]),
        )

    def joints(self, slots: Slots) -> Doubles:
        """Arm joint angles ``(n, 6)`` [rad]."""
        return self.qpos[slots, _ARM]

    def opening(self, slots: Slots) -> Doubles:
        """Gripper opening ``(n,)``, 0 closed to 1 open."""
        opening: Doubles = (self.qpos[slots, 6] - g.FINGER_CLOSED) / (g.FINGER_OPEN - g.FINGER_CLOSED)
        # Rammed against something, a simulated finger gives way beyond its stop, where a real one can't go.
        np.minimum(np.maximum(opening, 0.0, out=opening), 1.0, out=opening)
        return opening

    def tool(self, slots: Slots) -> tuple[Doubles, Doubles]:
        """Measured tool pose in the base frame: ``(n, 3)`` [m] and ``(n, 3, 3)``."""
        return k.forward(self.joints(slots))

    def cube(self, slots: Slots) -> Doubles:
        """Cube pose ``(n, 7)``: position [m, base frame], quaternion wxyz."""
        pose = self.qpos[slots, 8:15]
        pose[:, :3] -= g.BASE_POSITION
        return pose

    def state_hash(self, slot: int) -> str:
        """SHA-256 of positions, velocities, controls, the solver's warm start and the cards' places."""
        digest = hashlib.sha256()
        for values in (self.qpos, self._qvel, self._ctrl, self._warmstart, self.mocap):
            digest.update(np.ascontiguousarray(values[slot]).tobytes())
        return digest.hexdigest()
