"""Discretized actions, and actions as language."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Segment
from gf_core.training.model import VLA, StageHead

from .tools import begin, film, moved, policy, technique, train, trainable, values

FULL = "full-finetune"


def fresh(*, state: bool = True) -> VLA:
    return policy(
        state=state,
        bins=("bins", {"bins": 8}),
        arms=("regression", {"width": 16, "blocks": 1}),
        text=("text", {}),
        more=("bins", {"bins": 4}),
    )


@pytest.mark.parametrize("roles", [["language"], ["vision", "projector", "language"]])
def test_the_vlm_learns_actions_as_tokens_and_acts_through_them(roles: list[str]) -> None:
    vla = fresh()
    vla.begin_stage(
        [StageHead(name="bins", weight=2.0, used_at_inference=False)],
        [technique("discretized-actions"), technique(FULL, roles=roles)],
    )
    assert vla.stage_heads == (StageHead(name="bins", weight=2.0, used_at_inference=True),)
    before, samples = values(vla), film(8, 0)
    losses = train(vla, samples, steps=3, batch=8, rate=1e-2)
    assert losses.keys() == {"bins/tokens"}
    assert {"rows.input", "rows.output", "model.embed.weight"} <= moved(before, vla)
    assert vla.act(vla.prepare(samples, generate=True), torch.Generator()).shape == (8, 2, 3)


def test_rows_start_where_they_are_or_at_the_mean() -> None:
    kept, mean = fresh(), fresh()
    before = values(kept)
    begin(kept, technique("discretized-actions"), technique(FULL), heads=("bins",))
    assert not moved(before, kept)
    begin(mean, technique("discretized-actions", rows="mean"), technique(FULL), heads=("bins",))
    assert moved(before, mean) == {"rows.input", "rows.output"}
    own = [token - mean.rows.first for token in mean.token_ids["bins"]]
    others = sorted(set(range(mean.rows.count)) - set(own))
    average = mean.model.embed.weight[: mean.rows.first].mean(0)
    for rows, earlier in ((mean.rows.input, before["rows.input"]), (mean.rows.output, before["rows.output"])):
        torch.testing.assert_close(rows[own], average.expand(len(own), -1))
        assert torch.equal(rows[others], earlier[others])


@pytest.mark.parametrize(
    ("heads", "with_update", "message"),
    [
        ((), True, "one head with tokens of its own, not 0"),
        (("arms",), True, "one head with tokens of its own, not 0"),
        (("text",), True, "one head with tokens of its own, not 0"),
        (("bins", "more"), True, "one head with tokens of its own, not 2"),
        (("bins", "arms"), True, "'arms' doesn't predict tokens"),
        (("bins",), False, "a frozen language model can't learn to predict action tokens"),
    ],
)
def test_stages_that_discretized_actions_refuse(heads: tuple[str, ...], with_update: bool, message: str) -> None:
    update = [technique(FULL)] if with_update else []
    with pytest.raises(GrinningFaceError, match=message):
        begin(fresh(), technique("discretized-actions"), *update, heads=heads)


def test_language_learns_actions_in_its_own_words() -> None:
    vla = fresh(state=False)
    vla.begin_stage([StageHead(name="text", used_at_inference=False)], [technique("lora", r=2), technique("action-as-language")])
    assert vla.stage_heads == (StageHead(name="text", used_at_inference=True),)
    assert all("lora_" in name for name in trainable(vla))
    samples = film(4, 0)
    batch = vla.prepare(samples)
    written = batch.input_ids[0][batch.segments[0] == int(Segment.ACTION)].tolist()
    assert max(written) <= vla.backbone.end_id  # bytes and the end: none of the tail's rows
    first = f"{100 * float(samples[0].actions[0, 0]):.2f}"  # type: ignore[index]
    assert vla.backbone.detokenize(written).startswith(first)
    before = values(vla)
    assert train(vla, samples, steps=2, batch=4, rate=1e-2).keys() == {"text/tokens"}
    assert moved(before, vla) <= trainable(vla)
    assert vla.act(vla.prepare(samples, generate=True), torch.Generator()).shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("heads", "update", "settings", "message"),
    [
        (("bins",), FULL, {}, "only head has to speak in words; it has bins"),
        (("text", "arms"), FULL, {}, "only head has to speak in words; it has text, arms"),
        ((), FULL, {}, "it has none"),
        (("text",), FULL, {}, "state is a learned token"),
        (("text",), "", {"state_token": True}, "frozen language model can't learn to write actions"),
    ],
)
def test_stages_that_action_as_language_refuses(
    heads: tuple[str, ...], update: str, settings: dict[str, Any], message: str
) -> None:
    others = [technique(update)] if update else []
    with pytest.raises(GrinningFaceError, match=message):
        begin(fresh(), technique("action-as-language", **settings), *others, heads=heads)


def test_a_state_token_can_be_allowed() -> None:
    vla = fresh()
    begin(vla, technique("action-as-language", state_token=True), technique(FULL), heads=("text",))
    assert "state_encoder.0.weight" in trainable(vla)
