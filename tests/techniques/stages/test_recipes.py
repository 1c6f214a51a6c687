"""Every shipped recipe is valid, and each of its stages can be set up, trained a step and finished."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.compose import common_conventions, make_policy, make_techniques
from gf_core.training.contracts import ActionHead
from gf_core.training.loading import wanted
from gf_core.training.mixture import read
from gf_core.training.model import VLA
from gf_core.training.recipe import Recipe, Stage, load_recipe, shipped_recipes
from gf_core.training.samples import Frame, Sample, Source
from gf_core.training.schedule import make_optimizer, trainable

from .tools import ACTION, SIDE, STATE, Given, conventions, host

PAPERS = {
    "scratch", "full", "freeze", "lora", "cotrain", "bins", "fast", "latent-actions", "insulation", "vqa-adapted",
    "robot-pretrained-full", "robot-pretrained-lora", "staged-lora",
}  # fmt: skip
SMALL = ("heads.action.settings.width=16", "heads.action.settings.depth=1", "heads.action.settings.attention_heads=2")
LOSSES = {
    "scratch": {"robot": {"action/flow"}},
    "full": {"robot": {"action/flow"}},
    "freeze": {"robot": {"action/flow"}},
    "lora": {"robot": {"action/flow"}},
    "cotrain": {"robot": {"action/flow", "text"}},
    "bins": {"robot": {"bins/tokens"}},
    "fast": {"robot": {"fast/tokens"}},
    "latent-actions": {"idm": {"idm/reconstruction"}, "predict": {"latent/tokens"}, "robot": {"action/flow"}},
    "insulation": {"robot": {"action/flow", "fast/tokens"}},
    "vqa-adapted": {"vqa": {"text"}, "robot": {"action/flow"}},
    "robot-pretrained-full": {"pretrain": {"action/flow"}, "robot": {"action/flow"}},
    "robot-pretrained-lora": {"pretrain": {"action/flow"}, "robot": {"action/flow"}},
    "staged-lora": {"vqa": {"text"}, "pretrain": {"action/flow"}, "robot": {"action/flow"}},
    "action-as-language": {"robot": {"text/tokens"}},
}


def recipe(name: str) -> Recipe:
    return load_recipe(name, host(), SMALL if "action/flow" in LOSSES[name]["robot"] else ())


def robot(name: str, horizon: int) -> list[Sample]:
    rng = np.random.default_rng(len(name))
    frames = [
        Frame(camera="third", offset=offset, image=rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)) for offset in (0, 30)
    ]
    return [
        Sample(
            frames=tuple(frames),
            prompt="go",
            proprio=rng.uniform(-1, 1, STATE).astype(np.float32),
            actions=rng.uniform(-1, 1, (horizon, ACTION)).astype(np.float32),
            action_mask=np.ones(horizon, np.bool_),
            key=f"{name}/{number}",
        )
        for number in range(3)
    ]


def sources(used: Recipe) -> dict[str, Source]:
    asked = [
        Sample(frames=(), prompt="where", answer="there", domain=f"vqa/{domain}", key=f"vqa/{domain}")
        for domain in ("grounding", "egocentric", "naming")
    ]
    known: dict[str, Source] = {
        "robot": Given("robot", robot("robot", used.policy["horizon"]), robot=True, items={"local/faces@1": ("cat",)}),
        "pretrain": Given("pretrain", robot("pretrain", used.policy["horizon"]), robot=True, items={"local/shapes@1": ("cat",)}),
        "vqa": Given("vqa", asked, robot=False),
    }
    return {name: known[name] for name in used.sources}


def one_step(vla: VLA, stage: Stage, bound: dict[str, Source]) -> set[str]:
    """The names of a step's losses."""
    found, mixture = dict(bound), stage.mixture
    for technique in vla.techniques:
        found, mixture = dict(technique.sources(found)), technique.mixture(mixture)
    sizes = {share.source: len(found[share.source]) for share in mixture.shares}
    draws = mixture.indices(sizes, 4, seed=0, step=0, rank=0, world=1)
    losses = vla(vla.prepare(read(draws, found, wanted(vla)), [draw.loss_weight for draw in draws]))
    optimizer = make_optimizer(vla, stage)  # every role that trains has a rate
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    used = {vla.role_of(name) for name in trainable(vla)}
    assert used == stage.document["learning_rate"].keys()
    return set(losses)


def test_the_conditions_of_both_papers_are_there() -> None:
    assert shipped_recipes().keys() >= PAPERS
    assert shipped_recipes().keys() == LOSSES.keys()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_stage_trains_what_it_says(name: str) -> None:
    used = recipe(name)
    assert used.document["name"] == name
    assert used.document["citation"].startswith("arXiv:")
    bound = sources(used)
    described = replace(conventions(), cameras={"third": (SIDE, SIDE)})
    assert common_conventions(bound, used.sources) == conventions()
    vla = make_policy(used, host(), described, SmallBackbone(SmallConfig(dim=16, layers=2)))
    chunks = [sample.actions for sample in robot("robot", used.policy["horizon"]) if sample.actions is not None]
    for head in vla.heads:
        if type(vla.head(head)).fit is not ActionHead.fit:
            vla.head(head).fit(iter(chunks))
    found = {}
    for stage in used.stages:
        vla.begin_stage(stage.heads, make_techniques(stage, host()))
        found[stage.name] = one_step(vla, stage, bound)
        vla.end_stage()
    assert found == LOSSES[name]
    assert sum(head.used_at_inference for head in vla.stage_heads) == 1


def test_recipes_say_where_their_values_come_from() -> None:
    for name in LOSSES:
        described = recipe(name).document["description"]
        assert "not published" in described or "for lack of published ones" in described, name
