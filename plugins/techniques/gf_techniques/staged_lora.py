"""Staged LoRA: every stage trains adapters of its own, merged before the next one begins (arXiv 2605.25802).

There, questions first and robot data by LoRA of rank 64 after was the strongest initialisation: 55.2 on RoboCasa GR1, where
robot data alone gave 54.0 and both at once 52.6. It is ``gf/lora-v1`` with three promises. Adapters start from nothing: a
stage begins with the function that the one before left. They are merged in float32. Every layer computes the same after the
merge as before. The first and the last are checked on random inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

from gf_core.canonical import derive_seed
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.model import VLA
from gf_techniques import lora
from gf_techniques.adapters import adapters

ID = "gf/staged-lora-v1"
PROBES = 4
"""Random inputs that a layer is compared on."""
TOLERANCE = 1e-4
"""Largest difference of a layer's outputs, relative to the largest output; float32 sums in another order differ by about 1e-6."""


class StagedLora(Technique):
    """See the module's docstring.

    Args:
        config: settings of ``gf/lora-v1`` but for ``merge``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._lora = lora.make({**config, "merge": True})
        self.updates: tuple[Role, ...] = self._lora.updates

    def setup(self, vla: VLA) -> None:
        """Add fresh adapters.

        Raises:
            GrinningFaceError: an earlier stage's aren't merged, the weights aren't float32, or a new one already does something.
        """
        self._lora.setup(vla)
        for name, layer in adapters(vla.model).items():
            dtype = layer.get_base_layer().weight.dtype
            if dtype != torch.float32:
                raise GrinningFaceError(
                    f"{name} holds {dtype}: merging would round", where=ID, hint="load the backbone in float32"
                )
            if _differs(_output(layer, name), _output(layer.get_base_layer(), name)):
                raise GrinningFaceError(f"the fresh adapter of {name} changes what the layer computes", where=ID)

    def finish(self, vla: VLA) -> None:
        """Merge the adapters.

        Raises:
            GrinningFaceError: a layer computes something else than before.
        """
        layers = adapters(vla.model)
        before = {name: _output(layer, name) for name, layer in layers.items()}
        self._lora.finish(vla)
        for name, wanted in before.items():
            if _differs(_output(vla.model.get_submodule(name), name), wanted):
                raise GrinningFaceError(f"{name} computes something else after its adapter was merged", where=ID)

    def report(self) -> dict[str, Any]:
        """What gf/lora-v1 reports."""
        return self._lora.report()


def _differs(found: Tensor, wanted: Tensor) -> bool:
    return not float((found - wanted).abs().max()) <= TOLERANCE * float(wanted.abs().max())


@torch.no_grad()
def _output(layer: nn.Module, name: str) -> Tensor:
    """``(PROBES, out)`` of inputs that depend on the layer's name alone, without dropout."""
    inner = layer.get_base_layer() if isinstance(layer, Linear) else layer
    if not isinstance(inner, nn.Linear):
        raise TypeError(f"{name} is no linear layer")
    generator = torch.Generator().manual_seed(derive_seed("staged-lora", name))
    inputs = torch.randn(PROBES, inner.in_features, generator=generator).to(inner.weight.device)
    training = layer.training
    output: Tensor = layer.eval()(inputs)
    layer.train(training)
    return output


def make(config: Mapping[str, Any]) -> StagedLora:
    """Entry point of gf/staged-lora-v1."""
    return StagedLora(config)
