"""Trainings within a study: the trainer's own jobs, begun where an equal one already stands."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.schemas import load_json
from gf_core.studies.document import Study
from gf_core.studies.folder import StudyFolder, write_document
from gf_core.studies.recipes import Training
from gf_core.studies.tasks import Means, Report, data_path
from gf_core.training.checkpoint import CHECKPOINT, read_checkpoint
from gf_core.training.closed_loop import make_evaluate
from gf_core.training.job import JOB, METRICS, PROGRESS, STAGES
from gf_core.training.recipe import Recipe, Stage
from gf_core.training.running import Job
from gf_core.training.sources import open_source
from gf_core.training.trainer import identity_of, train

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

OTHER_DATA = "give a new --out, or put back what it was"


def make_job(training: Training, study: Study, folder: StudyFolder, host: PluginHost, means: Means, out: Path) -> Job:
    """The job of a training. Raises GrinningFaceError: a source can't be read."""
    sources = {source: open_source(source, data_path(study, folder, name)) for source, name in training.data.items()}
    return Job(
        recipe=training.recipe,
        host=host,
        sources=sources,
        out=out,
        workers=max(0, means.cores - 1),
        device=means.device,
        evaluate=make_evaluate(training.recipe, host, out),
    )


def carry_out(job: Job, report: Report) -> None:
    """Train from where the job stands."""
    train(job, _Watcher(report, job.recipe))


def is_trained(out: Path, recipe: Recipe) -> bool:
    """Whether the checkpoint of a recipe is there, with its weights.

    Raises:
        GrinningFaceError: it is another recipe's.
    """
    checkpoint = out / "checkpoint"
    if not (checkpoint / CHECKPOINT).is_file():
        return False
    links = read_checkpoint(checkpoint)["links"]
    if links[-1]["recipe_sha256"] != recipe.sha256:
        hint = "a plugin has changed since; give another --out"
        raise GrinningFaceError("holds a checkpoint of another recipe", where=str(out), hint=hint)
    return all((checkpoint / stage["file"]).is_file() for link in links for stage in link["stages"])


def clear_dropped(out: Path) -> None:
    """Remove a finished training that isn't :func:`is_trained` for lack of weights: no job can go on from it."""
    if (out / "checkpoint" / CHECKPOINT).is_file():
        shutil.rmtree(out)


def trained_on(out: Path) -> list[dict[str, Any]]:
    """Manifests of the data that a training began with. Raises SchemaError: it hasn't begun, or the file is damaged."""
    return cast("dict[str, list[dict[str, Any]]]", load_json(out / JOB))["sources"]


def begin_with(front: Path, job: Job) -> None:
    """Make a job's directory as it is when the stages of a finished front are done: what the job would have written itself.

    Raises:
        GrinningFaceError: the front isn't finished.
        MismatchError: it was trained on other data than the job's. Its recipe is the right one: its folder is called by it.
    """
    if not (front / "checkpoint" / CHECKPOINT).is_file():
        raise GrinningFaceError("the training that it begins with isn't finished", where=str(front), hint="run the study again")
    identity = identity_of(job, 1)
    if any(source not in identity["sources"] for source in trained_on(front)):
        raise MismatchError("was trained on other data", where=str(front), hint=OTHER_DATA)
    beside = _beside(job.out)
    beside.mkdir(parents=True)
    write_document(beside / JOB, identity)
    shutil.copytree(front / STAGES, beside / STAGES, copy_function=_link)
    for name in (PROGRESS, METRICS):
        shutil.copyfile(front / name, beside / name)
    beside.rename(job.out)


def take_over(trained: Path, job: Job) -> bool:
    """Take a finished training for the job's if it is of the very same recipe and data. Returns whether it was taken."""
    if not (trained / "checkpoint" / CHECKPOINT).is_file() or load_json(trained / JOB) != identity_of(job, 1):
        return False
    beside = _beside(job.out)
    shutil.copytree(trained, beside, copy_function=_link, ignore=shutil.ignore_patterns(".lock"))
    beside.rename(job.out)
    return True


def drop_weights(out: Path) -> None:
    """Remove the parameters of a finished training; its documents and metrics stay."""
    for file in out.rglob("*.safetensors"):
        file.unlink()


def _beside(out: Path) -> Path:
    beside = out.with_name(f"{out.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    return beside


def _link(source: str, target: str) -> None:
    """A hard link where the file system has them: files of finished stages are never written again in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class _Watcher:
    """The trainer's display: passes steps of all stages on."""

    def __init__(self, report: Report, recipe: Recipe) -> None:
        self._report, self._total = report, sum(stage.steps for stage in recipe.stages)

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """Nothing."""

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """A step."""
        self._report(f"train {stage.name}", int(row["done"]), self._total)

    def note(self, text: str) -> None:
        """Nothing."""

    def finished(self) -> None:
        """Nothing."""
