"""How a scripted hand stands: small rotations, in the robot's base frame."""

from __future__ import annotations

import math

import numpy as np

from gf_core.contracts import Doubles


def orientation(position: Doubles, twist: float, tilt: float) -> Doubles:
    """The gripper's orientation ``(3, 3)`` at a position: in the arm's vertical plane, leaning and twisted [rad]."""
    c, s = math.cos(twist), math.sin(twist)
    about_tool = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    turned: Doubles = pointing(math.atan2(position[1], position[0]), tilt) @ about_tool
    return turned


def pointing(yaw: float, tilt: float) -> Doubles:
    """Tool orientation: down, leaning outward by ``tilt``, turned by ``yaw``: Rz(yaw)·Ry(π/2 - tilt)."""
    c, s = math.cos(yaw), math.sin(yaw)
    down, out = math.cos(tilt), math.sin(tilt)
    return np.array([[c * out, -s, c * down], [s * out, c, s * down], [-down, 0.0, out]])


def rotvec(rotation: Doubles) -> Doubles:
    """Rotation vector [rad] of a rotation by less than π."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = 0.5 * math.sqrt(float((skew**2).sum()))
    angle = math.atan2(sine, 0.5 * (float(np.trace(rotation)) - 1.0))
    return skew * (0.5 * angle / sine if sine > 1e-9 else 0.5)
