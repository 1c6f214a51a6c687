"""Heads that speak in tokens: what is encoded comes back within the stated error, and any tokens give some chunk."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gf_core.errors import GrinningFaceError
from gf_core.testing.small_backbone import SmallBackbone
from gf_core.training.contracts import ActionHead, Segment
from gf_policies.heads.fast import FastHead
from gf_policies.heads.text import TextHead

from .tiny import ACTION, HIGH, HORIZON, LOW, make_head, make_samples, make_vla

BACKBONE = SmallBackbone()
WHOLE = np.ones(HORIZON, np.bool_)
KEY = "test/0/0"
CHUNKS = arrays(np.float32, (HORIZON, ACTION), elements=st.floats(-1, 1, width=32))
PHYSICAL = CHUNKS.map(lambda chunk: ((chunk + 1) / 2 * (HIGH - LOW) + LOW).astype(np.float32))
QUICK = settings(max_examples=60, deadline=None)


def training_chunks(count: int = 300) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    waves = np.sin(generator.uniform(0, 6, (count, 1, ACTION)) + np.arange(HORIZON)[:, None] * 0.5)
    corners = [np.full((HORIZON, ACTION), value) for value in (-1.0, 1.0)]
    zigzag = [sign * np.tile([[1.0], [-1.0]], (HORIZON // 2, ACTION)) for sign in (-1, 1)]
    return [chunk.astype(np.float32) for chunk in (*waves, *corners, *zigzag, *-np.stack(corners))]


def fitted(id: str, **config: Any) -> ActionHead:
    head = make_head(id, **config)
    head.fit(iter(training_chunks()))
    return head


BINS, QUANTILES, FAST = fitted("gf/bins-v1"), fitted("gf/bins-v1", spacing="quantile"), fitted("gf/fast-v1")
TEXT = {style: make_head("gf/text-v1", style=style) for style in ("plain", "named")}


def again(head: ActionHead, chunk: np.ndarray) -> np.ndarray:
    tokens = head.encode(chunk, WHOLE, KEY, BACKBONE)
    assert len(tokens) <= head.length
    assert head.words or all(0 <= token < head.tokens for token in tokens)
    return head.decode(tokens, BACKBONE)


@QUICK
@given(CHUNKS)
def test_bins_round_trip(chunk: np.ndarray) -> None:
    assert np.abs(again(BINS, chunk) - chunk).max() <= 1 / 256 + 1e-6


def test_bins_are_256_even_ones_and_clip() -> None:
    chunk = np.zeros((HORIZON, ACTION), np.float32)
    chunk[0] = -1, -0.9999, 1
    chunk[1] = -5, 5, 0.0001
    tokens = BINS.encode(chunk, WHOLE, KEY, BACKBONE)
    assert tokens[:6] == [0, 0, 255, 0, 255, 128]
    assert (BINS.tokens, BINS.length, BINS.ends) == (256, HORIZON * ACTION, False)
    assert BINS.decode([0] * BINS.length, BACKBONE)[0, 0] == pytest.approx(-1 + 1 / 256)


def test_quantile_bins_hold_equally_many_training_actions() -> None:
    head = fitted("gf/bins-v1", spacing="quantile", bins=8)
    tokens = np.array([head.encode(chunk, WHOLE, KEY, BACKBONE) for chunk in training_chunks()])
    counts = np.bincount(tokens.ravel(), minlength=8) / tokens.size
    assert np.abs(counts - 1 / 8).max() < 0.04
    uniform = np.array([BINS.encode(chunk, WHOLE, KEY, BACKBONE) for chunk in training_chunks()]) // 32
    assert np.abs(np.bincount(uniform.ravel(), minlength=8) / uniform.size - 1 / 8).max() > 0.04


def test_uniform_bins_that_the_actions_outgrow_are_refused() -> None:
    """As z-score normalisation makes them: the outermost bins took a third of all actions, and nothing said so."""
    chunk = np.zeros((HORIZON, ACTION), np.float32)
    chunk[:, 2] = np.linspace(-2, 2, HORIZON)
    with pytest.raises(GrinningFaceError, match=r"\d\d% of element 2 of the actions lies beyond; normalise actions by quantile"):
        make_head("gf/bins-v1").fit(iter([chunk]))
    make_head("gf/bins-v1").fit(iter([chunk / 2]))
    make_head("gf/bins-v1", spacing="quantile").fit(iter([chunk]))


def test_quantile_bins_take_an_element_with_two_values() -> None:
    head = make_head("gf/bins-v1", spacing="quantile", bins=16)
    chunk = np.tile(np.float32([[-1], [1], [1], [-1]]), (1, ACTION))
    head.fit(iter([chunk] * 5))
    np.testing.assert_array_equal(again(head, chunk), chunk)


@QUICK
@given(CHUNKS)
def test_separate_bins_say_which_element_they_are_of(chunk: np.ndarray) -> None:
    separate = make_head("gf/bins-v1", vocabulary="separate")
    tokens = separate.encode(chunk, WHOLE, KEY, BACKBONE)
    assert [token // 256 for token in tokens] == [*range(ACTION)] * HORIZON
    assert [token % 256 for token in tokens] == BINS.encode(chunk, WHOLE, KEY, BACKBONE)
    np.testing.assert_array_equal(separate.decode(tokens, BACKBONE), again(BINS, chunk))
    assert separate.tokens == 256 * ACTION
    swapped = separate.decode([(token + 256) % separate.tokens for token in tokens], BACKBONE)
    np.testing.assert_array_equal(swapped, again(BINS, chunk))


@QUICK
@given(CHUNKS)
def test_fast_round_trip(chunk: np.ndarray) -> None:
    # Each of T coefficients is off by at most ½ / scale; the transform keeps lengths.
    assert np.linalg.norm(again(FAST, chunk) - chunk, axis=0).max() <= np.sqrt(HORIZON) * 0.5 / 10 + 1e-5


def test_fast_fits_on_the_data_it_is_given() -> None:
    assert isinstance(FAST, FastHead)
    lengths = [len(FAST.encode(chunk, WHOLE, KEY, BACKBONE)) for chunk in training_chunks()]
    assert np.mean(lengths) < 0.6 * HORIZON * ACTION
    assert FAST.state() == fitted("gf/fast-v1").state()
    # The type-II transform of a constant has one coefficient, √T times it, and the scale is 10.
    assert FAST.coefficients(np.ones((HORIZON, ACTION), np.float32)).tolist() == [20] * ACTION + [0] * 9
    assert (FAST.low, FAST.high) == (-20, 20)


def test_fast_clips_what_the_fit_never_saw() -> None:
    decoded = again(FAST, np.full((HORIZON, ACTION), 3, np.float32))
    np.testing.assert_allclose(decoded, 1, atol=1e-6)


def test_fast_refuses_more_integers_than_tokens() -> None:
    head = make_head("gf/fast-v1", scale=1000.0)
    with pytest.raises(GrinningFaceError, match=r"from -2000 to 2000, more integers than the vocabulary of 1024"):
        head.fit(iter(training_chunks()))


@QUICK
@given(st.lists(st.integers(-3, 2000), max_size=60))
def test_any_tokens_give_a_chunk(tokens: list[int]) -> None:
    for head in (BINS, QUANTILES, FAST):
        decoded = head.decode(tokens, BACKBONE)
        assert decoded.shape == (HORIZON, ACTION)
        assert decoded.dtype == np.float32
        assert np.isfinite(decoded).all()


def test_what_is_missing_is_the_middle() -> None:
    np.testing.assert_allclose(BINS.decode([], BACKBONE), 1 / 256)
    assert not FAST.decode([], BACKBONE).any()
    whole = FAST.encode(training_chunks()[0], WHOLE, KEY, BACKBONE)
    np.testing.assert_array_equal(FAST.decode([*whole, *whole], BACKBONE), FAST.decode(whole, BACKBONE))


@pytest.mark.parametrize(("id", "config"), [("gf/bins-v1", {"spacing": "quantile"}), ("gf/fast-v1", {})])
def test_a_fit_travels_as_json(id: str, config: dict[str, Any]) -> None:
    fresh = make_head(id, **config)
    assert fresh.state() == {}
    with pytest.raises(GrinningFaceError, match="fitted before"):
        fresh.encode(training_chunks()[0], WHOLE, KEY, BACKBONE)
    with pytest.raises(GrinningFaceError, match="there are no chunks"):
        fresh.fit(iter([]))
    head = fitted(id, **config)
    fresh.load_state(json.loads(json.dumps(head.state())))
    for chunk in training_chunks()[:20]:
        tokens = head.encode(chunk, WHOLE, KEY, BACKBONE)
        assert fresh.encode(chunk, WHOLE, KEY, BACKBONE) == tokens
        np.testing.assert_array_equal(fresh.decode(tokens, BACKBONE), head.decode(tokens, BACKBONE))


@QUICK
@given(PHYSICAL, st.sampled_from(["plain", "named"]))
def test_text_round_trip(chunk: np.ndarray, style: str) -> None:
    errors = np.abs(again(TEXT[style], chunk) - chunk).max(0)
    # 2 decimals of a centimetre, 1 of a degree, 2 of anything else.
    assert (errors <= np.array([0.5e-4, np.radians(0.05), 0.005]) + 1e-6).all()


def test_text_is_in_centimetres_and_degrees() -> None:
    plain, named = TEXT["plain"], TEXT["named"]
    assert isinstance(plain, TextHead)
    assert isinstance(named, TextHead)
    chunk = np.float32([[0.0123, -0.1, 1.0], [-0.00001, 0, 0.5]])
    assert plain.write(chunk) == "1.23 -5.7 1.00; 0.00 0.0 0.50"
    assert named.write(chunk) == "dx 1.23 cm, rx -5.7 degrees, opening 1.00; dx 0.00 cm, rx 0.0 degrees, opening 0.50"
    short = plain.encode(np.zeros((HORIZON, ACTION), np.float32), np.arange(HORIZON) < 2, KEY, BACKBONE)
    assert BACKBONE.detokenize(short) == "0.00 0.0 0.00; 0.00 0.0 0.00"
    assert (plain.words, plain.raw, plain.ends, plain.tokens) == (True, True, True, 0)


@pytest.mark.parametrize("id", ["gf/bins-v1", "gf/fast-v1", "gf/text-v1"])
def test_a_chunk_is_spoken_up_to_what_is_not_to_be_imitated(id: str) -> None:
    vla = make_vla(act=fitted(id))
    (ended,) = make_samples(1, real=2)
    (other,) = make_samples(1, seed=1)
    assert ended.actions is not None
    assert other.actions is not None
    erring = replace(
        ended,
        actions=np.concatenate([ended.actions[:2], other.actions[2:]]),
        action_mask=np.array([True, True, False, True]),
    )
    assert vla.prepare([erring]).input_ids.tolist() == vla.prepare([ended]).input_ids.tolist()


MEAN = ((LOW + HIGH) / 2).tolist()


@pytest.mark.parametrize(
    ("style", "text", "steps"),
    [
        ("plain", "", [MEAN] * 4),
        ("plain", "I can't do that", [MEAN] * 4),
        ("plain", "1.0 −2 0.5; 3", [[0.01, np.radians(-2), 0.5], *[[0.03, np.radians(-2), 0.5]] * 3]),
        ("plain", "; 1 0 1 7 7;", [[0.01, 0, 1]] * 4),
        ("plain", f"{'9' * 400} -.5 1e3", [[0.06, np.radians(-0.5), 1]] * 4),
        ("plain", "1 0 1\n2 0 1; 3 0 1; 4 0 1; 5 0 1", [[0.01 * n, 0, 1] for n in (1, 2, 3, 4)]),
        ("named", "opening: 0.25, dx = 1 cm", [[0.01, MEAN[1], 0.25]] * 4),
        ("named", "dx2 4 cm, xrx 3, opening 1", [[MEAN[0], MEAN[1], 1]] * 4),
    ],
)
def test_any_text_gives_a_chunk(style: str, text: str, steps: list[list[float]]) -> None:
    np.testing.assert_allclose(TEXT[style].decode(BACKBONE.tokenize(text), BACKBONE), steps, atol=1e-6)


@QUICK
@given(st.text(alphabet="0123456789.-+ ;,dxropenig", max_size=80), st.sampled_from(["plain", "named"]))
def test_any_other_text_too(text: str, style: str) -> None:
    decoded = TEXT[style].decode(BACKBONE.tokenize(text), BACKBONE)
    assert decoded.shape == (HORIZON, ACTION)
    assert ((decoded >= LOW - 1e-6) & (decoded <= HIGH + 1e-6)).all()


def test_latent_codes_are_looked_up_and_never_act() -> None:
    head = make_head("gf/latent-v1")
    assert (head.tokens, head.length) == (8, 4)
    table = {KEY: (1, 2, 3, 7), "short": (1,), "beyond": (1, 2, 3, 8)}
    head.set_codes(table)  # type: ignore[operator]
    nothing = np.zeros((HORIZON, ACTION), np.float32)
    assert head.encode(nothing, ~WHOLE, KEY, BACKBONE) == [1, 2, 3, 7]
    table["late"] = (0, 0, 0, 0)
    assert head.encode(nothing, ~WHOLE, "late", BACKBONE) == [0, 0, 0, 0]
    for key, message in {"none": "no latent codes for sample 'none'", "short": "expected 4", "beyond": "between 0 and 7"}.items():
        with pytest.raises(GrinningFaceError, match=message):
            head.encode(nothing, WHOLE, key, BACKBONE)
    with pytest.raises(GrinningFaceError, match="latent codes aren't actions"):
        head.decode([1, 2, 3, 7], BACKBONE)


def test_latent_codes_become_tail_tokens_with_a_loss() -> None:
    head = make_head("gf/latent-v1")
    head.set_codes({f"test/{index}/0": (index, 0, 0, 7) for index in range(2)})  # type: ignore[operator]
    vla = make_vla(act=head)
    batch = vla.prepare(make_samples(2))
    first = vla.token_ids["act"].start
    spoken = [row[seg == 6].tolist() for row, seg in zip(batch.input_ids, batch.segments, strict=True)]
    assert spoken == [[first, first, first, first + 7, 258], [first + 1, first, first, first + 7, 258]]
    assert set(vla(batch)) == {"act/tokens"}


def test_what_is_spoken_is_what_teacher_forcing_scores_highest() -> None:
    torch.manual_seed(0)
    vla = make_vla(act=make_head("gf/bins-v1"), beside=make_head("gf/regression-v1", width=32))
    samples = make_samples(3)
    with torch.no_grad():
        for value in (*vla.rows.parameters(), vla.queries, *vla.state_encoder.parameters()):
            value.copy_(torch.randn_like(value))
        for name, value in vla.model.named_parameters():
            if "_proj.weight" in name:
                value.mul_(5)  # so that states, queries and earlier tokens matter
        spoken = vla.speak("act", vla.prepare(samples, generate=True))
        ids = vla.token_ids["act"]
        heard = vla.backbone.prepare(samples, vla.layout(), [[ids[token] for token in row] for row in spoken])
        batch = replace(vla.prepare(samples), inputs=heard.inputs, segments=heard.segments)
        scores = vla.backbone.logits(vla.encode(batch).last)[:, :-1, ids.start : ids.stop].argmax(-1)
        within = (batch.segments[:, 1:] == int(Segment.ACTION)) & (batch.input_ids[:, 1:] >= ids.start)
    assert [row[mask].tolist() for row, mask in zip(scores, within, strict=True)] == spoken
    assert all(len(set(row)) > 3 for row in spoken)
