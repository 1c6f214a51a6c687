"""What every family's backbone must do; see Backbone in gf_core.training.contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gf_core.training.contracts import Backbone, Batch, Context, Layout, Segment
from gf_core.training.samples import Frame, Sample
from gf_core.training.tokens import TokenRows
from gf_policies.backbones.hf_vlm import HFVLM
from gf_policies.backbones.tiny import FAMILIES

TOLERANCE = 2e-5
Shared = Callable[[str], HFVLM]
pytestmark = [
    pytest.mark.parametrize("family", FAMILIES),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # PaliGemma's processor
]


def image(seed: int) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return Frame(camera=f"c{seed}", offset=0, image=pixels.repeat(8, 0).repeat(8, 1))


ROBOT = Sample(frames=(image(0), image(1)), prompt="pick the dog", key="robot")
QUESTION = Sample(frames=(image(2),), prompt="What is shown?", answer="a cat", domain="vqa", key="question")
TEXT = Sample(frames=(), prompt="One?", answer="1", domain="vqa", key="text")
SAMPLES = (ROBOT, QUESTION, TEXT)
TOKENS = (7, 3, 9)


def layout(backbone: HFVLM) -> Layout:
    first = backbone.vocabulary - 1400
    return Layout(proprio=1, proprio_id=first, queries=2, query_id=first + 1)


def prepared(backbone: HFVLM, tokens: tuple[int, ...] = TOKENS, *, generate: bool = False) -> Batch:
    first = backbone.vocabulary - 1300
    return backbone.prepare(SAMPLES, layout(backbone), [[first + token for token in tokens], [], []], generate=generate)


def prefix(context: Context, row: int) -> list[Tensor]:
    """Hidden states of a sample's prefix in every layer."""
    return [state[row][context.prefix[row]] for state in context.hidden]


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(autouse=True)
def _no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield


def test_it_is_a_backbone(shared: Shared, family: str) -> None:
    backbone = shared(family)
    assert isinstance(backbone, Backbone)
    assert {value.dtype for value in backbone.module.parameters()} == {torch.float32}
    assert len(backbone.blocks("vision")) == 2
    assert len(backbone.blocks("language")) == backbone.layers == 3
    assert backbone.input_embeddings().weight.shape == (backbone.vocabulary, backbone.dim)


def test_each_parameter_has_one_role_and_the_roles_do_what_they_are_called(shared: Shared, family: str) -> None:
    backbone = shared(family)
    roles = backbone.roles()
    names = [name for role in ("vision", "projector", "language") for name in roles[role]]
    assert sorted(names) == sorted(name for name, _ in backbone.module.named_parameters())
    parameters = dict(backbone.module.named_parameters())
    embedded = backbone.prepare([ROBOT], Layout())
    where = embedded.segments[0] == int(Segment.IMAGE)
    before = backbone.encode(embedded).hidden[0][0]
    for role in ("vision", "projector", "language"):
        kept = {name: parameters[name].clone() for name in roles[role]}
        for name in roles[role]:
            parameters[name].mul_(1.5)
        after = backbone.encode(embedded).hidden[0][0]
        for name, value in kept.items():
            parameters[name].copy_(value)
        assert (not torch.allclose(before[where], after[where])) == (role != "language")
        assert (not torch.allclose(before[~where], after[~where])) == (role == "language")


def test_hidden_states_are_the_embeddings_and_each_blocks_output(shared: Shared, family: str) -> None:
    backbone, seen = shared(family), list[Tensor]()

    def keep(module: nn.Module, arguments: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append(output if isinstance(output, Tensor) else output[0])

    hooks = [backbone.module.get_submodule(name).register_forward_hook(keep) for name in backbone.blocks("language")]
    batch = prepared(backbone)
    context = backbone.encode(batch)
    for hook in hooks:
        hook.remove()
    assert len(context.hidden) == backbone.layers + 1
    assert all(state.shape == (*batch.input_ids.shape, backbone.dim) for state in context.hidden)
    assert all(bool(state.isfinite().all()) for state in context.hidden)
    for ours, theirs in zip(context.hidden[1:-1], seen[:-1], strict=True):
        assert torch.equal(ours, theirs)


def test_logits_are_the_models_own(shared: Shared, family: str) -> None:
    backbone = shared(family)
    batch = prepared(backbone)
    ours = backbone.logits(backbone.encode(batch).last)
    theirs = backbone.module(**batch.inputs).logits
    real = batch.segments != int(Segment.PADDING)
    assert ours.shape[-1] == backbone.vocabulary
    assert ours.dtype == torch.float32
    assert float((ours - theirs)[real].abs().max()) < TOLERANCE


def test_segments_say_what_each_token_is(shared: Shared, family: str) -> None:
    backbone = shared(family)
    batch = prepared(backbone)
    ids, segments = batch.input_ids, batch.segments

    def text(row: int, segment: Segment) -> str:
        return backbone.detokenize(ids[row][segments[row] == int(segment)].tolist())

    image_id = backbone.module.config.image_token_id
    assert torch.equal(ids == image_id, segments == int(Segment.IMAGE))
    assert bool((segments[:2] == int(Segment.IMAGE)).any(1).all())
    assert "pick the dog" in text(0, Segment.PROMPT)
    assert "What is shown?" in text(1, Segment.PROMPT)
    assert text(1, Segment.ANSWER) == "a cat"
    first = backbone.vocabulary - 1400
    assert ids[0][segments[0] == int(Segment.PROPRIO)].tolist() == [first]
    assert ids[0][segments[0] == int(Segment.QUERY)].tolist() == [first + 1] * 2
    assert ids[0][segments[0] == int(Segment.ACTION)].tolist() == [*(first + 100 + token for token in TOKENS), backbone.end_id]
    assert int(ids[2][segments[2] == int(Segment.ANSWER)][-1]) == backbone.end_id
    assert not bool((segments[1:] == int(Segment.PROPRIO)).any())
    assert torch.equal(batch.inputs["attention_mask"].bool(), segments != int(Segment.PADDING))
    behind = [segment for segment in segments[0].tolist() if segment >= int(Segment.PROPRIO)]
    assert behind == sorted(behind)
    generating = prepared(backbone, generate=True)
    assert not bool((generating.segments[:, -1] == int(Segment.PADDING)).any())
    assert not bool((generating.segments >= int(Segment.ANSWER)).any())


def test_the_prefix_knows_nothing_of_what_comes_behind(shared: Shared, family: str) -> None:
    backbone = shared(family)
    one = backbone.encode(prepared(backbone))
    other = backbone.encode(prepared(backbone, (1, 2, 3)))
    longer = backbone.encode(prepared(backbone, (1, 2, 3, 4, 5, 6)))
    assert difference(prefix(one, 0), prefix(other, 0)) == 0
    assert difference(prefix(one, 0), prefix(longer, 0)) < TOLERANCE
    assert not torch.equal(one.last, other.last)


def test_padding_and_companions_change_nothing(shared: Shared, family: str) -> None:
    backbone = shared(family)
    right = backbone.encode(prepared(backbone))
    left = backbone.encode(prepared(backbone, generate=True))
    for row, sample in enumerate(SAMPLES):
        alone = backbone.encode(backbone.prepare([sample], layout(backbone), generate=True))
        assert difference(prefix(right, row), prefix(left, row)) < TOLERANCE
        assert difference(prefix(alone, 0), prefix(left, row)) < TOLERANCE


def test_each_image_has_its_place(shared: Shared, family: str) -> None:
    backbone = shared(family)
    one = backbone.encode(backbone.prepare([ROBOT], Layout()))
    swapped = backbone.encode(backbone.prepare([replace(ROBOT, frames=ROBOT.frames[::-1])], Layout()))
    later = replace(ROBOT, frames=(*ROBOT.frames, replace(image(5), offset=4)))
    images = one.segments[0] == int(Segment.IMAGE)
    assert not torch.allclose(one.hidden[0][0][images], swapped.hidden[0][0][images])
    assert torch.equal(backbone.encode(backbone.prepare([later], Layout())).last, one.last)


def test_placed_embeddings_are_used_behind_them_only(load: Callable[[str], HFVLM], family: str) -> None:
    backbone = load(family)
    rows = TokenRows(backbone, backbone.reserve(1400))
    batch = prepared(backbone)
    where = batch.segments == int(Segment.QUERY)
    values = torch.randn(2, backbone.dim)
    plain = backbone.encode(batch)
    with rows.placed((where, values)):
        placed = backbone.encode(batch)
    with rows.placed((where, values + torch.tensor([[0.0], [1.0]]))):
        second = backbone.encode(batch)
    ratio = placed.hidden[0][where] / values  # Gemma scales its embeddings
    assert float((ratio - ratio[0, 0]).abs().max()) < 1e-3
    assert not torch.allclose(plain.last[0], placed.last[0])
    assert torch.equal(plain.last[1:], placed.last[1:])
    assert not torch.allclose(placed.last[where][1], second.last[where][1])


def test_decoding_with_a_cache_equals_full_forwards(load: Callable[[str], HFVLM], family: str) -> None:
    backbone = load(family)
    ids = backbone.reserve(1400)
    rows = TokenRows(backbone, ids)
    rows.output.copy_(torch.randn_like(rows.output) * 0.3)
    rows.input.copy_(torch.randn_like(rows.input))
    values = torch.randn(3, backbone.dim)
    allowed = [*ids[100:160], 40, 41]

    def placements(batch: Batch) -> tuple[tuple[Tensor, Tensor], ...]:
        return (
            (batch.segments == int(Segment.PROPRIO), values[:1]),
            (batch.segments == int(Segment.QUERY), values[1:]),
        )

    for choice in (allowed, None):
        generating = prepared(backbone, generate=True)
        with rows.placed(*placements(generating)):
            decoded = backbone.generate(generating, 4, choice)
        written: list[list[int]] = [[], [], []]
        for _ in range(decoded.shape[1]):
            batch = backbone.prepare([replace(sample, answer=None) for sample in SAMPLES], layout(backbone), written)
            with rows.placed(*placements(batch)):
                context = backbone.encode(batch)
            for row, tokens in enumerate(written):
                last = int(context.prefix[row].sum()) - 1 + len(tokens)
                scores = backbone.logits(context.last[row, last])
                if choice is not None:
                    scores = torch.full_like(scores, -torch.inf).index_copy(0, torch.tensor(choice), scores[choice])
                ended = backbone.end_id in tokens
                tokens.append(backbone.end_id if ended else int(scores.argmax()))
        assert decoded.tolist() == written
        assert choice is None or set(decoded.flatten().tolist()) <= {*choice, backbone.end_id}


def test_gradient_checkpointing_changes_no_gradient(load: Callable[[str], HFVLM], family: str) -> None:
    backbone = load(family)
    backbone.reserve(1400)
    batch = prepared(backbone)
    backbone.module.train()

    def gradients() -> dict[str, Tensor]:
        backbone.module.zero_grad()
        context = backbone.encode(batch)
        (context.hidden[1].square().mean() + context.last.square().mean()).backward()
        return {name: value.grad.clone() for name, value in backbone.module.named_parameters() if value.grad is not None}

    plain = gradients()
    backbone.module.activation_checkpointing_enable()
    checkpointed = gradients()
    assert plain.keys() == checkpointed.keys()
    roles = backbone.roles()
    assert all(any(name in plain for name in roles[role]) for role in ("vision", "projector", "language"))
    for name, value in plain.items():
        assert torch.allclose(value, checkpointed[name], rtol=1e-4, atol=1e-6), name
    backbone.generate(prepared(backbone, generate=True), 2)
    assert all(part.training for part in backbone.module.modules())


def test_gradients_under_autocast(load: Callable[[str], HFVLM], family: str) -> None:
    backbone = load(family)
    rows = TokenRows(backbone, backbone.reserve(1400))
    batch = prepared(backbone)
    values = torch.randn(2, backbone.dim, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), rows.placed((batch.segments == int(Segment.QUERY), values)):
        context = backbone.encode(batch)
        logits = backbone.logits(context.last)
        logits.logsumexp(-1).mean().backward()
    assert logits.dtype == torch.float32
    assert values.grad is not None
    assert bool(values.grad.abs().sum() > 0)
    assert all(bool(value.grad.isfinite().all()) for value in backbone.module.parameters() if value.grad is not None)
