"""The scene is where the published benchmark put it."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.model import TIMESTEP, scene_xml
from gf_envs.tabletop.spec import CAMERAS, CONTROL_HZ


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(scene_xml())


def test_published_geometry(model: mujoco.MjModel) -> None:
    np.testing.assert_allclose(model.body("base").pos, (-0.45, 0.0, 0.10))
    np.testing.assert_allclose(model.geom("card0").size, (0.07, 0.07, 0.001))
    np.testing.assert_allclose(model.geom("cube").size, (0.015, 0.015, 0.015))
    np.testing.assert_allclose(model.joint("left_finger").range, (0.015, 0.037))
    camera = model.camera("third")
    np.testing.assert_allclose(camera.pos, (-0.35, -0.21, 0.564))
    assert math.isclose(math.radians(camera.fovy[0]), 1.2)
    assert model.body("cube").mass[0] == pytest.approx(0.03)


def test_third_camera_looks_at_its_target(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = data.camera("third")
    view = -camera.xmat.reshape(3, 3)[:, 2]
    wanted = np.subtract(g.CAMERA_TARGET, g.CAMERA_EYE)
    np.testing.assert_allclose(view, wanted / np.linalg.norm(wanted), atol=1e-9)


def test_cameras_and_control_rates_fit_the_spec(model: mujoco.MjModel) -> None:
    assert {model.camera(i).name for i in range(model.ncam)} == set(CAMERAS)
    for hz in CONTROL_HZ:
        assert (1 / hz / TIMESTEP) == pytest.approx(round(1 / hz / TIMESTEP))


def test_the_arm_holds_its_start_pose(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    data.qpos[:6] = g.START_JOINTS
    data.qpos[6:8] = g.FINGER_OPEN
    data.ctrl[:6] = g.START_JOINTS
    data.ctrl[6] = g.FINGER_OPEN
    for _ in range(400):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos[:6], g.START_JOINTS, atol=1e-6)
    np.testing.assert_allclose(data.body("cube").xpos[2], g.CUBE_HALF_SIZE, atol=1e-4)
