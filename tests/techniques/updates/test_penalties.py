"""L2-SP, KL to the source, weight interpolation: which loss appears, what it equals, what it holds back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Segment
from gf_core.training.recipe import Stage
from gf_core.training.trainer import stage_data

from .tiny import QUESTIONS, ROBOT, begin, logits, policy, samples, technique, train, trainable, values

FULL = ("full-finetune", {})


def test_l2_sp_is_half_alpha_times_the_squared_distance_per_role() -> None:
    vla = policy()
    before = values(vla)
    begin(vla, technique("full-finetune", roles=["vision", "language"]), technique("l2-sp", vision=2.0, language=0.5))
    losses = vla(vla.prepare(samples()))
    assert losses["l2_sp/vision"] == losses["l2_sp/language"] == 0
    assert "l2_sp/projector" not in losses
    train(vla)
    after, losses = values(vla), vla(vla.prepare(samples()))
    for role, alpha in (("vision", 2.0), ("language", 0.5)):
        distance = sum(((after[name] - before[name]) ** 2).sum() for name in vla.names(role))
        torch.testing.assert_close(losses[f"l2_sp/{role}"], alpha / 2 * distance)
    gradient = torch.autograd.grad(losses["l2_sp/vision"], vla.get_parameter("model.vision.patch.weight"))[0]
    torch.testing.assert_close(gradient, 2.0 * (after["model.vision.patch.weight"] - before["model.vision.patch.weight"]))


def test_l2_sp_under_lora_is_of_the_merged_weights() -> None:
    vla = policy()
    before = values(vla)
    begin(vla, technique("lora", r=2), technique("l2-sp", language=0.5))
    train(vla)
    penalty = vla(vla.prepare(samples()))["l2_sp/language"]
    vla.end_stage()
    after = values(vla)
    distance = sum(((after[name] - before[name]) ** 2).sum() for name in vla.names("language"))
    torch.testing.assert_close(penalty.detach(), 0.25 * distance, rtol=1e-4, atol=1e-6)


def test_l2_sp_holds_the_weights_back() -> None:
    distances = []
    for alpha in (0.0, 100.0):
        vla = policy()
        before = values(vla)
        begin(vla, technique("full-finetune"), technique("l2-sp", vision=alpha, projector=alpha, language=1e-9))
        train(vla, steps=20)
        after = values(vla)
        distances.append(float(sum((after[name] - before[name]).norm() for name in vla.names("vision", "projector"))))
    assert distances[1] < 0.5 * distances[0]


@pytest.mark.parametrize(
    ("others", "name", "settings", "what"),
    [
        ([], "l2-sp", {}, "nothing of vision, projector, language trains"),
        ([("full-finetune", {"roles": ["vision"]})], "l2-sp", {"vision": 0}, "nothing of projector, language trains"),
        ([("lora", {"dora": True})], "l2-sp", {}, "DoRA"),
        ([], "kl-to-source", {}, "nothing of the VLM trains"),
        ([FULL], "kl-to-source", {"samples": "all"}, "robot samples have no answers"),
        ([("lora", {"merge": False})], "weight-interpolation", {}, "stay unmerged"),
    ],
)
def test_a_penalty_without_an_object_is_refused(others: list[Any], name: str, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(GrinningFaceError, match=what):
        begin(policy(), *(technique(other, **given) for other, given in others), technique(name, **settings))


@pytest.mark.parametrize(
    ("others", "name", "settings", "what"),
    [
        ([FULL], "kl-to-source", {}, "only vision-language samples count, and the stage has none"),
        ([FULL], "kl-to-source", {"positions": "both"}, "only vision-language samples count, and the stage has none"),
        ([FULL], "kl-to-source", {"samples": "all", "positions": "both"}, None),
        ([FULL, ("cotrain", {"sources": ["vqa"]})], "kl-to-source", {}, None),
        ([("freeze", {})], "weight-interpolation", {}, "nothing of vision, projector, language trains"),
        ([("full-finetune", {"roles": ["vision"]})], "weight-interpolation", {"vision": 1}, "nothing of projector, language"),
        ([("freeze", {})], "weight-interpolation", {"head": 0.5}, None),
        ([("lora", {})], "weight-interpolation", {}, None),
        ([("freeze", {})], "weight-interpolation", {"vision": 1, "projector": 1, "language": 1}, None),  # as a sweep may ask
    ],
)
def test_what_would_do_nothing_in_a_stage_on_robot_data_is_refused(
    others: list[Any], name: str, settings: dict[str, Any], what: str | None
) -> None:
    vla = policy()
    begin(vla, *(technique(other, **given) for other, given in others), technique(name, **settings))
    stage = Stage(0, {"mixture": [{"source": "demos"}]})
    sources: dict[str, Any] = {"demos": ROBOT, "vqa": QUESTIONS}
    if what is None:
        assert stage_data(stage, vla, sources)[1].shares[0].source == "demos"
        return
    with pytest.raises(GrinningFaceError, match=what):
        stage_data(stage, vla, sources)


def expected_kl(vla: Any, positions: tuple[Segment, ...], rows: tuple[int, ...]) -> torch.Tensor:
    """By hand, from a policy that never trained."""
    batch, first = vla.prepare(samples()), vla.rows.first
    p, q = (made[..., :first].log_softmax(-1) for made in (logits(policy()), logits(vla)))
    means = []
    for row in rows:
        each = [
            (p[row, i].exp() * (p[row, i] - q[row, i])).sum()
            for i in range(batch.segments.shape[1] - 1)
            if int(batch.segments[row, i + 1]) in positions
        ]
        means.append(torch.stack(each).mean())
    return torch.stack(means).mean()


@pytest.mark.parametrize("update", [FULL, ("lora", {"r": 2}), ("lora", {"r": 2, "dora": True})])
@pytest.mark.parametrize(
    ("settings", "positions", "rows"),
    [
        ({}, (Segment.ANSWER,), (2, 3)),
        ({"samples": "all", "positions": "both", "weight": 3}, (Segment.ANSWER, Segment.PROMPT), (0, 1, 2, 3)),
    ],
)
def test_kl_is_to_the_predictions_at_the_start(
    update: tuple[str, dict[str, Any]], settings: dict[str, Any], positions: tuple[Segment, ...], rows: tuple[int, ...]
) -> None:
    vla = policy()
    begin(vla, technique(update[0], **update[1]), technique("kl-to-source", **settings), heads=("mean", "sign"))
    assert vla(vla.prepare(samples()))["kl_to_source"].detach().abs() < 1e-6
    names = trainable(vla)
    assert not any(vla.role_of(name) == "teacher" for name in names)
    train(vla)
    assert trainable(vla) == names
    measured = vla(vla.prepare(samples()))["kl_to_source"]
    assert measured > 1e-4
    torch.testing.assert_close(
        measured.detach(), settings.get("weight", 1) * expected_kl(vla, positions, rows), rtol=1e-4, atol=1e-6
    )
    gradients = torch.autograd.grad(
        measured, [value for value in vla.model.parameters() if value.requires_grad], allow_unused=True
    )
    assert any(value is not None and bool(value.any()) for value in gradients)
    vla.end_stage()
    assert "teacher" not in vla.extras


def test_kl_copies_the_backbone_only_where_more_than_adapters_trains() -> None:
    for techniques, copied in (
        ([technique("lora", r=2)], False),
        ([technique("lora", r=2), technique("freeze", roles=["vision"], vision=0.5)], True),
    ):
        vla = policy()
        kl = technique("kl-to-source")
        begin(vla, *techniques, kl)
        assert ("teacher" in vla.extras) == copied
        assert kl.report() == {"source": "frozen copy" if copied else "adapters switched off"}
        if copied:
            assert not any("lora" in name for name in vla.names("teacher"))
            vla.train()
            assert not any(module.training for module in vla.extras["teacher"].modules())


def test_adapters_of_an_earlier_stage_belong_to_the_source() -> None:
    vla = policy()
    begin(vla, technique("lora", r=2, merge=False))
    train(vla)
    vla.end_stage()
    begin(vla, technique("full-finetune"), technique("kl-to-source"))
    assert vla(vla.prepare(samples()))["kl_to_source"].detach().abs() < 1e-6
    with pytest.raises(GrinningFaceError, match="unmerged"):
        begin(vla, technique("full-finetune"), technique("l2-sp"))


def test_kl_keeps_predictions_near_the_source() -> None:
    divergences = []
    for weight in (1e-9, 30.0):
        vla = policy()
        begin(vla, technique("full-finetune"), technique("kl-to-source", weight=weight, samples="all", positions="both"))
        train(vla, steps=15, rate=1e-3)
        divergences.append(float(expected_kl(vla, (Segment.PROMPT, Segment.ANSWER), (0, 1, 2, 3))))
    assert divergences[1] < 0.5 * divergences[0]


@pytest.mark.parametrize("update", [FULL, ("lora", {"r": 2, "roles": ["vision", "projector", "language"]})])
def test_interpolation_ends_between_start_and_trained_weights(update: tuple[str, dict[str, Any]]) -> None:
    shares = {"vision": 0.0, "projector": 1.0, "language": 0.25}

    def ended(*more: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        vla = policy()
        begin(vla, *more, technique(update[0], **update[1]))
        train(vla)
        vla.end_stage()
        return values(vla)

    start, trained, mixed = values(policy()), ended(), ended(technique("weight-interpolation", **shares))
    vla = policy()
    for role, share in shares.items():
        for name in vla.names(role):
            torch.testing.assert_close(mixed[name], start[name] + share * (trained[name] - start[name]), msg=name)
    torch.testing.assert_close(mixed["heads.mean.linear.weight"], trained["heads.mean.linear.weight"])
