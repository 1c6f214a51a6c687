"""Gives pictures a look: what the renderer changes of its model."""

from __future__ import annotations

import math

import numpy as np

from gf_envs.tabletop.bindings import mujoco
from gf_envs.tabletop.look import Look, Vector
from gf_envs.tabletop.model import CAMERA, CUBE_MATERIAL, SUN, TABLE_MATERIAL, look_axes


class Dresser:
    """Gives one model's pictures a look; the physics has a model of its own.

    Args:
        model: the model that is drawn.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._camera, self._sun = model.camera(CAMERA).id, model.light(SUN).id
        self._materials = model.material(TABLE_MATERIAL).id, model.material(CUBE_MATERIAL).id
        self._own = {name: getattr(model, name).copy() for name in ("cam_pos", "cam_quat", "cam_fovy", "light_dir", "mat_rgba")}
        self._worn: Look | None = None

    def wear(self, look: Look | None) -> None:
        """Change the model to this look, or back to its own."""
        if look == self._worn:
            return
        for name, values in self._own.items():
            getattr(self._model, name)[:] = values
        self._worn = look
        if look is None:
            return
        self._model.cam_pos[self._camera] = look.eye
        self._model.cam_quat[self._camera] = camera_quaternion(look.eye, look.target)
        self._model.cam_fovy[self._camera] = math.degrees(look.fovy)
        for material, colour in zip(self._materials, (look.table, look.cube), strict=True):
            self._model.mat_rgba[material, :3] = colour
        self._model.light_dir[self._sun] = np.divide(look.sun, math.hypot(*look.sun))


def camera_quaternion(eye: Vector, target: Vector) -> tuple[float, float, float, float]:
    """wxyz of a camera at ``eye`` that looks at ``target``, upright. MuJoCo's cameras look along -z with y up."""
    right, up = np.array(look_axes(eye, target)).reshape(2, 3)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, up, np.cross(right, up)], axis=1).reshape(9))
    w, x, y, z = quaternion.tolist()
    return w, x, y, z
