"""L2-SP: a penalty towards the weights at the stage's start (arXiv 1802.01483)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Context, Role, Technique
from gf_core.training.model import VLA
from gf_techniques.adapters import adapter_parameters, adapters, factors
from gf_techniques.lora import Lora

_WHERE = "gf/l2-sp-v1"


class L2SP(Technique):
    """Adds ``alpha / 2 · ||w - start||²`` over each role's trained weights, as the loss ``l2_sp/ROLE``.

    Of an adapted layer it is the merged weight that counts: ``||s B A||²``. The paper's second term, weight decay of the new
    layers, is the optimiser's.

    Args:
        alpha: role to factor; 0 for none.
    """

    order = 10  # after what chooses the trainable parameters

    def __init__(self, alpha: Mapping[Role, float]) -> None:
        self._alpha = {role: value for role, value in alpha.items() if value > 0}
        self._start: dict[str, Tensor] = {}
        self._names: dict[Role, list[str]] = {}
        self._layers: dict[Role, list[Linear]] = {}

    def setup(self, vla: VLA) -> None:
        """Keep the weights as they are.

        Raises:
            GrinningFaceError: nothing of the roles trains, they are adapted with DoRA, or an earlier stage left adapters in them.
        """
        self._layers = {role: [] for role in self._alpha}
        for name, layer in adapters(vla.model).items():
            role = vla.role_of(f"model.{name}.weight")
            added = factors(layer)
            if role in self._alpha and added.up.requires_grad:
                if added.lengths is not None:
                    raise GrinningFaceError("the penalty isn't defined for DoRA", where=_WHERE, hint="set `dora` to false")
                if not any(isinstance(technique, Lora) for technique in vla.techniques):
                    hint = "set `merge` in the earlier stage"
                    raise GrinningFaceError("an earlier stage left its adapters unmerged", where=_WHERE, hint=hint)
                self._layers[role].append(layer)
        theirs = adapter_parameters(adapters(vla.model))
        parameters = dict(vla.named_parameters())
        trained = {
            name for name, value in parameters.items() if value.requires_grad and name.removeprefix("model.") not in theirs
        }
        self._names = {role: [name for name in vla.names(role) if name in trained] for role in self._alpha}
        if not any(self._names.values()) and not any(self._layers.values()):
            roles = ", ".join(self._alpha) or "any role"
            raise GrinningFaceError(
                f"nothing of {roles} trains, so there is nothing to hold back",
                where=_WHERE,
                hint="add a technique that trains it: gf/full-finetune-v1 or gf/lora-v1",
            )
        self._start = {name: parameters[name].detach().clone() for names in self._names.values() for name in names}

    def losses(self, vla: VLA, context: Context, batch: Batch) -> dict[str, Tensor]:
        """``l2_sp/ROLE`` for each role of which something trains."""
        parameters = dict(vla.named_parameters())
        losses = {}
        with torch.autocast(batch.input_ids.device.type, enabled=False):
            for role, alpha in self._alpha.items():
                parts = [self._distance(name, parameters[name]) for name in self._names[role]]
                parts += [_adapted_distance(layer) for layer in self._layers[role]]
                if parts:
                    losses[f"l2_sp/{role}"] = alpha / 2 * torch.stack(parts).sum()
        return losses

    def _distance(self, name: str, parameter: nn.Parameter) -> Tensor:
        start = self._start[name]
        if isinstance(parameter, DTensor) and not isinstance(start, DTensor):  # sharded by FSDP2 since setup
            start = distribute_tensor(start.to(parameter.device), parameter.device_mesh, parameter.placements)
        elif start.device != parameter.device:
            start = start.to(parameter.device)
        self._start[name] = start
        return _plain((parameter.float() - start.float()).square().sum())

    def finish(self, vla: VLA) -> None:
        """Let go of the weights."""
        self._start, self._names, self._layers = {}, {}, {}


def _adapted_distance(layer: Linear) -> Tensor:
    """``||s B A||²``, computed as ``s² Σ (BᵀB) ∘ (AAᵀ)`` so that the layer-sized product is never made."""
    added = factors(layer)
    down, up = _plain(added.down), _plain(added.up)
    return ((up.T @ up) * (down @ down.T)).sum() * added.scale**2


def _plain(value: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded. (Products of sharded factors have wrong gradients in torch 2.13.)"""
    return value.full_tensor() if isinstance(value, DTensor) else value


def make(config: Mapping[str, Any]) -> L2SP:
    """Entry point of gf/l2-sp-v1."""
    return L2SP(config)
