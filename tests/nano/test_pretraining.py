"""Pretraining: goes on to the same bits, and what it writes is a model like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
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
from gf_policies.nano.architecture import make_config, make_model, write_model
from gf_policies.nano.batches import Pages, Settings
from gf_policies.nano.making import local_settings
from gf_policies.nano.pages import draw_page
from gf_policies.nano.places import LOCATIONS
from gf_policies.nano.pretraining import Learner, factor, pretrain, words_of_things
from gf_policies.nano.questions import all_texts
from gf_policies.nano.things import Thing, things_of
from gf_policies.nano.vocabulary import make_tokenizer

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


def test_a_page_with_nothing_on_it_is_no_reason_to_stop(things: tuple[Thing, ...], tmp_path: Path) -> None:
    """Losses of a batch without things, names and questions are 0, not NaN."""
    empty = replace(draw_page(things, 0, 0, 0), cells=np.full(100, -1), centres=np.full(100, -1))
    batch = Pages(things, make_tokenizer(all_texts(things), LOCATIONS), TINY).batch([empty], alone=False)
    assert batch.ids.shape == (1, 100)
    losses = learner(things)(batch)
    assert losses.keys() == {"text", "looks", "patches"}
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["text"].item() == losses["looks"].item() == 0.0


def test_image_tokens_get_the_scale_of_words(things: tuple[Thing, ...]) -> None:
    pages = Pages(things, make_tokenizer(all_texts(things), LOCATIONS), TINY)
    made, batch = learner(things), pages[TINY.encoder_steps]
    made.rescale(batch)
    with torch.no_grad():
        assert float(made._images(batch).square().mean().sqrt()) == pytest.approx(1, rel=1e-4)


def test_looks_are_at_the_cells_that_the_page_names(things: tuple[Thing, ...]) -> None:
    """Places look at their own patch, words of names at the one of what they name, everything else nowhere."""
    tokenizer = make_tokenizer(all_texts(things), LOCATIONS)
    page = draw_page(things, 0, 3, 8)
    ids, labels, looks = Pages(things, tokenizer, TINY)._row(page)
    assert len(ids) == len(labels) == len(looks)
    first = tokenizer.convert_tokens_to_ids(LOCATIONS[0])
    own = [token - first for token in ids if first <= token < first + 100]
    assert own
    assert [cell for token, cell in zip(ids, looks, strict=True) if first <= token < first + 100] == own
    named = {cell for pair in page.looks for part in pair for _, _, cell in part}
    assert {cell for cell in looks if cell >= 0} == named | set(own)
    assert set(looks[:100]) == {-1}


def learner(things: tuple[Thing, ...]) -> Learner:
    tokenizer = make_tokenizer(all_texts(things), LOCATIONS)
    config = make_config(tokenizer)
    words = words_of_things(things, tokenizer, config.text_config.vocab_size)
    cell, sub = tokenizer.convert_tokens_to_ids([LOCATIONS[0], LOCATIONS[100]])
    return Learner(make_model(config, 0), words, (cell, sub), TINY)


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
