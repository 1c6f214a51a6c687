"""Does a task of a study from where it stands: trains, probes, evaluates, and writes down what became of it."""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gf_core.canonical import content_hash, sha256
from gf_core.errors import DivergedError, GrinningFaceError
from gf_core.evaluation import load_suite
from gf_core.runs import EPISODES
from gf_core.schemas import load_json
from gf_core.studies.document import Evaluation, Study
from gf_core.studies.folder import CHECKPOINT, PROBE, RECORD, StudyFolder, write_document
from gf_core.studies.measuring import chosen_episodes, play, probe
from gf_core.studies.recipes import Training, cell_training
from gf_core.studies.tasks import Means, Report, Task
from gf_core.studies.trainings import begin_with, carry_out, clear_dropped, drop_weights, is_trained, make_job, take_over
from gf_core.training.checkpoint import PACKAGES, read_checkpoint

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

_SECONDS = ".seconds.json"


@dataclass(frozen=True)
class Outcome:
    """Of a task: why it failed, ``None`` if it is done; and whether that is because its training's loss wasn't finite."""

    reason: str | None
    diverged: bool


@dataclass
class Work:
    """A task with all that it takes.

    Attributes:
        task: what is done.
        folder: the study's directory.
        study: the study.
        host: the plugins.
        means: how.
        report: is told how far it is.
        phase: what is being done, for whoever tells why it failed.
    """

    task: Task
    folder: StudyFolder
    study: Study
    host: PluginHost
    means: Means
    report: Report
    phase: str = field(default="set-up")

    def attempt(self) -> Outcome:
        """Do the task, from where it stands, and write the record of a cell.

        Raises:
            KeyboardInterrupt: what is done is kept.
        """
        try:
            self._perform()
        except Exception as error:
            traceback.print_exc()
            expected = isinstance(error, (GrinningFaceError, OSError))
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            if self.task.kind == "cell":
                self.record(reason)
            return Outcome(reason, isinstance(error, DivergedError))
        return Outcome(None, False)

    def _perform(self) -> None:
        {"front": self._front, "sweep": self._sweep, "cell": self._cell}[self.task.kind]()

    @property
    def path(self) -> Path:
        """The task's directory. Raises GrinningFaceError: a front that has no recipe."""
        task = self.task
        if task.kind == "cell":
            return self.folder.cell(task.cell)
        if task.kind == "sweep":
            return self.folder.sweep(task.cell.group, task.number)
        return self.folder.front(self._training().folder)

    def record(self, reason: str | None) -> None:
        """Write the record of a cell that ended.

        Args:
            reason: why it failed; ``None`` for one that is done.
        """
        cell, checkpoint, recipe, document = self.task.cell, self.path / CHECKPOINT, None, None
        known = () if reason is None else (GrinningFaceError,)  # what is wrong with these may be the reason itself
        with contextlib.suppress(*known):
            recipe = self._training().recipe.sha256
        with contextlib.suppress(*known):
            document = read_checkpoint(checkpoint) if (checkpoint / "checkpoint.json").is_file() else None
        record = {
            "schema_version": "1.0",
            "kind": "study_cell",
            "study_sha256": self.study.sha256,
            "cell": {"backbone": cell.backbone, "arm": cell.arm, "head": cell.head, "seed": cell.seed},
            "status": "done" if reason is None else "failed",
            "phase": None if reason is None else self.phase,
            "reason": reason,
            "seconds": self._seconds(),
            "value": self.task.value,
            "front": self.task.front,
            "recipe_sha256": recipe,
            "checkpoint": self._checkpoint(document, kept=reason is not None or self.study.keeps_weights),
            "data": {source["name"]: source["sha256"] for source in document["sources"]} if document else {},
            "probe": PROBE if (self.path / PROBE).is_file() else None,
            "runs": [run for evaluation in self.study.evaluations for run in self._finished(evaluation)],
            "versions": {name: metadata.version(name) for name in PACKAGES},
        }
        write_document(self.path / RECORD, record)

    def _checkpoint(self, document: dict[str, Any] | None, *, kept: bool) -> dict[str, Any] | None:
        return {"path": CHECKPOINT, "sha256": content_hash(document), "kept": kept} if document else None

    def _finished(self, evaluation: Evaluation) -> list[dict[str, str]]:
        path = Path("runs") / evaluation.folder
        episodes = self.path / path / EPISODES
        if not episodes.is_file():
            return []
        return [{"suite": evaluation.suite, "path": str(path), "sha256": sha256(episodes.read_bytes())}]

    def _front(self) -> None:
        self._train(self._training(), self.path / "training")

    def _sweep(self) -> None:
        sweep = self.study.sweep
        assert sweep is not None
        self._train(self._training(), self.path / "training")
        with self._doing("evaluate"):
            self._play(sweep.suite, {"suite": sweep.suite, "limit": sweep.episodes})

    def _cell(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / RECORD).unlink(missing_ok=True)
        self._train(self._training(), self.path / "training")
        checkpoint = self.path / CHECKPOINT
        if self.study.probe is not None:
            with self._doing("probe"):
                probe(checkpoint, self.study, self.folder, self.path / PROBE, self.host, self.means, self.report)
        with self._doing("evaluate"):
            for evaluation in self.study.evaluations:
                episodes = chosen_episodes(evaluation, load_suite(evaluation.suite, self.host))
                self._play(evaluation.folder, {"suite": evaluation.suite, "episodes": episodes})
        shutil.rmtree(self.path / "training" / "snapshots", ignore_errors=True)
        if not self.study.keeps_weights:
            drop_weights(self.path / "training")
        self.record(None)

    def _training(self) -> Training:
        whole = cell_training(self.study, self.task.cell, self.host, self.task.value)
        return whole.front(self.task.number) if self.task.kind == "front" else whole

    def _train(self, training: Training, out: Path) -> None:
        self.phase = "train"
        if is_trained(out, training.recipe):
            return
        with self._doing("train"):
            job = make_job(training, self.study, self.folder, self.host, self.means, out)
            clear_dropped(out)
            tried = self._tried()
            taken = not out.exists() and tried is not None and take_over(tried, job)
            if not out.exists() and self.task.front is not None:
                begin_with(self.folder.front(self.task.front) / "training", job)
            if not taken:
                carry_out(job, self.report)

    def _tried(self) -> Path | None:
        """Where the sweep has trained with a cell's value."""
        sweep, task = self.study.sweep, self.task
        if task.kind != "cell" or sweep is None or task.value not in sweep.values:
            return None
        return self.folder.sweep(task.cell.group, sweep.values.index(task.value)) / "training"

    def _play(self, folder: str, request: dict[str, Any]) -> None:
        out = self.path / "runs" / folder.replace("/", ".")
        play(self.path / CHECKPOINT, self.study, request, out, self.host, self.means, self.report)

    @contextmanager
    def _doing(self, phase: str) -> Iterator[None]:
        """Name what is being done, and add the time that it takes to that of earlier sessions."""
        self.phase, start = phase, time.monotonic()
        self.report(phase, 0, 0)
        try:
            yield
        finally:
            spent = self._seconds()
            spent[phase] = round(spent.get(phase, 0.0) + time.monotonic() - start, 3)
            with contextlib.suppress(GrinningFaceError):  # where nothing can be written, what was to be done says so
                write_document(self.path / _SECONDS, spent)

    def _seconds(self) -> dict[str, float]:
        with contextlib.suppress(GrinningFaceError):  # a torn file tells nothing, and nothing depends on it
            return cast("dict[str, float]", load_json(self.path / _SECONDS))
        return {}
