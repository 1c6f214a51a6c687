"""Techniques × heads × backbones: a job of one step each, from its recipe to a checkpoint that loads, or a clear refusal.

CI runs combinations in which every pair of values occurs; `make test-full` runs them all.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gf_core.errors import GrinningFaceError
from gf_core.training.checkpoint import load_checkpoint
from gf_core.training.running import Job
from gf_core.training.trainer import train

from . import small

Combination = tuple[str, str, str]
Make = Callable[..., Job]
HEADS: dict[str, dict[str, Any]] = {
    "regression": {"width": 16, "blocks": 1, "readout": "mean"},
    "flow": {"width": 16, "depth": 1, "attention_heads": 2, "euler_steps": 2},
    "bins": {"bins": 16},
    "fast": {"vocabulary": 64},
    "text": {},
}
TOKENS, WORDS = ("bins", "fast"), ("text",)
TECHNIQUES = (
    *("full-finetune", "freeze", "lora", "cotrain", "l2-sp", "kl-to-source", "weight-interpolation", "dual-encoder"),
    *("knowledge-insulation", "discretized-actions", "action-as-language", "latent-actions", "embodied-vqa"),
    *("robot-pretraining", "staged-lora"),
)
BACKBONES = ("small", "paligemma", "idefics3", "smolvlm", "qwen3-vl", "internvl", "gemma3", "llava")
RATES = dict.fromkeys(("vision", "projector", "language", "head"), 1e-3)


def pairwise(*axes: Iterable[str]) -> list[Combination]:
    """Few combinations that hold every pair of values of different axes, greedily chosen; always the same ones."""
    whole = list(itertools.product(*axes))
    random.Random(0).shuffle(whole)
    missing = {pair for one in whole for pair in _pairs(one)}
    chosen: list[Combination] = []
    while missing:
        best = max(whole, key=lambda one: len(missing & _pairs(one)))
        chosen.append(best)  # type: ignore[arg-type]
        missing -= _pairs(best)
    return chosen


def _pairs(one: tuple[str, ...]) -> set[tuple[int, str, int, str]]:
    return {(i, one[i], j, one[j]) for i, j in itertools.combinations(range(len(one)), 2)}


ALL: list[Combination] = list(itertools.product(TECHNIQUES, HEADS, BACKBONES))
SAMPLE = pairwise(TECHNIQUES, HEADS, BACKBONES)
REST = [pytest.param(*one, marks=pytest.mark.full) for one in ALL if one not in SAMPLE]


def technique(name: str, **settings: Any) -> dict[str, Any]:
    return {"id": f"gf/{name}-v1", "settings": settings}


def stage(
    name: str, *techniques: dict[str, Any], heads: Iterable[dict[str, Any]] = ({"name": "act"},), **more: Any
) -> dict[str, Any]:
    common = {"name": name, "steps": 1, "batch_size": 2, "mixture": [{"source": "robot"}], "learning_rate": RATES}
    return {**common, "techniques": list(techniques), "heads": list(heads), **more}


def stages(name: str, head: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The stages of a technique's smallest sensible recipe, and further heads."""
    full = technique("full-finetune")
    if name in ("full-finetune", "freeze", "lora"):
        return [stage("robot", technique(name))], {}
    if name == "cotrain":
        return [stage("robot", full, technique(name, sources=["vl"]))], {}
    if name == "knowledge-insulation":
        other = "flow" if head in (*TOKENS, *WORDS) else "bins"
        acting = other if other == "flow" else "act"
        heads = [{"name": one, "used_at_inference": one == acting} for one in ("act", other)]
        return [stage("robot", full, technique(name), heads=heads)], {other: other}
    if name == "latent-actions":
        phases = {phase: technique(name, phase=phase, horizon=2, image_size=16) for phase in ("idm", "predict", "act")}
        silent = {"name": "latent", "used_at_inference": False}
        return [
            stage("idm", phases["idm"], heads=(), learning_rate={"idm": 1e-3}),
            stage("predict", phases["predict"], full, heads=[silent]),
            stage("robot", phases["act"], full),
        ], {"latent": "latent"}
    if name == "dual-encoder":
        return [stage("robot", full, technique(name), learning_rate={**RATES, "fusion": 1e-3})], {}
    if name == "kl-to-source":
        both = [{"source": "robot"}, {"source": "vl"}]
        return [stage("robot", full, technique(name), mixture=both)], {}
    if name == "embodied-vqa":
        questions = [{"source": "vl"}]
        asked = technique(name, domains=["grounding"])
        return [stage("vqa", asked, technique("lora"), heads=(), mixture=questions), stage("robot", full)], {}
    if name == "robot-pretraining":
        other = technique(name, source="pretrain", targets=["robot"], unknown_items=True)
        return [stage("first", other, full, mixture=[{"source": "pretrain"}]), stage("robot", full)], {}
    if name == "staged-lora":
        return [stage("first", technique(name)), stage("robot", technique(name))], {}
    return [stage("robot", full, technique(name))], {}


def refusal(name: str, head: str, backbone: str) -> str:
    """What says why a combination makes no sense; empty for one that does."""
    if name == "discretized-actions" and head not in TOKENS:
        return "needs one head with tokens of its own"
    if name == "action-as-language" and head not in WORDS:
        return "has to speak in words"
    return ""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    from gf_policies.backbones.tiny import write_tiny

    folder = tmp_path_factory.mktemp("models")

    def model(family: str) -> str:
        if not (folder / family).exists():
            write_tiny(family, folder / family)
        return str(folder / family)

    return model


class Grounding(small.Questions):
    """Questions of a domain that embodied-vqa knows."""

    def sample(self, index: int, wanted: Any) -> Any:
        from dataclasses import replace

        return replace(super().sample(index, wanted), domain="vqa/grounding")


@pytest.mark.parametrize(("name", "head", "backbone"), [*SAMPLE, *REST])
def test_a_combination_trains_and_loads_or_says_why_not(
    make_job: Make, watched: Any, models: Callable[[str], str], name: str, head: str, backbone: str
) -> None:
    chain, others = stages(name, head)
    document = small.recipe(stages=chain)
    document["policy"]["proprio"] = name != "action-as-language"
    document["heads"] = {
        one: {"id": f"gf/{kind}-v1", "settings": HEADS.get(kind, {})} for one, kind in {"act": head, **others}.items()
    }
    if backbone != "small":
        document["backbone"] = {"id": "gf/hf-vlm-v1", "settings": {"model": models(backbone)}}
    sources = {"vl": Grounding(), "pretrain": small.Robot("pretrain", seed=5)}
    named = {share["source"] for one in chain for share in one["mixture"]} | ({"vl"} if name == "cotrain" else set())
    job = make_job(document, sources={key: value for key, value in sources.items() if key in named})
    seen = watched()
    if why := refusal(name, head, backbone):
        with pytest.raises(GrinningFaceError, match=why):
            train(job, seen)
        return
    checkpoint = train(job, seen)
    assert [row["stage"] for row in seen.rows] == [one["name"] for one in chain]
    assert all(row["losses"] for row in seen.rows)
    loaded = load_checkpoint(Path(checkpoint), job.host)  # which compares logits and actions
    assert loaded.vla.stage_heads[0].name == "act"
