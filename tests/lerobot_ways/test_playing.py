"""A policy of LeRobot in many slots: each has a state of its own, all share the weights, and seeds decide."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model

from gf_core.contracts import Observation
from gf_policies.lerobot.playing import LeRobotPolicy, Loaded, batch_of
from gf_policies.lerobot.view import View
from gf_policies.lerobot.weights import not_from_file

VIEW = View(cameras={"third": "observation.images.top"}, size=(4, 6), state=True)


class Remembering(torch.nn.Module):
    """Acts on the sum of the states of an episode, with noise, as those of LeRobot that keep queues do."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(use_amp=False)
        self.layer = torch.nn.Linear(7, 7)
        self.queue: deque[torch.Tensor] = deque(maxlen=3)

    def reset(self) -> None:
        self.queue = deque(maxlen=3)

    def select_action(self, batch: dict[str, Any]) -> torch.Tensor:
        self.queue.append(batch["observation.state"])
        return self.layer(sum(self.queue)) + torch.randn(1, 7)

    def predict_action_chunk(self, batch: dict[str, Any]) -> torch.Tensor:
        return batch["observation.state"][:, None] + torch.arange(8.0)[None, :, None]


class Step:
    """A processor that counts."""

    def __init__(self, scale: float) -> None:
        self.scale, self.calls = scale, 0

    def reset(self) -> None:
        self.calls = 0

    def __call__(self, data: Any) -> Any:
        self.calls += 1
        if isinstance(data, dict):
            return data
        assert data.shape == (1, 7), "an action at a time"
        return data * self.scale + self.calls


def policy(play_steps: int = 0) -> LeRobotPolicy:
    torch.manual_seed(0)
    loaded = Loaded(policy=Remembering().eval(), before=Step(1), after=Step(0.5), device=torch.device("cpu"))
    return LeRobotPolicy(loaded, VIEW, play_steps=play_steps)


def shown(*slots: int, step: int = 0) -> Observation:
    states = np.array([[slot + 10 * step] * 7 for slot in slots], np.float32)
    images = np.zeros((len(slots), 4, 6, 3), np.uint8)
    return Observation(slots=np.array(slots, np.int32), instruction=["go"] * len(slots), images={"third": images}, proprio=states)


def begin(it: LeRobotPolicy, *slots: int, seed: int = 5) -> None:
    it.reset(np.array(slots, np.int32), [seed + slot for slot in slots])


def episode(it: LeRobotPolicy, slot: int, *, beside: tuple[int, ...] = (), steps: int = 5) -> np.ndarray:
    """A slot's actions, alone or beside others."""
    begin(it, *sorted({slot, *beside}))
    rows = []
    for step in range(steps):
        slots = sorted({slot, *beside})
        rows.append(it.act(shown(*slots, step=step)).actions[slots.index(slot)])
    return np.concatenate(rows)


def test_a_slot_gets_the_same_alone_as_beside_others() -> None:
    alone, beside = episode(policy(), 1), episode(policy(), 1, beside=(0, 2))
    assert alone.shape == (5, 7)
    assert np.array_equal(alone, beside)


def test_a_reset_leaves_nothing_behind_and_concerns_only_its_slots() -> None:
    it = policy()
    first = episode(it, 1)
    assert np.array_equal(episode(it, 1), first)
    begin(it, 0, 1)
    it.act(shown(0, 1))
    begin(it, 0)
    again = [it.act(shown(1, step=step)).actions[0] for step in range(1, 5)]
    assert np.array_equal(np.concatenate(again), first[1:])


def test_seeds_decide_and_leave_the_callers_generator_alone() -> None:
    it = policy()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = torch.rand(1)
    one = episode(it, 0)
    begin(it, 0, seed=6)
    other = it.act(shown(0)).actions[0]
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
    assert not np.array_equal(one[:1], other)


def test_chunks_are_played_as_far_as_the_checkpoint_says_and_every_action_is_processed_by_itself() -> None:
    it = policy(play_steps=5)
    begin(it, 0, 3)
    chunk = it.act(shown(0, 3))
    assert (chunk.actions.shape, chunk.actions.dtype, chunk.execute_steps) == ((2, 8, 7), np.float32, 5)
    steps = np.arange(8, dtype=np.float32)
    assert np.array_equal(chunk.actions[1, :, 0], 0.5 * (3 + steps) + steps + 1)
    single = policy()
    begin(single, 0)
    assert single.act(shown(0)).execute_steps is None
    assert single.act(shown(0)).actions.shape == (1, 1, 7)


def test_slots_share_their_weights() -> None:
    loaded = Loaded(policy=Remembering(), before=Step(1), after=Step(1), device=torch.device("cpu"))
    mine, theirs = loaded.clone().policy, loaded.policy
    assert isinstance(mine, Remembering)
    assert isinstance(theirs, Remembering)
    assert mine.layer.weight is theirs.layer.weight
    assert mine.queue is not theirs.queue


def test_a_row_is_what_lerobots_evaluation_hands_over() -> None:
    images = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    states = np.arange(14, dtype=np.float32).reshape(2, 7)
    images.flags.writeable = states.flags.writeable = False
    seen = Observation(slots=np.array([0, 4], np.int32), instruction=["a", "b"], images={"third": images}, proprio=states)
    batch = batch_of(seen, 1, VIEW)
    assert set(batch) == {"task", "observation.images.top", "observation.state"}
    image = batch["observation.images.top"]
    assert (batch["task"], image.shape, image.dtype, image.is_contiguous()) == (["b"], (1, 3, 4, 6), torch.float32, True)
    assert image[0, 2, 1, 5] == images[1, 1, 5, 2] / np.float32(255)
    assert batch["observation.state"].tolist() == [list(map(float, range(7, 14)))]


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.last.weight = self.first.weight
        self.norm = torch.nn.BatchNorm1d(3)


def test_weights_are_held_against_the_file(tmp_path: Path) -> None:
    model, file = Tied(), tmp_path / "model.safetensors"
    save_model(model, str(file))  # tied weights once, as LeRobot stores them
    assert not_from_file(model, file) == []
    stored = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "last.weight"}
    save_file({name.removeprefix("model."): tensor for name, tensor in stored.items() if name != "norm.running_mean"}, file)
    assert not_from_file(model, file) == ["norm.running_mean"]
    save_file({**stored, "first.bias": stored["first.bias"] + 1, "last.bias": torch.zeros(4)}, file)
    assert not_from_file(model, file) == ["first.bias", "last.bias"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_may_be_stored_in_another_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    model, file = torch.nn.Linear(3, 3).to(torch.bfloat16), tmp_path / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in model.state_dict().items()}, file)
    assert not_from_file(model, file) == []
