"""Closed-form kinematics against MuJoCo's own and against themselves."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.model import scene_xml
from gf_envs.tabletop.rotations import from_rotvec, to_euler_xyz, to_rotvec


def poses(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(k.LOWER, k.UPPER, (n, 6))


def test_forward_agrees_with_the_model() -> None:
    model = mujoco.MjModel.from_xml_string(scene_xml())
    data = mujoco.MjData(model)
    joints = poses(0, 200)
    position, orientation = k.forward(joints)
    for i, q in enumerate(joints):
        data.qpos[:6] = q
        mujoco.mj_kinematics(model, data)
        tool = data.site("tool")
        np.testing.assert_allclose(position[i] + g.BASE_POSITION, tool.xpos, atol=1e-12)
        np.testing.assert_allclose(orientation[i], tool.xmat.reshape(3, 3), atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_inverse_undoes_forward_wherever_it_says_so(seed: int) -> None:
    joints = poses(seed, 100)
    position, orientation = k.forward(joints)
    solved, exact = k.inverse(position, orientation, joints)
    assert exact.mean() > 0.7
    again_position, again_orientation = k.forward(solved)
    np.testing.assert_allclose(again_position[exact], position[exact], atol=1e-9)
    np.testing.assert_allclose(again_orientation[exact], orientation[exact], atol=1e-9)
    assert (solved >= k.LOWER).all()
    assert (solved <= k.UPPER).all()


def test_inverse_prefers_the_branch_it_is_on() -> None:
    joints = np.array([[0.2, 0.1, 0.4, 0.3, 0.8, -0.2], [0.2, 0.1, 0.4, 0.3, -0.8, -0.2]])
    position, orientation = k.forward(joints)
    solved, exact = k.inverse(position, orientation, joints)
    assert exact.all()
    np.testing.assert_allclose(solved, joints, atol=1e-9)


def test_out_of_reach_is_drawn_back_and_said() -> None:
    orientation = k.R_DOWN[None]
    solved, exact = k.inverse(np.array([[0.9, 0.0, 0.0]]), orientation, np.zeros((1, 6)))
    assert not exact[0]
    reached, _ = k.forward(solved)
    assert 0.45 < reached[0, 0] < 0.9


def test_bits_do_not_depend_on_the_batch() -> None:
    joints = poses(1, 64)
    position, orientation = k.forward(joints)
    whole, _ = k.inverse(position, orientation, joints)
    for n in (1, 3, 17):
        part, _ = k.inverse(position[:n], orientation[:n], joints[:n])
        assert part.tobytes() == whole[:n].tobytes()


@pytest.mark.parametrize("angle", [0.0, 1e-13, 1e-7, 0.5, 3.0, np.pi - 1e-10, np.pi])
def test_rotation_vectors_round_trip(angle: float) -> None:
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    rotation = from_rotvec((angle * axis)[None])
    np.testing.assert_allclose(from_rotvec(to_rotvec(rotation)), rotation, atol=1e-8)
    np.testing.assert_allclose(rotation[0] @ rotation[0].T, np.eye(3), atol=1e-12)


def test_euler_angles_are_extrinsic_xyz_and_zero_at_the_start() -> None:
    _, start = k.forward(np.array([g.START_JOINTS]))
    np.testing.assert_allclose(to_euler_xyz(k.relative_orientation(start)), 0.0, atol=1e-12)
    roll, pitch, yaw = (from_rotvec(np.eye(3)[i : i + 1] * angle)[0] for i, angle in enumerate((0.3, -0.2, 0.9)))
    np.testing.assert_allclose(to_euler_xyz((yaw @ pitch @ roll)[None])[0], (0.3, -0.2, 0.9), atol=1e-12)
