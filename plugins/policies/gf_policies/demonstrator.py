"""A demonstrator: the expert, which in some episodes first moves at random or misses the cube on purpose.

What it does then is not to be imitated, but from where it leads to the expert recovers: an imitator that errs alike has seen what
to do (as noise injection does in DART, arXiv:1703.09327). Which steps these are, :meth:`Demonstrator.imitable` says.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

from gf_core.contracts import ActionChunk, Bools, Doubles, Observation, PolicyContext, Slots
from gf_policies.expert import CLOSED, HOVER, NEAR, OPEN, SPEED, Phase, ScriptedPolicy, View, make_expert, misfit_of, view_of

MISS_ALONG, MISS_ACROSS, MISS_ABOVE = (0.03, 0.045), 0.008, 0.02
"""The gripper closes beside the cube [m]: so far in front of or behind the plane in which its fingers close, by at most so much
across, at most so high. Both fingers pass the cube like this; across, one would land on it."""
WANDER = 0.10
"""A random start lies within this of the first pose along each axis [m]."""
LOWEST = 0.10
"""Random starts are at least this high above the cube [m]."""
WANDER_TURN = 0.6
"""Twist of a random start, at most [rad]."""
WANDER_SECONDS = 1.0
"""A random start takes this long at most: what can't be reached by then isn't."""
LATE_SECONDS = 2.25
"""A miss that goes unnoticed is noticed within this time: by then the gripper has opened above the card."""
NARROWEST = 0.6
"""Opening of the gripper at a random start, at least, so that the arm looks ready to grip or nearly."""


class Act(Enum):
    """What an episode's demonstrator is at."""

    WANDER = auto()
    MISS = auto()
    CARRY = auto()
    RISE = auto()
    RETURN = auto()
    EXPERT = auto()


@dataclass
class Part:
    """One slot's memory: what is still to be done before the expert takes over.

    Attributes:
        acts: what is left, the present first; the last is the expert's.
        rng: draws what isn't drawn yet.
        offset: of the missed grasp from the cube, along, across and up, seen from its faces [m].
        goal: position that is gone to while wandering, rising or returning [m].
        opening: of the gripper while wandering or returning.
        late: steps that an unnoticed miss goes on for.
        steps: taken in the present act.
    """

    acts: list[Act]
    rng: np.random.Generator
    offset: Doubles
    goal: Doubles | None = None
    opening: float = OPEN
    late: int = 0
    steps: int = 0

    def next(self) -> None:
        """Go on to the next act."""
        self.acts.pop(0)
        self.goal, self.steps = None, 0


class Demonstrator:
    """The expert behind random starts and missed grasps.

    Args:
        context: of the run.
        expert: who takes over.
        retries: share of episodes that begin with a missed grasp.
        perturb: share of episodes that begin with a random motion.
        unnoticed: share of missed grasps that are noticed only later.
    """

    def __init__(
        self, context: PolicyContext, expert: ScriptedPolicy, *, retries: float, perturb: float, unnoticed: float
    ) -> None:
        self._hz, self._expert = context.action.hz, expert
        self._retries, self._perturb, self._unnoticed = retries, perturb, unnoticed
        self._parts: dict[int, Part] = {}
        self._imitable: dict[int, bool] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """New episodes; what goes wrong in them is drawn from their seeds."""
        self._expert.reset(slots, seeds)
        for slot, seed in zip(slots, seeds, strict=True):
            rng = np.random.default_rng([seed, 1])
            wanders, misses = rng.random(2) < (self._perturb, self._retries)
            later = np.random.default_rng([seed, 2])
            missing = [Act.MISS, Act.CARRY, Act.RETURN] if later.random() < self._unnoticed else [Act.MISS, Act.RISE]
            acts = [Act.WANDER] * bool(wanders) + missing * bool(misses) + [Act.EXPERT]
            along = rng.uniform(*MISS_ALONG) * rng.choice([-1, 1])
            offset = np.array([along, rng.uniform(-MISS_ACROSS, MISS_ACROSS), rng.uniform(0, MISS_ABOVE)])
            late = int(later.integers(1, math.ceil(LATE_SECONDS * self._hz)))
            self._parts[int(slot)] = Part(acts=acts, rng=rng, offset=offset, late=late)

    def act(self, observation: Observation) -> ActionChunk:
        """One step for every slot."""
        actions = [self._step(int(slot), view_of(observation, row)) for row, slot in enumerate(observation.slots)]
        return ActionChunk(actions=np.array(actions, np.float32)[:, None, :])

    def imitable(self, slots: Slots) -> Bools:
        """``(B,) bool``: whether the last action in each of these slots is one to imitate."""
        return np.array([self._imitable[int(slot)] for slot in slots], np.bool_)

    def close(self) -> None:
        """Nothing to free."""

    def _step(self, slot: int, view: View) -> Doubles:
        part = self._parts[slot]
        if view.target < 0:  # nothing is asked: the expert rests
            part.acts = [Act.EXPERT]
        while True:
            act = part.acts[0]
            does = {
                Act.WANDER: self._wander,
                Act.MISS: self._miss,
                Act.CARRY: self._carry,
                Act.RISE: self._rise,
                Act.RETURN: self._return,
                Act.EXPERT: self._expert_step,
            }
            action = does[act](slot, part, view)
            if action is not None:
                part.steps += 1
                self._imitable[slot] = act in (Act.RISE, Act.RETURN, Act.EXPERT)
                return action
            part.next()

    def _wander(self, slot: int, part: Part, view: View) -> Doubles | None:
        """Towards a random pose, or nothing once it is reached."""
        script = self._expert.scripts[slot]
        if part.goal is None:
            goal = view.position + part.rng.uniform(-WANDER, WANDER, 3)
            part.goal = np.array([*goal[:2], max(goal[2], view.cube[2] + LOWEST)])
            part.opening = float(part.rng.uniform(NARROWEST, OPEN))
            script.twist = float(part.rng.uniform(-WANDER_TURN, WANDER_TURN))
        far = math.dist(view.tool, part.goal) > NEAR
        if not far or part.steps >= WANDER_SECONDS * self._hz:
            return None
        return self._expert.towards(part.goal, part.opening, SPEED, script, view)

    def _miss(self, slot: int, part: Part, view: View) -> Doubles | None:
        """The expert's grasp of a cube that isn't there, or nothing once the gripper has closed on it."""
        action = self._expert.step(slot, dataclasses.replace(view, cube=_beside(view.cube, part.offset)))
        return None if self._expert.scripts[slot].phase is Phase.LIFT else action

    def _carry(self, slot: int, part: Part, view: View) -> Doubles | None:
        """Go on with an empty gripper as if the cube were in it, or nothing once that is noticed."""
        if part.steps >= part.late or self._expert.scripts[slot].phase is Phase.RETREAT:
            return None
        return self._expert.step(slot, view)

    def _rise(self, slot: int, part: Part, view: View) -> Doubles | None:
        """Open and go straight up, or nothing once that is done and the expert begins anew."""
        script = self._expert.scripts[slot]
        if part.goal is None:
            part.goal = np.array([*view.position[:2], view.cube[2] + HOVER])
        if math.dist(view.tool, part.goal) > NEAR:
            return self._expert.towards(part.goal, OPEN, SPEED, script, view)
        script.phase, script.steps = Phase.HOVER, 0
        return None

    def _return(self, slot: int, part: Part, view: View) -> Doubles | None:
        """Up and back above the cube with the gripper as it is, or nothing once that is done and the expert begins anew.

        What tells an empty gripper from a full one is how far it closed. Were it opened at once, one frame alone would show that.
        """
        script = self._expert.scripts[slot]
        height = view.cube[2] + HOVER
        if part.goal is None:
            part.goal = np.array([*view.position[:2], max(view.position[2], height)])
            part.opening = OPEN if script.phase is Phase.RETREAT else CLOSED
        over = np.array([*view.cube[:2], height])
        if math.dist(view.tool, over) <= NEAR:
            script.phase, script.steps = Phase.HOVER, 0
            return None
        if math.dist(view.tool, part.goal) <= NEAR:
            part.goal = over
        return self._expert.towards(part.goal, part.opening, SPEED, script, view)

    def _expert_step(self, slot: int, part: Part, view: View) -> Doubles:
        return self._expert.step(slot, view)


def _beside(cube: Doubles, offset: Doubles) -> Doubles:
    """The cube's pose ``(7,)``, moved along the face normal that is nearest to the arm's direction, across it, and up [m]."""
    face = math.atan2(cube[1], cube[0]) + misfit_of(cube)
    c, s = math.cos(face), math.sin(face)
    along, across, up = offset
    moved: Doubles = cube + np.array([c * along - s * across, s * along + c * across, up, 0.0, 0.0, 0.0, 0.0])
    return moved


def make_demonstrator(config: Mapping[str, Any], context: PolicyContext) -> Demonstrator:
    """Entry point of gf/demonstrator-v1."""
    expert = make_expert({}, context)
    shares = {name: float(config[name]) for name in ("retries", "perturb", "unnoticed")}
    return Demonstrator(context, expert, **shares)
