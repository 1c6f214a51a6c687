"""Knowledge insulation (pi0.5-KI, arXiv 2505.23705): the continuous head's gradients stop before the VLM, which learns
from a token head's cross-entropy in the same pass instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import BACKBONE_ROLES, Technique
from gf_core.training.model import VLA

_WHERE = "gf/knowledge-insulation-v1"


class KnowledgeInsulation(Technique):
    """Detaches every continuous head of the stage; the token head is left as it is.

    The encoded state stands in the VLM's sequences, so its encoder learns from the token head alone.
    """

    order = 10  # after what chooses the trainable parameters

    def __init__(self) -> None:
        self._detached: list[str] = []

    def setup(self, vla: VLA) -> None:
        """Detach them.

        Raises:
            GrinningFaceError: the stage lacks a token head or a continuous head, a continuous head reads query tokens, or nothing
                of the VLM trains.
        """
        continuous = [head.name for head in vla.stage_heads if not vla.head(head.name).speaks]
        for kind, found in (("token", vla.speaker()), ("continuous", continuous)):
            if not found:
                hint = "give the stage one of each: gf/fast-v1 and gf/flow-v1, as the paper does"
                raise GrinningFaceError(f"the stage has no {kind} head", where=_WHERE, hint=hint)
        if asking := [name for name in continuous if vla.head(name).queries]:
            raise GrinningFaceError(
                f"head {asking[0]!r} reads query tokens, which stand in the VLM's sequences and so couldn't learn from it",
                where=_WHERE,
                hint="use a head that reads the prefix: gf/flow-v1, or gf/regression-v1 with readout mean or last",
            )
        training = {name for name, parameter in vla.named_parameters() if parameter.requires_grad}
        if not training & set(vla.names(*BACKBONE_ROLES)):
            raise GrinningFaceError(
                "nothing of the VLM trains, so there is nothing to insulate",
                where=_WHERE,
                hint="add a technique that trains it: gf/full-finetune-v1 or gf/lora-v1",
            )
        vla.stage_heads = tuple(replace(head, detach=head.detach or head.name in continuous) for head in vla.stage_heads)
        self._detached = continuous

    def report(self) -> dict[str, Any]:
        """The detached heads' names."""
        return {"detached": self._detached}


def make(config: Mapping[str, Any]) -> KnowledgeInsulation:
    """Entry point of gf/knowledge-insulation-v1."""
    return KnowledgeInsulation()
