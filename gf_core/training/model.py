"""A policy under training: backbone, heads, added tokens, and what techniques add, in one module with one forward.

One forward per mixed batch computes every loss: a second forward on the unwrapped module would skip the gradients'
all-reduce under
DDP without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Backbone, Batch, Context, Layout, Role, Segment, Technique, as_tensor
from gf_core.training.normalizer import Normalizer
from gf_core.training.samples import Conventions, Sample, uninterrupted
from gf_core.training.tokens import TokenRows


@dataclass(frozen=True, kw_only=True)
class StageHead:
    """How a stage uses a head.

    Attributes:
        name: its name in the policy.
        weight: factor of its losses.
        detach: cut its gradients off from the backbone.
        used_at_inference: whether the policy acts through it.
    """

    name: str
    weight: float = 1.0
    detach: bool = False
    used_at_inference: bool = True


class VLA(nn.Module):
    """A vision-language-action policy.

    Args:
        backbone: the vision-language model.
        heads: every head of the recipe, by name; stages use some of them.
        conventions: of the robot data.
        actions, proprio: normalisers; ``proprio`` is ``None`` for a policy that isn't told its state.
        horizon: T, steps of an action chunk.
        cameras: cameras that the policy looks through, in order.
        image_size: height and width [px] of their images; ``None`` for as in the data.

    Attributes:
        backbone: as given; its module is registered as ``model``.
        heads: the heads.
        extras: modules that techniques added, by role.
        stage_heads, techniques: what the present stage uses.
        loss_weights: factors by name of loss, ``"text"`` for answers; techniques may change them in setup.
    """

    def __init__(
        self,
        backbone: Backbone,
        heads: Mapping[str, ActionHead],
        conventions: Conventions,
        *,
        actions: Normalizer,
        proprio: Normalizer | None,
        horizon: int,
        cameras: Sequence[str],
        image_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.conventions = backbone, conventions
        self.action_normalizer, self.proprio_normalizer = actions, proprio
        self.horizon, self.cameras, self.image_size = horizon, tuple(cameras), image_size
        self.model = backbone.module
        self.heads = nn.ModuleDict(dict(heads))
        self.extras = nn.ModuleDict()
        ids = backbone.reserve(2 + sum(head.tokens for head in heads.values()))
        self.rows = TokenRows(backbone, ids)
        self.token_ids: dict[str, range] = {}
        following = ids.start + 2
        for name, head in heads.items():
            self.token_ids[name] = range(following, following + head.tokens)
            following += head.tokens
        self._ids = ids
        width = len(proprio.shift) if proprio else 0
        self.state_encoder = _state_encoder(width, backbone.dim) if width else None
        most = max((head.queries for head in heads.values()), default=0)
        self.queries = nn.Parameter(torch.randn(most, backbone.dim) * 0.02) if most else None
        self.stage_heads: tuple[StageHead, ...] = ()
        self.techniques: tuple[Technique, ...] = ()
        self.loss_weights: dict[str, float] = {}
        self._roles = {name: role for role, names in backbone.roles().items() for name in names}

    def head(self, name: str) -> ActionHead:
        """A head by name."""
        head = self.heads[name]
        if not isinstance(head, ActionHead):
            raise TypeError(f"heads.{name} is no ActionHead")
        return head

    def role_of(self, name: str) -> Role:
        """The role of one of this module's parameters; an adapter has the role of the module that it adapts."""
        first, _, rest = name.partition(".")
        if first == "extras":
            return rest.partition(".")[0]
        if first != "model":
            return "head"
        plain = rest.replace(".base_layer.", ".").replace(".original_module.", ".")
        if plain in self._roles:
            return self._roles[plain]
        owner = plain
        while owner:
            owner = owner.rpartition(".")[0]
            for leaf in ("weight", "bias"):
                if f"{owner}.{leaf}" in self._roles:
                    return self._roles[f"{owner}.{leaf}"]
        raise GrinningFaceError(
            f"parameter {name!r} has no role", hint="that is a fault of the backbone or of a technique that adds parameters"
        )

    def names(self, *roles: Role) -> list[str]:
        """Names of this module's parameters with any of these roles."""
        return [name for name, _ in self.named_parameters() if self.role_of(name) in roles]

    def set_trainable(self, names: Iterable[str], trainable: bool = True) -> None:
        """Let parameters train, or not."""
        parameters = dict(self.named_parameters())
        for name in names:
            parameters[name].requires_grad_(trainable)

    def begin_stage(self, heads: Sequence[StageHead], techniques: Sequence[Technique]) -> None:
        """Freeze everything but the stage's heads and added tokens, then let the techniques set up, in their order."""
        self.stage_heads, self.loss_weights = tuple(heads), {}
        self.techniques = tuple(sorted(techniques, key=lambda technique: technique.order))
        self.requires_grad_(False)
        used = [self.head(head.name) for head in heads]
        if lost := [head.name for head in heads if head.detach and self.head(head.name).queries]:
            what = f"head {lost[0]!r} reads query tokens, which couldn't learn if it were detached"
            raise GrinningFaceError(what, hint="set detach to false, or use a head that reads the prefix")
        if mute := [head.name for head in heads if head.detach and self.head(head.name).speaks]:
            what = f"head {mute[0]!r} speaks in tokens, so detaching it would train nothing"
            raise GrinningFaceError(what, hint="set detach to false")
        for head in used:
            head.requires_grad_(True)
        # Detached heads alone leave it as it is: a fixed random embedding of the state, of which nothing is lost.
        if self.state_encoder is not None and any(not head.detach for head in heads):
            self.state_encoder.requires_grad_(True)
        if self.queries is not None and any(head.queries for head in used):
            self.queries.requires_grad_(True)
        if any(head.tokens for head in used):
            self.rows.requires_grad_(True)
        for technique in self.techniques:
            technique.setup(self)

    def end_stage(self) -> None:
        """Let the techniques finish, last first, so that merges undo setups in reverse."""
        for technique in reversed(self.techniques):
            technique.finish(self)

    def layout(self) -> Layout:
        """The tokens that the stage's heads add to robot samples."""
        queries = max((self.head(head.name).queries for head in self.stage_heads), default=0)
        has_state = int(self.state_encoder is not None)
        return Layout(proprio=has_state, proprio_id=self._ids.start, queries=queries, query_id=self._ids.start + 1)

    def speaker(self) -> StageHead | None:
        """The stage's token head.

        Raises:
            GrinningFaceError: it has two.
        """
        found = [head for head in self.stage_heads if self.head(head.name).speaks]
        if len(found) > 1:
            names = " and ".join(repr(head.name) for head in found)
            raise GrinningFaceError(f"heads {names} both speak in tokens", hint="a stage can hold one token head; use two stages")
        return found[0] if found else None

    def prepare(self, samples: Sequence[Sample], weights: Sequence[float] = (), *, generate: bool = False) -> Batch:
        """Samples as a batch on the CPU; touches no weights, so workers may call it."""
        speaker = self.speaker()
        tokens = None
        if speaker and not generate:
            tokens = [self._action_tokens(speaker.name, sample) for sample in samples]
        batch = self.backbone.prepare(samples, self.layout(), tokens, generate=generate)
        width, state_width = len(self.action_normalizer.shift), len(self.conventions.proprio_statistics.mean)
        actions = torch.zeros(len(samples), self.horizon, width)
        mask = torch.zeros(len(samples), self.horizon, dtype=torch.bool)
        proprio = torch.zeros(len(samples), state_width)
        for row, sample in enumerate(samples):
            if sample.actions is not None and sample.action_mask is not None:
                actions[row] = as_tensor(self.action_normalizer.normalize(sample.actions))
                mask[row] = as_tensor(sample.action_mask)
            if sample.proprio is not None and self.proprio_normalizer:
                proprio[row] = as_tensor(self.proprio_normalizer.normalize(sample.proprio))
        return replace(
            batch,
            weight=torch.tensor(list(weights) or [1.0] * len(samples), dtype=torch.float32),
            actions=actions,
            action_mask=mask,
            proprio=proprio,
            frames=_frames(samples, {offset for technique in self.techniques for offset in technique.offsets}),
        )

    def _action_tokens(self, name: str, sample: Sample) -> list[int]:
        head = self.head(name)
        if not sample.is_robot or sample.actions is None or sample.action_mask is None:
            return []
        actions, mask = uninterrupted(sample.actions, sample.action_mask)
        local = head.encode(actions if head.raw else self.action_normalizer.normalize(actions), mask, sample.key, self.backbone)
        if head.words:
            return local
        ids = self.token_ids[name]
        if any(not 0 <= token < len(ids) for token in local):
            raise GrinningFaceError(f"head {name!r} encoded a token outside 0 … {len(ids) - 1}")
        return [ids[token] for token in local]

    def encode(self, batch: Batch) -> Context:
        """The backbone's context, with encoded states and queries in their places, after the techniques' say."""
        with self.rows.placed(*self._placements(batch)):
            context = self.backbone.encode(batch)
        for technique in self.techniques:
            context = technique.context(self, context, batch)
        return context

    def _placements(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        placed = []
        if self.state_encoder is not None:
            encoded = self.state_encoder(batch.proprio[batch.robot])
            placed.append((batch.segments == int(Segment.PROPRIO), encoded))
        queries = self.layout().queries
        if queries and self.queries is not None:
            rows = int(batch.robot.sum())
            placed.append((batch.segments == int(Segment.QUERY), self.queries[:queries].repeat(rows, 1)))
        return placed

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss of a batch, weighted, scalars by name; the sum is what is minimised."""
        context = self.encode(batch)
        losses = self.token_losses(context, batch)
        robot = batch.robot & batch.action_mask.any(-1)
        if bool(robot.any()):
            rows, part = context.rows(robot), _rows(batch, robot)
            for stage_head in self.stage_heads:
                head = self.head(stage_head.name)
                seen = rows.detached() if stage_head.detach else rows
                for name, loss in head.loss(self, seen, part).items():
                    losses[f"{stage_head.name}/{name}"] = stage_head.weight * loss
        for technique in self.techniques:
            losses |= technique.losses(self, context, batch)
        return losses

    def token_losses(self, context: Context, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of answers (``text``) and of action tokens (``HEAD/tokens``): mean over each sample's tokens, then
        over samples."""
        following = batch.segments[:, 1:]
        wanted = (following == int(Segment.ANSWER)) | (following == int(Segment.ACTION))
        if not bool(wanted.any()):
            return {}
        logits = self.backbone.logits(context.last[:, :-1][wanted])
        each = torch.zeros(wanted.shape, dtype=logits.dtype, device=logits.device)
        each = each.masked_scatter(wanted, nn.functional.cross_entropy(logits, batch.input_ids[:, 1:][wanted], reduction="none"))
        losses = {}
        speaker = self.speaker()
        kinds = [("text", Segment.ANSWER, self.loss_weights.get("text", 1.0))]
        if speaker:
            kinds.append((f"{speaker.name}/tokens", Segment.ACTION, speaker.weight))
        for name, segment, factor in kinds:
            of_kind = following == int(segment)
            samples = of_kind.any(1)
            if bool(samples.any()):
                means = (each * of_kind).sum(1)[samples] / of_kind.sum(1)[samples]
                losses[name] = factor * (means * batch.weight[samples]).mean()
        return losses

    @torch.no_grad()
    def act(self, batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        """Actions ``(B, T, A) float32`` in their own units, for robot samples prepared with ``generate=True``.

        Raises:
            GrinningFaceError: not exactly one head of the stage acts.
        """
        acting = [head for head in self.stage_heads if head.used_at_inference]
        if len(acting) != 1:
            raise GrinningFaceError(f"{len(acting)} heads act in this stage", hint="set used_at_inference for exactly one")
        head = self.head(acting[0].name)
        if head.speaks:
            chunks = [head.decode(tokens, self.backbone) for tokens in self.speak(acting[0].name, batch)]
            actions = as_tensor(np.stack(chunks).astype(np.float32))
        else:
            actions = head.act(self, self.encode(batch), batch, generators).float().cpu()
        return actions if head.raw else as_tensor(self.action_normalizer.denormalize(actions.numpy()))

    def speak(self, name: str, batch: Batch) -> list[list[int]]:
        """The tokens that the backbone decodes for a head: 0 … ``tokens`` - 1, or words' ids for a head that speaks in
        words."""
        head, ids, end = self.head(name), self.token_ids[name], self.backbone.end_id
        allowed = [*ids, end] if head.ends else list(ids)
        with self.rows.placed(*self._placements(batch)):
            decoded = self.backbone.generate(batch, head.length, None if head.words else allowed).tolist()
        spoken = [row[: row.index(end)] if end in row else row for row in decoded]
        return spoken if head.words else [[token - ids.start for token in row] for row in spoken]


def _state_encoder(width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, dim), nn.SiLU(), nn.Linear(dim, dim))


def _rows(batch: Batch, chosen: Tensor) -> Batch:
    """Some samples of a batch; the model's own inputs other than the ids are left out, since images aren't one row a sample
    everywhere."""
    where = chosen.nonzero().flatten().tolist()
    return replace(
        batch,
        inputs={"input_ids": batch.input_ids[chosen]},
        domains=tuple(batch.domains[i] for i in where),
        keys=tuple(batch.keys[i] for i in where),
        frames={key: value[chosen] for key, value in batch.frames.items()},
        **{name: getattr(batch, name)[chosen] for name in ("segments", "robot", "weight", "proprio", "actions", "action_mask")},
    )


def _frames(samples: Sequence[Sample], offsets: set[int]) -> dict[tuple[str, int], Tensor]:
    """Raw frames of robot samples at these offsets and at 0."""
    if not offsets:
        return {}
    found: dict[tuple[str, int], Tensor] = {}
    for row, sample in enumerate(samples):
        for frame in sample.frames if sample.is_robot else ():
            if frame.offset in offsets | {0}:
                key = (frame.camera, frame.offset)
                if key not in found:
                    found[key] = torch.zeros(len(samples), *frame.image.shape, dtype=torch.uint8)
                found[key][row] = as_tensor(frame.image)
    return found
