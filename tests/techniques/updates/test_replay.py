"""Loading a checkpoint sets the stage up again, loads what was trained, strictly, and finishes: it must give the same policy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gf_core.training.contracts import Technique

from .tiny import begin, logits, policy, samples, technique, train, trainable

FULL: tuple[str, dict[str, Any]] = ("full-finetune", {})
EVERYWHERE: tuple[str, dict[str, Any]] = ("lora", {"r": 2, "roles": ["vision", "projector", "language"]})

STAGES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "full": [FULL],
    "freeze": [("freeze", {"projector": True, "language": "last", "blocks": 1})],
    "lora": [("lora", {"r": 2})],
    "rslora": [("lora", {"r": 2, "rslora": True})],
    "dora": [("lora", {"r": 2, "dora": True})],
    "unmerged": [("lora", {"r": 2, "merge": False})],
    "lora beside vision": [("lora", {"r": 2}), ("freeze", {"roles": ["vision"], "vision": 0.5})],
    "l2-sp": [FULL, ("l2-sp", {})],
    "kl": [FULL, ("kl-to-source", {})],
    "kl under lora": [EVERYWHERE, ("kl-to-source", {"samples": "all", "positions": "both"})],
    "interpolation": [FULL, ("weight-interpolation", {"language": 0.3})],
    "interpolation under lora": [EVERYWHERE, ("weight-interpolation", {"language": 0.3})],
    "dual encoder": [FULL, ("dual-encoder", {})],
    "dual encoder under lora": [EVERYWHERE, ("dual-encoder", {})],
    "all of it": [FULL, ("dual-encoder", {}), ("kl-to-source", {}), ("l2-sp", {}), ("weight-interpolation", {})],
    "insulation": [FULL, ("knowledge-insulation", {})],
}


@pytest.mark.parametrize("stage", STAGES)
def test_replayed_setup_and_finish_give_the_trained_policy(stage: str) -> None:
    def techniques() -> list[Technique]:
        return [technique(name, **settings) for name, settings in STAGES[stage]]

    heads = ("mean", "sign") if stage == "insulation" else ("mean",)
    trained = policy(seed=1)
    begin(trained, *techniques(), heads=heads)
    start = logits(trained)
    train(trained)
    state = {name: value.detach().clone() for name, value in trained.named_parameters() if value.requires_grad}
    trained.end_stage()

    loaded = policy(seed=2)
    begin(loaded, *techniques(), heads=heads)
    assert trainable(loaded) == set(state)
    result = loaded.load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    loaded.end_stage()

    loaded.eval()
    assert not torch.allclose(logits(trained), start, atol=1e-4)
    assert torch.equal(logits(trained), logits(loaded))
    batch = [policy_.prepare(samples()[:2], generate=True) for policy_ in (trained, loaded)]
    acted = [p.act(b, [torch.Generator().manual_seed(0) for _ in b.keys]) for p, b in zip((trained, loaded), batch, strict=True)]
    assert torch.equal(*acted)
