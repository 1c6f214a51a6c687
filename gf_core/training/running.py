"""What the parts of the trainer share: the job, its display, and what its stages have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from gf_core.training.checkpoint import Link
from gf_core.training.distributed import Parallel
from gf_core.training.job import JobDirectory
from gf_core.training.loading import Place
from gf_core.training.model import VLA
from gf_core.training.recipe import Recipe, Stage
from gf_core.training.samples import Source

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


class Watcher(Protocol):
    """A display of a training. It can't change a result."""

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """A stage begins or goes on after ``done`` steps; ``trains`` is role to how many numbers train."""
        ...

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """Step ``step`` (from 1) is done; ``row`` is what the metrics say of it."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def finished(self) -> None:
        """The display ends, also after an error."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, where.

    Attributes:
        recipe: the recipe.
        host: the plugins.
        sources: the sources that the recipe names.
        out: the job's directory.
        workers: processes that prepare data; ``None`` for :func:`~gf_core.training.loading.default_workers`.
        save_every: steps between saved states.
        log_every: steps between rows of the metrics.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        parallel: how several processes share the work.
        evaluate: is called with a snapshot's directory and the step, and returns rates by name; ``None`` for no evaluation.
    """

    recipe: Recipe
    host: PluginHost
    sources: Mapping[str, Source]
    out: Path
    workers: int | None = None
    save_every: int = 500
    log_every: int = 1
    device: str = "auto"
    parallel: Parallel = "ddp"
    evaluate: Callable[[Path, int], Mapping[str, float]] | None = None


@dataclass
class Running:
    """What the stages of a job share."""

    job: Job
    place: Place
    device: torch.device
    folder: JobDirectory
    watcher: Watcher
    identity: Mapping[str, Any]
    vla: VLA
    links: list[Link]
    manifests: list[Any] = field(default_factory=list)

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.place.rank == 0
