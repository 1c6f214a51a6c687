"""Low-rank adapters (LoRA, arXiv 2106.09685) on linear layers chosen by role, with PEFT.

What "LoRA" trains differs between codebases: OpenVLA adapts every linear layer with the vision tower's, openpi the language
model and the action expert. So the roles are always explicit, and layers are named in full: a list of suffixes such as
``q_proj`` adapts every tower that has a layer of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.model import VLA
from gf_techniques.adapters import NAME, adapters, merge

_WHERE = "gf/lora-v1"


class Lora(Technique):
    """Adapters of rank ``r`` and scale ``alpha / r`` (``alpha / sqrt(r)`` with ``rslora``) on every linear layer of ``roles``.

    The output embeddings, biases, norms and embeddings stay as they are. At the end of the stage adapters are merged in float32,
    unless ``merge`` is false.
    """

    def __init__(
        self, *, roles: tuple[Role, ...], r: int, alpha: float, rslora: bool, dora: bool, dropout: float, merge: bool
    ) -> None:
        self.updates = roles
        self.merges, self.dora = merge, dora
        self._r, self._alpha, self._rslora, self._dropout = r, alpha, rslora, dropout
        self._adapted: list[str] = []

    def setup(self, vla: VLA) -> None:
        """Add the adapters.

        Raises:
            GrinningFaceError: there are adapters already, the roles have no linear layers, or PEFT adapted other layers.
        """
        if adapters(vla.model):
            raise GrinningFaceError(
                "an earlier stage left its adapters unmerged", where=_WHERE, hint="set `merge` in the earlier stage"
            )
        wanted = linear_layers(vla, self.updates)
        if not wanted:
            raise GrinningFaceError(
                f"the backbone has no linear layers with the role {', '.join(self.updates)}",
                where=_WHERE,
                hint="choose other `roles`",
            )
        trained = [parameter for parameter in vla.parameters() if parameter.requires_grad]
        inject_adapter_in_model(self._config(wanted), vla.model, NAME)
        for parameter in trained:  # PEFT freezes everything else, and with it what other techniques train
            parameter.requires_grad_(True)
        found = adapters(vla.model)
        if set(found) != set(wanted):
            odd = ", ".join(sorted(set(found) ^ set(wanted))[:3])
            raise GrinningFaceError(f"PEFT adapted other layers than asked: {odd}, …", where=_WHERE)
        self._adapted = list(found)

    def _config(self, layers: list[str]) -> LoraConfig:
        return LoraConfig(
            # A pattern, since PEFT would take a name in a list for a suffix: `blocks.0.q_proj` is `vision.blocks.0.q_proj` too.
            target_modules="|".join(re.escape(name) for name in layers),
            bias="none",
            r=self._r,
            lora_alpha=self._alpha,  # type: ignore[arg-type]  # declared int, used as a number
            use_rslora=self._rslora,
            use_dora=self.dora,
            lora_dropout=self._dropout,
        )

    def finish(self, vla: VLA) -> None:
        """Merge them."""
        if self.merges:
            merge(vla.model)

    def report(self) -> dict[str, Any]:
        """The adapted layers' names."""
        return {"adapted": self._adapted}


def linear_layers(vla: VLA, roles: tuple[Role, ...]) -> list[str]:
    """Full names of the backbone's linear layers with any of these roles.

    Left out are the output embeddings, and layers within ``nn.MultiheadAttention``, which reads weights without calling layers.
    """
    names, output = set(vla.names(*roles)), vla.backbone.output_embeddings()
    within = tuple(f"{name}." for name, module in vla.model.named_modules() if isinstance(module, nn.MultiheadAttention))
    return [
        name
        for name, module in vla.model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not output
        and f"model.{name}.weight" in names
        and not (within and name.startswith(within))
    ]


def make(config: Mapping[str, Any]) -> Lora:
    """Entry point of gf/lora-v1."""
    return Lora(
        roles=tuple(config["roles"]),
        r=config["r"],
        alpha=config["alpha"],
        rslora=config["rslora"],
        dora=config["dora"],
        dropout=config["dropout"],
        merge=config["merge"],
    )
