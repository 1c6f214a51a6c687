"""What is loaded, what is refused, and what is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Florence2Config, LlamaConfig

from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.plugins import load_plugins
from gf_core.training.contracts import Layout
from gf_core.training.samples import Frame, Sample
from gf_policies.backbones import loading
from gf_policies.backbones.hf_vlm import HFVLM, fingerprint, make
from gf_policies.backbones.tiny import FAMILIES

from .conftest import Folder, Load, completed

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # PaliGemma's processor
PICTURE = Frame(camera="a", offset=0, image=np.arange(96 * 64 * 3).reshape(96, 64, 3).astype(np.uint8))
SAMPLE = Sample(frames=(PICTURE,), prompt="pick the dog", answer="yes")


@pytest.fixture
def broken(folder: Folder, tmp_path: Path) -> Callable[[Callable[[dict[str, torch.Tensor]], None]], Path]:
    """A tiny model whose weights were tampered with."""

    def tampered(change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
        copy = tmp_path / "broken"
        shutil.copytree(folder("llava"), copy)
        weights = load_file(copy / "model.safetensors")
        change(weights)
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        return copy

    return tampered


MATRIX = "model.language_model.layers.1.mlp.up_proj.weight"


def remove(weights: dict[str, torch.Tensor]) -> None:
    names = [name for name in weights if name.endswith("layers.1.mlp.up_proj.weight") and "language" in name]
    del weights[names[0]]


def add(weights: dict[str, torch.Tensor]) -> None:
    weights["stray.weight"] = torch.zeros(2)


def reshape(weights: dict[str, torch.Tensor]) -> None:
    names = [name for name in weights if name.endswith("layers.1.mlp.up_proj.weight") and "language" in name]
    weights[names[0]] = torch.zeros(3, 3)


@pytest.mark.parametrize(
    ("change", "said"), [(remove, f"1 missing ({MATRIX})"), (add, "1 unexpected (stray.weight)"), (reshape, "1 of another shape")]
)
def test_weights_that_dont_fit_are_named(
    broken: Callable[[Callable[[dict[str, torch.Tensor]], None]], Path],
    change: Callable[[dict[str, torch.Tensor]], None],
    said: str,
) -> None:
    with pytest.raises(GrinningFaceError) as caught:
        make(completed(model=str(broken(change))))
    assert said in str(caught.value)
    assert "init=random" in caught.value.hint


def test_a_missing_folder_and_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(GrinningFaceError, match="there is no folder"):
        make(completed(model=str(tmp_path / "nowhere")))
    with pytest.raises(GrinningFaceError, match="its configuration can't be"):
        make(completed(model=str(tmp_path)))
    with pytest.raises(GrinningFaceError, match="its configuration can't be read"):
        make(completed(model="nobody/nothing", local_files_only=True))


def test_broken_weights_are_an_error(folder: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "broken"
    shutil.copytree(folder("llava"), copy)
    (copy / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(GrinningFaceError, match="its weights can't be"):
        make(completed(model=str(copy)))


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    LlamaConfig(num_hidden_layers=1).save_pretrained(tmp_path / "llama")
    with pytest.raises(GrinningFaceError, match="'llama' model isn't a vision-language model"):
        make(completed(model=str(tmp_path / "llama")))
    Florence2Config().save_pretrained(tmp_path / "florence")
    with pytest.raises(GrinningFaceError, match="encoder-decoder"):
        make(completed(model=str(tmp_path / "florence")))


def test_a_model_whose_logits_are_something_else_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlavaForConditionalGeneration

    forward = LlavaForConditionalGeneration.forward

    def scaled(self: LlavaForConditionalGeneration, *arguments: object, **named: object) -> object:
        output = forward(self, *arguments, **named)
        output.logits = output.logits * 0.5
        return output

    monkeypatch.setattr(LlavaForConditionalGeneration, "forward", scaled)
    with pytest.raises(GrinningFaceError, match="its logits aren't its output embeddings times its last hidden state"):
        load("llava")


def test_a_missing_package_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loading.importlib.util.find_spec
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None if name == "num2words" else real(name))
    document = json.loads((folder("idefics3") / "config.json").read_text())
    copy = folder("idefics3").parent / "without_num2words"
    shutil.copytree(folder("idefics3"), copy)
    (copy / "config.json").write_text(json.dumps(document | {"model_type": "smolvlm"}))
    with pytest.raises(MissingDependencyError, match="needs num2words; pip install num2words"):
        make(completed(model=str(copy)))


def test_random_weights_come_from_the_seed(load: Load) -> None:
    pretrained, first, again, second = (
        load("llava").fingerprint,
        load("llava", init="random").fingerprint,
        load("llava", init="random", seed=0).fingerprint,
        load("llava", init="random", seed=5).fingerprint,
    )
    assert first == again
    assert len({pretrained, first, second}) == 3


def test_the_fingerprint_sees_every_weight_and_its_name(load: Load) -> None:
    backbone = load("qwen3-vl")
    assert load("qwen3-vl").fingerprint == backbone.fingerprint == fingerprint(backbone.module)
    for parameter in backbone.module.parameters():
        with torch.no_grad():
            parameter.view(-1)[-1] += 1
            assert fingerprint(backbone.module) != backbone.fingerprint
            parameter.view(-1)[-1] -= 1
    one, other = torch.nn.Module(), torch.nn.Module()
    one.register_parameter("a", torch.nn.Parameter(torch.zeros(2)))
    other.register_parameter("b", torch.nn.Parameter(torch.zeros(2)))
    assert fingerprint(one) != fingerprint(other)


def test_the_first_layers_alone(load: Load) -> None:
    whole, short = load("gemma3"), load("gemma3", layers=2)
    assert short.layers == len(short.blocks("language")) == 2
    batch = whole.prepare([SAMPLE], Layout())
    for ours, theirs in zip(whole.encode(batch).hidden[:2], short.encode(batch).hidden[:2], strict=True):
        assert torch.equal(ours, theirs)
    assert short.generate(short.prepare([SAMPLE], Layout(), generate=True), 3).shape[1] <= 3
    with pytest.raises(GrinningFaceError, match="it has 3 layers, not 4"):
        load("gemma3", layers=4)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_saved_is_the_same_model_once_its_weights_are_loaded(load: Load, family: str, tmp_path: Path) -> None:
    backbone = load(family, layers=2)
    backbone.save(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    again = make(completed(model=str(tmp_path), init="random", layers=2))
    again.module.load_state_dict(backbone.module.state_dict())
    assert fingerprint(again.module) == backbone.fingerprint
    batch, second = backbone.prepare([SAMPLE], Layout()), again.prepare([SAMPLE], Layout())
    assert batch.inputs.keys() == second.inputs.keys()
    assert all(torch.equal(value, second.inputs[name]) for name, value in batch.inputs.items())
    assert torch.equal(backbone.encode(batch).last, again.encode(second).last)
    assert again.end_id == backbone.end_id


def test_a_package_brings_a_model(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder("llava"), tmp_path / "brings" / "weights" / "small")
    (tmp_path / "brings" / "__init__.py").write_text("raise RuntimeError('a model was asked for, not code')")
    monkeypatch.syspath_prepend(tmp_path)
    backbone = make(completed(model="package:brings/weights/small"))
    assert backbone.fingerprint == make(completed(model=str(folder("llava")))).fingerprint
    with pytest.raises(GrinningFaceError, match="package 'brings' has no folder 'weights/large'"):
        make(completed(model="package:brings/weights/large"))
    for name in (
        "package:nowhere/weights",
        "package:",
        "package:brings.deeper.still/weights",
        "package:json.tool/weights",
        "package:__main__/x",
    ):
        with pytest.raises(GrinningFaceError, match="there is no package"):
            make(completed(model=name))


def test_the_spec_loads_it(folder: Folder) -> None:
    registry = load_plugins().backbones
    backbone = registry.load("gf/hf-vlm-v1")(completed(model=str(folder("llava"))))
    assert isinstance(backbone, HFVLM)
