"""Full fine-tuning: every parameter of the chosen roles trains (OpenVLA, arXiv 2406.09246, trains all of them)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.model import VLA


class FullFinetune(Technique):
    """Trains every parameter with one of ``roles``; adapters that an earlier stage left unmerged are among them."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self.updates = tuple(roles)
        self._trains: dict[Role, int] = {}

    def setup(self, vla: VLA) -> None:
        """Let them train.

        Raises:
            GrinningFaceError: the backbone has no parameters of these roles.
        """
        names = {role: vla.names(role) for role in self.updates}
        if not any(names.values()):
            roles = ", ".join(self.updates)
            raise GrinningFaceError(
                f"the backbone has no parameters with the role {roles}", where="gf/full-finetune-v1", hint="choose other `roles`"
            )
        for chosen in names.values():
            vla.set_trainable(chosen)
        self._trains = {role: len(chosen) for role, chosen in names.items()}

    def report(self) -> dict[str, Any]:
        """Number of parameter tensors that train, by role."""
        return {"parameters": self._trains}


def make(config: Mapping[str, Any]) -> FullFinetune:
    """Entry point of gf/full-finetune-v1."""
    return FullFinetune(config["roles"])
