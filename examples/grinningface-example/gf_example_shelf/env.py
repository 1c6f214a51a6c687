"""A pointer in front of a shelf with coloured balls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Bools, Doubles, EnvContext, Episode, Floats, Images, Observation, Outcome, Slots, StepResult
from gf_core.specs import Observes
from gf_example_shelf.palette import BACKGROUND, BALL_RADIUS_M, COLOURS, POINTER, SIZE_M, STEP_M
from gf_example_shelf.plugin import ACTION, SHELF

MAX_BALLS = 6
HOLD_S = 0.5
"""How long the pointer must stay on a ball to choose it [s]."""
POINTER_RADIUS_M = 0.008


def make_env(config: Mapping[str, Any], context: EnvContext) -> ShelfEnv:
    """The environment. ``config`` is checked against ``config_schema`` and completed with its defaults."""
    return ShelfEnv(lag=config["lag"], slots=context.slots, hold_steps=round(HOLD_S * context.control_hz))


class ShelfEnv:
    """N shelves side by side.

    The commanded position moves by the actions; in each control step the pointer goes the share ``1 - lag`` of the way to it. A
    ball on which the pointer stays for half a second is chosen, and the episode ends.
    """

    def __init__(self, *, lag: float, slots: int, hold_steps: int) -> None:
        self.spec = SHELF
        self.action = ACTION
        self._lag, self._hold_steps = lag, hold_steps
        self._position = np.zeros((slots, 2))
        self._command = np.zeros((slots, 2))
        self._balls = np.full((slots, MAX_BALLS, 2), np.inf)
        self._colours = np.zeros((slots, MAX_BALLS, 3), np.uint8)
        self._target = np.zeros(slots, np.int64)
        self._touched = np.full(slots, -1)
        self._held = np.zeros(slots, np.int64)
        self._steps = np.zeros(slots, np.int64)
        self._episodes: dict[int, Episode] = {}

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> None:
        for slot, episode in zip(slots, episodes, strict=True):
            scene = episode.scene
            self._episodes[int(slot)] = episode
            self._position[slot] = self._command[slot] = scene["start"]
            self._balls[slot] = np.inf
            for index, ball in enumerate(scene["balls"]):
                self._balls[slot, index] = ball["position"]
                self._colours[slot, index] = COLOURS[ball["colour"]]
            self._target[slot] = scene["target"]
            self._touched[slot], self._held[slot], self._steps[slot] = -1, 0, 0

    def observe(self, slots: Slots, wanted: Observes, *, privileged: bool = False) -> Observation:
        return Observation(
            slots=slots,
            instruction=[self._episodes[int(slot)].instruction_at(int(self._steps[slot])) for slot in slots],
            images={camera: self._render(slots, *wanted.size) for camera in wanted.cameras},
            proprio=self._position[slots].astype(np.float32) if wanted.proprio else None,
            privileged={"target_position": self._target_position(slots).astype(np.float32)} if privileged else {},
        )

    def step(self, slots: Slots, actions: Floats) -> StepResult:
        bounded = np.clip(actions, np.float32(-STEP_M), np.float32(STEP_M))
        controls = np.clip(self._command[slots] + bounded, 0.0, SIZE_M)
        done = self.step_controls(slots, controls)
        return StepResult(done=done, controls=controls, clipped=(bounded != actions).any(axis=1))

    def step_controls(self, slots: Slots, controls: Doubles) -> Bools:
        self._command[slots] = controls
        self._position[slots] = controls + self._lag * (self._position[slots] - controls)
        distance = np.linalg.norm(self._balls[slots] - self._position[slots, None], axis=2)
        nearest = distance.argmin(axis=1)
        touched = np.where(distance.min(axis=1) <= BALL_RADIUS_M, nearest, -1)
        held = np.where((touched >= 0) & (touched == self._touched[slots]), self._held[slots] + 1, 0)
        self._touched[slots], self._held[slots] = touched, held
        self._steps[slots] += 1
        done: Bools = held >= self._hold_steps
        return done

    def outcome(self, slots: Slots) -> list[Outcome]:
        distance = np.linalg.norm(self._target_position(slots) - self._position[slots], axis=1)
        return [self._outcome(int(slot), float(metres)) for slot, metres in zip(slots, distance, strict=True)]

    def _outcome(self, slot: int, distance: float) -> Outcome:
        executed = bool(self._held[slot] >= self._hold_steps)
        chosen = int(self._touched[slot]) if executed else None
        success = executed and chosen == int(self._target[slot])
        return Outcome(
            success=success,
            ending="success" if success else "placed" if executed else "horizon",
            steps=int(self._steps[slot]),
            metrics={"executed": executed, "chosen_target": success, "chosen": chosen, "distance": distance},
        )

    def state_hash(self, slots: Slots) -> list[str]:
        whole = (self._position, self._command, self._balls, self._target, self._touched, self._held, self._steps)
        return [hashlib.sha256(b"".join(part[slot].tobytes() for part in whole)).hexdigest() for slot in slots]

    def close(self) -> None:
        pass  # NumPy arrays hold no threads or contexts

    def _target_position(self, slots: Slots) -> Doubles:
        return self._balls[slots, self._target[slots]]

    def _render(self, slots: Slots, height: int, width: int) -> Images:
        """``(B, H, W, 3)``: discs without anti-aliasing, seen straight on, y up."""
        x: Doubles = (np.arange(width, dtype=np.float64) + 0.5) * (SIZE_M / width)
        y: Doubles = (np.arange(height, dtype=np.float64)[::-1, None] + 0.5) * (SIZE_M / height)
        images = np.empty((len(slots), height, width, 3), np.uint8)
        images[:] = BACKGROUND
        for image, slot in zip(images, slots, strict=True):
            for ball, colour in zip(self._balls[slot], self._colours[slot], strict=True):
                _disc(image, x, y, ball, BALL_RADIUS_M, colour)
            _disc(image, x, y, self._position[slot], POINTER_RADIUS_M, POINTER)
        return images


def _disc(
    image: Images, x: Doubles, y: Doubles, centre: Doubles, radius: float, colour: NDArray[np.uint8] | tuple[int, ...]
) -> None:
    image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2] = colour
