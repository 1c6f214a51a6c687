"""Rotations of many slots at once, written out element by element.

No BLAS and no einsum: their summation order may depend on the batch size, and a slot's bits must not.
All matrices are ``(N, 3, 3) float64``, active rotations that map local coordinates to the parent frame.
"""

from __future__ import annotations

import numpy as np

from gf_core.contracts import Doubles


def matmul(a: Doubles, b: Doubles) -> Doubles:
    """``(N, 3, 3)`` products of ``(N, 3, 3)`` matrices."""
    return a[:, :, 0:1] * b[:, 0:1, :] + a[:, :, 1:2] * b[:, 1:2, :] + a[:, :, 2:3] * b[:, 2:3, :]


def apply(a: Doubles, v: Doubles) -> Doubles:
    """``(N, 3)`` products of ``(N, 3, 3)`` matrices and ``(N, 3)`` vectors."""
    return a[:, :, 0] * v[:, 0:1] + a[:, :, 1] * v[:, 1:2] + a[:, :, 2] * v[:, 2:3]


def transpose(a: Doubles) -> Doubles:
    """Inverse rotations."""
    return np.swapaxes(a, 1, 2)


def _assemble(rows: tuple[tuple[Doubles, ...], ...]) -> Doubles:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rot_x(angle: Doubles) -> Doubles:
    """Rotations by ``(N,)`` angles [rad] about x."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return _assemble(((i, o, o), (o, c, -s), (o, s, c)))


def rot_y(angle: Doubles) -> Doubles:
    """Rotations by ``(N,)`` angles [rad] about y."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return _assemble(((c, o, s), (o, i, o), (-s, o, c)))


def rot_z(angle: Doubles) -> Doubles:
    """Rotations by ``(N,)`` angles [rad] about z."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return _assemble(((c, -s, o), (s, c, o), (o, o, i)))


def from_rotvec(rotvec: Doubles) -> Doubles:
    """Rotation matrices of ``(N, 3)`` rotation vectors [rad], by Rodrigues' formula."""
    angle = np.sqrt(rotvec[:, 0] ** 2 + rotvec[:, 1] ** 2 + rotvec[:, 2] ** 2)
    safe = np.where(angle > 1e-12, angle, 1.0)
    x, y, z = (rotvec[:, i] / safe for i in range(3))
    c, s = np.cos(angle), np.sin(angle)
    d = 1.0 - c
    return _assemble(
        (
            (c + x * x * d, x * y * d - z * s, x * z * d + y * s),
            (y * x * d + z * s, c + y * y * d, y * z * d - x * s),
            (z * x * d - y * s, z * y * d + x * s, c + z * z * d),
        )
    )


def to_rotvec(a: Doubles) -> Doubles:
    """``(N, 3)`` rotation vectors [rad] of rotation matrices, angle in [0, π]."""
    skew = np.stack([a[:, 2, 1] - a[:, 1, 2], a[:, 0, 2] - a[:, 2, 0], a[:, 1, 0] - a[:, 0, 1]], axis=-1)
    sine = 0.5 * np.sqrt(skew[:, 0] ** 2 + skew[:, 1] ** 2 + skew[:, 2] ** 2)
    cosine = 0.5 * (a[:, 0, 0] + a[:, 1, 1] + a[:, 2, 2] - 1.0)
    angle = np.arctan2(sine, cosine)
    scale = np.where(sine > 1e-9, 0.5 * angle / np.where(sine > 1e-9, sine, 1.0), 0.5)
    rotvec = skew * scale[:, None]
    # Near π the skew part vanishes; the axis is then the column of (A + I) with the largest diagonal element.
    for i in np.flatnonzero((sine <= 1e-9) & (cosine < 0.0)):
        symmetric = a[i] + np.eye(3)
        axis = symmetric[:, int(np.argmax(np.diag(symmetric)))]
        rotvec[i] = np.pi * axis / np.sqrt((axis**2).sum())
    return rotvec


def to_euler_xyz(a: Doubles) -> Doubles:
    """``(N, 3)`` extrinsic x-y-z angles [rad] (roll, pitch, yaw: A = Rz·Ry·Rx); pitch in [-π/2, π/2]."""
    pitch = np.arctan2(-a[:, 2, 0], np.sqrt(a[:, 0, 0] ** 2 + a[:, 1, 0] ** 2))
    return np.stack([np.arctan2(a[:, 2, 1], a[:, 2, 2]), pitch, np.arctan2(a[:, 1, 0], a[:, 0, 0])], axis=-1)
