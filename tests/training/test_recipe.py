"""Recipes: what is refused, what settings do, and that every shipped one is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gf_core.errors import GrinningFaceError
from gf_core.plugins import PluginHost
from gf_core.training.compose import make_techniques
from gf_core.training.recipe import complete, load_recipe, shipped_recipes

from .small import recipe

SHIPPED = shipped_recipes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe()))
    return path


def test_settings_reach_every_corner(file: Path, host: PluginHost) -> None:
    settings = ["seed=7", "stages.robot.steps=9", "stages.*.batch_size=3", "stages.0.mixture.robot.weight=2.5"]
    document = load_recipe(str(file), host, settings).document
    stage = document["stages"][0]
    assert (document["seed"], stage["steps"], stage["batch_size"], stage["mixture"][0]["weight"]) == (7, 9, 3, 2.5)


def test_a_star_stands_for_every_key_that_is_there(file: Path, host: PluginHost) -> None:
    document = load_recipe(str(file), host, ["stages.*.learning_rate.*=0.5", "heads.*.settings.width=8"]).document
    assert document["stages"][0]["learning_rate"] == dict.fromkeys(("vision", "projector", "language", "head"), 0.5)
    assert document["heads"]["act"]["settings"]["width"] == 8


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("seed", "of the form KEY=VALUE"),
        ("stages.robots.steps=1", "there is no 'robots' in the list; it has robot"),
        ("stages.robot.stepz=1", "stepz"),
        ("stages.robot.optimizer.*=1", r"--set stages\.robot\.optimizer\.\*: \* stands for what is there, and nothing is"),
        ("seed=-1", "seed"),
        ("policy.execute_steps=5", "5 steps can't be played of a chunk of 4"),
    ],
)
def test_a_wrong_setting_says_what_and_where(file: Path, host: PluginHost, setting: str, what: str) -> None:
    with pytest.raises(GrinningFaceError, match=what):
        load_recipe(str(file), host, [setting])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"techniques": [{"id": "gf/lorra-v1"}]}, "did you mean 'gf/lora-v1'"),
        ({"heads": {"act": {"id": "gf/regresion-v1"}}}, "did you mean 'gf/regression-v1'"),
        ({"techniques": [{"id": "gf/lora-v1", "settings": {"rank": 4}}]}, "rank"),
    ],
)
def test_unknown_parts_are_named(host: PluginHost, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(GrinningFaceError, match=what):
        complete(recipe(**changes), host, source="test")


def test_a_stage_with_a_head_that_is_not_there(host: PluginHost) -> None:
    document = recipe()
    document["stages"][0]["heads"] = [{"name": "acts"}]
    with pytest.raises(GrinningFaceError, match="has no head 'acts'; did you mean 'act'"):
        complete(document, host, source="test")


def two_heads(**second: Any) -> dict[str, Any]:
    document = recipe()
    document["heads"]["bins"] = {"id": "gf/bins-v1", "settings": {"bins": 16}}
    document["stages"][0]["heads"] = [{"name": "act"}, {"name": "bins", **second}]
    return document


def test_at_most_one_head_of_the_last_stage_acts(host: PluginHost) -> None:
    assert complete(two_heads(used_at_inference=False), host, source="test").acting == ("act",)
    with pytest.raises(
        GrinningFaceError, match="test#/stages/0/heads: heads 'act' and 'bins' act in the last stage, but only one can"
    ):
        complete(two_heads(), host, source="test")
    before = {**two_heads()["stages"][0], "name": "before"}
    document = two_heads(used_at_inference=False)
    document["stages"].insert(0, before)  # only the last one's has to act
    assert complete(document, host, source="test").acting == ("act",)


def test_evaluating_on_the_way_needs_a_head_that_acts(host: PluginHost) -> None:
    silent = recipe()
    silent["stages"][0]["heads"] = []
    assert complete(silent, host, source="test").acting == ()
    silent["evaluation"] = {"every": 2}
    with pytest.raises(GrinningFaceError, match="no head acts in the last stage, so there is nothing to evaluate"):
        complete(silent, host, source="test")


@pytest.mark.parametrize(
    ("techniques", "what"),
    [
        (["gf/full-finetune-v1", "gf/full-finetune-v1"], "is there twice"),
        (["gf/full-finetune-v1", "gf/freeze-v1"], "conflicts with|both decide"),
    ],
)
def test_contradictions_end_before_training(host: PluginHost, techniques: list[str], what: str) -> None:
    document = recipe(techniques=[{"id": one} for one in techniques])
    (stage,) = complete(document, host, source="test").stages
    with pytest.raises(GrinningFaceError, match=what):
        make_techniques(stage, host)


def test_the_hash_knows_the_content_and_nothing_else(host: PluginHost) -> None:
    explicit = recipe(batch_size=4, accumulate=1, seed=0)
    assert complete(recipe(), host, source="a").sha256 == complete(explicit, host, source="b").sha256
    assert complete(recipe(steps=7), host, source="a").sha256 != complete(recipe(), host, source="a").sha256


def test_the_conditions_of_both_papers_are_shipped() -> None:
    assert SHIPPED.keys() >= {
        *("scratch", "full", "freeze", "lora", "cotrain", "bins", "fast", "latent-actions", "insulation"),
        *("vqa-adapted", "robot-pretrained-full", "robot-pretrained-lora", "staged-lora"),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_whole_and_its_techniques_agree(host: PluginHost, name: str) -> None:
    found = load_recipe(name, host, ["backbone.settings.model=./vlm"])
    assert found.document["name"] == name
    for stage in found.stages:
        make_techniques(stage, host)
