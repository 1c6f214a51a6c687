"""Kinematics of the WidowX 250 S, for many slots at once.

Joint origins and limits are those of the manufacturer's description (Interbotix `wx250s`, also
mujoco_menagerie/trossen_wx250s). The last three axes meet in one point (a spherical wrist), so position and orientation
separate and the inverse is closed-form (Pieper 1968). Lengths in metres, angles in radians, poses in the robot's base frame. The
tool frame sits between the fingertips: x along the fingers, y along their opening, z completes it; at the start pose it points
straight down.
"""

from __future__ import annotations

import math

import numpy as np

from gf_core.contracts import Bools, Doubles
from gf_envs.tabletop.rotations import matmul, rot_x, rot_y, rot_z

JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
LOWER = np.array([-3.14158, -1.88496, -2.14675, -3.14158, -1.74533, -3.14158])
UPPER = np.array([3.14158, 1.98968, 1.6057, 3.14158, 2.14675, 3.14158])

SHOULDER_Z = 0.072
UPPER_ARM_Z = 0.03865
ELBOW = (0.04975, 0.25)
"""Upper arm from shoulder axis to elbow axis: forward and up, at shoulder angle 0."""
FOREARM_ROLL_X = 0.175
WRIST_X = 0.075
GRIPPER_X = 0.065
FINGER_X = 0.066
TOOL_X = 0.105

_SHOULDER = SHOULDER_Z + UPPER_ARM_Z
_L1 = math.hypot(*ELBOW)
_LEAN = math.atan2(*ELBOW)
_L2 = FOREARM_ROLL_X + WRIST_X
_TOOL = GRIPPER_X + TOOL_X
_MAX_REACH = (_L1 + _L2) * 0.9995
_MIN_REACH = 0.08
R_DOWN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Tool orientation at the start pose: pointing straight down, Ry(π/2)."""


def forward(joints: Doubles) -> tuple[Doubles, Doubles]:
    """Tool position ``(N, 3)`` and orientation ``(N, 3, 3)`` for joint angles ``(N, 6)``."""
    upper, pitch = joints[:, 1] + _LEAN, joints[:, 1] + joints[:, 2]
    radius = _L1 * np.sin(upper) + _L2 * np.cos(pitch)
    height = _SHOULDER + _L1 * np.cos(upper) - _L2 * np.sin(pitch)
    wrist = np.stack([radius * np.cos(joints[:, 0]), radius * np.sin(joints[:, 0]), height], axis=-1)
    arm = matmul(rot_z(joints[:, 0]), rot_y(pitch))
    hand = matmul(matmul(rot_x(joints[:, 3]), rot_y(joints[:, 4])), rot_x(joints[:, 5]))
    orientation = matmul(arm, hand)
    return wrist + _TOOL * orientation[:, :, 0], orientation


def inverse(position: Doubles, orientation: Doubles, previous: Doubles) -> tuple[Doubles, Bools]:
    """Joint angles ``(N, 6)`` that bring the tool to a pose, elbow up, closest to ``previous`` joint angles ``(N, 6)``.

    A wrist out of reach is drawn back along its line to the shoulder and joint limits are clipped; the second value ``(N,) bool``
    says where the pose is reached exactly.
    """
    wrist = position - _TOOL * orientation[:, :, 0]
    radius, height = np.sqrt(wrist[:, 0] ** 2 + wrist[:, 1] ** 2), wrist[:, 2] - _SHOULDER
    # With the wrist above the shoulder the azimuth is undefined: keep the waist where it is.
    waist = np.where(radius > 1e-6, np.arctan2(wrist[:, 1], wrist[:, 0]), previous[:, 0])
    distance = np.sqrt(radius**2 + height**2)
    reach = np.minimum(np.maximum(distance, _MIN_REACH), _MAX_REACH)
    bend = np.arccos((reach**2 - _L1**2 - _L2**2) / (2 * _L1 * _L2))
    upper = np.arctan2(radius, height) - np.arctan2(_L2 * np.sin(bend), _L1 + _L2 * np.cos(bend))
    shoulder, elbow = upper - _LEAN, bend + _LEAN - math.pi / 2

    roll, angle, rotate = _wrist_angles(waist, shoulder + elbow, orientation, previous[:, 3:])
    joints = np.stack([waist, shoulder, elbow, roll, angle, rotate], axis=-1)
    clipped = np.minimum(np.maximum(joints, LOWER), UPPER)
    exact = (np.abs(distance - reach) < 1e-9) & (np.abs(joints - clipped) < 1e-9).all(axis=1)
    return clipped, exact


def _wrist_angles(waist: Doubles, pitch: Doubles, orientation: Doubles, previous: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Solve ``(Rz(waist)·Ry(pitch))ᵀ·orientation = Rx(roll)·Ry(angle)·Rx(rotate)``.

    Of the two solutions, the one within limits and nearest to ``previous``.
    """
    cw, sw, cp, sp = np.cos(waist), np.sin(waist), np.cos(pitch), np.sin(pitch)
    # Rows of the product's left factor; the product is written out where it is needed.
    ahead = np.stack([cw * cp, sw * cp, -sp], axis=-1)[:, :, None] * orientation
    ahead = ahead[:, 0] + ahead[:, 1] + ahead[:, 2]
    side = cw[:, None] * orientation[:, 1] - sw[:, None] * orientation[:, 0]
    above = np.stack([cw * sp, sw * sp, cp], axis=-1)[:, :, None] * orientation
    above = above[:, 0] + above[:, 1] + above[:, 2]

    sine = np.sqrt(side[:, 0] ** 2 + above[:, 0] ** 2)
    angle = np.arctan2(sine, ahead[:, 0])
    straight = sine < 1e-6
    total = np.arctan2(above[:, 1], side[:, 1])
    best, cost = _branch(1.0, angle, ahead, side, above, straight, total, previous)
    # The other solution's roll lies half a turn away: it can't be nearer than a quarter turn where this one is.
    if (cost >= np.pi / 2).any():
        other, other_cost = _branch(-1.0, angle, ahead, side, above, straight, total, previous)
        best = np.where((other_cost < cost)[:, None], other, best)
    return best[:, 0], best[:, 1], best[:, 2]


def _branch(
    sign: float,
    angle: Doubles,
    ahead: Doubles,
    side: Doubles,
    above: Doubles,
    straight: Bools,
    total: Doubles,
    previous: Doubles,
) -> tuple[Doubles, Doubles]:
    """One of the two solutions ``(N, 3)``, and how far it lies from ``previous``; out of limits costs extra."""
    roll = np.arctan2(sign * side[:, 0], -sign * above[:, 0])
    rotate = np.arctan2(sign * ahead[:, 1], sign * ahead[:, 2])
    if straight.any():
        # A straight wrist only fixes roll + rotate: keep the roll.
        roll = np.where(straight, previous[:, 0], roll)
        rotate = np.where(straight, _wrap(total - previous[:, 0]), rotate)
    branch = np.stack([roll, sign * angle, rotate], axis=-1)
    outside = ((branch < LOWER[3:] - 1e-9) | (branch > UPPER[3:] + 1e-9)).any(axis=1)
    return branch, np.abs(branch - previous).max(axis=1) + 100.0 * outside


def _wrap(angle: Doubles) -> Doubles:
    """Angles in (-π, π]."""
    return np.arctan2(np.sin(angle), np.cos(angle))


def relative_orientation(orientation: Doubles) -> Doubles:
    """Orientation relative to the gripper pointing down, ``R·R_downᵀ`` (BridgeData's convention), ``(N, 3, 3)``."""
    return matmul(orientation, np.broadcast_to(R_DOWN.T, orientation.shape))
