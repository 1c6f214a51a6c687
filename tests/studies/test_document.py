"""Documents: completed, checked, changed from the command line, laid out as cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gf_core import schemas
from gf_core.errors import GrinningFaceError, SchemaError
from gf_core.studies.document import Study, complete_study, load_study, name_problems

Make = Callable[..., dict[str, Any]]


def test_completing_fills_in_defaults_and_recipes_and_changes_nothing_the_second_time(study_document: Make) -> None:
    document = study_document(protocol={"recipe": "full"}, arms={"a": {"description": "a", "recipe": "freeze"}})
    study = complete_study(document, source="s")
    assert study.document["protocol"]["recipe"]["name"] == "full"
    arm = study.arms["a"]
    assert arm.recipe is not None
    assert (arm.recipe["name"], arm.sweep, arm.heads, study.seeds, study.keeps_weights) == ("freeze", True, (), (0,), True)
    assert document["protocol"]["recipe"] == "full", "the argument is left alone"
    again = complete_study(study.document, source="s")
    assert again.sha256 == study.sha256
    schemas.validate(study.document, "study", source="frozen")


def test_a_shipped_recipe_that_is_not_there(study_document: Make) -> None:
    with pytest.raises(GrinningFaceError, match="did you mean 'lora'"):
        complete_study(study_document(protocol={"recipe": "lorra"}), source="s")


def test_cells_are_all_of_one_seed_before_the_next_and_respect_restrictions(study_document: Make) -> None:
    part = {"id": "local/small-v1"}
    arms = {
        "all": {"description": "everywhere"},
        "some": {"description": "in places", "heads": ["flow"], "backbones": ["second"]},
    }
    document = study_document(
        backbones={"first": part, "second": part},
        heads={"l1": {"id": "gf/regression-v1"}, "flow": {"id": "gf/flow-v1"}},
        arms=arms,
        seeds=[3, 1],
    )
    cells = [cell.id for cell in complete_study(document, source="s").cells]
    one = ["first/all/l1", "first/all/flow", "second/all/l1", "second/all/flow", "second/some/flow"]
    assert cells == [f"{cell}/{seed}" for seed in (3, 1) for cell in one]


def test_settings_reach_everything_and_behind_set_a_path_is_one_key(tmp_path: Path, study_document: Make) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(study_document()))
    settings = ["seeds=[4]", "protocol.set.stages.*.steps=7", "arms.full.set.seed=1", "probe=null", "heads.l1.settings.width=8"]
    study = load_study(str(file), settings)
    assert study.seeds == (4,)
    assert study.protocol["set"] == {"stages.*.steps": 7}
    assert study.arms["full"].changes == {"seed": 1}
    assert study.probe is None
    assert study.heads["l1"]["settings"] == {"width": 8, "blocks": 1}
    with pytest.raises(SchemaError, match="'limit' isn't within an object; give the whole list"):
        load_study(str(file), ["evaluate.limit=3"])


def test_names_that_the_study_lacks_are_all_found(make_study: Callable[..., Study]) -> None:
    study = make_study(
        arms={"full": {"description": "x", "heads": ["l2"], "data": {"robot": "robots"}}},
        contrasts=[{"first": "full", "second": "ful"}, {"first": "full", "second": "full"}],
        evaluate=[{"suite": "gf/smoke@1"}, {"suite": "gf/smoke@1", "limit": 1}],
        probe={"suite": None, "data": ["vqa"], "candidates": 1},
        policy={"checkpoint": "mine"},
        data={"robot": {"path": "x"}, "made": {"conversations": {"options": {"out": "x"}}}},
    )
    lines = [problem.line("s") for problem in name_problems(study.document)]
    assert lines == [
        "s#/arms/full/heads/0: the study has no head 'l2'; it has l1",
        "s#/arms/full/data/robot: the study has no data 'robots'; did you mean 'robot'?",
        "s#/contrasts/0/second: the study has no arm 'ful'; did you mean 'full'?",
        "s#/probe/data/0: the study has no data 'vqa'; it has robot, made",
        "s#/contrasts/1: 'full' is compared with itself",
        "s#/data/made/conversations/options/out: the study gives this itself",
        "s#/policy/checkpoint: the study gives this itself; leave it out",
        "s#/evaluate/1/suite: 'gf.smoke@1' is there twice; keep one",
        "s#/probe/candidates: one label leaves nothing to choose; 2 or more, or 0 for all",
    ]


def test_a_contrast_of_arms_that_never_meet_is_refused(make_study: Callable[..., Study]) -> None:
    study = make_study(
        heads={"l1": {"id": "gf/regression-v1"}, "flow": {"id": "gf/flow-v1"}},
        arms={
            "both": {"description": "x"},
            "one": {"description": "x", "heads": ["l1"]},
            "other": {"description": "x", "heads": ["flow"]},
        },
        contrasts=[{"first": "one", "second": "both"}, {"first": "one", "second": "other"}],
    )
    lines = [problem.line("s") for problem in name_problems(study.document)]
    told = "'one' and 'other' have no backbone and head in common; arms are compared on the same ones"
    assert lines == [f"s#/contrasts/1: {told}"]


def test_only_the_development_suite_chooses_and_is_not_reported_then(study_document: Make) -> None:
    sweep = {"keys": ["stages.*.learning_rate.*"], "values": [1, 2]}
    document = study_document(evaluate=[{"suite": "gf/smoke@1"}, {"suite": "gf/dev@1"}])
    assert name_problems(complete_study(document, source="s").document) == []
    lines = [problem.line("s") for problem in name_problems(complete_study({**document, "sweep": sweep}, source="s").document)]
    assert lines == ["s#/evaluate/1/suite: the sweep chooses on gf/dev@1: rates on it would be too high; report another suite"]
    sweep["suite"] = "gf/standard@1"
    with pytest.raises(SchemaError, match=r"s#/sweep/suite: .*gf/dev@1"):
        complete_study(study_document(sweep=sweep), source="s")
