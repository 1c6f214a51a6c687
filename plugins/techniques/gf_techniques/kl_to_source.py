"""A penalty on how far next-token predictions move from those of the VLM at the stage's start: ``KL(source || policy)``.

Distillation towards the model's own past, as in Learning without Forgetting (arXiv 1606.09282), over text positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import BACKBONE_ROLES, Backbone, Batch, Context, Segment, Technique
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.samples import Source
from gf_techniques.adapters import adapter_parameters, adapters, merge, switched_off
from gf_techniques.frozen import Frozen

_WHERE = "gf/kl-to-source-v1"
_POSITIONS = {"answer": (Segment.ANSWER,), "prompt": (Segment.PROMPT,), "both": (Segment.PROMPT, Segment.ANSWER)}
_UNKNOWN_TO_SOURCE = (Segment.PROPRIO, Segment.QUERY, Segment.ACTION)


class KLToSource(Technique):
    """Adds ``weight · KL`` as the loss ``kl_to_source``: mean over each sample's positions, then over samples.

    The source is the policy with its adapters switched off where nothing but adapters trains, and else a frozen copy of the
    backbone, which costs its size in memory. Tokens that the policy added (states, queries, actions) are hidden from the source,
    and their rows are left out of both distributions. Where the prompt looks both ways (PaliGemma) it sees states and queries in
    the policy alone, so the loss over robot prompts doesn't start at 0.

    Args:
        weight: factor of the loss.
        samples: ``vision-language``, or ``all`` for robot samples too.
        positions: which tokens' predictions: of the ``answer``, of the ``prompt``, or ``both``.

    Raises:
        GrinningFaceError: ``all`` with ``answer``: robot samples have no answer to predict.
    """

    order = 20  # after what chooses the trainable parameters

    def __init__(self, *, weight: float, samples: str, positions: str) -> None:
        if samples == "all" and positions == "answer":
            raise GrinningFaceError("robot samples have no answers", where=f"{_WHERE} positions", hint="use prompt or both")
        self._weight, self._robot, self._segments = weight, samples == "all", _POSITIONS[positions]
        self._questions: set[str] = set()
        self._teacher: Backbone | None = None
        self._layers: dict[str, Linear] = {}

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """The same sources."""
        self._questions = {name for name, source in sources.items() if source.conventions is None}
        return sources

    def mixture(self, mixture: Mixture) -> Mixture:
        """The same mixture.

        Raises:
            GrinningFaceError: vision-language samples alone are to count, and it has none.
        """
        if not self._robot and not self._questions & {share.source for share in mixture.shares}:
            raise GrinningFaceError(
                "only vision-language samples count, and the stage has none",
                where=f"{_WHERE} samples",
                hint="mix some in with gf/cotrain-v1, or set `samples` to all and `positions` to prompt",
            )
        return mixture

    def setup(self, vla: VLA) -> None:
        """Find the source: adapters to switch off, or a copy, which gets the role ``teacher``.

        Raises:
            GrinningFaceError: nothing of the VLM trains.
        """
        layers = adapters(vla.model)
        training = {name for name, value in vla.named_parameters() if value.requires_grad and vla.role_of(name) != "head"}
        if not training & set(vla.names(*BACKBONE_ROLES)):
            raise GrinningFaceError(
                "nothing of the VLM trains, so its predictions stay as they are",
                where=_WHERE,
                hint="add a technique that trains it: gf/full-finetune-v1 or gf/lora-v1",
            )
        if {name.removeprefix("model.") for name in training} <= adapter_parameters(layers):
            self._layers = layers
            return
        # The added tokens' rows are shared: the source never sees those tokens, and rows follow the policy to its device.
        shared = {id(vla.rows): vla.rows}
        teacher, extras = deepcopy((vla.backbone, vla.extras), shared)
        merge(teacher.module)  # new adapters add nothing yet; those of an earlier stage belong to the source
        vla.extras["teacher"] = Frozen(model=teacher.module, extras=extras)
        self._teacher = teacher

    def losses(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """``kl_to_source``, where the batch has such positions."""
        wanted = self._wanted(batch)
        if not bool(wanted.any()):
            return {}
        with torch.no_grad():
            if self._teacher:
                source = _log_probabilities(vla, self._teacher, self._teacher.encode(_hidden(batch)), wanted)
            else:
                with switched_off(self._layers):
                    source = _log_probabilities(vla, vla.backbone, vla.backbone.encode(_hidden(batch)), wanted)
        policy = _log_probabilities(vla, vla.backbone, context, wanted)
        each = torch.zeros(wanted.shape, dtype=policy.dtype, device=policy.device)
        each = each.masked_scatter(wanted, (source.exp() * (source - policy)).sum(-1))
        samples = wanted.any(1)
        means = each.sum(1)[samples] / wanted.sum(1)[samples]
        return {"kl_to_source": self._weight * (means * batch.weight[samples]).mean()}

    def _wanted(self, batch: Batch) -> Tensor:
        """``(B, S - 1) bool``: positions whose next token is one of those asked for."""
        following = batch.segments[:, 1:]
        wanted = torch.zeros_like(following, dtype=torch.bool)
        for segment in self._segments:
            wanted |= following == int(segment)
        wanted &= batch.segments[:, :-1] != int(Segment.PADDING)
        return wanted if self._robot else wanted & ~batch.robot[:, None]

    def finish(self, vla: VLA) -> None:
        """Remove the copy."""
        if self._teacher:
            del vla.extras["teacher"]
        self._teacher, self._layers = None, {}

    def report(self) -> dict[str, Any]:
        """Where the source's predictions come from."""
        return {"source": "frozen copy" if self._teacher else "adapters switched off"}


def _hidden(batch: Batch) -> Batch:
    """The batch without the tokens that the source doesn't know."""
    mask = batch.inputs["attention_mask"].clone()
    for segment in _UNKNOWN_TO_SOURCE:
        mask[batch.segments == int(segment)] = 0
    return replace(batch, inputs={**batch.inputs, "attention_mask": mask})


def _log_probabilities(vla: VLA, backbone: Backbone, context: Context, wanted: Tensor) -> Tensor:
    """``(positions, V - added rows) float32``."""
    logits = backbone.logits(context.last[:, :-1][wanted])
    first, end = vla.rows.first, vla.rows.first + vla.rows.count
    return torch.cat([logits[:, :first], logits[:, end:]], -1).log_softmax(-1)


def make(config: Mapping[str, Any]) -> KLToSource:
    """Entry point of gf/kl-to-source-v1."""
    return KLToSource(weight=config["weight"], samples=config["samples"], positions=config["positions"])
