"""Controls that know nothing: they see no image, no instruction and no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gf_core.contracts import ActionChunk, Observation, PolicyContext, Slots

CHUNK = 20
"""Steps per chunk: nothing is observed, so nothing is lost by asking rarely."""


class NullPolicy:
    """The zero action, clipped into the bounds: holds still under delta control."""

    def __init__(self, context: PolicyContext) -> None:
        field = context.action.field
        self._action = np.clip(np.zeros(field.shape), field.low or None, field.high or None).astype(np.float32)

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation) -> ActionChunk:
        """The same action throughout."""
        return ActionChunk(actions=np.tile(self._action, (len(observation.slots), CHUNK, 1)))

    def close(self) -> None:
        """Nothing to free."""


class RandomPolicy:
    """Actions drawn uniformly within the bounds, from each episode's own seed."""

    def __init__(self, context: PolicyContext) -> None:
        field = context.action.field
        self._low, self._high = np.broadcast_to(field.low, field.shape), np.broadcast_to(field.high, field.shape)
        self._generators: dict[int, np.random.Generator] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """Start each slot's stream from its episode's seed."""
        for slot, seed in zip(slots, seeds, strict=True):
            self._generators[int(slot)] = np.random.default_rng(seed)

    def act(self, observation: Observation) -> ActionChunk:
        """A chunk of independent draws per slot."""
        shape = (CHUNK, len(self._low))
        draws = [self._generators[int(slot)].uniform(self._low, self._high, shape) for slot in observation.slots]
        return ActionChunk(actions=np.array(draws, np.float32))

    def close(self) -> None:
        """Nothing to free."""


def make_null(config: Mapping[str, Any], context: PolicyContext) -> NullPolicy:
    """Entry point of gf/null-v1."""
    return NullPolicy(context)


def make_random(config: Mapping[str, Any], context: PolicyContext) -> RandomPolicy:
    """Entry point of gf/random-v1."""
    return RandomPolicy(context)
