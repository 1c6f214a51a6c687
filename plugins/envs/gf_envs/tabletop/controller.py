"""From end-effector deltas to joint targets, for many slots at once."""

from __future__ import annotations

import math

import numpy as np

from gf_core.contracts import Bools, Doubles, Floats, Slots
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.rotations import from_rotvec, matmul
from gf_envs.tabletop.spec import action_spec

JOINT_RATE = math.pi
"""Fastest joint motion that is commanded [rad/s]: the servos' rated speed, and a guard against wild actions."""
CONTROL_RESOLUTION = 1e-6
"""Controls are rounded to this [rad or m], which removes the last-bit differences between NumPy's SIMD paths."""
TABLE_CLEARANCE = 0.005
"""Fingertips stop this far above the table [m]: pressed into it they jam and the cube slips."""
TIP = 0.006
"""The fingertips end this far in front of the tool frame's origin [m]."""
_PAD_HALF_WIDTH = 0.010
_FINGER_SPAN = 0.037


class Controller:
    """Integrates delta poses into a target pose per slot and solves it for joint targets.

    The target pose is exact while it can be reached. Where it can't (out of reach, beyond a joint's limit or rate, into the
    table) it is set to the pose that was commanded instead, so that deltas never wind up.
    """

    def __init__(self, slots: int, control_hz: float) -> None:
        bounds = action_spec(control_hz).field
        self._low, self._high = np.array(bounds.low), np.array(bounds.high)
        self._max_joint_step = JOINT_RATE / control_hz
        self.position: Doubles = np.zeros((slots, 3))
        self.orientation: Doubles = np.tile(np.eye(3), (slots, 1, 1))
        self.joints: Doubles = np.zeros((slots, 6))

    def reset(self, slots: Slots, joints: Doubles) -> None:
        """Start from joint angles ``(n, 6)``."""
        self.joints[slots] = joints
        self.position[slots], self.orientation[slots] = k.forward(joints)

    def controls(self, slots: Slots, actions: Floats) -> tuple[Doubles, Bools]:
        """Controls ``(n, 7)`` (six joint angles [rad], finger position [m]) for actions ``(n, 7)``, and which were clipped.

        Raises:
            ValueError: on an action that isn't finite.
        """
        wanted = actions.astype(np.float64)
        if not np.isfinite(wanted).all():
            raise ValueError("an action is not finite")
        # float32 can't hold the bounds exactly: an action at its bound is not clipped.
        clipped = np.asarray(((wanted > self._high + 1e-6) | (wanted < self._low - 1e-6)).any(axis=1))
        wanted = np.minimum(np.maximum(wanted, self._low), self._high)

        position = self.position[slots] + wanted[:, :3]
        orientation = matmul(from_rotvec(wanted[:, 3:6]), self.orientation[slots])
        position, lifted = _above_table(position, orientation)
        previous = self.joints[slots]
        solved, exact = k.inverse(position, orientation, previous)
        # Scaled as a whole, so that a motion that is too fast is slowed down instead of bent.
        motion = solved - previous
        fastest = np.abs(motion).max(axis=1)
        joints = previous + motion * np.minimum(1.0, self._max_joint_step / np.maximum(fastest, 1e-12))[:, None]
        exact &= (np.abs(joints - solved) < 1e-9).all(axis=1) & ~lifted
        joints = np.round(joints / CONTROL_RESOLUTION) * CONTROL_RESOLUTION
        if not exact.all():
            reached_position, reached_orientation = k.forward(joints)
            position = np.where(exact[:, None], position, reached_position)
            orientation = np.where(exact[:, None, None], orientation, reached_orientation)
        self.position[slots], self.orientation[slots] = position, orientation
        self.joints[slots] = joints
        finger = g.FINGER_CLOSED + wanted[:, 6] * (g.FINGER_OPEN - g.FINGER_CLOSED)
        finger = np.round(finger / CONTROL_RESOLUTION) * CONTROL_RESOLUTION
        return np.concatenate([joints, finger[:, None]], axis=1), clipped


def _above_table(position: Doubles, orientation: Doubles) -> tuple[Doubles, Bools]:
    """Tool positions (base frame) raised so that no fingertip corner is lower than TABLE_CLEARANCE above the table."""
    lowest = (
        position[:, 2]
        + g.BASE_POSITION[2]
        + TIP * orientation[:, 2, 0]
        - _PAD_HALF_WIDTH * np.abs(orientation[:, 2, 2])
        - _FINGER_SPAN * np.abs(orientation[:, 2, 1])
    )
    lack = np.maximum(TABLE_CLEARANCE - lowest, 0.0)
    raised = position.copy()
    raised[:, 2] += lack
    return raised, lack > 0.0
