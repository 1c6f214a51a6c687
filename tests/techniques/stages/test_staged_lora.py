from __future__ import annotations

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.model import VLA
from gf_techniques.adapters import adapters

from .tools import begin, film, logits, policy, technique, train, trainable, values

ROLES = ["vision", "language"]


def fresh(seed: int = 0) -> VLA:
    return policy(seed=seed, arms=("regression", {"width": 16, "blocks": 1, "readout": "mean"}))


def stage(vla: VLA, seed: int, alpha: float = 4) -> None:
    begin(vla, technique("staged-lora", r=2, alpha=alpha, roles=ROLES), heads=("arms",))
    train(vla, film(6, seed), steps=3, batch=6, rate=1e-2)


@pytest.mark.parametrize("settings", [{}, {"dora": True}, {"rslora": True, "dropout": 0.5}])
def test_each_stage_starts_with_what_the_last_one_left_and_merges(settings: dict[str, object]) -> None:
    vla, seen = fresh(), film(3, 9)
    names, before = set(values(vla)), logits(vla, seen)
    for seed in range(2):
        begin(vla, technique("staged-lora", r=2, alpha=4, roles=ROLES, **settings), heads=("arms",))
        torch.testing.assert_close(logits(vla, seen), before, atol=1e-4, rtol=0)
        train(vla, film(6, seed), steps=3, batch=6, rate=1e-2)
        trained = logits(vla, seen)
        assert float((trained - before).abs().max()) > 1e-3
        vla.end_stage()
        torch.testing.assert_close(logits(vla, seen), trained, atol=1e-4, rtol=0)
        assert set(values(vla)) == names
        assert not adapters(vla.model)
        before = trained


def test_merged_weights_are_the_sum_of_both_stages_adapters() -> None:
    vla, name = fresh(), "blocks.1.up"
    start = vla.model.get_submodule(name).weight.detach().clone()
    added = torch.zeros_like(start)
    for seed in range(2):
        stage(vla, seed, alpha=6)
        layer = adapters(vla.model)[name]
        assert vla.techniques[0].report() == {"adapted": list(adapters(vla.model))}
        added += 3 * layer.lora_B["default"].weight.detach() @ layer.lora_A["default"].weight.detach()
        vla.end_stage()
    torch.testing.assert_close(vla.model.get_submodule(name).weight, start + added)


def test_loading_replays_every_merge() -> None:
    vla, seen, stored = fresh(), film(3, 9), []
    for seed in range(2):
        stage(vla, seed)
        stored.append({name: value for name, value in values(vla).items() if name in trainable(vla)})
        vla.end_stage()
    again = fresh(seed=1)
    for parameters in stored:
        begin(again, technique("staged-lora", r=2, alpha=4, roles=ROLES), heads=("arms",))
        assert trainable(again) == parameters.keys()
        again.load_state_dict(parameters, strict=False)
        again.end_stage()
    assert torch.equal(logits(again, seen), logits(vla, seen))


def test_a_merge_that_changes_a_layer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    vla = fresh()
    stage(vla, 0)

    def forget(model: torch.nn.Module) -> None:
        for name, layer in adapters(model).items():
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())

    monkeypatch.setattr("gf_techniques.lora.merge", forget)
    with pytest.raises(GrinningFaceError, match="computes something else after its adapter was merged"):
        vla.end_stage()


def test_what_can_not_be_merged_exactly_is_refused() -> None:
    vla = fresh()
    begin(vla, technique("lora", merge=False), heads=("arms",))
    vla.end_stage()
    with pytest.raises(GrinningFaceError, match="unmerged"):
        begin(vla, technique("staged-lora"), heads=("arms",))
    half = fresh()
    half.model.bfloat16()
    with pytest.raises(GrinningFaceError, match="merging would round"):
        begin(half, technique("staged-lora"), heads=("arms",))


def test_it_decides_its_roles_like_lora() -> None:
    assert technique("staged-lora", roles=ROLES).updates == tuple(ROLES)
