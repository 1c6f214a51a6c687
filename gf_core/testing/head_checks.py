"""The kit's checks of action heads: one is fitted, trained for a few steps and asked, on the small policy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gf_core.errors import GrinningFaceError
from gf_core.evaluation.returned import described
from gf_core.schemas import apply_settings
from gf_core.specs import HeadSpec
from gf_core.testing.findings import KitFinding, NothingToTryError, first_then_others, skipped
from gf_core.testing.small_policy import (
    ACTION,
    CAMERA,
    HORIZON,
    SAMPLES,
    head_shape,
    noise,
    not_scalars,
    small_backbone,
    small_policy,
    small_sources,
    train,
)
from gf_core.training.contracts import ActionHead, Batch, Context
from gf_core.training.model import VLA, StageHead
from gf_core.training.samples import Sample, Wanted

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

NAME = "action"
STEPS, CLOSE = 3, 1e-4
FAR = 1e3
"""What hidden states outside of the prefix are replaced with: no head that reads them could answer the same."""

_HEAD = ("GF561", "GF562", "GF563", "GF564", "GF565")


def check_head(spec: HeadSpec, host: PluginHost, *, settings: Sequence[str] = ()) -> list[KitFinding]:
    """The checks of a head."""
    trial = _Trial(spec, apply_settings(tuple(settings), spec.config_schema, source="settings"), host)
    try:
        trial.batch()
    except GrinningFaceError as error:
        return skipped(_HEAD, spec.id, f"it can't be part of the kit's small policy: {error.line}")
    except Exception:  # GF561 tells, since it begins in the same way
        pass
    checks = (trial.acts, trial.reads_the_prefix, trial.answers_each_alone, trial.weighs, trial.comes_back)
    return first_then_others(spec.id, dict(zip(_HEAD, checks, strict=True)))


class _Trial:
    def __init__(self, spec: HeadSpec, config: Mapping[str, Any], host: PluginHost) -> None:
        self._spec, self._config, self._host = spec, config, host
        source = small_sources()["robot"]
        self._samples = [source.sample(index, Wanted(cameras=(CAMERA,), horizon=HORIZON)) for index in range(SAMPLES)]

    def batch(self) -> tuple[VLA, Batch]:
        """A policy with the head, and training data for it."""
        vla = self._policy()
        return vla, vla.prepare(self._samples)

    def acts(self) -> str | None:
        """A few steps, and actions."""
        vla, batch = self.batch()
        losses = train(vla, batch, range(STEPS))
        if not losses:
            return "it has no loss"
        if wrong := not_scalars(losses):
            return wrong
        actions = _acted(vla, self._samples)
        if actions.shape != (SAMPLES, HORIZON, ACTION) or actions.dtype != torch.float32:
            return f"actions are {described(actions.numpy())}, not float32 {(SAMPLES, HORIZON, ACTION)}"
        return None if bool(actions.isfinite().all()) else "an action isn't finite"

    def reads_the_prefix(self) -> str | None:
        """Hidden states behind the prefix and padding are changed; of a token head, tokens are decoded."""
        vla, batch = self._trained
        head = vla.head(NAME)
        if head.speaks:
            return _decodes(vla, head)
        generating = vla.prepare(self._samples, generate=True)
        with torch.no_grad():
            for what, one in (("loss", batch), ("actions", generating)):
                context = vla.encode(one)
                before, after = (self._computed(vla, what, seen, one) for seen in (context, _ruined(context)))
                if not torch.allclose(before, after, atol=CLOSE, rtol=CLOSE):
                    return f"its {what} depends on hidden states that aren't of the prefix (`context.prefix`)"
        return None

    def answers_each_alone(self) -> str | None:
        """Actions of samples alone, with the random numbers that they had beside others."""
        vla, _ = self._trained
        together = _acted(vla, self._samples)
        for row, sample in enumerate(self._samples):
            if not torch.allclose(_acted(vla, [sample], first=row)[0], together[row], atol=CLOSE, rtol=CLOSE):
                return f"alone, sample {row} gets other actions than beside {SAMPLES - 1} others"
        return None

    def weighs(self) -> str | None:
        """Actions past an episode's end, and samples whose losses weigh nothing."""
        vla, _ = self._trained
        if vla.head(NAME).speaks:
            raise NothingToTryError("the loss of a token head's tokens is the language model's")
        # A head may read repeated actions beside the others, as flow matching does; their errors mustn't count.
        mask = np.array([True] * (HORIZON - 1) + [False])
        ended = [replace(sample, action_mask=mask) for sample in self._samples]
        if torch.equal(self._loss(vla, self._samples), self._loss(vla, ended)):
            return "its loss is the same whether or not an action lies past the episode's end (`batch.action_mask`)"
        weights = [1.0] * (SAMPLES - 1) + [0.0]
        other = [*self._samples[:-1], replace(self._samples[-1], actions=_others(self._samples[-1]))]
        if not torch.equal(self._loss(vla, self._samples, weights), self._loss(vla, other, weights)):
            return "its loss depends on a sample of weight 0 (`batch.weight`)"
        return None

    def comes_back(self) -> str | None:
        """A second head, with the first one's weights and what it found in the data."""
        vla, _ = self._trained
        state = json.loads(json.dumps(vla.head(NAME).state()))
        loaded = self._policy(fitted=False)
        loaded.head(NAME).load_state(state)
        loaded.load_state_dict(vla.state_dict())
        if not torch.equal(_acted(vla, self._samples), _acted(loaded, self._samples)):
            return "after `load_state` and its weights, a second one gives other actions"
        return None

    def _policy(self, *, fitted: bool = True) -> VLA:
        backbone = small_backbone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            head = self._host.heads.load(self._spec.id)(dict(self._config), head_shape(backbone))
        if not isinstance(head, ActionHead):
            raise TypeError(f"its entry point makes a {type(head).__name__}, not an ActionHead")
        vla = small_policy({NAME: head}, backbone)
        if fitted:
            raw = [sample.actions for sample in self._samples if sample.actions is not None]
            head.fit(iter(raw if head.raw else [vla.action_normalizer.normalize(actions) for actions in raw]))
        vla.begin_stage([StageHead(name=NAME)], ())
        vla.set_trainable(vla.names("language"))
        return vla

    @cached_property
    def _trained(self) -> tuple[VLA, Batch]:
        """After a few steps; nothing of the checks changes it."""
        vla, batch = self.batch()
        train(vla, batch, range(STEPS))
        return vla, batch

    def _loss(self, vla: VLA, samples: Sequence[Sample], weights: Sequence[float] = ()) -> Tensor:
        batch = vla.prepare(samples, weights)
        with torch.no_grad():
            return self._computed(vla, "loss", vla.encode(batch), batch)

    def _computed(self, vla: VLA, what: str, context: Context, batch: Batch) -> Tensor:
        head = vla.head(NAME)
        if what == "actions":
            return head.act(vla, context, batch, noise(SAMPLES)).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return torch.stack(list(head.loss(vla, context, batch).values()))


@torch.no_grad()
def _acted(vla: VLA, samples: Sequence[Sample], first: int = 0) -> Tensor:
    vla.eval()
    return vla.act(vla.prepare(samples, generate=True), noise(first + len(samples))[first:])


def _decodes(vla: VLA, head: ActionHead) -> str | None:
    """Any tokens give some chunk."""
    rng = np.random.default_rng(0)
    for count in {0, 1, head.length} if head.ends or head.words else {head.length}:
        most = vla.backbone.vocabulary if head.words else head.tokens
        chunk = head.decode(rng.integers(0, most, count).tolist(), vla.backbone)
        if np.shape(chunk) != (HORIZON, ACTION) or not np.isfinite(chunk).all():
            return f"{count} tokens are decoded to {described(chunk)}, not to a finite chunk {(HORIZON, ACTION)}"
    return None


def _ruined(context: Context) -> Context:
    outside = ~context.prefix.unsqueeze(-1)
    return replace(context, hidden=tuple(state.masked_fill(outside, FAR) for state in context.hidden))


def _others(sample: Sample) -> np.ndarray:
    """Other actions than the sample's."""
    assert sample.actions is not None
    return -sample.actions
