"""The kit's checks of backbones: samples of both kinds are encoded and answered, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gf_core.schemas import apply_settings
from gf_core.specs import BackboneSpec
from gf_core.testing.findings import KitFinding, first_then_others
from gf_core.testing.small_policy import CAMERA, HORIZON, small_sources
from gf_core.training.contracts import BACKBONE_ROLES, Backbone, Batch, Context, Layout, Segment
from gf_core.training.samples import Sample, Wanted
from gf_core.training.tokens import TokenRows

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

CLOSE = 1e-3
"""Largest difference of hidden states, relative to the largest: other shapes round otherwise."""
ROWS, DECODED = 8, 4

_BACKBONE = ("GF571", "GF572", "GF573", "GF574")


def check_backbone(spec: BackboneSpec, host: PluginHost, *, settings: Sequence[str] = ()) -> list[KitFinding]:
    """The checks of a backbone."""
    trial = _Trial(spec, apply_settings(tuple(settings), spec.config_schema, source="settings"), host)
    checks = (trial.says_what_it_is, trial.prefix_stands_alone, trial.decodes, trial.places)
    with torch.no_grad():
        return first_then_others(spec.id, dict(zip(_BACKBONE, checks, strict=True)))


class _Trial:
    def __init__(self, spec: BackboneSpec, config: Mapping[str, Any], host: PluginHost) -> None:
        self._spec, self._config, self._host = spec, config, host

    @cached_property
    def backbone(self) -> Backbone:
        """Made once; nothing of the kit trains it."""
        made: Backbone = self._made()
        return made

    @cached_property
    def _rows(self) -> range:
        return self.backbone.reserve(ROWS)

    def says_what_it_is(self) -> str | None:
        """Attributes, roles, layers and the fingerprint."""
        backbone = self.backbone
        if not isinstance(backbone, Backbone):
            missing = [name for name in (*Backbone.__annotations__, *vars(Backbone)) if not hasattr(backbone, name)]
            return f"it lacks {', '.join(name for name in missing if not name.startswith('_'))}"
        names = [name for name, _ in backbone.module.named_parameters()]
        roles = backbone.roles()
        held = [name for role in BACKBONE_ROLES for name in roles.get(role, ())]
        if unknown := sorted(set(roles) - set(BACKBONE_ROLES)):
            return f"{unknown[0]!r} is no role; there are {', '.join(BACKBONE_ROLES)}"
        if sorted(held) != sorted(names):
            odd = sorted(set(names) ^ set(held)) or sorted(name for name in set(held) if held.count(name) > 1)
            return f"{odd[0]} hasn't exactly one role"
        if wrong := [name for name, value in backbone.module.named_parameters() if value.dtype != torch.float32]:
            return f"{wrong[0]} isn't float32"
        for role in BACKBONE_ROLES:
            for name in backbone.blocks(role):
                backbone.module.get_submodule(name)
        if len(backbone.blocks("language")) != backbone.layers:
            return f"it has {backbone.layers} layers, and blocks('language') names {len(backbone.blocks('language'))}"
        shape = tuple(getattr(backbone.input_embeddings(), "weight", torch.zeros(0)).shape)
        if shape != (backbone.vocabulary, backbone.dim):
            return f"its embeddings are {shape}, and `vocabulary` and `dim` say {(backbone.vocabulary, backbone.dim)}"
        if self._made().fingerprint != backbone.fingerprint:
            return "loaded twice, it has two fingerprints"
        return None

    def prefix_stands_alone(self) -> str | None:
        """What stands behind, beside and around a sample changes nothing of its prefix."""
        backbone, ids = self.backbone, self._rows
        whole = self._prepared([ids[2], ids[3]])
        seen = backbone.encode(whole)
        if len(seen.hidden) != backbone.layers + 1:
            return f"it returns {len(seen.hidden)} hidden states for {backbone.layers} layers; the embeddings come first"
        if any(state.shape != (*whole.input_ids.shape, backbone.dim) for state in seen.hidden):
            return f"hidden states aren't {(*whole.input_ids.shape, backbone.dim)}"
        if not bool(seen.mask(Segment.IMAGE)[:2].any(1).all()) or not bool(seen.mask(Segment.ANSWER)[1].any()):
            return "`segments` say nothing of images or answers (`Segment`)"
        behind = backbone.encode(self._prepared([ids[3], ids[2], ids[2]]))
        if not _same(_prefix(seen, 0), _prefix(behind, 0)):
            return "the prefix depends on the action tokens behind it"
        left = backbone.encode(self._prepared(generate=True))
        for row, sample in enumerate(self._samples()):
            if not _same(_prefix(seen, row), _prefix(left, row)):
                return "the prefix depends on the side of the padding"
            alone = backbone.encode(backbone.prepare([sample], self._layout(), generate=True))
            if not _same(_prefix(left, row), _prefix(alone, 0)):
                return "the prefix depends on the other samples of the batch"
        return None

    def decodes(self) -> str | None:
        """Tokens that `generate` gives, and those of full forwards with what was given before."""
        backbone = self.backbone
        decoded = backbone.generate(self._prepared(generate=True), DECODED)
        samples = [replace(sample, answer=None) for sample in self._samples()]
        written: list[list[int]] = [[] for _ in samples]
        for step in range(decoded.shape[1]):
            seen = backbone.encode(backbone.prepare(samples, self._layout(), written))
            for row, tokens in enumerate(written):
                last = int(seen.prefix[row].sum()) - 1 + len(tokens)
                scores = backbone.logits(seen.last[row, last])
                token = int(decoded[row, step])
                if backbone.end_id not in tokens and float(scores.max() - scores[token]) > CLOSE * float(scores.abs().max()):
                    return f"token {step} of sample {row} isn't the one that a full forward finds most likely"
                tokens.append(token)
        return None

    def places(self) -> str | None:
        """Embeddings put in the place of states and queries."""
        backbone = self.backbone
        rows = TokenRows(backbone, self._rows)
        try:
            batch = self._prepared()
            where = batch.segments == int(Segment.QUERY)
            if int(where.sum()) != 2:
                return f"{int(where.sum())} tokens of a sample are query tokens, and the layout asks for 2"
            values = torch.randn(2, backbone.dim, generator=torch.Generator().manual_seed(0))
            plain = backbone.encode(batch)
            with rows.placed((where, values)):
                placed = backbone.encode(batch)
            if _same([plain.last[0][where[0]]], [placed.last[0][where[0]]]):
                return "embeddings that are placed (states, queries) change nothing: forward must call `input_embeddings()`"
        finally:
            rows.remove()
        return None

    def _made(self) -> Any:
        return self._host.backbones.load(self._spec.id)(dict(self._config))

    def _samples(self) -> list[Sample]:
        """One of robot data, one question."""
        wanted = Wanted(cameras=(CAMERA,), horizon=HORIZON)
        return [source.sample(0, wanted) for source in small_sources().values()]

    def _layout(self) -> Layout:
        return Layout(proprio=1, proprio_id=self._rows[0], queries=2, query_id=self._rows[1])

    def _prepared(self, tokens: Sequence[int] = (), *, generate: bool = False) -> Batch:
        return self.backbone.prepare(self._samples(), self._layout(), [tokens, []], generate=generate)


def _prefix(context: Context, row: int) -> list[Tensor]:
    return [state[row][context.prefix[row]] for state in context.hidden]


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.shape == b.shape and float((a - b).abs().max()) <= CLOSE * max(1.0, float(b.abs().max())) for a, b in pairs)
