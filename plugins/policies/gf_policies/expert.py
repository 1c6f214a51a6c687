"""The scripted expert and the controls made from it. They see the simulator's state, so they are never ranked.

`gf/expert-v1` shows what execution allows, `gf/random-card-v1` what execution without recognition gives, and `gf/touring-v1` that
visiting the cards in turn gains nothing under a rule that takes the first placement for the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np

from gf_core.contracts import ActionChunk, Doubles, Observation, PolicyContext, Slots
from gf_policies.hand import orientation, rotvec

SPEED, CAREFUL_SPEED = 0.28, 0.25
"""Tool speed on the way, and while descending onto the cube or the card [m/s]."""
TURN = 1.2
"""Tool turning speed [rad/s], under the action's bound of 2 rad/s."""
HOVER = 0.08
"""Height above pick and place [m]."""
TILT = math.radians(15.0)
TILT_FROM, TILT_TO = 0.40, 0.50
"""The gripper leans outward by up to TILT between these distances from the base [m]: straight down, the wrist can't reach the
outer cards. More would fold the wrist straight over a near cube, where its joint angles are singular."""
CUBE_HALF = 0.015
DROP = 0.001
"""The cube is let go this far above the card [m]."""
CLOSE_SECONDS, OPEN_SECONDS, WAIT_SECONDS = 0.25, 0.15, 1.0
NEAR, EXACT = 0.01, 0.004
"""Tolerances of a passing and of a working pose [m]."""
OPEN, CLOSED = 1.0, 0.0


class Phase(Enum):
    """Where an episode's script stands."""

    HOVER = auto()
    DESCEND = auto()
    CLOSE = auto()
    LIFT = auto()
    CARRY = auto()
    LOWER = auto()
    RELEASE = auto()
    RETREAT = auto()
    WAIT = auto()
    REST = auto()


@dataclass
class Script:
    """One slot's memory: the phase, when it began (in steps), the cards to visit, and what was fixed on the way."""

    order: list[int] = field(default_factory=list)
    rng: np.random.Generator | None = None
    phase: Phase = Phase.HOVER
    steps: int = 0
    twist: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True)
class View:
    """One slot's row of the privileged observation; base frame, metres."""

    cube: Doubles
    cards: Doubles
    target: int
    tool: Doubles
    position: Doubles
    orientation: Doubles

    @property
    def present(self) -> list[int]:
        """Indices of the cards on the table."""
        return [int(i) for i in np.flatnonzero(np.isfinite(self.cards[:, 0]))]


Chooser = Callable[[View, np.random.Generator], list[int]]


class ScriptedPolicy:
    """Picks the cube and places it on the cards that ``choose`` names, one after the other."""

    def __init__(self, context: PolicyContext, choose: Chooser) -> None:
        self._hz = context.action.hz
        self._low, self._high = np.array(context.action.field.low), np.array(context.action.field.high)
        self._choose = choose
        self.scripts: dict[int, Script] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """Start the script over."""
        for slot, seed in zip(slots, seeds, strict=True):
            self.scripts[int(slot)] = Script(rng=np.random.default_rng(seed))

    def act(self, observation: Observation) -> ActionChunk:
        """One step for every slot."""
        actions = [self.step(int(slot), view_of(observation, row)) for row, slot in enumerate(observation.slots)]
        return ActionChunk(actions=np.array(actions, np.float32)[:, None, :])

    def close(self) -> None:
        """Nothing to free."""

    def step(self, slot: int, view: View) -> Doubles:
        """The action of one slot."""
        script = self.scripts[slot]
        if script.rng is not None:
            script.order, script.rng = self._choose(view, script.rng), None
            if not script.order:
                script.phase = Phase.REST
        self._advance(script, view)
        position, opening = self._goal(script, view)
        script.steps += 1
        if position is None:
            return np.array([0.0] * 6 + [opening])
        speed = CAREFUL_SPEED if script.phase in (Phase.DESCEND, Phase.LOWER) else SPEED
        return self.towards(position, opening, speed, script, view)

    def towards(self, position: Doubles, opening: float, speed: float, script: Script, view: View) -> Doubles:
        """The delta towards a position, at no more than ``speed`` [m/s] and TURN.

        The gripper stays in the arm's vertical plane all the way (plus the grip's twist), so that the wrist's roll joints rest.
        """
        delta = position - view.position
        distance = math.sqrt(float((delta**2).sum()))
        delta *= min(1.0, speed / self._hz / max(distance, 1e-9))
        turn = rotvec(orientation(view.position + delta, script.twist, script.tilt) @ view.orientation.T)
        angle = math.sqrt(float((turn**2).sum()))
        turn *= min(1.0, TURN / self._hz / max(angle, 1e-9))
        action: Doubles = np.minimum(np.maximum(np.concatenate([delta, turn, [opening]]), self._low), self._high)
        return action

    def _goal(self, script: Script, view: View) -> tuple[Doubles | None, float]:
        """Where the tool should be now (None: where it is) and how far open."""
        up = np.array([0.0, 0.0, 1.0])
        pick = view.cube[:3]
        if script.phase in (Phase.WAIT, Phase.REST):
            return None, OPEN
        if script.phase in (Phase.HOVER, Phase.DESCEND):
            return pick + (HOVER if script.phase is Phase.HOVER else 0.0) * up, OPEN
        if script.phase is Phase.CLOSE:
            return None, CLOSED
        place = view.cards[script.order[0]] + (CUBE_HALF + DROP) * up
        if script.phase is Phase.LIFT:
            return np.array([*view.position[:2], place[2] + HOVER]), CLOSED
        if script.phase is Phase.CARRY:
            return place + HOVER * up, CLOSED
        if script.phase is Phase.LOWER:
            return place, CLOSED
        if script.phase is Phase.RELEASE:
            return None, OPEN
        return place + HOVER * up, OPEN

    def _advance(self, script: Script, view: View) -> None:
        """Go on to the next phase where this one's goal is reached."""
        while True:
            following = self._following(script, view)
            if following is None:
                return
            script.phase, script.steps = following, 0

    def _following(self, script: Script, view: View) -> Phase | None:
        phase = script.phase
        if phase is Phase.REST:
            return None
        waits = {Phase.CLOSE: CLOSE_SECONDS, Phase.RELEASE: OPEN_SECONDS, Phase.WAIT: WAIT_SECONDS}
        if phase in waits:
            if script.steps < math.ceil(waits[phase] * self._hz):
                return None
            if phase is not Phase.WAIT:
                return Phase.LIFT if phase is Phase.CLOSE else Phase.RETREAT
            script.order.pop(0)
            return Phase.HOVER if script.order else Phase.REST
        if phase is Phase.HOVER and script.steps == 0:
            self._aim_pick(script, view)
        position, _ = self._goal(script, view)
        assert position is not None
        tolerance = EXACT if phase in (Phase.DESCEND, Phase.LOWER) else NEAR
        if not self._at(position, script, view, tolerance):
            return None
        after = {
            Phase.HOVER: Phase.DESCEND,
            Phase.DESCEND: Phase.CLOSE,
            Phase.LIFT: Phase.CARRY,
            Phase.CARRY: Phase.LOWER,
            Phase.LOWER: Phase.RELEASE,
            Phase.RETREAT: Phase.WAIT,
        }
        return after[phase]

    def _aim_pick(self, script: Script, view: View) -> None:
        """Lean as the place will need, so that the cube is set down flat; twist to its faces."""
        card = view.cards[script.order[0]]
        # About the tool's own axis, which points down: only the last joint turns.
        script.twist = -misfit_of(view.cube)
        radius = math.hypot(card[0], card[1])
        script.tilt = TILT * min(1.0, max(0.0, (radius - TILT_FROM) / (TILT_TO - TILT_FROM)))

    def _at(self, position: Doubles, script: Script, view: View, tolerance: float) -> bool:
        """Whether the tool is there, and turned so."""
        measured = math.sqrt(float(((view.tool - position) ** 2).sum()))
        turn = rotvec(orientation(position, script.twist, script.tilt) @ view.orientation.T)
        return measured < tolerance and math.sqrt(float((turn**2).sum())) < 0.02


def misfit_of(cube: Doubles) -> float:
    """By how much the face of the cube ``(7,)`` that is nearest to the arm's direction is turned from it [rad], at most π/4."""
    cube_yaw = math.atan2(2.0 * (cube[3] * cube[6] + cube[4] * cube[5]), 1.0 - 2.0 * (cube[5] ** 2 + cube[6] ** 2))
    quarter = math.pi / 2
    misfit = cube_yaw - math.atan2(cube[1], cube[0])
    return misfit - quarter * round(misfit / quarter)


def view_of(observation: Observation, row: int) -> View:
    """What a row of the privileged observation says."""
    state = observation.privileged
    pose = state["tool_target"][row]
    return View(
        cube=state["cube"][row],
        cards=state["cards"][row],
        target=int(state["target"][row]),
        tool=state["tool"][row],
        position=pose[:3],
        orientation=pose[3:].reshape(3, 3),
    )


def make_expert(config: Mapping[str, Any], context: PolicyContext) -> ScriptedPolicy:
    """Entry point of gf/expert-v1: the target card, or nothing where the instruction names none."""
    return ScriptedPolicy(context, lambda view, rng: [view.target] if view.target >= 0 else [])


def make_random_card(config: Mapping[str, Any], context: PolicyContext) -> ScriptedPolicy:
    """Entry point of gf/random-card-v1: a card drawn uniformly."""
    return ScriptedPolicy(context, lambda view, rng: [int(rng.choice(view.present))])


def make_touring(config: Mapping[str, Any], context: PolicyContext) -> ScriptedPolicy:
    """Entry point of gf/touring-v1: every card in turn, left to right as numbered."""
    return ScriptedPolicy(context, lambda view, rng: view.present)
