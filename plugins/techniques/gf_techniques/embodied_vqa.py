"""Embodied VQA: a stage on questions about robot scenes alone, before any action is learned (arXiv 2605.25802).

It keeps the questions of the chosen domains and lets the last part of the vision tower train; the language model is another
technique's business. Published: LoRA of rank 16 and alpha 32 on the language model, learning rate 5e-5, one epoch, the last
quarter of the vision tower unfrozen. Which domains help depends on what the robot task lacks, and gains don't add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gf_core.canonical import content_hash
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Role, Technique
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.samples import Conventions, Manifest, Sample, Source, Wanted

ID = "gf/embodied-vqa-v1"


@runtime_checkable
class KnowsDomains(Protocol):
    """A source that tells a sample's domain without reading its images."""

    def domain(self, index: int) -> str:
        """The domain of the sample at ``index``."""
        ...


class EmbodiedVQA(Technique):
    """See the module's docstring.

    Args:
        domains: domains to keep, without ``vqa/``; empty for all.
        vision: share of the vision tower's blocks that train, the last ones; 0 leaves the role to other techniques.
    """

    def __init__(self, *, domains: Sequence[str], vision: float) -> None:
        self._domains = tuple(f"vqa/{domain}" for domain in domains)
        self._vision = vision
        self.updates: tuple[Role, ...] = ("vision",) if vision else ()
        self._robot: set[str] = set()
        self._trained: list[str] = []

    def sources(self, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        """The vision-language sources, without the questions of other domains."""
        self._robot = {name for name, source in sources.items() if source.conventions is not None}
        if not self._domains:
            return sources
        return {name: source if name in self._robot else DomainSource(source, self._domains) for name, source in sources.items()}

    def mixture(self, mixture: Mixture) -> Mixture:
        """The same mixture.

        Raises:
            GrinningFaceError: it has robot data.
        """
        if robot := [share.source for share in mixture.shares if share.source in self._robot]:
            hint = "leave it out here; gf/cotrain-v1 mixes questions into robot data"
            raise GrinningFaceError(
                f"source {robot[0]!r} is robot data, and this stage learns from questions", where=ID, hint=hint
            )
        return mixture

    def setup(self, vla: VLA) -> None:
        """Let the last blocks of the vision tower train.

        Raises:
            GrinningFaceError: the stage has action heads, or the tower has no blocks.
        """
        if vla.stage_heads:
            name = vla.stage_heads[0].name
            hint = "leave the stage's heads empty"
            raise GrinningFaceError(f"head {name!r} can't learn from questions", where=ID, hint=hint)
        if not self._vision:
            return
        blocks = vla.backbone.blocks("vision")
        if not blocks:
            raise GrinningFaceError("the vision tower has no blocks", where=ID, hint="set vision to 0, and add gf/freeze-v1")
        last = tuple(f"model.{name}." for name in blocks[-math.ceil(self._vision * len(blocks)) :])
        self._trained = [name for name in vla.names("vision") if name.startswith(last)]
        vla.set_trainable(self._trained)

    def report(self) -> dict[str, Any]:
        """The vision tower's parameters that train."""
        return {"vision": self._trained}


class DomainSource:
    """The samples of a source whose domain is one of ``domains``, in their order; looked for when they are first wanted."""

    def __init__(self, source: Source, domains: tuple[str, ...]) -> None:
        self.name: str = source.name
        self.conventions: Conventions | None = source.conventions
        self._source, self._domains = source, domains
        self._kept: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._indices())

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """See Source."""
        return self._source.sample(int(self._indices()[index]), wanted)

    def domain(self, index: int) -> str:
        """See KnowsDomains."""
        return _domain(self._source, int(self._indices()[index]))

    def manifest(self) -> Manifest:
        """See Source."""
        whole, kept = self._source.manifest(), len(self)
        return replace(
            whole,
            sha256=content_hash([whole.sha256, list(self._domains)]),
            samples=kept,
            details={**whole.details, "kept_domains": list(self._domains)},
        )

    def _indices(self) -> NDArray[np.int64]:
        if self._kept is None:
            found = [_domain(self._source, index) for index in range(len(self._source))]
            kept = [index for index, domain in enumerate(found) if domain in self._domains]
            if not kept:
                raise GrinningFaceError(
                    f"source {self.name!r} has no question of {', '.join(self._domains)}",
                    where=f"{ID} domains",
                    hint=f"it has {', '.join(sorted(set(found))) or 'no questions'}",
                )
            self._kept = np.asarray(kept, np.int64)
        return self._kept


def _domain(source: Source, index: int) -> str:
    return source.domain(index) if isinstance(source, KnowsDomains) else source.sample(index, Wanted()).domain


def make(config: Mapping[str, Any]) -> EmbodiedVQA:
    """Entry point of gf/embodied-vqa-v1."""
    return EmbodiedVQA(domains=config["domains"], vision=config["vision"])
