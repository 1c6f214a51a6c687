"""Weight interpolation at the end of a stage (RETAIN, arXiv 2512.08333): ``(1 - a) start + a trained``, with ``a`` per role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.schedule import count_by_role
from gf_techniques.adapters import adapters
from gf_techniques.lora import Lora

_WHERE = "gf/weight-interpolation-v1"


class WeightInterpolation(Technique):
    """Moves each role's weights back towards those at the stage's start.

    Args:
        trained: role to ``a``, the trained weights' share; roles that aren't named, and those with 1, are left as trained.
    """

    order = -10  # sets up before adapters are added and so finishes after they are merged

    def __init__(self, trained: Mapping[Role, float]) -> None:
        self._trained = {role: share for role, share in trained.items() if share < 1}
        self._start: dict[str, Tensor] = {}
        self._vla: VLA | None = None

    def mixture(self, mixture: Mixture) -> Mixture:
        """The same mixture. It is asked for when every technique has set up, so what trains is known.

        Raises:
            GrinningFaceError: nothing of the roles that it interpolates trains.
        """
        if self._trained and self._vla is not None and not self._trained.keys() & count_by_role(self._vla).keys():
            raise GrinningFaceError(
                f"nothing of {', '.join(self._trained)} trains, so there is nothing to interpolate",
                where=_WHERE,
                hint="add a technique that trains it: gf/full-finetune-v1 or gf/lora-v1",
            )
        return mixture

    def setup(self, vla: VLA) -> None:
        """Keep the weights as they are.

        Raises:
            GrinningFaceError: adapters stay unmerged in a role that it interpolates.
        """
        roles = {
            role
            for technique in vla.techniques
            if isinstance(technique, Lora) and not technique.merges
            for role in technique.updates
        }
        roles |= {vla.role_of(f"model.{name}.weight") for name in adapters(vla.model)}
        if unmerged := sorted(roles & set(self._trained)):
            raise GrinningFaceError(
                f"adapters on {unmerged[0]} stay unmerged, so there are no weights to interpolate",
                where=_WHERE,
                hint=f"set `merge` of gf/lora-v1, or `{unmerged[0]}` to 1 here",
            )
        self._vla = vla
        chosen = set(vla.names(*self._trained))
        self._start = {name: value.detach().cpu().clone() for name, value in vla.named_parameters() if name in chosen}

    @torch.no_grad()
    def finish(self, vla: VLA) -> None:
        """Interpolate."""
        parameters = dict(vla.named_parameters())
        for name, start in self._start.items():
            parameter = parameters[name]
            parameter.copy_(torch.lerp(start.to(parameter.device), parameter, self._trained[vla.role_of(name)]))
        self._start, self._vla = {}, None


def make(config: Mapping[str, Any]) -> WeightInterpolation:
    """Entry point of gf/weight-interpolation-v1."""
    return WeightInterpolation(config)
