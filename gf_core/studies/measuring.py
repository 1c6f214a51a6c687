"""What is measured on a checkpoint: runs on suites, and the probe. The same calls as those of `gf run` and `gf probe`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.canonical import content_hash
from gf_core.errors import GrinningFaceError
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.evaluation.suites import check_splits
from gf_core.schemas import load_document
from gf_core.studies.document import Evaluation, Study
from gf_core.studies.folder import StudyFolder, write_document
from gf_core.studies.tasks import Means, Report, data_path
from gf_core.training.checkpoint import read_checkpoint
from gf_core.training.closed_loop import POLICY
from gf_core.training.probe.questions import Wordings
from gf_core.training.probe.run import Request as ProbeRequest
from gf_core.training.probe.run import probe_checkpoint

if TYPE_CHECKING:
    from gf_core.evaluation.suites import Suite
    from gf_core.plugins import PluginHost


def chosen_episodes(evaluation: Evaluation, suite: Suite) -> tuple[str, ...]:
    """Ids of the episodes that are played; empty for the whole suite.

    Raises:
        GrinningFaceError: the suite has no such split.
    """
    check_splits(suite, evaluation.splits, where="evaluate")
    counts: Counter[str] = Counter()
    chosen = []
    for episode in suite.episodes:
        counts[episode.split] += 1
        within = not evaluation.limit or counts[episode.split] <= evaluation.limit
        if within and (not evaluation.splits or episode.split in evaluation.splits):
            chosen.append(episode.id)
    return () if len(chosen) == len(suite.episodes) else tuple(chosen)


def play(
    checkpoint: Path, study: Study, request: Mapping[str, Any], out: Path, host: PluginHost, means: Means, report: Report
) -> None:
    """Have a checkpoint play a suite, or go on with it.

    Args:
        checkpoint: the policy.
        study: whose settings of the policy hold.
        request: ``suite``, and ``episodes`` or ``limit``.
        out: the run directory.
        host: the plugins.
        means: how.
        report: is told how far it is.

    Raises:
        GrinningFaceError: it can't be run, or too much of the run failed for reasons that aren't the policy's.
    """
    config = {**study.policy, "checkpoint": str(checkpoint)}
    resources = Resources(slots=means.slots, threads=means.cores, in_process=not means.jobs)
    progress = _Progress(report, request["suite"])
    asked = Request(policy=POLICY, policy_config=config, **request)
    result = run_suite(asked, host=host, out=out, resources=resources, progress=progress)
    if not result.run.valid:
        raise GrinningFaceError(
            "more than 2 % of its episodes ended in an infrastructure fault",
            where=str(out),
            hint="see its journal.jsonl; remove the directory to play it again",
        )


def probe(
    checkpoint: Path, study: Study, folder: StudyFolder, file: Path, host: PluginHost, means: Means, report: Report
) -> None:
    """Write the probe of a checkpoint, unless it is there."""
    settings, standard = study.probe, Wordings()
    assert settings is not None
    if file.is_file() and load_document(file, "probe")["checkpoint"]["sha256"] == content_hash(read_checkpoint(checkpoint)):
        return
    request = ProbeRequest(
        checkpoint=checkpoint,
        suite=settings["suite"],
        splits=tuple(settings["splits"]),
        data={name: data_path(study, folder, name) for name in settings["data"]},
        limit=settings["limit"] or None,
        camera=settings["camera"],
        wordings=Wordings(naming=tuple(settings["naming"]) or standard.naming, which=tuple(settings["which"]) or standard.which),
        candidates=settings["candidates"],
        normalization=settings["normalize"],
        batch_size=settings["batch_size"],
        device=means.device,
        half=settings["precision"] == "bf16",
    )
    write_document(file, probe_checkpoint(request, host, lambda doing, done, of: report(f"probe: {doing}", done, of)))


class _Progress:
    """A run's display: passes episodes on."""

    def __init__(self, report: Report, suite: str) -> None:
        self._report, self._suite, self._total, self._done = report, suite, 0, 0

    def started(self, total: int, done: int, title: str) -> None:
        """The run begins."""
        self._total = total

    def episode(self, record: Mapping[str, Any]) -> None:
        """An episode ended."""
        self._done += 1
        self._report(f"evaluate {self._suite}", self._done, self._total)

    def note(self, text: str) -> None:
        """Nothing."""

    def finished(self, complete: bool) -> None:
        """Nothing."""
