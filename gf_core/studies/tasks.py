"""Pieces of a study's work, each for one process, and the means to do them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gf_core.studies.document import Cell, Study
from gf_core.studies.folder import StudyFolder

Kind = Literal["front", "sweep", "cell"]
Report = Callable[[str, int, int], None]
"""Is told what is being done, how many steps of it are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """How tasks are carried out; none of this changes a result.

    Attributes:
        jobs: processes side by side; 0 for none but the caller's.
        device: as for `gf train`.
        threads: of a process, for tensors.
        cores: of a process, for physics, pictures and preparing data.
        slots: episodes side by side.
        plugin_files: from ``--plugin``.
    """

    jobs: int
    device: str = "auto"
    threads: int = 1
    cores: int = 1
    slots: int = 16
    plugin_files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """A piece of work for one process.

    Attributes:
        kind: a front that several trainings begin with; a value of the sweep; a cell.
        cell: which; for a front, one that begins with it; for the sweep, with its seed.
        value: of the sweep; ``None`` without one.
        number: of the value, or how many stages the front has.
        front: folder of the front to go on from; ``None`` for none.
    """

    kind: Kind
    cell: Cell
    value: float | None = None
    number: int = 0
    front: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        if self.kind == "cell":
            return self.cell.id
        group = "/".join(self.cell.group)
        return f"{group}, {self.value:g}" if self.kind == "sweep" else f"what {group}/{self.cell.seed} begins with"

    def to_json(self) -> dict[str, Any]:
        """The task for another process; :func:`task_from` reads it."""
        cell = self.cell
        return {
            "kind": self.kind,
            "cell": {"backbone": cell.backbone, "arm": cell.arm, "head": cell.head, "seed": cell.seed},
            "value": self.value,
            "number": self.number,
            "front": self.front,
        }


def task_from(document: Mapping[str, Any]) -> Task:
    """The task that :meth:`Task.to_json` told."""
    return Task(**{**document, "cell": Cell(**document["cell"])})


def data_path(study: Study, folder: StudyFolder, name: str) -> Path:
    """Where a study's data of a name lies."""
    given = study.data[name].get("path")
    return folder.data(name) if given is None else Path(given)
