"""A policy that reads and sees: it looks for the colour that its instruction names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gf_core.contracts import ActionChunk, Doubles, Floats, Images, Observation, PolicyContext, Slots
from gf_example_shelf.palette import COLOURS, SIZE_M, STEP_M


def make_policy(config: Mapping[str, Any], context: PolicyContext) -> ColourSeeker:
    """The policy. ``config`` is checked against ``config_schema`` and completed with its defaults."""
    return ColourSeeker(slots=context.slots, chunk=config["chunk"])


class ColourSeeker:
    """Moves its command in a straight line to the middle of the pixels of the named colour; stays where it sees none."""

    def __init__(self, *, slots: int, chunk: int) -> None:
        self._chunk = chunk
        self._command = np.full((slots, 2), np.nan)  # actions are relative to the previous command, not to the pointer

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        self._command[slots] = np.nan

    def act(self, observation: Observation) -> ActionChunk:
        assert observation.proprio is not None
        actions = np.zeros((len(observation.slots), self._chunk, 2), np.float32)
        for row, slot in enumerate(observation.slots):
            if np.isnan(self._command[slot]).any():
                self._command[slot] = observation.proprio[row]
            goal = _find(observation.images["front"][row], observation.instruction[row])
            if goal is not None:
                actions[row] = self._walk(int(slot), goal)
        return ActionChunk(actions=actions)

    def close(self) -> None:
        pass

    def _walk(self, slot: int, goal: Doubles) -> Floats:
        """``(T, 2)`` deltas within the bounds that lead to the goal."""
        deltas = np.zeros((self._chunk, 2), np.float32)
        for delta in deltas:
            bound = np.float32(STEP_M)
            delta[:] = np.clip((goal - self._command[slot]).astype(np.float32), -bound, bound)
            self._command[slot] += delta
        return deltas


def _find(image: Images, instruction: str) -> Doubles | None:
    """Where the colour that the instruction names is in an image [m]; ``None`` if it names none or none is seen."""
    named = [word for word in re.findall(r"[a-z]+", instruction.lower()) if word in COLOURS]
    if not named:
        return None
    rows, columns = np.nonzero((image == np.array(COLOURS[named[0]], np.uint8)).all(axis=2))
    if not len(rows):
        return None
    height, width = image.shape[:2]
    x = (columns.mean() + 0.5) / width
    y = 1 - (rows.mean() + 0.5) / height
    return np.array([x, y]) * SIZE_M
