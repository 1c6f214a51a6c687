"""Watches the cube and decides what an episode's outcome is (docs/protocol.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Bools, Doubles, Outcome, Slots
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.scene import Scene

Indices = NDArray[np.int64]

SETTLE_SECONDS = 0.5
REST_HEIGHT = g.CARD_THICKNESS + g.CUBE_HALF_SIZE
REST_TOLERANCE = 0.003
REST_SPEED = 0.02
"""The cube rests below this speed [m/s]."""
REST_SPIN = 0.5
"""... and below this angular speed [rad/s]."""
LIFT_HEIGHT = 0.025
"""A held cube whose centre is above this [m] is carried."""
ARM_STILL = 0.2
"""Joint speed [rad/s] under which the paper's rule calls the arm still (ManiSkill's `is_static` threshold)."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What the judge is shown of the simulations of one call: n slots.

    Attributes:
        cube_position: ``(n, 3)`` [m, world].
        cube_speed, cube_spin: ``(n,)`` [m/s], [rad/s].
        joint_speed: ``(n,)`` fastest arm joint [rad/s].
        held: ``(n,)`` both pads touch the cube.
        touched: ``(n,)`` any part of the hand touches the cube.
        cube_in_tool: ``(n, 3)`` cube centre in the tool frame [m].
    """

    cube_position: Doubles
    cube_speed: Doubles
    cube_spin: Doubles
    joint_speed: Doubles
    held: Bools
    touched: Bools
    cube_in_tool: Doubles


class Judge:
    """Per-slot memory of an episode and its outcome. ``-1`` stands for "none" in the index arrays."""

    def __init__(self, slots: int, control_hz: float) -> None:
        self._settle_steps = math.ceil(SETTLE_SECONDS * control_hz)
        self._scenes: list[Scene | None] = [None] * slots
        self._horizon = np.zeros(slots, np.int64)
        self._cards: Doubles = np.full((slots, g.MAX_CARDS, 2), np.inf)
        self._target = np.full(slots, -1)
        self._paper_rule = np.zeros(slots, bool)
        self.steps = np.zeros(slots, np.int64)
        self.done = np.zeros(slots, bool)
        self._settled = np.zeros(slots, np.int64)
        self._settled_card = np.full(slots, -1)
        self._chosen = np.full(slots, -1)
        self._intended = np.full(slots, -1)
        self._approach: Doubles = np.full(slots, np.inf)
        self._carrying = np.zeros(slots, bool)
        self._grip: Doubles = np.zeros((slots, 3))
        self._slip: Doubles = np.zeros(slots)
        self._paper_ever = np.zeros(slots, bool)
        self._success = np.zeros(slots, bool)

    def reset(self, slots: Slots, scenes: Sequence[Scene], horizons: Sequence[int]) -> None:
        """Forget what was in these slots."""
        for slot, scene, horizon in zip(slots, scenes, horizons, strict=True):
            self._scenes[slot] = scene
            self._horizon[slot] = horizon
            self._cards[slot] = np.inf
            self._cards[slot, : len(scene.cards)] = [(c.x, c.y) for c in scene.cards]
            self._target[slot] = -1 if scene.target is None else scene.target
            self._paper_rule[slot] = scene.success_rule == "paper"
        for counter in (self.steps, self._settled):
            counter[slots] = 0
        for flag in (self.done, self._carrying, self._paper_ever, self._success):
            flag[slots] = False
        for index in (self._settled_card, self._chosen, self._intended):
            index[slots] = -1
        self._approach[slots] = np.inf
        self._slip[slots] = 0.0

    def watch(self, slots: Slots, state: State) -> Bools:
        """Take in the state after a control step; returns which episodes are done."""
        self.steps[slots] += 1
        offset = state.cube_position[:, None, :2] - self._cards[slots]
        distance = np.sqrt(offset[:, :, 0] ** 2 + offset[:, :, 1] ** 2)
        self._watch_carrying(slots, state, distance)
        placed_on = self._watch_settling(slots, state, offset)
        newly = (placed_on >= 0) & (self._chosen[slots] < 0)
        self._chosen[slots] = np.where(newly, placed_on, self._chosen[slots])

        paper = self._paper(slots, state)
        self._paper_ever[slots] |= paper
        by_paper = self._paper_rule[slots]
        # The paper's rule may hold before the cube has settled: what it rests on then is the first choice.
        resting = self._resting_on(state, offset)
        self._chosen[slots] = np.where(by_paper & paper & (self._chosen[slots] < 0), resting, self._chosen[slots])
        on_target = (self._chosen[slots] >= 0) & (self._chosen[slots] == self._target[slots])
        self._success[slots] = np.where(by_paper, paper, on_target)
        over = np.where(by_paper, paper, self._chosen[slots] >= 0)
        self.done[slots] = over | (self.steps[slots] >= self._horizon[slots])
        return self.done[slots].copy()

    def _watch_carrying(self, slots: Slots, state: State, distance: Doubles) -> None:
        """Follow the grip: what it slips, which card it comes nearest to, and where it lets go."""
        was = self._carrying[slots]
        now = state.held & (was | (state.cube_position[:, 2] > LIFT_HEIGHT))
        begins, ends = now & ~was, was & ~state.touched
        # Fingers that open lose contact one after the other; until both have, it is neither carried nor released.
        now |= was & state.touched
        self._grip[slots] = np.where(begins[:, None], state.cube_in_tool, self._grip[slots])
        drift = state.cube_in_tool - self._grip[slots]
        slip = np.sqrt(drift[:, 0] ** 2 + drift[:, 1] ** 2 + drift[:, 2] ** 2)
        in_air = now & state.held & (state.cube_position[:, 2] > LIFT_HEIGHT)
        self._slip[slots] = np.where(in_air, np.maximum(self._slip[slots], slip), self._slip[slots])

        nearest, closest = distance.argmin(axis=1), distance.min(axis=1)
        self._approach[slots] = np.where(begins, np.inf, self._approach[slots])
        nearer = now & (closest < self._approach[slots])
        self._approach[slots] = np.where(nearer, closest, self._approach[slots])
        self._intended[slots] = np.where(nearer | ends, nearest, self._intended[slots])
        self._carrying[slots] = now

    def _resting_on(self, state: State, offset: Doubles) -> Indices:
        """Card that the released cube rests on at this moment, or -1."""
        inside = np.asarray((np.abs(offset) <= g.CARD_HALF_SIZE).all(axis=2))
        rests = (
            (np.abs(state.cube_position[:, 2] - REST_HEIGHT) < REST_TOLERANCE)
            & (state.cube_speed < REST_SPEED)
            & (state.cube_spin < REST_SPIN)
            & ~state.touched
        )
        return np.where(rests & inside.any(axis=1), inside.argmax(axis=1), -1)

    def _watch_settling(self, slots: Slots, state: State, offset: Doubles) -> Indices:
        """Card that the cube has rested on for SETTLE_SECONDS, or -1."""
        card = self._resting_on(state, offset)
        same = (card >= 0) & (card == self._settled_card[slots])
        self._settled[slots] = np.where(card >= 0, np.where(same, self._settled[slots] + 1, 1), 0)
        self._settled_card[slots] = card
        return np.where(self._settled[slots] >= self._settle_steps, card, -1)

    def _paper(self, slots: Slots, state: State) -> Bools:
        """The released benchmark's rule: near the target card, not grasped, arm still."""
        target = self._target[slots]
        goal = self._cards[slots, np.maximum(target, 0)]
        dx, dy = (state.cube_position[:, i] - goal[:, i] for i in (0, 1))
        dz = state.cube_position[:, 2] - g.CARD_THICKNESS / 2
        near = np.sqrt(dx**2 + dy**2 + dz**2) <= g.PAPER_RADIUS
        holds: Bools = (target >= 0) & near & ~state.held & (state.joint_speed < ARM_STILL)
        return holds

    def outcome(self, slot: int, state_sha256: str) -> Outcome:
        """The outcome of one slot."""
        scene = self._scenes[slot]
        assert scene is not None
        chosen, intended = (None if a[slot] < 0 else int(a[slot]) for a in (self._chosen, self._intended))
        success = bool(self._success[slot])
        placed = chosen is not None and scene.success_rule == "card"
        return Outcome(
            success=success,
            ending="success" if success else "placed" if placed else "horizon",
            steps=int(self.steps[slot]),
            metrics={
                "executed": chosen is not None,
                "chosen": chosen,
                "recognized": None if chosen is None or scene.target is None else chosen == scene.target,
                "intended": intended,
                "intent_correct": None if scene.target is None else intended == scene.target,
                "success_on_card": chosen is not None and chosen == scene.target,
                "success_paper": bool(self._paper_ever[slot]),
                "slip": round(float(self._slip[slot]), 9),
                "state_sha256": state_sha256,
            },
        )
