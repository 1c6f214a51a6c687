"""A vision-language model small enough for unit tests of heads, techniques and trainers: random weights, bytes as tokens, 2
+ 3 layers.

It has what real ones have and tests have to meet: three roles, layers in order, causal attention with padding on either
side, image tokens, an output
embedding that is tied or not. It knows nothing and isn't meant to learn much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import STRIDE, Batch, Context, Layout, Role, Segment
from gf_core.training.samples import Sample

PAD, BEGIN, END, IMAGE = 256, 257, 258, 259
FIRST_FREE = 260
GRID = 4
"""An image is 4 × 4 tokens, each the mean colours of 2 × 2 areas of its patch."""


@dataclass(frozen=True, kw_only=True)
class SmallConfig:
    """Sizes and seed of a small backbone."""

    dim: int = 32
    vision_layers: int = 2
    layers: int = 3
    vocabulary: int = 2048
    tied: bool = True
    seed: int = 0


class SmallBackbone:
    """A Backbone (see gf_core.training.contracts) made of :class:`SmallModel`."""

    def __init__(self, config: SmallConfig | None = None) -> None:
        config = config or SmallConfig()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = SmallModel(config)
        self.module: nn.Module = self.model
        self.dim, self.layers, self.vocabulary, self.end_id = config.dim, config.layers, config.vocabulary, END
        digest = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            digest.update(name.encode() + value.numpy().tobytes())
        self.fingerprint = digest.hexdigest()

    def roles(self) -> Mapping[Role, tuple[str, ...]]:
        """See Backbone."""
        names = [name for name, _ in self.module.named_parameters()]
        vision = tuple(name for name in names if name.startswith("vision."))
        projector = tuple(name for name in names if name.startswith("projector."))
        return {"vision": vision, "projector": projector, "language": tuple(n for n in names if n not in {*vision, *projector})}

    def blocks(self, role: Role) -> tuple[str, ...]:
        """See Backbone."""
        counts = {"vision": ("vision.blocks", self.config.vision_layers), "language": ("blocks", self.config.layers)}
        prefix, count = counts.get(role, ("", 0))
        return tuple(f"{prefix}.{index}" for index in range(count))

    def input_embeddings(self) -> nn.Module:
        """See Backbone."""
        return self.model.embed

    def output_embeddings(self) -> nn.Module:
        """See Backbone."""
        return self.model.lm_head

    def reserve(self, count: int) -> range:
        """See Backbone."""
        if count > self.vocabulary - FIRST_FREE:
            raise GrinningFaceError(
                f"the vocabulary of {self.vocabulary} has no {count} rows to spare", hint="raise `vocabulary`"
            )
        return range(self.vocabulary - count, self.vocabulary)

    def tokenize(self, text: str) -> list[int]:
        """UTF-8 bytes."""
        return list(text.encode())

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of those ids that are bytes."""
        return bytes(token for token in ids if token < 256).decode(errors="replace")

    def prepare(
        self, samples: Sequence[Sample], layout: Layout, actions: Sequence[Sequence[int]] | None = None, *, generate: bool = False
    ) -> Batch:
        """See Backbone."""
        rows = [
            _sequence(sample, layout, actions[row] if actions else (), generate=generate) for row, sample in enumerate(samples)
        ]
        length = max(len(row) for row in rows)
        if generate:
            length = -(-length // STRIDE) * STRIDE
        ids = torch.full((len(rows), length), PAD)
        segments = torch.zeros(len(rows), length, dtype=torch.uint8)
        for number, row in enumerate(rows):
            place = slice(length - len(row), None) if generate else slice(len(row))
            ids[number, place] = torch.tensor([token for token, _ in row])
            segments[number, place] = torch.tensor([int(segment) for _, segment in row], dtype=torch.uint8)
        pixels = [_patches(frame.image) for sample in samples for frame in sample.frames if frame.offset == 0]
        nothing = torch.zeros(len(rows), 0)
        return Batch(
            inputs={
                "input_ids": ids,
                "attention_mask": (segments != int(Segment.PADDING)).long(),
                "pixel_values": torch.from_numpy(np.stack(pixels)) if pixels else torch.zeros(0, GRID * GRID, 12),
            },
            segments=segments,
            domains=tuple(sample.domain for sample in samples),
            keys=tuple(sample.key for sample in samples),
            robot=torch.tensor([sample.is_robot for sample in samples]),
            weight=nothing,
            proprio=nothing,
            actions=nothing,
            action_mask=nothing,
            frames={},
        )

    def encode(self, batch: Batch) -> Context:
        """See Backbone."""
        states = self.model(**batch.inputs)
        return Context(hidden=states, segments=batch.segments, features={})

    def logits(self, hidden: Tensor) -> Tensor:
        """See Backbone."""
        scores: Tensor = self.model.lm_head(hidden)
        return scores.float()

    @torch.no_grad()
    def generate(self, batch: Batch, most: int, allowed: Sequence[int] | None = None) -> Tensor:
        """See Backbone."""
        inputs = dict(batch.inputs)
        decoded: list[Tensor] = []
        over = torch.zeros(len(batch.domains), dtype=torch.bool)
        for _ in range(most):
            scores = self.logits(self.model(**inputs)[-1][:, -1])
            if allowed is not None:
                banned = torch.ones(self.vocabulary, dtype=torch.bool)
                banned[list(allowed)] = False
                scores = scores.masked_fill(banned, -torch.inf)
            chosen = torch.where(over, END, scores.argmax(-1))
            decoded.append(chosen)
            over |= chosen == END
            if bool(over.all()):
                break
            inputs["input_ids"] = torch.cat([inputs["input_ids"], chosen[:, None]], 1)
            inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(chosen[:, None])], 1)
        return torch.stack(decoded, 1)

    def save(self, directory: Path) -> None:
        """Nothing to write: the configuration is the settings."""


class SmallModel(nn.Module):
    """Patches → vision blocks → projector → language blocks → norm → lm_head."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        dim = config.dim
        self.vision = SmallVision(config.vision_layers, dim)
        self.projector = nn.Linear(dim, dim)
        self.embed = nn.Embedding(config.vocabulary, dim)
        self.position = nn.Embedding(512, dim)
        self.blocks = _stack(config.layers, dim)
        self.norm = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, config.vocabulary, bias=False)
        if config.tied:
            self.lm_head.weight = self.embed.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """L + 1 hidden states ``(B, S, D)``."""
        state: Tensor = self.embed(input_ids)
        if len(pixel_values):
            values = self.projector(self.vision(pixel_values)).flatten(0, 1)
            state = state.masked_scatter((input_ids == IMAGE).unsqueeze(-1), values.to(state.dtype))
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        state = state + self.position(positions)
        length = input_ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=state.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=state.device)
        mask = (causal & attention_mask.bool()[:, None, None, :]) | itself
        states = [state]
        for block in _blocks(self.blocks):
            states.append(block(states[-1], mask))
        return (*states[:-1], self.norm(states[-1]))


class SmallVision(nn.Module):
    """Patches → blocks in which every patch sees every other."""

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__()
        self.patch = nn.Linear(12, dim)
        self.blocks = _stack(layers, dim)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """``(images, 16, D)``."""
        seen: Tensor = self.patch(pixel_values)
        everything = torch.ones(seen.shape[0], 1, seen.shape[1], seen.shape[1], dtype=torch.bool, device=seen.device)
        for block in _blocks(self.blocks):
            seen = block(seen, everything)
        return seen


class Block(nn.Module):
    """A pre-norm transformer block with four heads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(dim, dim) for _ in range(4))
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, state: Tensor, mask: Tensor) -> Tensor:
        """``(B, S, D)``; ``mask`` ``(B, 1, S, S)`` true where a token may look."""
        seen = self.norm1(state)
        batch, length, dim = seen.shape
        parts = [proj(seen).view(batch, length, 4, dim // 4).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj)]
        mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask)
        state = state + self.o_proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        moved: Tensor = state + self.down(nn.functional.gelu(self.up(self.norm2(state))))
        return moved


def _stack(count: int, dim: int) -> nn.ModuleList:
    return nn.ModuleList(Block(dim) for _ in range(count))


def _blocks(stack: nn.Module) -> list[Block]:
    return [block for block in stack.children() if isinstance(block, Block)]


def _sequence(sample: Sample, layout: Layout, actions: Sequence[int], *, generate: bool) -> list[tuple[int, Segment]]:
    images = sum(frame.offset == 0 for frame in sample.frames)
    row = [(BEGIN, Segment.PROMPT), *[(IMAGE, Segment.IMAGE)] * (images * GRID * GRID)]
    row += [(token, Segment.PROMPT) for token in (*sample.prompt.encode(), ord("\n"))]
    if sample.is_robot:
        row += [(layout.proprio_id, Segment.PROPRIO)] * layout.proprio + [(layout.query_id, Segment.QUERY)] * layout.queries
    if generate:
        return row
    if sample.answer is not None:
        row += [(token, Segment.ANSWER) for token in (*sample.answer.encode(), END)]
    if actions:
        row += [(token, Segment.ACTION) for token in (*actions, END)]
    return row


def _patches(image: np.ndarray) -> np.ndarray:
    """``(H, W, 3) uint8`` to ``(16, 12) float32`` in [-1, 1]."""
    height, width = (side // (2 * GRID) * 2 * GRID for side in image.shape[:2])
    cells = image[:height, :width].reshape(2 * GRID, height // (2 * GRID), 2 * GRID, width // (2 * GRID), 3).mean((1, 3))
    patches = cells.reshape(GRID, 2, GRID, 2, 3).transpose(0, 2, 1, 3, 4).reshape(GRID * GRID, 12)
    scaled: np.ndarray = (patches / 127.5 - 1).astype(np.float32)
    return scaled
