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
        touched: ``(n,)`` any part of the arm touches the cube.
        unstable: ``(n,)`` the simulation diverged; its state means nothing any more.
        cube_in_tool: ``(n, 3)`` cube centre in the tool frame [m].
    """

    cube_position: Doubles
    cube_speed: Doubles
    cube_spin: Doubles
    joint_speed: Doubles
    held: Bools
    touched: Bools
    unstable: Bools
    cube_in_tool: Doubles


class Judge:
    """Per-slot memory of an episode and its outcome. ``-1`` stands for "none" in the index arrays."""

    def __init__(self, slots: int, control_hz: float) -> None:
        # n observations span n - 1 control steps.
        self._settle_steps = math.ceil(SETTLE_SECONDS * control_hz) + 1
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
        self._released = np.zeros(slots, bool)
        self._unstable = np.zeros(slots, bool)
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
        for flag in (self.done, self._carrying, self._released, self._unstable, self._paper_ever, self._success):
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
        settled_on = self._watch_settling(slots, state, offset, distance)

        by_paper = self._paper_rule[slots]
        meets_paper = self._meets_paper(state, distance)
        target = self._target[slots]
        paper = (target >= 0) & meets_paper[np.arange(len(slots)), np.maximum(target, 0)]
        self._paper_ever[slots] |= paper
        # The first card that meets the episode's rule is the choice, target or not; asked of the target alone, a policy that sets
        # the cube down on card after card would be right by the rule's own doing.
        nearest = distance.argmin(axis=1)
        candidate = np.where(by_paper, np.where(meets_paper.any(axis=1), nearest, -1), settled_on)
        self._chosen[slots] = np.where(self._chosen[slots] < 0, candidate, self._chosen[slots])
        on_target = (self._chosen[slots] >= 0) & (self._chosen[slots] == target)
        self._unstable[slots] |= state.unstable
        self._success[slots] = np.where(by_paper, paper, on_target) & ~self._unstable[slots]
        over = np.where(by_paper, paper, self._chosen[slots] >= 0) | self._unstable[slots]
        self.done[slots] = over | (self.steps[slots] >= self._horizon[slots])
        return self.done[slots].copy()

    def _watch_carrying(self, slots: Slots, state: State, distance: Doubles) -> None:
        """Follow the grip: what it slips, which card it comes nearest to, and where it lets go."""
        was, high = self._carrying[slots], state.cube_position[:, 2] > LIFT_HEIGHT
        now = state.held & (was | high)
        begins, ends = now & ~was, was & ~now
        self._grip[slots] = np.where(begins[:, None], state.cube_in_tool, self._grip[slots])
        drift = state.cube_in_tool - self._grip[slots]
        slip = np.sqrt(drift[:, 0] ** 2 + drift[:, 1] ** 2 + drift[:, 2] ** 2)
        self._slip[slots] = np.where(now & high, np.maximum(self._slip[slots], slip), self._slip[slots])

        # A release says more than any approach, and the last one most; after the choice nothing is intended any more.
        undecided = self._chosen[slots] < 0
        nearest, closest = distance.argmin(axis=1), distance.min(axis=1)
        nearer = now & high & undecided & ~self._released[slots] & (closest < self._approach[slots])
        self._approach[slots] = np.where(nearer, closest, self._approach[slots])
        self._intended[slots] = np.where(nearer | (ends & undecided), nearest, self._intended[slots])
        self._released[slots] |= ends
        self._carrying[slots] = now

    def _watch_settling(self, slots: Slots, state: State, offset: Doubles, distance: Doubles) -> Indices:
        """Card that the released cube has rested on for SETTLE_SECONDS, or -1."""
        inside = np.asarray((np.abs(offset) <= g.CARD_HALF_SIZE).all(axis=2))
        rests = (
            (np.abs(state.cube_position[:, 2] - REST_HEIGHT) < REST_TOLERANCE)
            & (state.cube_speed < REST_SPEED)
            & (state.cube_spin < REST_SPIN)
            & ~state.touched
        )
        card = np.where(rests & inside.any(axis=1), np.where(inside, distance, np.inf).argmin(axis=1), -1)
        same = (card >= 0) & (card == self._settled_card[slots])
        self._settled[slots] = np.where(card >= 0, np.where(same, self._settled[slots] + 1, 1), 0)
        self._settled_card[slots] = card
        return np.where(self._settled[slots] >= self._settle_steps, card, -1)

    def _meets_paper(self, state: State, distance: Doubles) -> Bools:
        """``(n, MAX_CARDS)``: the released benchmark's rule, asked of every card: cube near it, not grasped, arm still."""
        dz = state.cube_position[:, 2] - g.CARD_THICKNESS / 2
        near = np.sqrt(distance**2 + dz[:, None] ** 2) <= g.PAPER_RADIUS
        meets: Bools = near & (~state.held & (state.joint_speed < ARM_STILL))[:, None]
        return meets

    def outcome(self, slot: int, state_sha256: str) -> Outcome:
        """The outcome of one slot."""
        scene = self._scenes[slot]
        assert scene is not None
        chosen, intended = (None if a[slot] < 0 else int(a[slot]) for a in (self._chosen, self._intended))
        success = bool(self._success[slot])
        placed = chosen is not None and scene.success_rule == "card"
        return Outcome(
            success=success,
            ending="success" if success else "unstable" if self._unstable[slot] else "placed" if placed else "horizon",
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
