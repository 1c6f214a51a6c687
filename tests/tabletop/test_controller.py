"""Deltas become joint targets: exactly within bounds, clipped beyond, guarded against wild actions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.controller import JOINT_RATE, Controller
from gf_envs.tabletop.rotations import from_rotvec

SLOT = np.zeros(1, np.int32)


def started(hz: float = 20.0) -> Controller:
    controller = Controller(1, hz)
    controller.reset(SLOT, np.array([g.START_JOINTS]))
    return controller


def action(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def test_small_delta_is_exact_and_left_multiplied() -> None:
    controller = started()
    before_position, before_orientation = controller.position.copy(), controller.orientation.copy()
    controls, clipped = controller.controls(SLOT, action(0.01, -0.005, -0.01, 0.02, 0.01, -0.03, 1.0))
    assert not clipped[0]
    position, orientation = k.forward(controls[:, :6])
    np.testing.assert_allclose(position - before_position, [[0.01, -0.005, -0.01]], atol=2e-6)
    turned = from_rotvec(np.array([[0.02, 0.01, -0.03]])) @ before_orientation
    np.testing.assert_allclose(orientation, turned, atol=5e-6)
    assert controls[0, 6] == pytest.approx(g.FINGER_OPEN)


@pytest.mark.parametrize(("values", "clipped"), [
    ((0.1, 0, 0, 0, 0, 0, 1), False), ((0.100002, 0, 0, 0, 0, 0, 1), True), ((0, 0, 0, 0, -0.2, 0, 0), True),
    ((0, 0, 0, 0, 0, 0, 1.01), True), ((0, 0, 0, 0, 0, 0, -0.01), True), ((0, 0, 0, 0.1, 0, -0.1, 0), False),
])  # fmt: skip
def test_bounds_are_inclusive_and_clipping_is_said(values: tuple[float, ...], clipped: bool) -> None:
    controls, said = started().controls(SLOT, action(*values))
    assert said[0] == clipped
    assert g.FINGER_CLOSED <= controls[0, 6] <= g.FINGER_OPEN


def test_lower_rates_allow_the_same_speed() -> None:
    _, clipped = started(5.0).controls(SLOT, action(0.3, 0, 0, 0, 0, 0.35, 1))
    assert not clipped[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        started().controls(SLOT, action(0, value, 0, 0, 0, 0, 0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5.0, 10.0, 20.0]))
def test_wild_actions_stay_within_rates_limits_and_above_the_table(seed: int, hz: float) -> None:
    rng = np.random.default_rng(seed)
    controller = started(hz)
    before = controller.joints.copy()
    for _ in range(30):
        controls, _ = controller.controls(SLOT, rng.uniform(-5, 5, (1, 7)).astype(np.float32))
        assert np.isfinite(controls).all()
        assert (np.abs(controls[:, :6] - before) <= JOINT_RATE / hz + 2e-6).all()
        assert (controls[:, :6] >= k.LOWER - 1e-6).all()
        assert (controls[:, :6] <= k.UPPER + 1e-6).all()
        before = controls[:, :6].copy()


def test_the_target_does_not_wind_up_out_of_reach() -> None:
    controller = started()
    for _ in range(40):
        controller.controls(SLOT, action(0.1, 0, 0, 0, 0, 0, 1))
    there = controller.position[0, 0]
    # Near the stretched arm the joint-rate limit slows the way back; a wound-up target would take 200 steps to return.
    for _ in range(8):
        controller.controls(SLOT, action(-0.02, 0, 0, 0, 0, 0, 1))
    assert controller.position[0, 0] < there - 0.05


def test_fingertips_stop_above_the_table() -> None:
    controller = started()
    for _ in range(40):
        controller.controls(SLOT, action(0, 0, -0.02, 0, 0, 0, 0))
    assert controller.position[0, 2] + g.BASE_POSITION[2] == pytest.approx(0.011, abs=1e-3)
