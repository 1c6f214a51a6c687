"""A frozen backbone, and what of it trains nevertheless, said outright.

GR00T N1 (arXiv 2503.14734) freezes the language model; SmolVLA (arXiv 2506.01844) freezes the whole VLM; arXiv 2605.25802 trains
the last 25 % of the vision tower beside LoRA on the language model: ``roles = ["vision", "projector"]``, ``vision = 0.25`` here,
and gf/lora-v1 for the language model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.model import VLA

_WHERE = "gf/freeze-v1"


class Freeze(Technique):
    """Decides ``roles``: everything in them is frozen but what the settings name.

    Args:
        roles: roles that it decides; the others are other techniques' business.
        vision: share of the vision tower's blocks that train, counted from the last; 1 trains the whole tower, embeddings and
            norms included.
        projector: whether the projector trains.
        language: which blocks of the language model train: ``none``, ``first`` N, ``last`` N, ``all-but-first`` N, or ``all``,
            which alone includes the embeddings and the final norm.
        blocks: N.

    Raises:
        GrinningFaceError: it trains something of a role that it doesn't decide, or N doesn't fit ``language``.
    """

    def __init__(self, *, roles: tuple[Role, ...], vision: float, projector: bool, language: str, blocks: int) -> None:
        self.updates = roles
        self._vision, self._projector, self._language, self._blocks = vision, projector, language, blocks
        trains = {"vision": vision > 0, "projector": projector, "language": language != "none"}
        for role, wanted in trains.items():
            if wanted and role not in roles:
                raise GrinningFaceError(
                    f"`{role}` asks for something to train, but `roles` leaves that role out",
                    where=_WHERE,
                    hint="add it to `roles`",
                )
        counted = language in ("first", "last", "all-but-first")
        if counted != (blocks > 0):
            hint = "say how many `blocks`" if counted else "leave `blocks` out"
            raise GrinningFaceError(f"`language` is {language!r} and `blocks` is {blocks}", where=_WHERE, hint=hint)
        self._trains: dict[Role, list[str]] = {}

    def setup(self, vla: VLA) -> None:
        """Freeze the roles, then let train what the settings name.

        Raises:
            GrinningFaceError: the language model has fewer blocks than ``blocks``.
        """
        vla.set_trainable(vla.names(*self.updates), False)
        chosen = {
            "vision": self._of_vision(vla),
            "projector": ["*"] if self._projector else [],
            "language": self._of_language(vla),
        }
        for role, modules in chosen.items():
            prefixes = tuple(f"model.{module}." for module in modules)
            names = [name for name in vla.names(role) if modules == ["*"] or name.startswith(prefixes)]
            if modules and not names:
                raise GrinningFaceError(f"the backbone has no parameters with the role {role}", where=_WHERE)
            vla.set_trainable(names)
        self._trains = {role: modules for role, modules in chosen.items() if modules}

    def _of_vision(self, vla: VLA) -> list[str]:
        if self._vision in (0, 1):
            return ["*"] if self._vision else []
        blocks = vla.backbone.blocks("vision")
        if not blocks:
            raise GrinningFaceError("the vision tower has no blocks", where=_WHERE, hint="set `vision` to 0 or 1")
        return list(blocks[-max(1, round(self._vision * len(blocks))) :])

    def _of_language(self, vla: VLA) -> list[str]:
        if self._language in ("none", "all"):
            return ["*"] if self._language == "all" else []
        blocks, count = vla.backbone.blocks("language"), self._blocks
        if count > len(blocks):
            raise GrinningFaceError(f"the language model has {len(blocks)} blocks, not {count}", where=f"{_WHERE} blocks")
        chosen = {"first": blocks[:count], "last": blocks[-count:], "all-but-first": blocks[count:]}[self._language]
        if not chosen:
            raise GrinningFaceError(
                f"nothing trains beyond the first {count} blocks", where=f"{_WHERE} blocks", hint="set `language` to none"
            )
        return list(chosen)

    def report(self) -> dict[str, Any]:
        """Modules that train, by role; ``*`` for the whole role."""
        return {"modules": self._trains}


def make(config: Mapping[str, Any]) -> Freeze:
    """Entry point of gf/freeze-v1."""
    return Freeze(
        roles=tuple(config["roles"]),
        vision=config["vision"],
        projector=config["projector"],
        language=config["language"],
        blocks=config["blocks"],
    )
