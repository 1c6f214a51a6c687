"""Co-training: vision-language data in every batch beside the robot data (RT-2, arXiv 2307.15818: co-fine-tuning).

Whether it helps depends on what trains: in arXiv 2605.25802 it gained 1.2 points under full fine-tuning and lost
1.6 under LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.training.contracts import Technique
from gf_core.training.mixture import Mixture, Share
from gf_core.training.samples import Source

_WHERE = "gf/cotrain-v1 sources"


class Cotrain(Technique):
    """Adds ``sources`` to the mixture so that together, in equal parts, they are ``share`` of every batch.

    Their losses are multiplied by ``loss_weight``. starVLA takes 16 robot and 4 vision-language samples per device and weighs
    their losses 1 : 0.1, which is what the defaults say.
    """

    def __init__(self, *, sources: tuple[str, ...], share: float, loss_weight: float) -> None:
        self._sources, self._share, self._loss_weight = sources, share, loss_weight

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """The same sources.

        Raises:
            GrinningFaceError: one that is named isn't there, or is robot data.
        """
        for name in self._sources:
            if name not in sources:
                hint = did_you_mean(name, sources) or f"there are {', '.join(sources) or 'none'}"
                raise GrinningFaceError(f"there is no source {name!r}", where=_WHERE, hint=hint)
            if sources[name].conventions is not None:
                raise GrinningFaceError(f"{name!r} is robot data", where=_WHERE, hint="put it in the stage's mixture")
        return sources

    def mixture(self, mixture: Mixture) -> Mixture:
        """The mixture with further shares.

        Raises:
            GrinningFaceError: it is empty, or holds one of the sources already.
        """
        present = {share.source for share in mixture.shares}
        if twice := sorted(present & set(self._sources)):
            raise GrinningFaceError(f"{twice[0]!r} is in the mixture already", where=_WHERE, hint="keep it in one of the two")
        if not present:
            raise GrinningFaceError("the stage has no data to co-train with", where=_WHERE, hint="add a source to its mixture")
        total = sum(share.weight for share in mixture.shares)
        weight = total * self._share / (1 - self._share) / len(self._sources)
        added = tuple(Share(source=name, weight=weight, loss_weight=self._loss_weight) for name in self._sources)
        return Mixture(shares=(*mixture.shares, *added))


def make(config: Mapping[str, Any]) -> Cotrain:
    """Entry point of gf/cotrain-v1."""
    return Cotrain(sources=tuple(config["sources"]), share=config["share"], loss_weight=config["loss_weight"])
