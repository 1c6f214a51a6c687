"""Co-training, the dual encoder and knowledge insulation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.mixture import Mixture, Share

from .tiny import QUESTIONS, ROBOT, begin, logits, moved, policy, reached, samples, technique, train, trainable, values

ALL = ("vision", "projector", "language")


def test_cotraining_adds_its_share_of_every_batch() -> None:
    mixture = Mixture(shares=(Share(source="demos", weight=3), Share(source="more", weight=1)))
    mixed = technique("cotrain", sources=["vqa"]).mixture(mixture)
    assert mixed.quotas(20) == {"demos": 12, "more": 4, "vqa": 4}
    assert [share.loss_weight for share in mixed.shares] == [1, 1, 0.1]
    two = technique("cotrain", sources=["vqa", "web"], share=0.5, loss_weight=1).mixture(mixture)
    assert two.quotas(16) == {"demos": 6, "more": 2, "vqa": 4, "web": 4}


def test_cotraining_weighs_the_text_loss() -> None:
    vla = policy()
    begin(vla, technique("full-finetune"))
    whole, part = (vla(vla.prepare(samples(), weights))["text"] for weights in ([], [1, 1, 0.1, 0.1]))
    torch.testing.assert_close(part, 0.1 * whole)


@pytest.mark.parametrize(
    ("named", "shares", "what"),
    [
        ("vqaa", ["demos"], "did you mean 'vqa'"),
        ("demos", ["demos"], "robot data"),
        ("vqa", ["demos", "vqa"], "already"),
        ("vqa", [], "no data"),
    ],
)
def test_cotraining_refuses_sources_that_it_cannot_add(named: str, shares: list[str], what: str) -> None:
    made, mixture = technique("cotrain", sources=[named]), Mixture(shares=tuple(Share(source=name) for name in shares))
    with pytest.raises(GrinningFaceError, match=what):
        assert made.sources({"demos": ROBOT, "vqa": QUESTIONS}) and made.mixture(mixture)  # noqa: PT018


def test_the_dual_encoder_starts_as_the_same_function_and_keeps_a_frozen_tower() -> None:
    vla = policy()
    start, before = logits(vla), values(vla)
    begin(vla, technique("dual-encoder"), technique("full-finetune"))
    torch.testing.assert_close(logits(vla), start, atol=1e-5, rtol=1e-4)
    copies = {name.replace("extras.vision_copy.tower.", "model.vision."): name for name in vla.names("vision_copy")}
    assert set(copies) == set(vla.names("vision"))
    assert vla.names("fusion")
    assert set(vla.names("fusion")) <= trainable(vla)
    train(vla)
    after = values(vla)
    assert moved(before, after) >= {name for name in vla.names("vision") if "patch" in name}
    assert all(torch.equal(after[copy], before[name]) for name, copy in copies.items())
    vla.end_stage()
    trained = logits(vla)
    for name in vla.names("vision_copy"):  # the copy is used, not only kept
        vla.get_parameter(name).data.zero_()
    assert not torch.allclose(logits(vla), trained, atol=1e-3)


def test_the_fusion_computes_from_both_towers() -> None:
    vla = policy()
    begin(vla, technique("dual-encoder"), technique("full-finetune"))
    fusion = vla.get_parameter(vla.names("fusion")[0])
    with torch.no_grad():  # the frozen half alone
        fusion.copy_(torch.cat([torch.eye(16), torch.zeros(16, 16)], 1))
        start = logits(vla)
        for name in vla.names("vision"):
            vla.get_parameter(name).zero_()
    assert torch.equal(logits(vla), start)


@pytest.mark.parametrize(
    ("update", "trains"),
    [
        (("lora", {}), False),
        (("freeze", {}), False),
        (("freeze", {"vision": 0.5}), True),
        (("lora", {"roles": ["vision"]}), True),
    ],
)
def test_the_dual_encoder_refuses_a_tower_of_which_nothing_trains(update: tuple[str, dict[str, Any]], trains: bool) -> None:
    dual, mixture = technique("dual-encoder"), Mixture(shares=(Share(source="demos"),))
    begin(policy(), dual, technique(update[0], **update[1]))
    if trains:
        assert dual.mixture(mixture) == mixture
        return
    with pytest.raises(GrinningFaceError, match="nothing of the vision tower trains, so the copy would add nothing"):
        dual.mixture(mixture)


def test_the_dual_encoder_refuses_a_third_tower() -> None:
    vla = policy()
    begin(vla, technique("dual-encoder"), technique("full-finetune"))
    vla.end_stage()
    with pytest.raises(GrinningFaceError, match="second tower"):
        begin(vla, technique("dual-encoder"), technique("full-finetune"))


def test_a_later_stage_keeps_the_dual_encoder_frozen() -> None:
    vla = policy()
    begin(vla, technique("dual-encoder"), technique("full-finetune"))
    train(vla)
    vla.end_stage()
    before = values(vla)
    begin(vla, technique("full-finetune", roles=["language"]))
    train(vla)
    changed = moved(before, values(vla))
    assert changed
    assert not changed & set(vla.names("vision", "vision_copy", "fusion"))


def test_insulation_cuts_the_continuous_head_off_and_nothing_else() -> None:
    for insulated in (False, True):
        vla = policy()
        backbone = set(vla.names(*ALL))
        begin(
            vla, technique("full-finetune"), *([technique("knowledge-insulation")] if insulated else []), heads=("mean", "sign")
        )
        found = reached(vla)
        assert set(found) == {"text", "sign/tokens", "mean/l2"}
        assert bool(found["mean/l2"] & backbone) != insulated
        assert {name for name in found["mean/l2"] if name.startswith("heads.")} == {
            "heads.mean.linear.weight",
            "heads.mean.linear.bias",
        }
        assert {vla.role_of(name) for name in found["sign/tokens"] & backbone} == set(ALL)


@pytest.mark.parametrize(
    ("heads", "update", "what"),
    [
        (("mean",), [("full-finetune", {})], "no token head"),
        (("sign",), [("full-finetune", {})], "no continuous head"),
        (("mean", "sign"), [("freeze", {})], "nothing to insulate"),
        (("query", "sign"), [("full-finetune", {})], "query tokens"),
    ],
)
def test_insulation_refuses_a_stage_without_its_parts(heads: tuple[str, ...], update: list[Any], what: str) -> None:
    with pytest.raises(GrinningFaceError, match=what):
        begin(
            policy(), *(technique(name, **settings) for name, settings in update), technique("knowledge-insulation"), heads=heads
        )
