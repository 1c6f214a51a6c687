"""The recipe of a cell, and what several trainings begin with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gf_core.errors import GrinningFaceError
from gf_core.plugins import PluginHost
from gf_core.studies.document import Cell, Study
from gf_core.studies.recipes import cell_training, shared_fronts

from .conftest import stage

Make = Callable[..., Study]
SWEEP = {"keys": ["stages.robot.learning_rate.*", "stages.none.steps"], "values": [0.5, 2], "episodes": 1}


def cell(arm: str = "full", seed: int = 0) -> Cell:
    return Cell(backbone="small", arm=arm, head="l1", seed=seed)


def test_later_changes_win_and_the_head_takes_the_acting_ones_place(make_study: Make, host: PluginHost) -> None:
    study = make_study(
        backbones={"small": {"id": "local/small-v1", "settings": {"dim": 16}, "set": {"policy.size": [32, 32]}}},
        heads={"l1": {"id": "gf/regression-v1", "set": {"policy.horizon": 8, "policy.execute_steps": 8}}},
        arms={"full": {"description": "x", "set": {"policy.execute_steps": 4}, "seeded": ["backbone.settings.seed"]}},
    )
    recipe = cell_training(study, cell(seed=5), host).recipe.document
    assert recipe["heads"]["action"]["id"] == "gf/regression-v1"
    assert recipe["backbone"] == {"id": "local/small-v1", "settings": {"dim": 16, "seed": 5}}
    assert (recipe["policy"]["size"], recipe["policy"]["horizon"], recipe["policy"]["execute_steps"]) == ([32, 32], 8, 4)
    assert (recipe["name"], recipe["seed"]) == ("full", 5)


def test_a_swept_value_scales_what_the_recipe_has_or_replaces_it(make_study: Make, host: PluginHost) -> None:
    scaled = cell_training(make_study(sweep=SWEEP), cell(), host, 0.5).recipe.document
    assert scaled["stages"][1]["learning_rate"] == {"vision": 5e-4, "projector": 5e-4, "language": 5e-4, "head": 5e-4}
    assert scaled["stages"][0]["learning_rate"] == {"head": 1e-3}
    twice = make_study(sweep={**SWEEP, "keys": ["stages.robot.learning_rate.*", "stages.*.learning_rate.head"]})
    stages = cell_training(twice, cell(), host, 2).recipe.document["stages"]
    assert [stage["learning_rate"]["head"] for stage in stages] == [2e-3, 2e-3], "where keys overlap, once"
    study = make_study(sweep={**SWEEP, "keys": ["stages.robot.learning_rate.head"], "mode": "replace"})
    replaced = cell_training(study, cell(), host, 2).recipe.document["stages"][1]["learning_rate"]
    assert (replaced["head"], replaced["vision"]) == (2, 1e-3)
    with pytest.raises(GrinningFaceError, match=r"its recipe has none of nowhere\.at\.all"):
        cell_training(make_study(sweep={**SWEEP, "keys": ["nowhere.at.all"]}), cell(), host, 2)


def test_a_source_without_data(make_study: Make, host: PluginHost) -> None:
    arms = {"full": {"description": "x", "set": {"stages.robot.mixture": [{"source": "other"}]}}}
    with pytest.raises(GrinningFaceError, match="arm full: its recipe needs data 'other'; add it to data, which has robot"):
        cell_training(make_study(arms=arms), cell(), host)
    arms = {"full": {"description": "x", "data": {"vqa": "robot"}}}
    with pytest.raises(GrinningFaceError, match="names no source 'vqa'"):
        cell_training(make_study(arms=arms), cell(), host)


def test_trainings_share_the_stages_before_they_differ(make_study: Make, host: PluginHost) -> None:
    arms: dict[str, Any] = {
        "full": {"description": "x"},
        "frozen": {"description": "y", "set": {"stages.robot.techniques": [{"id": "gf/freeze-v1"}]}},
        "cold": {"description": "z", "set": {"stages.warmup.steps": 9}},
    }
    study = make_study(arms=arms, seeds=[0, 1])
    found = {one: cell_training(study, one, host) for one in study.cells}
    shared = shared_fronts(found.values(), {"robot"})
    fronts = {one.id: shared.get(training.key) for one, training in found.items()}
    assert [one for one, front in fronts.items() if front is None] == ["small/cold/l1/0", "small/cold/l1/1"]
    full, frozen, other = (fronts[f"small/{one}"] for one in ("full/l1/0", "frozen/l1/0", "full/l1/1"))
    assert full is not None
    assert frozen is not None
    assert other is not None
    assert [entry["name"] for entry in full.recipe.document["stages"]] == ["warmup"]
    assert full.key == frozen.key
    assert full.key != other.key, "another seed begins otherwise"


def test_a_front_whose_normalisation_would_be_other_data_s_is_not_shared(make_study: Make, host: PluginHost) -> None:
    recipe = make_study().protocol["recipe"]
    later = stage("later", mixture=[{"source": "robot2"}])
    recipe = {**recipe, "stages": [*recipe["stages"], later]}
    arms = {"full": {"description": "x"}, "slow": {"description": "y", "set": {"stages.later.steps": 1}}}
    data = {"robot": {"path": "a"}, "robot2": {"path": "b"}}
    study = make_study(protocol={"recipe": recipe}, arms=arms, data=data)
    found = [cell_training(study, one, host) for one in study.cells]
    assert shared_fronts(found, {"robot", "robot2"}) == {}
    assert len(shared_fronts(found, {"robot"})) == 2, "of which the second is no robot data"
