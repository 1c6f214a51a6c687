"""Full fine-tuning, freezing and LoRA: exactly the named parameters train and move."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_techniques.adapters import adapters, merged_weight

from .tiny import begin, logits, moved, policy, technique, train, trainable, values

ALL = ("vision", "projector", "language")


@pytest.mark.parametrize("roles", [["vision"], ["projector", "language"], list(ALL)])
def test_full_finetuning_moves_its_roles_and_nothing_else(roles: list[str]) -> None:
    vla = policy(tied=False)
    before = values(vla)
    begin(vla, technique("full-finetune", roles=roles), heads=("mean", "sign"))
    train(vla)
    changed = moved(before, values(vla))
    assert trainable(vla) & set(vla.names(*ALL)) == set(vla.names(*roles))
    for role in ALL:
        here = changed & set(vla.names(role))
        assert bool(here) == (role in roles), role
    assert changed <= trainable(vla)


FREEZES: list[tuple[dict[str, Any], list[str]]] = [
    ({"projector": True}, ["model.projector."]),
    ({"vision": 0.25}, ["model.vision.blocks.1."]),
    ({"vision": 1}, ["model.vision."]),
    ({"language": "first", "blocks": 2}, ["model.blocks.0.", "model.blocks.1."]),
    ({"language": "last", "blocks": 1}, ["model.blocks.2."]),
    ({"language": "all-but-first", "blocks": 2}, ["model.blocks.2."]),
    ({"language": "all"}, ["model.blocks.", "model.embed.", "model.position.", "model.norm."]),
]


@pytest.mark.parametrize(("settings", "prefixes"), FREEZES)
def test_freezing_lets_exactly_the_named_blocks_train(settings: dict[str, Any], prefixes: list[str]) -> None:
    vla = policy()
    wanted = {name for name in vla.names(*ALL) if name.startswith(tuple(prefixes))}
    before = values(vla)
    begin(vla, technique("freeze", **settings))
    assert trainable(vla) & set(vla.names(*ALL)) == wanted
    train(vla)
    changed = moved(before, values(vla)) & set(vla.names(*ALL))
    assert changed
    assert changed <= wanted
    assert any(name.startswith(tuple(prefixes[-1:])) for name in changed)


def test_freezing_undoes_what_a_technique_before_it_let_train() -> None:
    vla = policy()
    begin(vla, technique("full-finetune"), technique("freeze", roles=["vision"]))
    assert not trainable(vla) & set(vla.names("vision"))
    assert trainable(vla) >= set(vla.names("language"))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"roles": ["vision"], "projector": True}, "leaves that role out"),
        ({"language": "last"}, "`blocks` is 0"),
        ({"blocks": 2}, "leave `blocks` out"),
        ({"language": "last", "blocks": 4}, "has 3 blocks, not 4"),
        ({"language": "all-but-first", "blocks": 3}, "nothing trains"),
    ],
)
def test_freezing_refuses_settings_that_contradict_each_other(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(GrinningFaceError, match=what):
        begin(policy(), technique("freeze", **settings))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("role", "prefix"), [("language", "blocks."), ("vision", "vision."), ("projector", "projector")])
def test_lora_adapts_the_linear_layers_of_its_roles_and_no_others(role: str, prefix: str, tied: bool) -> None:
    vla = policy(tied=tied)
    linear = {name for name, module in vla.model.named_modules() if isinstance(module, torch.nn.Linear)} - {"lm_head"}
    before = values(vla)
    begin(vla, technique("lora", roles=[role], r=2))
    assert set(adapters(vla.model)) == {name for name in linear if name.startswith(prefix)}
    assert all(vla.role_of(name) == role for name in trainable(vla) if name.startswith("model."))
    train(vla)
    after = values(vla)
    for name, value in before.items():
        if name.startswith("model."):
            plain = (
                after[name]
                if name in after
                else after[name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias")]
            )
            assert torch.equal(plain, value), name
    assert any(bool(value.any()) for name, value in after.items() if ".lora_B." in name)


@pytest.mark.parametrize("settings", [{}, {"rslora": True}, {"dora": True}, {"alpha": 0.5}])
def test_merging_leaves_base_plus_scaled_product_and_the_same_function(settings: dict[str, Any]) -> None:
    vla = policy()
    names, before = list(dict(vla.named_parameters())), values(vla)
    begin(vla, technique("lora", r=4, **settings))
    train(vla)
    wanted, unmerged = {}, logits(vla)
    for name, layer in adapters(vla.model).items():
        scale = {"rslora": 32 / 2, "alpha": 0.5 / 4}.get(next(iter(settings), ""), 32 / 4)
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        weight = before[f"model.{name}.weight"] + scale * product
        if "dora" in settings:
            weight = weight / weight.norm(dim=1, keepdim=True) * layer.lora_magnitude_vector["default"].weight[:, None]
        torch.testing.assert_close(merged_weight(layer), weight)
        wanted[f"model.{name}.weight"] = weight.detach()
    vla.end_stage()
    after = values(vla)
    assert list(after) == names
    assert moved(before, after) & set(vla.names(*ALL)) == set(wanted)
    for name, weight in wanted.items():
        torch.testing.assert_close(after[name], weight)
    torch.testing.assert_close(logits(vla), unmerged, atol=1e-4, rtol=1e-4)


def test_lora_leaves_alone_what_other_techniques_train() -> None:
    for order in (0, 1):
        vla = policy()
        both = [technique("freeze", roles=["vision"], vision=0.5), technique("lora", r=2)]
        begin(vla, *(reversed(both) if order else both))
        assert trainable(vla) >= {name for name in vla.names("vision") if "blocks.1." in name}
        assert "heads.mean.linear.weight" in trainable(vla)


def test_a_second_lora_stage_starts_from_the_merged_weights_and_refuses_unmerged_ones() -> None:
    vla = policy()
    for _ in range(2):
        begin(vla, technique("lora", r=2))
        train(vla)
        before = logits(vla)
        vla.end_stage()
        torch.testing.assert_close(logits(vla), before, atol=1e-4, rtol=1e-4)
    begin(vla, technique("lora", r=2, merge=False))
    vla.end_stage()
    assert adapters(vla.model)
    with pytest.raises(GrinningFaceError, match="unmerged"):
        begin(vla, technique("lora", r=2))


def test_a_merge_that_gives_other_weights_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    vla = policy()
    begin(vla, technique("lora", r=2))
    train(vla)
    layer = next(iter(adapters(vla.model).values()))
    monkeypatch.setattr(type(layer), "get_delta_weight", lambda self, name: torch.zeros(16, 16))
    with pytest.raises(GrinningFaceError, match="another weight"):
        vla.end_stage()
    vla = policy()
    begin(vla, technique("lora", r=2))
    next(iter(adapters(vla.model).values())).lora_B["default"].weight.data.fill_(torch.inf)
    with pytest.raises(GrinningFaceError, match="isn't finite"):
        vla.end_stage()
