"""The kit's checks of techniques, heads and backbones: what is shipped passes, and each way of being broken is found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch

from gf_core.plugins import PluginHost, load_plugins
from gf_core.specs import Spec
from gf_core.testing import check_plugin
from gf_core.testing.backbone_checks import check_backbone
from gf_core.testing.findings import KitFinding
from gf_core.testing.head_checks import check_head
from gf_core.testing.technique_checks import check_technique

TECHNIQUE = """
import torch
from gf_core.hookspecs import hookimpl
from gf_core.specs import TechniqueSpec
from gf_core.training.contracts import Technique


class Mine(Technique):
    order = 5

    def __init__(self, config):
        self.kept = None

    {method}


@hookimpl
def gf_register_techniques(register):
    register(TechniqueSpec(id="local/mine-v1", summary="mine", entry_point="mine:Mine", requires=({requires})))
"""
HEAD = """
import torch
from torch import nn
from gf_core.hookspecs import hookimpl
from gf_core.specs import HeadSpec
from gf_core.training.contracts import ActionHead


class Mine(ActionHead):
    def __init__(self, config, shape):
        super().__init__()
        self.linear, self.chunk = nn.Linear(shape.dim, shape.horizon * shape.action), (shape.horizon, shape.action)
        self.scale = 1.0

    def predict(self, context):
        mask = context.prefix.unsqueeze(-1)
        return self.linear((context.last * mask).sum(1) / mask.sum(1)).unflatten(1, self.chunk) * self.scale

    def loss(self, vla, context, batch):
        error = (self.predict(context) - batch.actions).abs().mean(2) * batch.action_mask
        return {{"l1": (error.mean(1) * batch.weight).mean()}}

    def act(self, vla, context, batch, generators):
        return self.predict(context)

    {method}


@hookimpl
def gf_register_heads(register):
    register(HeadSpec(id="local/mine-v1", summary="mine", entry_point="mine:Mine"))
"""
BACKBONE = """
import torch
from gf_core.hookspecs import hookimpl
from gf_core.specs import BackboneSpec
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig


class Mine(SmallBackbone):
    def __init__(self, config):
        super().__init__(SmallConfig(dim=16))

    {method}


@hookimpl
def gf_register_backbones(register):
    register(BackboneSpec(id="local/mine-v1", summary="mine", entry_point="mine:Mine"))
"""
ALL = '"gf/full-finetune-v1",'
BROKEN: dict[str, tuple[str, str, str, str]] = {
    "technique: nan": (
        TECHNIQUE,
        "def losses(self, vla, context, batch): return {'x': context.last.sum() * torch.nan}",
        "GF551",
        "the loss x isn't",
    ),
    "technique: raises": (TECHNIQUE, "def after_step(self, vla, step): raise RuntimeError('no')", "GF551", "RuntimeError: no"),
    "technique: raises in setup": (TECHNIQUE, "def setup(self, vla): raise RuntimeError('no')", "GF551", "RuntimeError: no"),
    "technique: misspells": (TECHNIQUE, "def step_after(self, vla, step): pass", "GF551", "did you mean 'after_step'?"),
    "technique: mistypes": (TECHNIQUE, "def loses(self, vla, context, batch): pass", "GF551", "did you mean 'losses'?"),
    "technique: a number": (
        TECHNIQUE,
        "def losses(self, vla, context, batch): return {'x': 1.0}",
        "GF551",
        "x is a float, not a",
    ),
    "technique: requires": (
        TECHNIQUE.replace("({requires})", "('gf/full-finetune-v1', 'gf/lora-v2')"),
        "",
        "GF551",
        "requires names 'gf/lora-v2', and there is no such technique",
    ),
    "technique: conflicts": (
        TECHNIQUE.replace("({requires})", "({requires}), conflicts=('acme/any-v1', 'gf/lora-v2')"),
        "",
        "GF551",
        "conflicts names 'gf/lora-v2', and there is no such technique",
    ),
    "technique: trains nothing": (
        TECHNIQUE,
        "def setup(self, vla): vla.extras['mine'] = torch.nn.Linear(2, 2)",
        "GF551",
        "nothing of what it lets train has moved after a few steps: extras.mine.bias",
    ),
    "technique: draws": (
        TECHNIQUE,
        """def setup(self, vla):
        vla.extras["mine"] = torch.nn.Linear(16, 16).requires_grad_(False)

    def context(self, vla, context, batch):
        moved = context.last + 0.1 * vla.extras["mine"](context.last)
        return type(context)(hidden=(*context.hidden[:-1], moved), segments=context.segments, features={})""",
        "GF552",
        "computes other logits than the trained one",
    ),
    "technique: counts setups": (
        TECHNIQUE,
        """calls = 0

    def setup(self, vla):
        Mine.calls += 1
        vla.extras["mine"] = torch.nn.ParameterList([torch.zeros(3)] * Mine.calls)

    def losses(self, vla, context, batch): return {"x": sum(value.sum() for value in vla.extras["mine"])}""",
        "GF552",
        "a second setup trains other parameters: extras.mine",
    ),
    "technique: trains in silence": (
        TECHNIQUE,
        "def setup(self, vla): vla.set_trainable(vla.names('projector'))",
        "GF553",
        "it changes what of projector trains",
    ),
    "technique: moves what is frozen": (
        TECHNIQUE,
        """def finish(self, vla):
        with torch.no_grad():
            vla.get_parameter(vla.names("vision")[0]).mul_(0.5)""",
        "GF553",
        "has moved, though nothing of vision trains",
    ),
    "technique: remembers": (
        TECHNIQUE,
        """@torch.no_grad()
    def after_step(self, vla, step):
        for name in vla.names("language"):
            value = vla.get_parameter(name)
            if self.kept and value.requires_grad:
                value.lerp_(self.kept[name], 0.5)
        self.kept = {name: vla.get_parameter(name).clone() for name in vla.names("language")}""",
        "GF554",
        "differs after stopping and going on",
    ),
    "head: nan": (
        HEAD,
        "def act(self, vla, context, batch, generators): return self.predict(context) * torch.nan",
        "GF561",
        "finite",
    ),
    "head: shape": (
        HEAD,
        "def act(self, vla, context, batch, generators): return self.predict(context)[:, :1]",
        "GF561",
        "(4, 1, 7)",
    ),
    "head: no head": (HEAD.replace("class Mine(ActionHead)", "class Mine(nn.Module)"), "", "GF561", "not an ActionHead"),
    "head: reads padding": (
        HEAD,
        "def predict(self, context): return self.linear(context.last.mean(1)).unflatten(1, self.chunk)",
        "GF562",
        "its loss depends on hidden states that aren't of the prefix",
    ),
    "head: mixes": (
        HEAD,
        """def act(self, vla, context, batch, generators):
        actions = self.predict(context)
        return actions - actions.mean(0)""",
        "GF563",
        "other actions than beside 3 others",
    ),
    "head: shares noise": (
        HEAD,
        """def act(self, vla, context, batch, generators):
        actions = self.predict(context)
        return actions + torch.randn(actions.shape, generator=generators[0])""",
        "GF563",
        "other actions than beside 3 others",
    ),
    "head: no mask": (
        HEAD,
        """def loss(self, vla, context, batch):
        return {"l1": ((self.predict(context) - batch.actions).abs().mean((1, 2)) * batch.weight).mean()}""",
        "GF564",
        "past the episode's end",
    ),
    "head: no weight": (
        HEAD,
        """def loss(self, vla, context, batch):
        return {"l1": ((self.predict(context) - batch.actions).abs().mean(2) * batch.action_mask).mean()}""",
        "GF564",
        "of weight 0",
    ),
    "head: forgets": (
        HEAD,
        "def fit(self, chunks): self.scale = 2.0 + max(abs(chunk).max() for chunk in chunks)",
        "GF565",
        "gives other actions",
    ),
    "backbone: roles": (
        BACKBONE,
        "def roles(self): return {**super().roles(), 'projector': ()}",
        "GF571",
        "projector.bias hasn't exactly one role",
    ),
    "backbone: incomplete": (BACKBONE.replace("(SmallBackbone)", ""), "", "GF571", "TypeError"),
    "backbone: lacks": (
        BACKBONE.replace("class Mine(SmallBackbone):", "class Mine:").replace("super().__init__(SmallConfig(dim=16))", "pass"),
        "def roles(self): return {}",
        "GF571",
        "it lacks module",
    ),
    "backbone: fingerprint": (
        BACKBONE,
        "fingerprint = property(lambda self: str(id(self)), lambda self, value: None)",
        "GF571",
        "two fingerprints",
    ),
    "backbone: looks ahead": (
        BACKBONE,
        """def encode(self, batch):
        context = super().encode(batch)
        seen = context.last + context.last.mean(1, keepdim=True)
        return type(context)(hidden=(*context.hidden[:-1], seen), segments=context.segments, features={})""",
        "GF572",
        "the prefix depends on",
    ),
    "backbone: decodes": (
        BACKBONE,
        "def generate(self, batch, most, allowed=None): return torch.full((len(batch.domains), most), 65)",
        "GF573",
        "isn't the one that a full forward finds most likely",
    ),
    "backbone: passes by": (
        BACKBONE,
        """def encode(self, batch):
        embed = self.model.embed.forward
        self.model.embed, kept = torch.nn.Module(), self.model.embed
        self.model.embed.forward, self.model.embed.weight = embed, kept.weight
        try:
            return super().encode(batch)
        finally:
            self.model.embed = kept""",
        "GF574",
        "change nothing",
    ),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With installed plugins, without another test's module, and on one thread."""
    monkeypatch.delenv("GF_PLUGIN_AUTOLOAD", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    sys.modules.pop("mine", None)


def findings(path: Path) -> dict[str, tuple[str, str]]:
    sys.modules.pop("mine", None)
    return {one.code: (one.outcome, one.detail) for one in check_plugin("mine", load_plugins([path]))}


@pytest.mark.parametrize(("source", "method", "code", "told"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_fails_its_check(tmp_path: Path, source: str, method: str, code: str, told: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source.format(method=method, requires=""))
    found = findings(path)
    assert found[code][0] == "fail", found
    assert told in found[code][1]
    related = {"GF552": {"GF554"}, "GF572": {"GF573"}}
    assert {other for other, (outcome, _) in found.items() if outcome == "fail"} <= {code, *related.get(code, set())}


@pytest.mark.parametrize("source", [TECHNIQUE, HEAD, BACKBONE], ids=["technique", "head", "backbone"])
def test_what_is_sound_passes(tmp_path: Path, source: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source.format(method="pass", requires=ALL))
    found = findings(path)
    assert {outcome for outcome, _ in found.values()} == {"pass"}
    assert len(found) >= 7


SHIPPED: dict[str, list[str]] = {
    "gf/cotrain-v1": ['sources=["vqa"]'],
    "gf/latent-actions-v1": ["phase=idm"],
    "gf/flow-v1": ["width=32", "depth=2", "attention_heads=2", "euler_steps=2"],
    "gf/robot-pretraining-v1": ["source=robot"],
}
NOT_TRIED = {"gf/latent-v1", "gf/action-as-language-v1", "gf/robot-pretraining-v1"}
"""What needs more of its stage than the kit's has: it says so."""


def shipped(checks: Callable[..., list[KitFinding]], spec: Spec, host: PluginHost) -> None:
    found = checks(spec, host, settings=SHIPPED.get(spec.id, ()))
    told = {one.code: one.detail for one in found if one.outcome != "pass"}
    if spec.id in NOT_TRIED:
        assert all("can't be part of" in detail for detail in told.values())
        assert len(told) == len(found)
        return
    assert told.keys() <= {"GF564"}, told


HOST = load_plugins([])
SLOW = {"gf/text-v1", "gf/kl-to-source-v1", "gf/latent-actions-v1", "gf/staged-lora-v1", "gf/weight-interpolation-v1"}


def names(registry: Iterable[Spec]) -> list[object]:
    return [pytest.param(spec.id, marks=[pytest.mark.full] if spec.id in SLOW else []) for spec in registry]


@pytest.mark.parametrize("name", names(HOST.techniques))
def test_shipped_techniques_pass(name: str) -> None:
    shipped(check_technique, HOST.techniques.get(name), HOST)


@pytest.mark.parametrize("name", names(HOST.heads))
def test_shipped_heads_pass(name: str) -> None:
    shipped(check_head, HOST.heads.get(name), HOST)


def test_the_shipped_backbone_passes() -> None:
    shipped(check_backbone, HOST.backbones.get("gf/nano-v1"), HOST)
