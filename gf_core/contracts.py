"""What passes between the runner, policies, environments and decks.

Shapes: ``B`` slots of one call, ``T`` steps of an action chunk, ``A`` action elements, ``P`` proprio elements, ``C`` controls,
``H × W`` pixels. Slots are numbered from 0; a call names the slots that it concerns, in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gf_core.specs import ActionSpec, EnvSpec, Observes

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Slots = NDArray[np.int32]
Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class SubGoal:
    """An instruction that holds from a control step on."""

    from_step: int
    instruction: str


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One trial, written out in full.

    Attributes:
        id: unique within its suite.
        split: the group in whose row it is reported, e.g. ``"val"``.
        cluster: episodes with the same cluster are not independent; intervals are bootstrapped over clusters.
        env: id of the environment.
        seed: for an environment that draws anything not written in ``scene``; the tabletop draws nothing.
        instruction: what the policy is told: one text, or timed sub-goals in ascending order, the first from step 0.
        horizon: most control steps.
        control_hz: control rate [1/s].
        factors: what varies across the suite, for grouping.
        scene: data in the environment's own schema. An object in it with the keys ``deck`` and ``item`` names a card's face, and
            the decks of a suite's file are asked for it before the first step.
    """

    id: str
    split: str
    cluster: str
    env: str
    seed: int
    instruction: str | tuple[SubGoal, ...]
    horizon: int
    control_hz: float
    factors: Mapping[str, Any]
    scene: Mapping[str, Any]

    def instruction_at(self, step: int) -> str:
        """The instruction that holds at a control step."""
        if isinstance(self.instruction, str):
            return self.instruction
        return [goal.instruction for goal in self.instruction if goal.from_step <= step][-1]


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a policy is shown, for the B slots of one call.

    Attributes:
        slots: ``(B,) int32``, ascending.
        instruction: B texts.
        images: camera to ``(B, H, W, 3) uint8`` RGB, or ``(B, len(history), H, W, 3)`` where more than one offset was asked for;
            before an episode's start the first frame stands in.
        proprio: ``(B, P) float32`` as in the EnvSpec, or ``None`` where not asked for.
        privileged: name to ``(B, ...)``; empty for every policy that isn't privileged.
        unplayed: ``timing = realtime`` only: B arrays ``(n, A) float32``, what is left of the chunk being played.
    """

    slots: Slots
    instruction: Sequence[str]
    images: Mapping[str, Images] = field(default_factory=dict)
    proprio: Floats | None = None
    privileged: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    unplayed: Sequence[Floats] = ()


@dataclass(frozen=True, kw_only=True)
class ActionChunk:
    """Actions for the slots of one call.

    Attributes:
        actions: ``(B, T, A) float32`` in the units of the ActionSpec.
        execute_steps: how many of the T steps are played before the policy is asked again; ``None`` for all.
    """

    actions: Floats
    execute_steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyContext:
    """What a policy's factory is told.

    Attributes:
        env: the environment that it will act in.
        action: the actions that the run plays, with ``hz`` and per-step bounds resolved.
        slots: most slots of one call.
        plugin_files: files that the run loads as plugins, for a policy that loads plugins itself, in its own process.
    """

    env: EnvSpec
    action: ActionSpec
    slots: int
    plugin_files: tuple[Path, ...] = ()


@runtime_checkable
class Policy(Protocol):
    """What a policy's factory returns. All its randomness comes from the seeds."""

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """New episodes begin in these slots; nothing of earlier ones may remain. One 63-bit seed per slot."""
        ...

    def act(self, observation: Observation) -> ActionChunk:
        """Actions for the observation's slots."""
        ...

    def close(self) -> None:
        """Free what was taken."""
        ...


PolicyFactory = Callable[[Mapping[str, Any], PolicyContext], Policy]


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a control step did to the B slots of one call.

    Attributes:
        done: ``(B,) bool``, whether the episode ended.
        controls: ``(B, C) float64``, the commands that reached the actuators.
        clipped: ``(B,) bool``, whether the action lay outside its bounds and was clipped.
    """

    done: Bools
    controls: Doubles
    clipped: Bools


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an episode ended.

    Attributes:
        success: by the episode's own success rule.
        ending: ``success``, another of the environment's endings, ``horizon``, or the runner's ``policy_error``, ``env_error``.
        steps: control steps taken.
        metrics: as declared in the EnvSpec; JSON scalars.
    """

    success: bool
    ending: str
    steps: int
    metrics: Mapping[str, bool | int | float | str | None]


@dataclass(frozen=True, kw_only=True)
class DeckItem:
    """One card's face: id within its deck, label in English, split, and other names for it (language or kind to text)."""

    id: str
    label: str
    split: str
    names: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@runtime_checkable
class Deck(Protocol):
    """Card faces and their labels."""

    id: str
    sha256: str
    items: Mapping[str, DeckItem]

    def image(self, item: str) -> Images:
        """``(H, W, 4) uint8`` sRGB with straight alpha, upright."""
        ...


@dataclass(frozen=True, kw_only=True)
class EnvContext:
    """What an environment's factory is told.

    Attributes:
        slots: how many episodes run side by side.
        threads: threads for physics and for rendering; 0 for all that the machine has.
        control_hz: control rate of every episode [1/s].
        load_deck: id to deck; raises UnknownIdError.
    """

    slots: int
    threads: int
    control_hz: float
    load_deck: Callable[[str], Deck]


@runtime_checkable
class BatchEnv(Protocol):
    """N episodes side by side. The result of an episode depends on nothing that happens in other slots.

    (Gymnasium's VectorEnv is something else: it resets by itself and observes at every step.)
    """

    spec: EnvSpec
    action: ActionSpec

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> None:
        """Lay out these episodes in these slots."""
        ...

    def observe(self, slots: Slots, wanted: Observes, *, privileged: bool = False) -> Observation:
        """The current observation; renders only what is wanted. ``history`` is the runner's business and ignored here."""
        ...

    def step(self, slots: Slots, actions: Floats) -> StepResult:
        """One control step with actions ``(B, A) float32``, all finite."""
        ...

    def step_controls(self, slots: Slots, controls: Doubles) -> Bools:
        """One control step with recorded controls ``(B, C) float64``, for replay; returns done."""
        ...

    def outcome(self, slots: Slots) -> list[Outcome]:
        """How the episodes stand; final once done, ``horizon`` while not."""
        ...

    def state_hash(self, slots: Slots) -> list[str]:
        """Hex SHA-256 of each slot's whole simulation state."""
        ...

    def close(self) -> None:
        """Free threads and GL contexts."""
        ...


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that `gf doctor` looked at.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
        fix: the command to run or the thing to do; empty where ``ok``.
        required: whether nothing works without it.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True


EnvFactory = Callable[[Mapping[str, Any], EnvContext], BatchEnv]
DeckFactory = Callable[[Mapping[str, Any]], Deck]
