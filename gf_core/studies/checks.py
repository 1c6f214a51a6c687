"""Refuses a study that can't be run, before its first cell, with everything that is wrong in one message."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.evaluation import load_suite, make_plan
from gf_core.evaluation.matching import check_actions, check_observes, check_rate
from gf_core.evaluation.suites import check_splits
from gf_core.schemas import validate_config
from gf_core.specs import Observes, PolicyInterface
from gf_core.studies.data import check_command, demos_request, robot_data
from gf_core.studies.document import Cell, Evaluation, Study, name_problems
from gf_core.studies.folder import CHECKPOINT, StudyFolder, read_study
from gf_core.studies.measuring import chosen_episodes
from gf_core.studies.recipes import Training, cell_training, is_swept, shared_fronts
from gf_core.studies.sweep import check_metric
from gf_core.studies.tasks import Means, data_path
from gf_core.studies.trainings import OTHER_DATA, make_job, trained_on
from gf_core.training.checkpoint import read_checkpoint
from gf_core.training.closed_loop import POLICY
from gf_core.training.compose import common_conventions, make_techniques
from gf_core.training.dry_run import plan_job
from gf_core.training.sources import open_source

if TYPE_CHECKING:
    from gf_core.evaluation.suites import Suite
    from gf_core.plugins import PluginHost

Group = tuple[str, str, str]
_FLOAT = 4
_EPISODE_BYTES = 32 << 10
"""Of a recorded episode of 200 steps, with its rows: measured 20 to 30 KiB."""
_SPARE = 1.1


class Findings:
    """What is wrong, each thing once, with all that it concerns."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    @contextmanager
    def of(self, whom: str) -> Iterator[None]:
        """Take down the user's mistakes that come up while something is looked at."""
        try:
            yield
        except GrinningFaceError as error:
            self.add(str(error), whom)

    def add(self, what: str, whom: str = "") -> None:
        """Take down a mistake."""
        self._found.setdefault(what, []).append(whom)

    def refuse(self) -> None:
        """Raises GrinningFaceError: naming everything, if there is anything."""
        if not self._found:
            return
        lines = [": ".join(filter(None, (_few(whom), what))) for what, whom in self._found.items()]
        raise GrinningFaceError(lines[0] if len(lines) == 1 else "\n  ".join(["the study can't be run:", *lines]))


def check_study(study: Study, cells: Sequence[Cell], host: PluginHost) -> dict[Group, list[Training]]:
    """What can be known without data and without loading a model: ids, settings, recipes, techniques, suites.

    Returns:
        Backbone, arm and head of the cells to their trainings, one for each value of the sweep.

    Raises:
        GrinningFaceError: naming everything that is wrong.
    """
    findings = Findings()
    for problem in name_problems(study.document):
        findings.add(problem.line("study"))
    trainings = {cell.group: _trainings(study, cell, host, findings) for cell in {c.group: c for c in cells}.values()}
    for evaluation in study.evaluations:
        with findings.of("evaluate"):
            chosen_episodes(evaluation, load_suite(evaluation.suite, host))
    with findings.of("policy"):
        schema = host.policies.get(POLICY).config_schema
        validate_config({**study.policy, "checkpoint": "checkpoint"}, schema, source="policy")
    if study.sweep is not None:
        with findings.of("sweep"):
            check_metric(study.sweep, host)
    if study.probe is not None and study.probe["suite"] is not None:
        with findings.of("probe"):
            check_splits(load_suite(study.probe["suite"], host), study.probe["splits"], where="probe")
    for name in needed_data(study, trainings):
        with findings.of(f"data {name}"):
            _check_data(study.data[name], host)
    findings.refuse()
    return trainings


def needed_data(study: Study, trainings: Mapping[Group, Sequence[Training]]) -> tuple[str, ...]:
    """Names of the data that trainings and the probe need, in the study's order."""
    used = {name for group in trainings.values() for training in group for name in training.data.values()}
    used.update((study.probe or {}).get("data", ()))
    used.intersection_update(study.data)
    return tuple(name for name in study.data if name in used)


def check_set_up(
    study: Study, folder: StudyFolder, trainings: Mapping[Group, Sequence[Training]], host: PluginHost, means: Means
) -> dict[Group, list[int]]:
    """What takes data and models: sets every training up without a step of it, and compares policies with suites.

    Args:
        study, folder: the study, whose data is made.
        trainings: those that are looked at: of groups no training of which has finished.
        host: the plugins.
        means: how it will be trained.

    Returns:
        Group to how many numbers each stage trains.

    Raises:
        GrinningFaceError: naming everything that is wrong.
    """
    findings, counts = Findings(), {}
    suites = {name: load_suite(name, host) for name in suites_played(study)}
    for group, found in trainings.items():
        with findings.of("/".join(group)):
            job = make_job(found[0], study, folder, host, means, folder.path)
            counts[group] = [sum(stage["trainable"].values()) for stage in plan_job(job)["stages"]]
            conventions = common_conventions(job.sources, job.recipe.sources)
            policy = job.recipe.policy
            sizes = [tuple(policy["size"])] if policy["size"] else [conventions.cameras[camera] for camera in policy["cameras"]]
            observes = Observes(cameras=tuple(policy["cameras"]), size=sizes[0], proprio=policy["proprio"])
            interface = PolicyInterface(observes=observes, action=conventions.action, max_batch=1)
            for suite in suites.values():
                _check_fit(interface, suite, host)
    findings.refuse()
    return counts


def numbers_trained(study: Study, folder: StudyFolder) -> dict[Group, list[int]]:
    """Group to how many numbers each stage trained, of the groups a training of which has finished."""
    found: dict[Group, list[int]] = {}
    for group, place in _places(study, folder):
        if group not in found:
            with suppress(GrinningFaceError):  # there is none here, or it is damaged: another one may tell
                stages = read_checkpoint(place / CHECKPOINT)["links"][-1]["stages"]
                found[group] = [sum(stage["trainable"].values()) for stage in stages]
    return found


def check_disk(
    study: Study,
    folder: StudyFolder,
    counts: Mapping[Group, Sequence[int]],
    host: PluginHost,
    means: Means,
    cells: Sequence[Cell],
    todo: Sequence[Cell],
) -> None:
    """Raises GrinningFaceError if the disk has less room than the study will take, as far as numbers of parameters tell.

    Args:
        study, folder: the study, whose data is made.
        counts: group of each cell to how many numbers each stage trains.
        host: the plugins.
        means: how it will be trained.
        cells: all that were asked for.
        todo: those that will be trained.
    """
    sizes = {cell.group: _FLOAT * sum(counts[cell.group]) for cell in todo}
    chosen = read_study(folder.path).choices
    swept = {cell.group for cell in todo if is_swept(study, cell) and cell.group not in chosen}
    if study.keeps_weights:  # with what they begin with, and what they take over, in them
        kept = sum(sizes[cell.group] for cell in todo)
    else:
        kept = sum(sizes[group] for group in swept) + _front_bytes(study, folder, counts, host, cells, todo)
    side_by_side = max(1, means.jobs) * (len(study.sweep.values) if study.sweep and swept else 1)
    state = 2 * 3 * _FLOAT * max(count for group in sizes for count in counts[group]) * max(1, means.jobs)
    episodes = sum(_episodes(evaluation, load_suite(evaluation.suite, host)) for evaluation in study.evaluations)
    runs = len(todo) * episodes * _EPISODE_BYTES
    needed = _SPARE * (kept + max(sizes.values()) * side_by_side + state + runs)
    free = shutil.disk_usage(folder.path).free
    if needed > free:
        raise GrinningFaceError(
            f"the study takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            where=os.fspath(folder.path),
            hint="make room, give another --out, keep no weights with --set keep=nothing, or take a part with --only",
        )


def _front_bytes(
    study: Study,
    folder: StudyFolder,
    counts: Mapping[Group, Sequence[int]],
    host: PluginHost,
    cells: Sequence[Cell],
    todo: Sequence[Cell],
) -> int:
    """What fronts will take that aren't there yet, whichever values the sweep chooses."""
    values = {cell: study.sweep.values[0] if study.sweep and is_swept(study, cell) else None for cell in cells}
    trainings = {cell: cell_training(study, cell, host, values[cell]) for cell in cells}
    shared = shared_fronts(trainings.values(), robot_data(study, folder, study.data))
    found = {}
    for cell in todo:
        front = shared.get(trainings[cell].key)
        if front is not None and not (folder.front(front.folder) / CHECKPOINT).is_dir():
            found[front.folder] = _FLOAT * sum(counts[cell.group][: len(front.recipe.stages)])
    return sum(found.values())


def check_same_data(study: Study, folder: StudyFolder, needed: Iterable[str]) -> None:
    """Raises MismatchError if data that is needed isn't what cells, or values of the sweep, were trained on before."""
    known = [
        (study.arms[arm].data.get(source, source), sha256)
        for (_, arm, _), place in _places(study, folder)
        for source, sha256 in _hashes(place / "training").items()
    ]
    for name in needed:
        path = data_path(study, folder, name)
        seen = {sha256 for data, sha256 in known if data == name}
        if seen and seen != {open_source(name, path).manifest().sha256}:
            raise MismatchError(f"data {name!r} isn't what was trained on before", where=str(path), hint=OTHER_DATA)


def _places(study: Study, folder: StudyFolder) -> Iterator[tuple[Group, Path]]:
    """Group and directory of every cell and of every value of the sweep, whether or not there is anything yet."""
    yield from ((cell.group, folder.cell(cell)) for cell in study.cells)
    for group in dict.fromkeys(cell.group for cell in study.cells):
        yield from ((group, folder.sweep(group, number)) for number in range(len(study.sweep.values) if study.sweep else 0))


def _hashes(training: Path) -> dict[str, str]:
    """Source to hash of the data of a training; empty where there is none yet."""
    with suppress(GrinningFaceError):  # one whose file is damaged fails alone, once it is gone on with
        return {source["name"]: source["sha256"] for source in trained_on(training)}
    return {}


def suites_played(study: Study) -> tuple[str, ...]:
    """Every suite that a checkpoint plays."""
    sweep = (study.sweep.suite,) if study.sweep else ()
    return tuple(dict.fromkeys((*(evaluation.suite for evaluation in study.evaluations), *sweep)))


def _trainings(study: Study, cell: Cell, host: PluginHost, findings: Findings) -> list[Training]:
    values: Iterable[float | None] = study.sweep.values if study.sweep and is_swept(study, cell) else (None,)
    found = []
    for value in values:
        with findings.of("/".join(cell.group)):
            training = cell_training(study, cell, host, value)
            for stage in training.recipe.stages:
                make_techniques(stage, host)
            found.append(training)
    return found


def _check_data(entry: Mapping[str, Any], host: PluginHost) -> None:
    if (demos := entry.get("demos")) is not None:
        plan = make_plan(demos_request(demos), host)
        for camera in demos["cameras"]:
            if camera not in plan.env.cameras:
                hint = f"it has {', '.join(plan.env.cameras) or 'none'}"
                raise GrinningFaceError(f"{plan.env.id} has no camera {camera!r}", hint=hint)
    elif (conversations := entry.get("conversations")) is not None:
        check_command(conversations)
    elif not Path(entry["path"]).exists():
        raise GrinningFaceError("there is no such file or directory", where=entry["path"])


def _check_fit(interface: PolicyInterface, suite: Suite, host: PluginHost) -> None:
    """Raises MismatchError unless a policy can play a suite."""
    env = host.envs.get(suite.env)
    check_rate(env, suite.control_hz, asked_by=suite.id)
    check_actions("the policy", interface.action, env.id, env.action)
    check_observes("the policy", interface, env)
    if interface.action is not None and interface.action.hz != suite.control_hz:
        raise MismatchError(f"the policy acts at {interface.action.hz:g} Hz, {suite.id} is played at {suite.control_hz:g}")


def _episodes(evaluation: Evaluation, suite: Suite) -> int:
    """How many episodes a cell plays."""
    return len(chosen_episodes(evaluation, suite)) or len(suite.episodes)


def _few(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
