"""Regression and flow matching: what they read, what they draw, which way time runs, which steps have a loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Context, Segment
from gf_core.training.model import VLA, StageHead
from gf_policies.heads.flow import FlowHead

from .tiny import ACTION, HORIZON, act, make_head, make_samples, make_vla, noise

OVER_ALL = ("mean", "attention", "pooled")
REGRESSION = [("gf/regression-v1", {"width": 32, "readout": readout}) for readout in ("query", "last", *OVER_ALL)]
REGRESSION += [("gf/regression-v1", {"width": 32, "readout": readout, "reads": "text"}) for readout in OVER_ALL]
FLOW: tuple[str, dict[str, Any]] = (
    "gf/flow-v1",
    {"width": 32, "depth": 3, "attention_heads": 2, "layers": [0, 2, -1], "euler_steps": 3},
)
CONTINUOUS = pytest.mark.parametrize(("id", "settings"), [*REGRESSION, FLOW])


def awake(vla: VLA) -> VLA:
    """With random weights where the expert starts with zeros, so that what it reads changes what it says."""
    with torch.no_grad():
        for value in vla.heads.parameters():
            value.add_(torch.randn_like(value) * 0.2)
    return vla


def shape(id: str, settings: dict[str, Any]) -> tuple[VLA, FlowHead]:
    vla = awake(make_vla(act=make_head(id, **settings)))
    return vla, vla.head("act")  # type: ignore[return-value]


def losses(vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
    torch.manual_seed(3)
    return vla.head("act").loss(vla, context, batch)


@CONTINUOUS
def test_only_the_prefix_is_read(id: str, settings: dict[str, Any]) -> None:
    vla = awake(make_vla(act=make_head(id, **settings), tokens=make_head("gf/bins-v1")))
    batch = vla.prepare(make_samples(3))
    context = vla.encode(batch)
    assert context.mask(Segment.ACTION).any()
    assert context.mask(Segment.PADDING).any()
    outside = ~context.prefix.unsqueeze(-1)
    for value in (1e6, float("nan")):
        ruined = replace(context, hidden=tuple(state.masked_fill(outside, value) for state in context.hidden))
        head = vla.head("act")
        for one, other in zip(losses(vla, context, batch).values(), losses(vla, ruined, batch).values(), strict=True):
            assert torch.equal(one, other)
        drawn = [head.act(vla, seen, batch, noise(len(batch.keys), 1)) for seen in (context, ruined)]
        assert torch.equal(*drawn)
    inside = replace(context, hidden=tuple(torch.where(outside, state, torch.randn_like(state)) for state in context.hidden))
    assert not torch.allclose(losses(vla, context, batch).popitem()[1], losses(vla, inside, batch).popitem()[1])


@pytest.mark.parametrize("readout", OVER_ALL)
@pytest.mark.parametrize("reads", ["prefix", "text"])
def test_image_tokens_are_read_or_not(readout: str, reads: str) -> None:
    vla = awake(make_vla(act=make_head("gf/regression-v1", width=32, readout=readout, reads=reads)))
    batch = vla.prepare(make_samples(3))
    context = vla.encode(batch)
    image = context.mask(Segment.IMAGE).unsqueeze(-1)
    assert image.any()
    ruined = replace(context, hidden=tuple(state.masked_fill(image, float("nan")) for state in context.hidden))
    one, other = (losses(vla, seen, batch).popitem()[1] for seen in (context, ruined))
    assert torch.equal(one, other) == (reads == "text")


@CONTINUOUS
def test_other_action_tokens_give_the_same_actions(id: str, settings: dict[str, Any]) -> None:
    vla = awake(make_vla(act=make_head(id, **settings), tokens=make_head("gf/bins-v1")))
    samples = make_samples(2)
    batches = [vla.prepare(samples), vla.prepare([replace(sample, actions=-sample.actions) for sample in samples])]
    assert not torch.equal(batches[0].input_ids, batches[1].input_ids)
    head = vla.head("act")
    one, other = (head.act(vla, vla.encode(batch), batch, noise(len(batch.keys), 1)) for batch in batches)
    assert torch.equal(one, other)


@CONTINUOUS
def test_a_batch_is_its_samples_and_padding_changes_nothing(id: str, settings: dict[str, Any]) -> None:
    vla, _ = shape(id, settings)
    samples = make_samples(3)  # of three lengths
    together = act(vla, samples, seed=7)
    generators = noise(3, seed=7)
    alone = [vla.act(vla.prepare([one], generate=True), [own]).numpy()[0] for one, own in zip(samples, generators, strict=True)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-3
    padded_left, padded_right = vla.prepare(samples, generate=True), vla.prepare(samples)
    head = vla.head("act")
    left, right = (head.act(vla, vla.encode(batch), batch, noise(len(batch.keys), 1)) for batch in (padded_left, padded_right))
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


@CONTINUOUS
def test_acting_draws_from_its_generator_alone(id: str, settings: dict[str, Any]) -> None:
    vla, _ = shape(id, settings)
    samples = make_samples(2)
    torch.manual_seed(1)
    first = act(vla, samples, seed=5)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(first, act(vla, samples, seed=5))
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(first, act(vla, samples, seed=6)) == (id != "gf/flow-v1")


@CONTINUOUS
def test_steps_past_the_end_have_no_loss_and_the_others_count_alike(id: str, settings: dict[str, Any]) -> None:
    vla, _ = shape(id, settings)
    batch = vla.prepare(make_samples(3))
    context = vla.encode(batch)

    def loss(mask: Tensor, weight: Tensor | None = None) -> Tensor:
        part = replace(batch, action_mask=mask, weight=batch.weight if weight is None else weight)
        return losses(vla, context, part).popitem()[1]

    first = torch.arange(HORIZON).expand(3, -1) < 1
    torch.testing.assert_close(loss(first) + loss(~first), loss(torch.ones_like(first)))
    assert loss(torch.zeros_like(first)) == 0
    each = [loss(torch.ones_like(first), torch.eye(3)[row]) for row in range(3)]
    torch.testing.assert_close(torch.stack(each).sum(), loss(torch.ones_like(first)))
    assert loss(torch.ones_like(first), torch.tensor([2.0, 0, 0])) == 2 * each[0]


@CONTINUOUS
def test_bfloat16_autocast_gives_float32(id: str, settings: dict[str, Any]) -> None:
    vla, _ = shape(id, settings)
    batch = vla.prepare(make_samples(2))
    with torch.autocast("cpu", torch.bfloat16):
        context = vla.encode(batch)
        found = losses(vla, context, batch)
        actions = vla.head("act").act(vla, context, batch, noise(len(batch.keys), 1))
    assert {value.dtype for value in found.values()} == {torch.float32} == {actions.dtype}
    full = losses(vla, vla.encode(batch), batch)
    torch.testing.assert_close(found, full, rtol=0.1, atol=0.1)


@CONTINUOUS
def test_detached_gradients_end_at_the_head(id: str, settings: dict[str, Any]) -> None:
    vla = awake(make_vla(act=make_head(id, **settings)))
    vla.requires_grad_(True)
    vla.stage_heads = (StageHead(name="act", detach=True),)
    torch.stack(list(vla(vla.prepare(make_samples(2))).values())).sum().backward()
    assert all(value.grad is None for value in vla.model.parameters())
    assert all(value.grad is not None for value in vla.heads.parameters())


class Straight:
    """The velocity that leads from anywhere straight to ``goal``, which it reaches at time 1."""

    def __init__(self, goal: Tensor) -> None:
        self.goal = goal
        self.times: list[float] = []

    def __call__(self, state: Tensor, time: Tensor, memory: object) -> Tensor:
        self.times += time.tolist()
        return (self.goal - state) / (1 - time[:, None, None])


def test_time_runs_from_noise_at_0_to_actions_at_1() -> None:
    vla, head = shape(*FLOW)
    batch = vla.prepare(make_samples(2))
    context = vla.encode(batch)
    perfect = Straight(batch.actions)
    head.velocity = perfect  # type: ignore[method-assign]
    reached = head.act(vla, context, batch, noise(len(batch.keys), 0))
    torch.testing.assert_close(reached, batch.actions, atol=1e-5, rtol=1e-5)
    assert sorted(set(perfect.times)) == pytest.approx([0, 1 / 3, 2 / 3])
    # On the way from ε to a that velocity is a - ε: exactly the target, and with time reversed it would be far off.
    assert float(losses(vla, context, batch)["flow"]) < 1e-4


def test_the_target_is_actions_minus_noise() -> None:
    vla, head = shape(*FLOW)
    batch = vla.prepare(make_samples(2))
    seen: list[tuple[Tensor, Tensor]] = []

    def still(state: Tensor, time: Tensor, memory: object) -> Tensor:
        seen.append((state, time[:, None, None]))
        return torch.zeros_like(state)

    head.velocity = still  # type: ignore[method-assign]
    loss = losses(vla, vla.encode(batch), batch)["flow"]
    state, time = seen[0]
    noise = (state - time * batch.actions) / (1 - time)
    torch.testing.assert_close(loss, (batch.actions - noise).square().mean(), rtol=1e-3, atol=1e-3)


def test_several_draws_share_a_pass_and_average() -> None:
    vla, head = shape("gf/flow-v1", {**FLOW[1], "draws": 5})
    batch = vla.prepare(make_samples(2))
    seen: list[Tensor] = []

    def off(state: Tensor, time: Tensor, memory: Any) -> Tensor:
        seen.append(time)
        assert all(len(part) == len(state) for pair in memory[0] for part in pair)
        return torch.zeros_like(state)

    head.velocity = off  # type: ignore[method-assign]
    assert losses(vla, vla.encode(batch), batch)["flow"].shape == ()
    assert seen[0].unique().shape == (10,)


def test_training_times_are_distributed_as_published() -> None:
    head = make_head("gf/flow-v1", **FLOW[1])
    assert isinstance(head, FlowHead)
    times = head.times(4000, torch.device("cpu")).numpy()
    assert times.min() >= 0
    assert times.max() <= 0.999
    # π0, appendix B: p(τ) = Beta((s - τ) / s; 1.5, 1) with s = 0.999.
    assert kstest((0.999 - times) / 0.999, beta(1.5, 1).cdf).pvalue > 0.01


def test_features_of_techniques_are_read_or_refused() -> None:
    feature = torch.randn(2, 5, 32)
    for id, settings in (("gf/regression-v1", {"readout": "mean", "width": 32}), FLOW):
        vla, _ = shape(id, settings)
        batch = vla.prepare(make_samples(2))
        plain = vla.encode(batch)
        with_feature = replace(plain, features={"frozen": feature})
        assert not torch.allclose(*(next(iter(losses(vla, seen, batch).values())) for seen in (plain, with_feature)))
        with pytest.raises(GrinningFaceError, match="feature 'frozen' has width 7"):
            losses(vla, replace(plain, features={"frozen": feature[..., :7]}), batch)
    vla, _ = shape("gf/regression-v1", {"readout": "query"})
    batch = vla.prepare(make_samples(2))
    with pytest.raises(GrinningFaceError, match="would ignore the features frozen"):
        losses(vla, replace(vla.encode(batch), features={"frozen": feature}), batch)


def test_a_layer_that_is_named_is_the_one_that_is_read() -> None:
    vla, head = shape("gf/flow-v1", {**FLOW[1], "layers": [1]})
    batch = vla.prepare(make_samples(2))
    context = vla.encode(batch)
    plain = losses(vla, context, batch)["flow"]
    for layer in range(4):
        hidden = tuple(state + (torch.randn_like(state) if index == layer else 0) for index, state in enumerate(context.hidden))
        changed = losses(vla, replace(context, hidden=hidden), batch)["flow"]
        assert torch.equal(plain, changed) == (layer != 1)
    assert head.expert.layers == [1, 1, 1]


@pytest.mark.parametrize(
    ("id", "settings", "message"),
    [
        ("gf/regression-v1", {"layer": 4}, "no hidden state 4"),
        ("gf/regression-v1", {"readout": "attention", "width": 30}, "width 30, 8 attention heads"),
        ("gf/regression-v1", {"readout": "attention", "blocks": 0}, "0 blocks"),
        ("gf/regression-v1", {"readout": "pooled", "attention_heads": 5}, "5 attention heads don't divide"),
        ("gf/flow-v1", {"layers": [-5]}, "no hidden state -5"),
        ("gf/flow-v1", {"width": 36, "attention_heads": 8}, "width 36"),
        ("gf/flow-v1", {"depth": 1, "layers": [1, 2]}, "1 blocks can't read 2 hidden states"),
    ],
)
def test_settings_that_cannot_be(id: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GrinningFaceError, match=message):
        make_head(id, **settings)


def test_more_query_tokens_than_steps_are_left_alone() -> None:
    greedy = make_head("gf/regression-v1", width=32)
    greedy.queries = HORIZON + 2
    vla = awake(make_vla(act=make_head("gf/regression-v1", width=32), other=greedy))
    batch = vla.prepare(make_samples(2))
    context = vla.encode(batch)
    assert int(context.mask(Segment.QUERY).sum()) == 2 * (HORIZON + 2)
    assert vla.head("act").act(vla, context, batch, noise(2)).shape == (2, HORIZON, ACTION)


def test_hidden_states_are_spread_over_the_blocks() -> None:
    _, head = shape("gf/flow-v1", {**FLOW[1], "depth": 5, "layers": [1, -1]})
    assert head.expert.layers == [1, 1, 1, 3, 3]


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_the_regression_loss_is_the_one_that_is_named(name: str, power: int) -> None:
    vla, head = shape("gf/regression-v1", {"width": 32, "loss": name})
    batch = vla.prepare(make_samples(3))
    context = vla.encode(batch)
    expected = ((head.act(vla, context, batch, noise(len(batch.domains))) - batch.actions).abs() ** power).mean()
    torch.testing.assert_close(losses(vla, context, batch), {name: expected})
