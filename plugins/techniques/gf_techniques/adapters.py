"""PEFT's adapters in a backbone: where they are, how they are switched off, merged and taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError

NAME = "default"
"""The adapters' name within PEFT's layers: one set of adapters at a time."""


@dataclass(frozen=True)
class Factors:
    """What an adapter adds to a weight ``(out, in)``: ``scale · up @ down``.

    Attributes:
        down: A, ``(r, in) float32``.
        up: B, ``(out, r) float32``.
        scale: ``alpha / r`` (LoRA, arXiv 2106.09685) or ``alpha / sqrt(r)`` (rsLoRA, arXiv 2312.03732).
        lengths: m, ``(out,) float32``, the merged weight's row norms (DoRA, arXiv 2402.09353); ``None`` without DoRA.
    """

    down: Tensor
    up: Tensor
    scale: float
    lengths: Tensor | None


def adapters(model: nn.Module) -> dict[str, Linear]:
    """The adapted layers of a model, by the name of the layer that they adapt."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Linear)}


def factors(layer: Linear) -> Factors:
    """The adapter of a layer; gradients flow to its parameters."""
    down, up = _weight(layer.lora_A[NAME]), _weight(layer.lora_B[NAME])
    lengths = _weight(layer.lora_magnitude_vector[NAME]).float() if NAME in layer.lora_magnitude_vector else None
    return Factors(down.float(), up.float(), float(layer.scaling[NAME]), lengths)


def base_weight(layer: Linear) -> Tensor:
    """The weight ``(out, in)`` that the adapter leaves alone."""
    return _weight(layer.get_base_layer())


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(module).__name__} has no weight")
    return weight


def adapter_parameters(layers: Mapping[str, Linear]) -> set[str]:
    """Names of the adapters' own parameters, within the model."""
    names = {f"{name}.{own}" for name, layer in layers.items() for own, _ in layer.named_parameters()}
    return {name for name in names if ".base_layer." not in name}


@contextmanager
def switched_off(layers: Mapping[str, Linear]) -> Iterator[None]:
    """While it lasts, the layers compute what they did before they were adapted."""
    parameters = [parameter for layer in layers.values() for parameter in layer.parameters()]
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for layer in layers.values():
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers.values():
            layer.enable_adapters(True)
        # PEFT's switch decides what trains as well; that isn't its business here.
        for parameter in parameters:
            parameter.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)


@torch.no_grad()
def merged_weight(layer: Linear) -> Tensor:
    """The weight ``(out, in) float32`` that an adapted layer stands for: ``W + s B A``, with DoRA's row lengths."""
    added = factors(layer)
    weight = base_weight(layer).float() + added.scale * (added.up @ added.down)
    if added.lengths is None:
        return weight
    merged: Tensor = added.lengths.unsqueeze(1) * weight / weight.norm(dim=1, keepdim=True)
    return merged


@torch.no_grad()
def merge(model: nn.Module) -> list[str]:
    """Merge every adapter into its layer, take it out, and return the layers' names.

    Raises:
        GrinningFaceError: a merged weight isn't finite, or isn't the weight that the adapted layer stood for.
    """
    found = adapters(model)
    for name, layer in found.items():
        before, wanted = base_weight(layer).float().clone(), merged_weight(layer)
        if not bool(torch.isfinite(wanted).all()):
            raise GrinningFaceError(f"the adapter of {name} isn't finite", hint="lower the learning rate")
        layer.merge(safe_merge=True)
        merged = base_weight(layer)
        rounding = 4 * torch.finfo(merged.dtype).eps * before.norm()
        if float((merged.float() - wanted).norm()) > float(1e-3 * (wanted - before).norm() + rounding):
            raise GrinningFaceError(f"merging the adapter of {name} gave another weight than base + scale · B · A")
    take_out(model)
    return list(found)


def take_out(model: nn.Module) -> None:
    """Put the adapted layers back in their places, as they are, without their adapters."""
    for name, layer in adapters(model).items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config  # PEFT's mark on an adapted model
