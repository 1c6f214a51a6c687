"""`gf probe` from a checkpoint to its document, table and picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gf_core.canonical import content_hash
from gf_core.cli.main import main
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import PluginHost
from gf_core.schemas import load_document
from gf_core.training.probe.material import add_data, choose
from gf_core.training.probe.picture import draw_probe
from gf_core.training.probe.questions import WHICH, Material
from gf_core.training.recipe import complete
from gf_core.training.running import Job
from gf_core.training.trainer import train

from .. import small  # noqa: TID252  the trainer's tests are a package of their own, without a name to import it by
from .rigged import quiet

PLUGIN = ["--plugin", str(Path(small.__file__))]


def checkpoint(host: PluginHost, out: Path, technique: str) -> Path:
    recipe = complete(small.recipe(steps=3, techniques=[{"id": technique}]), host, source="test")
    return train(Job(recipe=recipe, host=host, sources={"robot": small.Robot()}, out=out, workers=0), Quiet())


class Quiet:
    """A Watcher that doesn't."""

    def stage(self, *arguments: object) -> None:
        pass

    step = note = finished = stage


@pytest.fixture(scope="module")
def trained(host: PluginHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(host, tmp_path_factory.mktemp("trained"), "gf/full-finetune-v1")


@pytest.fixture(scope="module")
def probed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Six episodes of gf/smoke@1, and the picture."""
    png = tmp_path_factory.mktemp("picture") / "probe.png"
    settings = ["--suite", "gf/smoke@1", "--limit", "6", "--candidates", "3", "--which", "Which shows the {label}: {places}?"]
    assert main(["probe", str(trained), *settings, "--png", str(png), *PLUGIN]) == 0
    return load_document(trained / "probe-gf.smoke@1.json", "probe"), png


def test_the_document_says_what_was_probed_and_what_was_found(probed: tuple[dict[str, Any], Path], trained: Path) -> None:
    document, _ = probed
    assert document["checkpoint"]["sha256"] == content_hash(json.loads((trained / "checkpoint.json").read_text()))
    assert document["settings"]["size"] == [32, 32]
    which = [entry for entry in document["answers"] if entry["kind"] == WHICH]
    assert len(which) == 6
    assert sorted(entry["right"] for entry in which) == [0, 0, 1, 1, 2, 2]  # balanced, though the suite's first six aren't
    assert {word for entry in which for word in entry["words"]} <= {"left", "middle", "right"}
    assert sum(entry["questions"] for entry in document["accuracy"] if entry["kind"] == WHICH) == 6
    assert all(change["relative"] > 0 for change in document["weights"]["roles"].values())
    assert all(entry["answer"] > 0 for entry in document["divergence"])
    assert all(0 < value <= 1 + 1e-9 for value in document["cka"]["vision"])
    assert [len(document["cka"][name]) for name in ("vision", "image", "answer")] == [2, 4, 4]


def test_the_picture_is_drawn(probed: tuple[dict[str, Any], Path]) -> None:
    document, png = probed
    with Image.open(png) as picture:
        assert picture.size[0] == 1600
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert draw_probe({**document, "linear_probe": None}).size == picture.size


def test_a_frozen_model_knows_what_it_knew(host: PluginHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unmoved = checkpoint(host, tmp_path / "job", "gf/freeze-v1")
    arguments = ["--suite", "gf/smoke@1", "--limit", "3", "--candidates", "2", "--out", str(tmp_path / "p.json"), "--json"]
    assert main(["probe", str(unmoved), *arguments, *PLUGIN]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "p.json").read_text())
    assert {change["relative"] for change in document["weights"]["roles"].values()} == {0.0}
    assert all(abs(entry["answer"]) < 1e-9 for entry in document["divergence"])
    assert document["cka"]["vision"] == pytest.approx([1, 1])
    assert all(entry["before"] == entry["after"] for entry in document["accuracy"])
    assert all(entry["before"] == entry["after"] for entry in document["answers"])


def test_questions_from_data(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [("Is ice warm?", "no"), ("Is fire warm?", "yes"), ("Is snow warm?", "no"), ("Is the sun warm?", "yes")]
    lines = [
        {"id": str(i), "conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}
        for i, (q, a) in enumerate(pairs)
    ]
    data = tmp_path / "facts.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)))
    assert main(["probe", str(trained), "--data", f"facts={data}", *PLUGIN]) == 0
    document = load_document(trained / "probe-facts.json", "probe")
    (entry,) = document["accuracy"]
    assert (entry["split"], entry["questions"], entry["chance"]) == ("facts", 4, 0.5)
    assert entry["blind"]["before"] == entry["before"]  # there is no image to hide
    assert (document["suite"], document["linear_probe"], document["cka"]["vision"]) == (None, None, [])
    printed = capsys.readouterr().out
    assert "asked about facts" in printed
    assert "50.0" in printed


def test_robot_data_asks_nothing() -> None:
    with pytest.raises(GrinningFaceError, match="is robot data, which asks no questions"):
        add_data(Material(), small.Robot(), limit=4, candidates=4, watch=quiet)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "ceiling"], "observes 'ceiling' and gf/tabletop-v1 has"),
        (["--candidates", "1"], "--candidates: one label leaves nothing to choose"),
        (["--which", "Which one?"], "must hold {label} and one of"),
        (["--set", "backbone.seed=1"], "was trained on a backbone with fingerprint"),
        (["--set", "seed=1"], "'seed' can't be changed"),
        (["--suite", "gf/smoke@2"], "gf/smoke@2"),
        (["--split", "smoek"], "gf/smoke@1 has no split 'smoek'"),
        (["--data", "x=nowhere.jsonl"], "there is no such file"),
        (["--out", "nowhere/probe.json"], "nowhere: there is no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    trained: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = arguments if {"--suite", "--data"} & {*arguments} else ["--suite", "gf/smoke@1", *arguments]
    assert main(["probe", str(trained), *given, *PLUGIN]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_directory_without_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", str(tmp_path)]) == 2
    assert "holds no checkpoint.json" in capsys.readouterr().err


def test_a_limit_takes_every_place_as_often(host: PluginHost) -> None:
    suite = load_suite("gf/dev@1", host)
    chosen = choose(suite, 31)
    assert sorted(sum(asked.target == place for asked in chosen) for place in range(3)) == [10, 10, 11]
    assert len(choose(suite, None)) == len(choose(suite, 10_000)) == 384
    assert all(asked.faces[asked.target][1] == asked.episode.factors["target"] for asked in chosen)


def test_only_a_split(host: PluginHost) -> None:
    suite = load_suite("gf/standard@1", host)
    chosen = choose(suite, 10, ["val"])
    assert [asked.episode.split for asked in chosen] == ["val"] * 10
    assert len(choose(suite, None, ["val", "id"])) == 800


def test_a_suite_that_does_not_say_its_targets(host: PluginHost) -> None:
    suite = load_suite("gf/smoke@1", host)
    silent = [dataclasses.replace(episode, factors={}) for episode in suite.episodes]
    with pytest.raises(GrinningFaceError, match="no episode says which card is its target"):
        choose(dataclasses.replace(suite, episodes=tuple(silent)), None)
