"""The scripted expert of gf/tabletop-tasks-v1. It sees the simulator's state, so it is never ranked.

Each task is a generator: it is sent a slot's state before every step and yields where the hand shall go. Speeds and tolerances
are those of gf/expert-v1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gf_core.contracts import ActionChunk, Doubles, Observation, PolicyContext, Slots
from gf_policies.expert import (
    CAREFUL_SPEED,
    CLOSE_SECONDS,
    CLOSED,
    CUBE_HALF,
    DROP,
    EXACT,
    HOVER,
    NEAR,
    OPEN,
    OPEN_SECONDS,
    SPEED,
    TILT,
    TILT_FROM,
    TILT_TO,
    TURN,
    misfit_of,
)
from gf_policies.hand import orientation, rotvec

TASKS = ("reach", "push", "pick", "place")
"""What the environment's state calls 0, 1, 2 and 3."""

POINT_HEIGHT = 0.02
"""The tool reaches to this far above a card [m]."""
LIFT = 0.10
"""A picked block is lifted this far [m]."""
PUSH_SPEED = 0.12
"""Tool speed while pushing [m/s]."""
BEHIND = 0.055
"""The closed hand is lowered this far behind the block's centre [m]: half a diagonal, half a pad and some air are 0.036 m."""
CONTACT = 0.025
"""The hand's distance from the block's centre while it pushes: half a side and half a pad [m]."""
LEAD_SECONDS = 0.1
"""While pushing, the hand is sent beyond CONTACT by what it covers in this time, or in a step if that is longer."""
ASTRAY = math.radians(50.0)
"""The hand goes back behind the block where it is further off the line through block and mark."""
PUSHED = 0.012
"""A block this near to the mark's centre [m] has arrived."""

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class State:
    """One slot's row of the privileged observation; base frame, metres."""

    task: str
    cube: Doubles
    target: Doubles | None
    tool: Doubles
    position: Doubles
    orientation: Doubles


@dataclass(frozen=True)
class Move:
    """Where the hand shall go: tool position [m] (``None``: stay), opening, speed [m/s], and how the gripper stands there.

    It points down, leans outward by ``tilt`` [rad] in the arm's vertical plane, and is turned about itself by ``twist`` [rad].
    """

    position: Doubles | None
    opening: float
    speed: float = SPEED
    twist: float = 0.0
    tilt: float = 0.0


Script = Generator[Move, State, None]
Way = Generator[Move, State, State]


class TasksExpert:
    """Plays each slot's script."""

    def __init__(self, context: PolicyContext) -> None:
        self._hz = context.action.hz
        self._low, self._high = np.array(context.action.field.low), np.array(context.action.field.high)
        self._scripts: dict[int, Script | None] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """Forget these slots' scripts; nothing is drawn."""
        for slot in slots.tolist():
            self._scripts[slot] = None

    def act(self, observation: Observation) -> ActionChunk:
        """One step for every slot."""
        actions = [self._step(slot, _state(observation, row)) for row, slot in enumerate(observation.slots.tolist())]
        return ActionChunk(actions=np.array(actions, np.float32)[:, None, :])

    def close(self) -> None:
        """Nothing to free."""

    def _step(self, slot: int, state: State) -> Doubles:
        script = self._scripts[slot]
        if script is None:
            script = self._scripts[slot] = SCRIPTS[state.task](state, self._hz)
            move = next(script)
        else:
            move = script.send(state)
        if move.position is None:
            return np.array([0.0] * 6 + [move.opening])
        delta = move.position - state.position
        delta *= min(1.0, move.speed / self._hz / max(_length(delta), 1e-9))
        turn = rotvec(orientation(state.position + delta, move.twist, move.tilt) @ state.orientation.T)
        turn *= min(1.0, TURN / self._hz / max(_length(turn), 1e-9))
        action: Doubles = np.minimum(np.maximum(np.concatenate([delta, turn, [move.opening]]), self._low), self._high)
        return action


def reach(state: State, hz: float) -> Script:
    """Point at the card and stay there."""
    card = state.target
    if card is not None:
        tilt = _tilt(card)
        state = yield from _go(state, Move(card + HOVER * UP, OPEN, tilt=tilt), NEAR)
        yield from _go(state, Move(card + POINT_HEIGHT * UP, OPEN, CAREFUL_SPEED, tilt=tilt), EXACT)
    yield from _rest(OPEN)


def pick(state: State, hz: float) -> Script:
    """Grip the block, lift it and hold it."""
    twist = _grip_twist(state)
    state = yield from _grip(state, hz, twist, 0.0)
    yield from _go(state, Move(state.position + LIFT * UP, CLOSED, twist=twist), NEAR)
    yield from _rest(CLOSED)


def place(state: State, hz: float) -> Script:
    """Grip the block and set it down on the card, leaning as the card will need, so that it is set down flat."""
    if state.target is not None:
        tilt, twist, spot = _tilt(state.target), _grip_twist(state), state.target + (CUBE_HALF + DROP) * UP
        state = yield from _grip(state, hz, twist, tilt)
        lifted = np.array([*state.position[:2], spot[2] + HOVER])
        state = yield from _go(state, Move(lifted, CLOSED, twist=twist, tilt=tilt), NEAR)
        state = yield from _go(state, Move(spot + HOVER * UP, CLOSED, twist=twist, tilt=tilt), NEAR)
        state = yield from _go(state, Move(spot, CLOSED, CAREFUL_SPEED, twist, tilt), EXACT)
        state = yield from _stay(state, hz, OPEN_SECONDS, OPEN)
        yield from _go(state, Move(spot + HOVER * UP, OPEN, twist=twist, tilt=tilt), NEAR)
    yield from _rest(OPEN)


def push(state: State, hz: float) -> Script:
    """Push the block to the mark with the closed fingers, from behind; start over where it has slipped aside."""
    if state.target is not None:
        while not _has_arrived(state):
            state = yield from _push_once(state, hz)
    yield from _rest(CLOSED)


def _push_once(state: State, hz: float) -> Way:
    """Go behind the block, push it until it has arrived or slips aside, and leave it."""
    heading = _Heading(state)
    behind = state.cube[:3] - BEHIND * heading.along
    state = yield from _go(state, Move(behind + HOVER * UP, CLOSED, twist=heading.twist(behind)), NEAR)
    state = yield from _go(state, Move(behind, CLOSED, CAREFUL_SPEED, heading.twist(behind)), EXACT)
    lead = PUSH_SPEED * max(LEAD_SECONDS, 1.0 / hz)
    while not _has_arrived(state) and heading.follow(state):
        goal = state.cube[:3] - (CONTACT - lead) * heading.along
        goal[2] = behind[2]
        state = yield Move(goal, CLOSED, PUSH_SPEED, heading.twist(state.position))
    back = state.position - (BEHIND - CONTACT) * heading.along
    state = yield from _go(state, Move(back, CLOSED, twist=heading.twist(back)), NEAR)
    return (yield from _go(state, Move(back + HOVER * UP, CLOSED, twist=heading.twist(back)), NEAR))


SCRIPTS: Mapping[str, Callable[[State, float], Script]] = {"reach": reach, "push": push, "pick": pick, "place": place}


class _Heading:
    """The way from the block to its mark, and how the hand stands across it."""

    def __init__(self, state: State) -> None:
        self.along = _to_mark(state) / _length(_to_mark(state))
        self._yaw = math.atan2(self.along[1], self.along[0])
        # Front and back of the closed hand are alike: the one that turns the wrist less pushes.
        behind = state.cube[:3] - BEHIND * self.along
        self._yaw -= math.pi * round((self._yaw - math.atan2(behind[1], behind[0])) / math.pi)

    def follow(self, state: State) -> bool:
        """Take the block's new way to the mark; false where the hand isn't behind it any more."""
        along = _to_mark(state) / _length(_to_mark(state))
        self._yaw += math.atan2(self.along[0] * along[1] - self.along[1] * along[0], float(self.along @ along))
        self.along = along
        hand = _level(state.cube[:3] - state.tool)
        return float(hand @ along) > _length(hand) * math.cos(ASTRAY)

    def twist(self, position: Doubles) -> float:
        """The twist that turns the flat of the hand across the way, at a position."""
        return math.remainder(math.atan2(position[1], position[0]) - self._yaw, math.tau)


def _to_mark(state: State) -> Doubles:
    """From the block to its mark, in the plane of the table."""
    assert state.target is not None
    return _level(state.target - state.cube[:3])


def _has_arrived(state: State) -> bool:
    return _length(_to_mark(state)) < PUSHED


def _grip(state: State, hz: float, twist: float, tilt: float) -> Way:
    """Take the block between the fingers."""
    block = state.cube[:3]
    state = yield from _go(state, Move(block + HOVER * UP, OPEN, twist=twist, tilt=tilt), NEAR)
    state = yield from _go(state, Move(block, OPEN, CAREFUL_SPEED, twist, tilt), EXACT)
    return (yield from _stay(state, hz, CLOSE_SECONDS, CLOSED))


def _go(state: State, move: Move, tolerance: float) -> Way:
    """Go on until the tool is within ``tolerance`` [m] of the move's position, and turned so."""
    assert move.position is not None
    while True:
        turn = rotvec(orientation(move.position, move.twist, move.tilt) @ state.orientation.T)
        if _length(state.tool - move.position) < tolerance and _length(turn) < 0.02:
            return state
        state = yield move


def _stay(state: State, hz: float, seconds: float, opening: float) -> Way:
    """Stay where the hand is while the fingers move."""
    for _ in range(math.ceil(seconds * hz)):
        state = yield Move(None, opening)
    return state


def _rest(opening: float) -> Script:
    """Stay for the rest of the episode."""
    while True:
        yield Move(None, opening)


def _state(observation: Observation, row: int) -> State:
    told = observation.privileged
    pose, target = told["tool_target"][row], int(told["target"][row])
    return State(
        task=TASKS[int(told["task"][row])],
        cube=told["cube"][row],
        target=told["cards"][row][target] if target >= 0 else None,
        tool=told["tool"][row],
        position=pose[:3],
        orientation=pose[3:].reshape(3, 3),
    )


def _tilt(position: Doubles) -> float:
    """How far the gripper must lean to get to a position: straight down, the wrist can't reach the outer ones."""
    radius = math.hypot(position[0], position[1])
    return TILT * min(1.0, max(0.0, (radius - TILT_FROM) / (TILT_TO - TILT_FROM)))


def _grip_twist(state: State) -> float:
    """The twist that turns the pads to the block's nearest faces. About the tool's own axis, which points down."""
    return -misfit_of(state.cube)


def _level(vector: Doubles) -> Doubles:
    """Its part in the plane of the table."""
    return np.array([vector[0], vector[1], 0.0])


def _length(vector: Doubles) -> float:
    return math.sqrt(float((vector**2).sum()))


def make_tasks_expert(config: Mapping[str, Any], context: PolicyContext) -> TasksExpert:
    """Entry point of gf/tasks-expert-v1."""
    return TasksExpert(context)
