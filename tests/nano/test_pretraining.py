"""Pretraining: goes on to the same bits, and what it writes is a model like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from gf_core.cli.main import cli, main
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import load_deck
from gf_core.plugins import load_plugins
from gf_core.training.contracts import Layout
from gf_core.training.samples import Frame, Sample
from gf_policies.nano.architecture import write_model
from gf_policies.nano.making import local_settings
from gf_policies.nano.pages import draw_page
from gf_policies.nano.pretraining import Settings, factor, pretrain
from gf_policies.nano.things import Thing, things_of

TINY = Settings(steps=4, encoder_steps=2, batch=2, turns=3, warmup=2)


@pytest.fixture(scope="module")
def things() -> tuple[Thing, ...]:
    return things_of([load_deck("gf/emoji-noto@1", load_plugins())])


def silent(done: int, total: int, row: Mapping[str, float]) -> None:
    """Nothing."""


def weights(things: tuple[Thing, ...], out: Path, settings: Settings = TINY) -> dict[str, torch.Tensor]:
    model, _ = pretrain(things, {}, settings, out, workers=0, save_every=1, progress=silent)
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_stopping_and_going_on_gives_the_same_bits(things: tuple[Thing, ...], tmp_path: Path) -> None:
    whole = weights(things, tmp_path / "whole")
    for stop in (1, 2, 3):

        def interrupt(done: int, total: int, row: Mapping[str, float], stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        out = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(things, {}, TINY, out, workers=0, save_every=100, progress=interrupt)
        resumed = weights(things, out)
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
        steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1, 2, 3, 4]


def test_encoder_first_then_everything(things: tuple[Thing, ...], tmp_path: Path) -> None:
    rows: list[Mapping[str, float]] = []
    model, _ = pretrain(things, {}, TINY, tmp_path / "a", workers=0, progress=lambda done, total, row: rows.append(row))
    assert ["text" in row for row in rows] == [False, False, True, True]
    start, _ = pretrain(
        things, {}, Settings(steps=1, encoder_steps=1, batch=2, warmup=2), tmp_path / "b", workers=0, progress=silent
    )
    first = dict(start.named_parameters())
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, first[name])}
    assert any("language_model.layers" in name for name in moved)
    assert any("vision_tower" in name for name in moved)


def test_a_directory_of_other_settings_is_refused(things: tuple[Thing, ...], tmp_path: Path) -> None:
    weights(things, tmp_path / "run")
    with pytest.raises(GrinningFaceError, match="holds another job"):
        weights(things, tmp_path / "run", Settings(steps=5, encoder_steps=2, batch=2, turns=3, warmup=2))


def test_rates_rise_and_fall() -> None:
    settings = Settings(steps=100, warmup=10)
    values = [factor(step, settings) for step in range(100)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == pytest.approx(1.0)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] == pytest.approx(0.01, abs=0.01)


def test_the_folder_is_a_model_like_any_other(things: tuple[Thing, ...], tmp_path: Path) -> None:
    """The generic adapter, from the folder, computes what the trained module computes, and sees what it was trained to see."""
    from gf_policies.backbones.hf_vlm import make

    model, tokenizer = pretrain(things, {}, TINY, tmp_path / "run", workers=0, progress=silent)
    write_model(model, tokenizer, tmp_path / "model")
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert size < 10_000_000
    kept = load_file(tmp_path / "model" / "model.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}
    backbone = make(local_settings(tmp_path / "model"))
    page = draw_page(things, 5, 0, 3)
    question, answer = page.turns[0]
    alone = replace(page, turns=page.turns[:1], looks=page.looks[:1])
    frame = Frame(camera="page", offset=0, image=page.image)
    batch = backbone.prepare([Sample(frames=(frame,), prompt=question, answer=answer, domain="web")], Layout())
    from gf_policies.nano.pretraining import Pages

    ids, _, _ = Pages(things, tokenizer, TINY)._row(alone)
    assert batch.input_ids[0].tolist() == ids
    shown = torch.from_numpy(page.image.transpose(2, 0, 1) / 127.5 - 1)
    assert (batch.inputs["pixel_values"][0] - shown).abs().max() < 1e-5
    with torch.no_grad():
        ours = backbone.encode(batch).last
        half = {name: value.half().float() for name, value in model.state_dict().items()}
        model.load_state_dict(half)
        theirs = model.base_model(**dict(batch.inputs)).last_hidden_state
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_command_writes_a_model_with_its_card(tmp_path: Path) -> None:
    arguments = "--steps 2 --encoder-steps 1 --batch-size 2 --workers 0 --test-pages 2 --deck gf/emoji-noto@1 --json"
    result = CliRunner().invoke(cli, ["pretrain", "nano", "--out", str(tmp_path / "nano"), *arguments.split()])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    card = (tmp_path / "nano" / "model" / "README.md").read_text()
    assert said["weights_sha256"] in card
    assert said["settings"]["steps"] == 2
    assert sum(entry["asked"] for entry in said["results"].values()) > 0
    again = CliRunner().invoke(cli, ["pretrain", "nano", "--out", str(tmp_path / "nano"), *arguments.split()])
    assert json.loads(again.stdout)["weights_sha256"] == said["weights_sha256"]


def test_pages_and_a_sheet_from_the_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["pretrain", "pages", "--out", str(tmp_path / "web"), "--count", "2"])
    assert result.exit_code == 0
    assert "questions about 2 pages" in result.output
    result = CliRunner().invoke(cli, ["pretrain", "show", "--out", str(tmp_path / "sheet.png"), "--count", "3"])
    assert result.exit_code == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert main(["pretrain", "show", "--out", str(tmp_path / "x.png"), "--deck", "gf/none@1"]) == 2
