"""What techniques check of the stage that they are in, before its first step."""

from __future__ import annotations

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead
from gf_core.training.model import VLA


def acting_head(vla: VLA, where: str) -> ActionHead:
    """The head that the policy acts through in this stage.

    Raises:
        GrinningFaceError: there isn't exactly one.
    """
    acting = [head.name for head in vla.stage_heads if head.used_at_inference]
    if len(acting) != 1:
        hint = "set used_at_inference for exactly one of the stage's heads"
        raise GrinningFaceError(f"{len(acting)} heads act in this stage", where=where, hint=hint)
    return vla.head(acting[0])


def require_trained_language(vla: VLA, where: str, purpose: str) -> None:
    """Refuse a stage in which the language model stays as it is.

    Raises:
        GrinningFaceError: no parameter of the role ``language`` trains.
    """
    parameters = dict(vla.named_parameters())
    if not any(parameters[name].requires_grad for name in vla.names("language")):
        hint = "add gf/full-finetune-v1 or gf/lora-v1 with the role language"
        raise GrinningFaceError(f"a frozen language model can't learn to {purpose}", where=where, hint=hint)
