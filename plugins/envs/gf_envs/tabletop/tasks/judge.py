"""Decides what an episode of reach, push, pick or place came to.

All four ask the same: something stays where it shall be for half a second, and the first card where it does so is the choice.

- reach: the tool is over a card's square, lower than REACH_HEIGHT, and the arm is still.
- push: the block lies on the table within a printed card's square, at rest and not touched, and was never grasped.
- pick: the block is held between the fingers, higher than PICK_HEIGHT.
- place: the released block rests on a card, as in gf/tabletop-v1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gf_core.contracts import Bools, Doubles, Outcome, Slots
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.judge import (
    ARM_STILL,
    REST_HEIGHT,
    REST_SPEED,
    REST_SPIN,
    REST_TOLERANCE,
    SETTLE_SECONDS,
    State,
)
from gf_envs.tabletop.tasks.scene import TASKS, TaskScene

REACH_HEIGHT = 0.05
"""A reaching tool is closer to the table than this [m]; a card is 0.14 m wide."""
PICK_HEIGHT = 0.06
"""A picked block's centre is above this [m]: three times as high as where it lies."""
BETWEEN_PADS = 0.018
"""A block whose centre is nearer than this [m] to the tool's axis across the fingers is gripped; one that is pushed by closed
fingers is at least half its side and half a pad away: 0.025 m."""

_NOWHERE = 1e3
"""Where cards lie that a scene doesn't have [m]; infinity would make nan of a turn."""

_REACH, _PUSH, _PICK, _PLACE = range(len(TASKS))


class TaskJudge:
    """Per-slot memory of an episode and its outcome. ``-1`` stands for "none" in the index arrays."""

    def __init__(self, slots: int, control_hz: float) -> None:
        # n observations span n - 1 control steps.
        self._settle_steps = math.ceil(SETTLE_SECONDS * control_hz) + 1
        self._horizon = np.zeros(slots, np.int64)
        self._cards: Doubles = np.full((slots, g.MAX_CARDS, 2), _NOWHERE)
        self._axis: Doubles = np.tile((1.0, 0.0), (slots, 1))
        self.task = np.full(slots, -1)
        self._target = np.full(slots, -1)
        self.steps = np.zeros(slots, np.int64)
        self.done = np.zeros(slots, bool)
        self._settled = np.zeros(slots, np.int64)
        self._settled_card = np.full(slots, -1)
        self._chosen = np.full(slots, -1)
        self._executed = np.zeros(slots, bool)
        self._grasped = np.zeros(slots, bool)
        self._unstable = np.zeros(slots, bool)

    def reset(self, slots: Slots, scenes: Sequence[TaskScene], horizons: Sequence[int]) -> None:
        """Forget what was in these slots."""
        for slot, scene, horizon in zip(slots, scenes, horizons, strict=True):
            cards = scene.layout.cards
            self._horizon[slot] = horizon
            self._cards[slot] = _NOWHERE
            self._cards[slot, : len(cards)] = [(card.x, card.y) for card in cards]
            self._axis[slot] = math.cos(cards[0].yaw), math.sin(cards[0].yaw)
            self.task[slot] = TASKS.index(scene.task)
            self._target[slot] = -1 if scene.layout.target is None else scene.layout.target
        for counter in (self.steps, self._settled):
            counter[slots] = 0
        for flag in (self.done, self._executed, self._grasped, self._unstable):
            flag[slots] = False
        for index in (self._settled_card, self._chosen):
            index[slots] = -1

    def watch(self, slots: Slots, state: State, tool: Doubles) -> Bools:
        """Take in the state after a control step and the tool's position ``(n, 3)`` [m, the simulation's world]; returns which
        episodes are done."""
        self.steps[slots] += 1
        task = self.task[slots]
        gripped = state.held & (np.abs(state.cube_in_tool[:, 2]) < BETWEEN_PADS)
        self._grasped[slots] |= gripped
        what = np.where((task == _REACH)[:, None], tool, state.cube_position)
        below, inside = self._over_card(slots, what)
        holds = self._is_there(task, state, tool, gripped)
        # A pick happens anywhere; it is remembered as card -1 that holds.
        card = np.where(task == _PICK, -1, below)
        holds &= inside | (task == _PICK)
        same = holds & (card == self._settled_card[slots]) & (self._settled[slots] > 0)
        self._settled[slots] = np.where(holds, np.where(same, self._settled[slots] + 1, 1), 0)
        self._settled_card[slots] = card

        executed = self._settled[slots] >= self._settle_steps
        self._executed[slots] |= executed
        self._chosen[slots] = np.where(executed & (self._chosen[slots] < 0), card, self._chosen[slots])
        self._unstable[slots] |= state.unstable
        spoilt = (task == _PUSH) & self._grasped[slots]
        over = self._executed[slots] | self._unstable[slots] | spoilt
        self.done[slots] = over | (self.steps[slots] >= self._horizon[slots])
        return self.done[slots].copy()

    def _over_card(self, slots: Slots, point: Doubles) -> tuple[np.ndarray, Bools]:
        """The card whose square each point ``(n, 3)`` is in, seen from above (the nearest of several), and whether one is."""
        offset = point[:, None, :2] - self._cards[slots]
        x, y = offset[:, :, 0], offset[:, :, 1]
        c, s = self._axis[slots].T[:, :, None]
        inside: Bools = (np.abs(c * x + s * y) <= g.CARD_HALF_SIZE) & (np.abs(c * y - s * x) <= g.CARD_HALF_SIZE)
        return np.where(inside, x**2 + y**2, np.inf).argmin(axis=1), np.asarray(inside.any(axis=1))

    def _is_there(self, task: np.ndarray, state: State, tool: Doubles, gripped: Bools) -> Bools:
        """``(n,)``: what the task asks for apart from the card holds now."""
        height = state.cube_position[:, 2]
        at_rest = (state.cube_speed < REST_SPEED) & (state.cube_spin < REST_SPIN) & ~state.touched
        lies = np.where(task == _PUSH, g.CUBE_HALF_SIZE, REST_HEIGHT)
        resting = at_rest & (np.abs(height - lies) < REST_TOLERANCE)
        reached = (tool[:, 2] < REACH_HEIGHT) & (state.joint_speed < ARM_STILL)
        holds: Bools = np.select([task == _REACH, task == _PICK], [reached, gripped & (height > PICK_HEIGHT)], resting)
        return holds

    def outcome(self, slot: int, state_sha256: str) -> Outcome:
        """The outcome of one slot."""
        task, target = int(self.task[slot]), int(self._target[slot])
        chosen = int(self._chosen[slot])
        executed, unstable = bool(self._executed[slot]), bool(self._unstable[slot])
        success = executed and not unstable and (task == _PICK or chosen == target >= 0)
        return Outcome(
            success=success,
            ending="success" if success else self._ending(slot),
            steps=int(self.steps[slot]),
            metrics={
                "executed": executed,
                "chosen": None if chosen < 0 else chosen,
                "recognized": None if chosen < 0 or target < 0 else chosen == target,
                "grasped": bool(self._grasped[slot]),
                "state_sha256": state_sha256,
            },
        )

    def _ending(self, slot: int) -> str:
        """Why an episode without success is over."""
        if self._unstable[slot]:
            return "unstable"
        if self._executed[slot]:
            return "chosen"
        return "grasped" if TASKS[self.task[slot]] == "push" and self._grasped[slot] else "horizon"
