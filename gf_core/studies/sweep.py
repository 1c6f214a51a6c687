"""What a sweep makes of what it tried: the same budget for every arm, the best value by the development suite for all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.evaluation import load_suite
from gf_core.reporting import read_report
from gf_core.runs import EPISODES, read_run
from gf_core.studies.document import Evaluation, Study, Sweep
from gf_core.studies.folder import CHOICES, StudyFolder, choices_document, write_document
from gf_core.studies.pool import Ended
from gf_core.studies.trainings import drop_weights

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Group = tuple[str, str, str]
SUCCESS = "success"
"""The rate that every suite has."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A value and what came of it; see the schema ``study_choices-1``."""

    value: float
    estimate: float | None
    episodes: int
    run: str | None
    reason: str | None


def run_of(folder: StudyFolder, study: Study, group: Group, number: int) -> Path:
    """The run of a value."""
    assert study.sweep is not None
    suite = Evaluation(suite=study.sweep.suite, limit=0, splits=())
    return folder.sweep(group, number) / "runs" / suite.folder


def is_tried(folder: StudyFolder, study: Study, group: Group, number: int) -> bool:
    """Whether the run of a value is finished and valid. Another one is taken up again, which tells what is wrong with it."""
    run = run_of(folder, study, group, number)
    with suppress(GrinningFaceError):
        return (run / EPISODES).is_file() and read_run(run).valid
    return False


def check_metric(sweep: Sweep, host: PluginHost) -> None:
    """Raises GrinningFaceError unless the sweep's suite has its metric."""
    names = {SUCCESS, *(metric.name for metric in load_suite(sweep.suite, host).metrics)}
    if sweep.metric not in names:
        hint = did_you_mean(sweep.metric, names) or f"it has {', '.join(sorted(names))}"
        raise GrinningFaceError(f"{sweep.suite} has no rate {sweep.metric!r}", where="sweep/metric", hint=hint)


def choose(study: Study, folder: StudyFolder, group: Group, failed: Mapping[int, Ended], host: PluginHost) -> dict[str, Any]:
    """The entry of choices.json for a group, all of whose values were tried. The weights of those not chosen go.

    Args:
        study, folder: the study.
        group: backbone, arm and head.
        failed: number of a value to how its task failed.
        host: the plugins.

    Raises:
        GrinningFaceError: a value failed for another reason than that its training diverged, or all of them did.
    """
    assert study.sweep is not None
    for number, ended in failed.items():
        if not ended.diverged:
            raise GrinningFaceError(f"value {study.sweep.values[number]:g} of the sweep failed: {ended.reason}")
    tried = [_tried(study, folder, group, number, failed.get(number), host) for number in range(len(study.sweep.values))]
    number = _best(tried)
    for other in range(len(tried)):
        if other != number:
            drop_weights(folder.sweep(group, other) / "training")
    backbone, arm, head = group
    rows = [vars(one) for one in tried]
    return {"backbone": backbone, "arm": arm, "head": head, "tried": rows, "chosen": tried[number].value}


def write_choices(study: Study, folder: StudyFolder, choices: Sequence[Mapping[str, Any]]) -> None:
    """Write choices.json."""
    write_document(folder.path / CHOICES, choices_document(study, choices))


def _best(tried: Sequence[Tried]) -> int:
    """The number of the value with the highest rate; of equal ones, the smallest value."""
    known = [(-one.estimate, one.value, number) for number, one in enumerate(tried) if one.estimate is not None]
    if not known:
        raise GrinningFaceError(f"the sweep has no rate for any value ({tried[0].reason or 'no episode counts'})")
    return min(known)[2]


def _tried(study: Study, folder: StudyFolder, group: Group, number: int, failed: Ended | None, host: PluginHost) -> Tried:
    sweep = study.sweep
    assert sweep is not None
    value = sweep.values[number]
    if failed is not None:
        return Tried(value=value, estimate=None, episodes=0, run=None, reason=failed.reason)
    run = run_of(folder, study, group, number)
    k, n = _pooled(run, sweep.metric, host)
    place = str(run.relative_to(folder.path))
    return Tried(value=value, estimate=k / n if n else None, episodes=n, run=place, reason=None)


def _pooled(run: Path, metric: str, host: PluginHost) -> tuple[int, int]:
    """Episodes that count for a rate, and all that it is of, over all splits."""
    rates = [
        found.rate
        for split in read_report(run, lambda reference: load_suite(reference, host)).splits
        for found in split.metrics
        if found.decl.name == metric
    ]
    return sum(rate.k for rate in rates), sum(rate.n for rate in rates)
