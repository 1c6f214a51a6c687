"""Flow matching as in π0 (arXiv 2410.24164), with an expert that reads hidden states.

Time runs from noise to data: at τ = 0 there is noise ε ~ N(0, I), at τ = 1 the chunk a; between them lies
x(τ) = τ·a + (1 - τ)·ε, and the velocity to learn is dx/dτ = a - ε. (π0's paper counts time this way and its code, openpi, the
other way round.) Acting integrates dx/dτ from 0 to 1 in Euler steps.

π0's expert shares the backbone's attention keys and values, which only works where every layer attends fully. This one
cross-attends to hidden states of the prefix, so it works on every family; time enters through adaptive layer norms that
start as nothing (DiT, arXiv 2212.09748: adaLN-Zero).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Batch, Context, HeadShape
from gf_policies.heads._prefix import checked_layer, chunk_loss, prefix_states

if TYPE_CHECKING:
    from gf_core.training.model import VLA

SHORTEST, LONGEST = 4e-3, 4.0
"""Periods of the sines that encode τ, as openpi chooses them (``posemb_sincos`` in its pi0 model)."""

Memory = tuple[list[tuple[Tensor, Tensor]], Tensor]
"""Each block's keys and values ``(B, heads, N, width / heads)``, and where they may be read ``(B, 1, 1, N) bool``."""


def make(config: Mapping[str, Any], shape: HeadShape) -> FlowHead:
    """The head for settings as in its spec.

    Raises:
        GrinningFaceError: a hidden state that the backbone doesn't have, or a width that doesn't fit the attention heads.
    """
    width, attention_heads = config["width"], config["attention_heads"]
    if width % (2 * attention_heads):
        raise GrinningFaceError(
            f"width {width} is no multiple of twice the {attention_heads} attention heads", where="gf/flow-v1: width"
        )
    layers = [checked_layer(layer, shape.layers, where="gf/flow-v1: layers") for layer in config["layers"]]
    if len(layers) > config["depth"]:
        raise GrinningFaceError(
            f"{config['depth']} blocks can't read {len(layers)} hidden states", where="gf/flow-v1: layers", hint="raise depth"
        )
    return FlowHead(
        Expert(shape, width=width, depth=config["depth"], heads=attention_heads, layers=layers),
        horizon=shape.horizon,
        action=shape.action,
        euler_steps=config["euler_steps"],
        time_alpha=config["time_alpha"],
        time_limit=config["time_limit"],
        draws=config["draws"],
    )


class FlowHead(ActionHead):
    """Learns the velocity from noise to chunks, and integrates it.

    Args:
        expert: the network.
        horizon, action: T and A.
        euler_steps: steps of the integration.
        time_alpha, time_limit: of the distribution of training times, see :meth:`times`.
        draws: noises and times for each sample; the backbone's pass is shared by them.
    """

    def __init__(
        self, expert: Expert, *, horizon: int, action: int, euler_steps: int, time_alpha: float, time_limit: float, draws: int
    ) -> None:
        super().__init__()
        self.expert = expert
        self.horizon, self.action, self.euler_steps = horizon, action, euler_steps
        self.time_alpha, self.time_limit, self.draws = time_alpha, time_limit, draws

    def times(self, count: int, device: torch.device) -> Tensor:
        """``(count,) float32`` training times s(1 - u), u ~ Beta(α, 1) by inversion: with π0's α = 1.5, s = 0.999
        (appendix B) the noisier times come more often."""
        uniform = torch.rand(count, device=device)
        return self.time_limit * (1 - uniform ** (1 / self.time_alpha))

    def loss(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """``flow``: mean squared error of the velocity, in float32."""
        chunks = batch.actions.float().repeat_interleave(self.draws, 0)
        noise = torch.randn_like(chunks)
        time = self.times(len(chunks), chunks.device)
        part = time[:, None, None]
        velocity = self.velocity(part * chunks + (1 - part) * noise, time, self.expert.read(context, self.draws))
        errors = (velocity.float() - (chunks - noise)).square()
        return {"flow": chunk_loss(errors.view(-1, self.draws, *errors.shape[1:]).mean(1), batch)}

    def act(self, vla: VLA, context: Context, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """``(B, T, A) float32``, from one draw of noise for each sample."""
        drawn = [torch.randn(self.horizon, self.action, generator=one, device=one.device) for one in generators]
        device = context.last.device
        state, memory = torch.stack(drawn).to(device), self.expert.read(context)
        for step in range(self.euler_steps):
            time = torch.full((len(state),), step / self.euler_steps, device=device)
            state = state + self.velocity(state, time, memory).float() / self.euler_steps
        return state

    def velocity(self, state: Tensor, time: Tensor, memory: Memory) -> Tensor:
        """``(B, T, A)``: where the expert would move ``state`` ``(B, T, A)`` at ``time`` ``(B,)``."""
        moved: Tensor = self.expert(state, time, memory)
        return moved


class Expert(nn.Module):
    """A transformer over the T steps of a chunk.

    Args:
        shape: sizes.
        width, depth, heads: of the transformer.
        layers: hidden states that the blocks read, spread evenly over them.
    """

    def __init__(self, shape: HeadShape, *, width: int, depth: int, heads: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = [layers[index * len(layers) // depth] for index in range(depth)]
        self.enter = nn.Linear(shape.action, width)
        self.position = nn.Parameter(torch.randn(shape.horizon, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.blocks = nn.ModuleList(Block(shape.dim, width, heads) for _ in range(depth))
        self.norm, self.modulation = nn.LayerNorm(width, elementwise_affine=False), _nothing(nn.Linear(width, 2 * width))
        self.leave = _nothing(nn.Linear(width, shape.action))

    def read(self, context: Context, repeats: int = 1) -> Memory:
        """What the blocks attend to, each sample ``repeats`` times in a row; the same for all steps of an integration."""
        dtype = self.enter.weight.dtype
        states = {layer: prefix_states(context, layer, dtype) for layer in set(self.layers)}
        memories = []
        for layer, block in zip(self.layers, self._blocks(), strict=True):
            keys, values = block.read(states[layer][0])
            memories.append((keys.repeat_interleave(repeats, 0), values.repeat_interleave(repeats, 0)))
        mask = states[self.layers[0]][1]
        return memories, mask[:, None, None, :].repeat_interleave(repeats, 0)

    def forward(self, state: Tensor, time: Tensor, memory: Memory) -> Tensor:
        """``(B, T, A)`` and ``(B,)`` to ``(B, T, A) float32``; outside of the blocks autocast is off, since bfloat16's 8 bits
        are too few for small differences of noise and time."""
        memories, mask = memory
        dtype = self.enter.weight.dtype
        with torch.autocast(state.device.type, enabled=False):
            hidden = self.enter(state.to(dtype)) + self.position
            clock = self.time(time_features(time, self.position.shape[1]).to(dtype))
        for block, (keys, values) in zip(self._blocks(), memories, strict=True):
            hidden = block(hidden, clock, keys, values, mask)
        with torch.autocast(state.device.type, enabled=False):
            shift, scale = self.modulation(clock).unsqueeze(1).chunk(2, -1)
            left: Tensor = self.leave(self.norm(hidden.to(dtype)) * (1 + scale) + shift)
        return left.float()

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


class Block(nn.Module):
    """Attention among the steps, attention to the prefix, and a feed-forward layer, each modulated by time."""

    def __init__(self, dim: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(3))
        self.modulation = _nothing(nn.Linear(width, 9 * width))
        self.attend, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.memory_norm, self.memory = nn.LayerNorm(dim), nn.Linear(dim, 2 * width)
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def read(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values for ``(B, N, D)`` hidden states."""
        keys, values = self.memory(self.memory_norm(states)).chunk(2, -1)
        return self._split(keys), self._split(values)

    def forward(self, hidden: Tensor, clock: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, width)`` to the same shape; ``clock`` ``(B, width)``."""
        parts = self.modulation(clock).unsqueeze(1).chunk(9, -1)
        shifts, scales, gates = parts[:3], parts[3:6], parts[6:]
        seen = self.norms[0](hidden) * (1 + scales[0]) + shifts[0]
        query, key, value = (self._split(part) for part in self.attend(seen).chunk(3, -1))
        hidden = hidden + gates[0] * self.mix(_attention(query, key, value))
        asked = self._split(self.ask(self.norms[1](hidden) * (1 + scales[1]) + shifts[1]))
        hidden = hidden + gates[1] * self.answer(_attention(asked, keys, values, mask))
        fed: Tensor = hidden + gates[2] * self.feed(self.norms[2](hidden) * (1 + scales[2]) + shifts[2])
        return fed

    def _split(self, state: Tensor) -> Tensor:
        return state.view(*state.shape[:2], self.heads, -1).transpose(1, 2)


def time_features(time: Tensor, width: int) -> Tensor:
    """``(B,)`` times in [0, 1] as ``(B, width) float32`` sines and cosines of log-spaced periods."""
    fractions = torch.linspace(0, 1, width // 2, device=time.device)
    angles = time.float().unsqueeze(-1) * (2 * math.pi / (SHORTEST * (LONGEST / SHORTEST) ** fractions))
    return torch.cat([angles.sin(), angles.cos()], -1)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    mixed = nn.functional.scaled_dot_product_attention(query, key.to(query.dtype), value.to(query.dtype), attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


def _nothing(linear: nn.Linear) -> nn.Linear:
    """The layer with weights and bias 0."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
