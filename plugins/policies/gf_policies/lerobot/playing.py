"""Plays a policy of LeRobot that is loaded: every slot has its own state of it, and all share its weights."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from gf_core.canonical import derive_seed
from gf_core.contracts import ActionChunk, Floats, Observation, Slots
from gf_policies.lerobot.view import STATE, View

Batch = dict[str, Any]


class Processor(Protocol):
    """A pipeline of LeRobot's: of a batch before the policy, or of an action ``(1, A)`` after it."""

    def __call__(self, data: Any, /) -> Any:
        """What becomes of it."""
        ...

    def reset(self) -> None:
        """A new episode begins."""
        ...


class Model(Protocol):
    """What is used of LeRobot's ``PreTrainedPolicy``, a ``torch.nn.Module``."""

    config: Any

    def reset(self) -> None:
        """A new episode begins."""
        ...

    def select_action(self, batch: Batch, /) -> torch.Tensor:
        """``(1, A)``: the next action; it keeps observations and actions itself."""
        ...

    def predict_action_chunk(self, batch: Batch, /) -> torch.Tensor:
        """``(1, T, A)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A policy of LeRobot, in evaluation mode, with its processors and its device."""

    policy: Model
    before: Processor
    after: Processor
    device: torch.device

    def clone(self) -> Loaded:
        """One with a state of its own and the same weights: queues of actions and observations are a slot's own."""
        assert isinstance(self.policy, torch.nn.Module)
        shared = {id(tensor): tensor for tensor in (*self.policy.parameters(), *self.policy.buffers())}
        # Together, since processors may refer to each other.
        policy, before, after = copy.deepcopy((self.policy, self.before, self.after), shared)
        return Loaded(policy=policy, before=before, after=after, device=self.device)


@dataclass(kw_only=True)
class _Player:
    """A slot: its own policy and processors, and how often it was asked in this episode."""

    loaded: Loaded
    seed: int = 0
    calls: int = 0

    def reset(self, seed: int) -> None:
        self.seed, self.calls = seed, 0
        self.loaded.policy.reset()
        self.loaded.before.reset()
        self.loaded.after.reset()

    def play(self, batch: Batch, *, chunk: bool) -> Floats:
        """``(T, A) float32``: a chunk, or one action."""
        policy, device = self.loaded.policy, self.loaded.device
        mixed = torch.autocast(device.type) if policy.config.use_amp else contextlib.nullcontext()
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode(), mixed:
            torch.manual_seed(derive_seed(self.seed, self.calls))
            self.calls += 1
            seen = self.loaded.before(batch)
            if chunk:
                planned = policy.predict_action_chunk(seen)
                actions = [self.loaded.after(planned[:, step]) for step in range(planned.shape[1])]
            else:
                actions = [self.loaded.after(policy.select_action(seen))]
        played: Floats = torch.cat(actions).to("cpu", torch.float32).numpy()
        return played


class LeRobotPolicy:
    """Every slot is played by itself, so that nothing depends on who shares a batch.

    Args:
        loaded: the checkpoint.
        view: what it sees.
        play_steps: how many actions of a chunk are played; 0 to ask it at every step.
    """

    def __init__(self, loaded: Loaded, view: View, *, play_steps: int) -> None:
        self._loaded, self._view, self._steps = loaded, view, play_steps
        self._players: dict[int, _Player] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """New episodes: the policy and both processors are reset."""
        for slot, seed in zip(slots.tolist(), seeds, strict=True):
            if slot not in self._players:
                self._players[slot] = _Player(loaded=self._loaded.clone())
            self._players[slot].reset(seed)

    def act(self, observation: Observation) -> ActionChunk:
        """A chunk for every slot, or an action."""
        chunks = [
            self._players[slot].play(batch_of(observation, row, self._view), chunk=self._steps > 0)
            for row, slot in enumerate(observation.slots.tolist())
        ]
        actions = np.stack(chunks)
        return ActionChunk(actions=actions, execute_steps=min(self._steps, actions.shape[1]) or None)

    def close(self) -> None:
        """Let go of it."""
        self._players.clear()


def batch_of(observation: Observation, row: int, view: View) -> Batch:
    """A row as LeRobot's own evaluation hands it to a policy: ``(1, 3, H, W) float32`` images in 0..1, the state, the task."""
    batch: Batch = {"task": [observation.instruction[row]]}
    for ours, theirs in view.cameras.items():
        image = torch.from_numpy(np.array(observation.images[ours][row])).permute(2, 0, 1)
        batch[theirs] = image[None].contiguous().to(torch.float32) / 255
    if view.state:
        assert observation.proprio is not None
        batch[STATE] = torch.from_numpy(np.array(observation.proprio[row], np.float32))[None]
    return batch
