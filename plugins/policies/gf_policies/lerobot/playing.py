"""Loads a checkpoint with LeRobot, and plays it. Imported only where LeRobot is installed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import lerobot.policies  # noqa: F401  (registers the types of policies)
import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.utils.import_utils import register_third_party_plugins

from gf_core.canonical import derive_seed
from gf_core.contracts import ActionChunk, Floats, Observation, Slots
from gf_core.errors import GrinningFaceError
from gf_policies.lerobot.checkpoint import WEIGHTS, Checkpoint
from gf_policies.lerobot.view import STATE, View
from gf_policies.lerobot.weights import not_from_file

Batch = dict[str, Any]


class _Processor(Protocol):
    def __call__(self, data: Any) -> Any: ...
    def reset(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A policy of LeRobot, in evaluation mode, with its processors and its device."""

    policy: Any
    before: _Processor
    after: _Processor
    device: torch.device

    def clone(self) -> Loaded:
        """One with a state of its own and the same weights: queues of actions and observations are a slot's own."""
        shared = {id(tensor): tensor for tensor in (*self.policy.parameters(), *self.policy.buffers())}
        policy, before, after = copy.deepcopy((self.policy, self.before, self.after), shared)
        return Loaded(policy=policy, before=before, after=after, device=self.device)


def load(checkpoint: Checkpoint, *, device: str, threads: int, trusted: bool) -> Loaded:
    """Load a checkpoint as `lerobot-eval` does, and see that all its weights come from its file.

    Args:
        checkpoint: the checkpoint.
        device: ``auto`` for what its configuration says, or what there is.
        threads: of torch on the CPU; 0 for torch's own choice.
        trusted: whether installed packages of other policies (``lerobot_policy_*``) are imported.

    Raises:
        GrinningFaceError: weights are missing.
    """
    if threads:
        torch.set_num_threads(threads)
    if trusted:
        register_third_party_plugins()
    folder = str(checkpoint.folder)
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=[] if device == "auto" else [f"--device={device}"])
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # would be fetched, only to be overwritten by the checkpoint's
    policy = get_policy_class(config.type).from_pretrained(folder, config=config)
    policy.eval()
    if missing := not_from_file(policy, checkpoint.folder / WEIGHTS):
        told = f"{len(missing)} of its weights aren't in the file, such as {missing[0]!r}"
        raise GrinningFaceError(told, where=str(checkpoint.folder / WEIGHTS), hint="is it the checkpoint of this config.json?")
    overrides = {"device_processor": {"device": str(config.device)}} if "device_processor" in checkpoint.steps else {}
    before, after = make_pre_post_processors(policy_cfg=config, pretrained_path=folder, preprocessor_overrides=overrides)
    return Loaded(policy=policy, before=before, after=after, device=torch.device(config.device))


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

    def play(self, batch: Batch, steps: int) -> Floats:
        """``(T, A) float32``: the chunk, or one action where ``steps`` is 0."""
        policy, device = self.loaded.policy, self.loaded.device
        devices = [device] if device.type == "cuda" else []
        mixed = torch.autocast(device.type) if policy.config.use_amp else contextlib.nullcontext()
        with torch.random.fork_rng(devices=devices), torch.inference_mode(), mixed:
            torch.manual_seed(derive_seed(self.seed, self.calls))
            self.calls += 1
            seen = self.loaded.before(batch)
            if steps:
                chunk = policy.predict_action_chunk(seen)
                actions = [self.loaded.after(chunk[:, step]) for step in range(chunk.shape[1])]
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
        rows = enumerate(observation.slots.tolist())
        chunks = [self._players[slot].play(batch_of(observation, row, self._view), self._steps) for row, slot in rows]
        actions = np.stack(chunks)
        return ActionChunk(actions=actions, execute_steps=min(self._steps, actions.shape[1]) if self._steps else None)

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
