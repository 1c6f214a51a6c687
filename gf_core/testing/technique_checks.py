"""The kit's checks of techniques: a stage on the small policy is trained for a few steps, stopped, and loaded again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.schemas import apply_settings
from gf_core.specs import TechniqueSpec
from gf_core.testing.findings import KitFinding, first_then_others, skipped
from gf_core.testing.small_policy import (
    HORIZON,
    SAMPLES,
    MeanHead,
    SignHead,
    adam,
    noise,
    not_scalars,
    small_backbone,
    small_policy,
    small_sources,
    train,
)
from gf_core.training.compose import make_techniques
from gf_core.training.contracts import BACKBONE_ROLES, Batch, Technique
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage
from gf_core.training.samples import Sample, Wanted
from gf_core.training.schedule import trainable
from gf_core.training.trainer import stage_data

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

STEPS = 3
FULL = "gf/full-finetune-v1"

_TECHNIQUE = ("GF551", "GF552", "GF553", "GF554")


def check_technique(spec: TechniqueSpec, host: PluginHost, *, settings: Sequence[str] = ()) -> list[KitFinding]:
    """The checks of a technique, in the first of a few stages that it can be part of."""
    config = apply_settings(tuple(settings), spec.config_schema, source="settings")
    if wrong := _unknown(spec, host):
        found = KitFinding(code="GF551", subject=spec.id, outcome="fail", detail=wrong)
        return [found, *skipped(_TECHNIQUE[1:], spec.id, "GF551 comes first")]
    trials, reasons = _trials(spec, config, host)
    if not trials:
        return skipped(_TECHNIQUE, spec.id, "it can't be part of a stage of the kit's small policy: " + " | ".join(reasons))
    # Beside full fine-tuning nearly everything trains, so what it lets train itself shows in another stage.
    trial, alone = trials[0], trials[-1]
    checks = (trial.trains, trial.comes_back, alone.keeps_to_its_roles, trial.can_be_stopped)
    return first_then_others(spec.id, dict(zip(_TECHNIQUE, checks, strict=True)))


def _unknown(spec: TechniqueSpec, host: PluginHost) -> str:
    """Which technique that it names there is not; empty for none. Conflicts may be with techniques that aren't installed."""
    own = spec.id.partition("/")[0]
    for field, names in (("requires", spec.requires), ("conflicts", spec.conflicts)):
        for name in names:
            known_here = field == "requires" or name.partition("/")[0] in ("gf", own) or "/" not in name
            if known_here and name not in host.techniques:
                hint = did_you_mean(name, [each.id for each in host.techniques])
                return f"{field} names {name!r}, and there is no such technique" + (f"; {hint}" if hint else "")
    return ""


def _trials(spec: TechniqueSpec, config: Mapping[str, Any], host: PluginHost) -> tuple[list[_Trial], list[str]]:
    """The first stage that it can be part of, and the first of those without full fine-tuning; and why others are none."""
    trials: dict[bool, _Trial] = {}
    reasons: dict[str, None] = {}
    for plan in _plans(spec, config, host):
        if plan.full in trials:
            continue
        trial = _Trial(plan, host)
        try:
            trial.begin()
        except GrinningFaceError as error:
            reasons[error.line] = None
            continue
        except Exception:  # GF551 begins in the same way, and tells
            pass
        trials[plan.full] = trial
    return [trials[full] for full in (True, False) if full in trials], list(reasons)


@dataclass(frozen=True)
class _Plan:
    """A stage: the technique is the last of the list; ``full``: it stands beside full fine-tuning."""

    stage: Stage
    techniques: tuple[Mapping[str, Any], ...]
    full: bool


def _plans(spec: TechniqueSpec, config: Mapping[str, Any], host: PluginHost) -> Iterator[_Plan]:
    """Stages to try it in, beside full fine-tuning and without, with one head and data of both kinds first."""
    needed = [{"id": other, "settings": _defaults(other, host)} for other in spec.requires if other != FULL]
    own = {"id": spec.id, "settings": dict(config)}
    full = [{"id": FULL, "settings": _defaults(FULL, host)}] if FULL in host.techniques and spec.id != FULL else []
    beside = [full, []] if full and FULL not in spec.requires else [full]
    heads: list[tuple[str, ...]] = [("mean",), ("mean", "sign"), ("sign",), ()]
    data = [("robot", "vqa"), ("robot",), ("vqa",)]
    for names, more, sources in itertools.product(heads, beside, data):
        techniques = (*more, *needed, own)
        document = {
            "name": "kit",
            "steps": STEPS,
            "batch_size": 2 * SAMPLES,
            "techniques": list(techniques),
            "heads": [{"name": name, "used_at_inference": name == names[0]} for name in names],
            "mixture": [{"source": source} for source in sources],
        }
        yield _Plan(Stage(0, document), techniques, full=bool(more))


def _defaults(name: str, host: PluginHost) -> dict[str, Any]:
    return dict(apply_settings((), host.techniques.get(name).config_schema, source=name))


def _misspelled(technique: Technique) -> str | None:
    """A method that is called like one that a stage calls, but for a typo or the order of its words."""
    called = [name for name in vars(Technique) if callable(getattr(Technique, name)) and not name.startswith("_")]
    own = {name for kind in type(technique).__mro__ if not issubclass(Technique, kind) for name in vars(kind)}
    for name in sorted(own - {"updates", *called}):
        close = [other for other in called if sorted(other.split("_")) == sorted(name.split("_"))]
        close += get_close_matches(name, called, n=1, cutoff=0.8)
        if close and callable(getattr(technique, name)):
            return f"it has a method {name!r}, which nothing calls; did you mean {close[0]!r}?"
    return None


class _Trial:
    def __init__(self, plan: _Plan, host: PluginHost) -> None:
        self._plan, self._host = plan, host
        self._technique = Technique()

    def begin(self, setup_seed: int = 0) -> tuple[VLA, Batch]:
        """The stage has begun; and its batch. What techniques draw in ``setup`` comes from the seed."""
        stage = self._plan.stage
        vla = self._bare()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setup_seed)
            made = make_techniques(stage, self._host)
            vla.begin_stage(stage.heads, made)
        self._technique = made[-1]
        return vla, _batch(stage, vla)

    def trains(self) -> str | None:
        """A few steps, and the stage's end."""
        vla, batch = self.begin()
        if wrong := _misspelled(self._technique):
            return wrong
        before = _values(vla)
        losses = train(vla, batch, range(1, 2))
        if not losses:
            return "no loss comes of a batch of robot data and questions"
        if wrong := not_scalars(losses) or not_scalars(train(vla, batch, range(2, STEPS + 1))):
            return wrong
        others = self._trained_without() or {}
        own = {_plain(name) for name in trainable(vla)} - {name for names in others.values() for name in names}
        after = _values(vla)
        if own and all(torch.equal(after[name], before[name]) for name in own):
            return f"nothing of what it lets train has moved after a few steps: {', '.join(sorted(own)[:3])}"
        vla.end_stage()
        finite = all(bool(values.isfinite().all()) for values in _answers(vla))
        return None if finite else "logits or actions aren't finite afterwards"

    def comes_back(self) -> str | None:
        """As a checkpoint is loaded: set up again, with other random numbers, the trained values put in, finished."""
        trained, batch = self.begin()
        train(trained, batch, range(1, STEPS + 1))
        state = {name: value.detach().clone() for name, value in trainable(trained).items()}
        trained.end_stage()
        loaded, _ = self.begin(setup_seed=1)
        if wrong := _put(loaded, state):
            return wrong
        loaded.end_stage()
        for what, one, other in zip(("logits", "actions"), _answers(trained), _answers(loaded), strict=True):
            if one.shape != other.shape or not torch.allclose(one, other, atol=1e-5, rtol=1e-4):
                return f"the loaded policy computes other {what} than the trained one: a checkpoint holds what trains, no more"
        return None

    def keeps_to_its_roles(self) -> str | None:
        """What trains with it and without it, and what has moved where nothing trains."""
        bare = self._bare()
        before = _values(bare)
        vla, batch = self.begin()
        with_it, without = _trained_by_role(vla), self._trained_without()
        for role in BACKBONE_ROLES:
            if without is not None and with_it.get(role) != without.get(role) and role not in self._technique.updates:
                return f"it changes what of {role} trains, and its `updates` don't say so"
        train(vla, batch, range(1, STEPS + 1))
        vla.end_stage()
        after = _values(vla)
        for name, value in before.items():
            role, now = bare.role_of(name), after.get(name)
            if role in BACKBONE_ROLES and not with_it.get(role) and now is not None and not torch.equal(now, value):
                return f"{name} has moved, though nothing of {role} trains"
        return None

    def can_be_stopped(self) -> str | None:
        """Stopped after the last step but one and gone on with: the same weights as in one go."""
        whole, batch = self.begin()
        train(whole, batch, range(1, STEPS + 1))
        first, batch = self.begin()
        optimizer = adam(first)
        train(first, batch, range(1, STEPS), optimizer)
        again, batch = self.begin()
        if wrong := _put(again, {name: value.detach().clone() for name, value in trainable(first).items()}):
            return wrong
        later = adam(again)
        later.load_state_dict(optimizer.state_dict())
        train(again, batch, range(STEPS, STEPS + 1), later)
        for name, value in trainable(whole).items():
            if not torch.allclose(value, trainable(again)[name], atol=1e-6, rtol=1e-5):
                return f"{name} differs after stopping and going on: what `setup` keeps isn't all that a step needs"
        return None

    def _bare(self) -> VLA:
        names = [head.name for head in self._plan.stage.heads]
        backbone = small_backbone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = {"mean": MeanHead(backbone.dim), "sign": SignHead()}
        return small_policy({name: made[name] for name in names}, backbone)

    def _trained_without(self) -> dict[str, frozenset[str]] | None:
        """By role; ``None`` where the others of the stage can't stand without it."""
        stage = Stage(0, {**self._plan.stage.document, "techniques": list(self._plan.techniques[:-1])})
        vla = self._bare()
        try:
            vla.begin_stage(stage.heads, make_techniques(stage, self._host))
        except GrinningFaceError:
            return None
        return _trained_by_role(vla)


def _batch(stage: Stage, vla: VLA) -> Batch:
    sources, mixture = stage_data(stage, vla, small_sources())
    offsets = tuple(sorted({0, *(offset for technique in vla.techniques for offset in technique.offsets)}))
    wanted = Wanted(cameras=vla.cameras, offsets=offsets, horizon=HORIZON)
    samples: list[Sample] = []
    weights: list[float] = []
    for share in mixture.shares:
        source = sources[share.source]
        samples += [source.sample(index % len(source), wanted) for index in range(SAMPLES)]
        weights += [share.loss_weight] * SAMPLES
    return vla.prepare(samples, weights)


def _put(vla: VLA, state: Mapping[str, Tensor]) -> str | None:
    """Trained values into a policy whose stage has begun; what is wrong where they don't fit."""
    wanted = trainable(vla)
    if wanted.keys() != state.keys():
        different = sorted(wanted.keys() ^ state.keys())
        return f"a second setup trains other parameters: {', '.join(different[:3])}"
    with torch.no_grad():
        for name, value in state.items():
            if wanted[name].shape != value.shape:
                return f"a second setup gives {name} another shape"
            wanted[name].copy_(value)
    return None


@torch.no_grad()
def _answers(vla: VLA) -> tuple[Tensor, Tensor]:
    """Logits and actions of robot samples."""
    source = small_sources()["robot"]
    samples = [source.sample(index, Wanted(cameras=vla.cameras, horizon=HORIZON)) for index in range(2)]
    vla.eval()
    batch = vla.prepare(samples, generate=True)
    logits = vla.backbone.logits(vla.encode(batch).last[:, -1])
    acts = any(head.used_at_inference for head in vla.stage_heads)
    return logits, vla.act(batch, noise(len(samples))) if acts else torch.zeros(0)


def _values(vla: VLA) -> dict[str, Tensor]:
    return {_plain(name): value.detach().clone() for name, value in vla.named_parameters()}


def _trained_by_role(vla: VLA) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name, value in vla.named_parameters():
        if value.requires_grad:
            found.setdefault(vla.role_of(name), set()).add(_plain(name))
    return {role: frozenset(names) for role, names in found.items()}


def _plain(name: str) -> str:
    """A parameter's name before adapters were put around its module (peft's names)."""
    return name.replace(".base_layer.", ".").replace(".original_module.", ".")
