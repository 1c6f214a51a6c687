"""What a card takes from the checkpoint of its runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import gf_policies
from gf_core.leaderboard import known
from gf_core.leaderboard.known import known_fields

SHIPPED = json.loads((Path(gf_policies.__file__).parent / "nano" / "vla" / "checkpoint.json").read_bytes())


@pytest.fixture
def told(smoke: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mapping[str, Any]]:
    """The fields of one run of each of these checkpoints."""

    def tell(*documents: Mapping[str, Any]) -> Mapping[str, Any]:
        files = [tmp_path / f"{number}.json" for number in range(len(documents))]
        for file, document in zip(files, documents, strict=True):
            file.write_text(json.dumps(document))
        left = iter(files)
        monkeypatch.setattr(known, "_checkpoint", lambda run: next(left))
        return known_fields([smoke("gf/random-v1")] * len(files))

    return tell


def changed(**settings: Any) -> dict[str, Any]:
    document = copy.deepcopy(SHIPPED)
    for link in document["links"]:
        link["recipe"]["backbone"]["settings"] |= settings
    return document


def test_the_shipped_policy(told: Callable[..., Mapping[str, Any]]) -> None:
    found = told(SHIPPED)
    assert found["backbone"] == f"gf/nano-v1 (weights {SHIPPED['links'][0]['backbone_fingerprint'][:12]})"
    assert found["head"].startswith("gf/regression-v1, chunks of ")
    assert found["technique"] == "warmup: gf/freeze-v1; robot: gf/lora-v1"
    assert [line.split(" ")[0] for line in found["robot_data"]] == ["gf/demos@1"]
    assert found["trainable_parameters"] == max(sum(stage["trainable"].values()) for stage in SHIPPED["links"][-1]["stages"])
    assert json.loads(found["recipe"])[-1] == SHIPPED["links"][-1]["recipe"]


def test_a_model_is_called_by_its_name_and_not_by_where_it_lies(told: Callable[..., Mapping[str, Any]], tmp_path: Path) -> None:
    assert told(changed(model="some/vlm"))["backbone"].startswith("some/vlm (weights ")
    (tmp_path / "mine").mkdir()
    assert told(changed(model=str(tmp_path / "mine")))["backbone"].startswith("mine (weights ")


def test_random_weights_are_one_backbone_for_all_seeds(told: Callable[..., Mapping[str, Any]]) -> None:
    first, second = changed(init="random", seed=0), changed(init="random", seed=1)
    second["links"][0]["backbone_fingerprint"] = "0" * 64
    found = told(first, second)
    assert found["backbone"] == "gf/nano-v1 (random weights)"
    assert "recipe" not in found
