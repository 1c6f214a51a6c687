"""Runs a study: refuses what can't be run, makes data, trains what several begin with, sweeps, then does cell after cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gf_core.errors import GrinningFaceError
from gf_core.evaluation import Progress
from gf_core.studies.checks import check_disk, check_same_data, check_set_up, check_study, needed_data, numbers_trained
from gf_core.studies.data import make_data, robot_data
from gf_core.studies.document import Cell, Study
from gf_core.studies.folder import StudyFolder, StudyResults, open_study, read_study
from gf_core.studies.pool import Display, Ended, Pool
from gf_core.studies.recipes import cell_training, is_swept, shared_fronts
from gf_core.studies.sweep import Group, choose, is_tried, write_choices
from gf_core.studies.tasks import Means, Task
from gf_core.studies.work import Work

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


def select_cells(study: Study, patterns: Sequence[str]) -> tuple[Cell, ...]:
    """The cells that patterns name: with a slash, by the whole id; without, by any of its parts. All for no pattern.

    Raises:
        GrinningFaceError: a pattern names none.
    """
    for pattern in patterns:
        if not any(_matches(cell, pattern) for cell in study.cells):
            hint = f"cells are called like {study.cells[0].id}" if study.cells else "the study has no cell at all"
            raise GrinningFaceError(f"no cell matches {pattern!r}", where="--only", hint=hint)
    chosen = tuple(cell for cell in study.cells if not patterns or any(_matches(cell, pattern) for pattern in patterns))
    if not chosen:
        raise GrinningFaceError("the study has no cell", where="arms", hint="their heads and backbones leave nothing over")
    return chosen


def _matches(cell: Cell, pattern: str) -> bool:
    parts = (cell.id,) if "/" in pattern else tuple(cell.id.split("/"))
    return any(fnmatchcase(part, pattern) for part in parts)


def check(study: Study, host: PluginHost, only: Sequence[str] = ()) -> tuple[Cell, ...]:
    """The cells that would be run. Raises GrinningFaceError: whatever can be known to be wrong without data and models."""
    cells = select_cells(study, only)
    check_study(study, cells, host)
    return cells


def run_study(
    study: Study,
    *,
    host: PluginHost,
    out: Path,
    means: Means,
    display: Display,
    progress: Callable[[], Progress],
    only: Sequence[str] = (),
) -> StudyResults:
    """Run a study, or go on with it: what is done isn't done again, what failed or was damaged is tried again.

    Args:
        study: the study.
        host: the plugins.
        out: its directory.
        means: how many processes, and with what; changes no result.
        display: is told.
        progress: makes a display for demonstrations that are recorded.
        only: patterns of cells.

    Returns:
        The directory as read. Cells that failed are in it with their reasons.

    Raises:
        GrinningFaceError: it can't be run; nothing was trained.
        RunDirectoryError: another runner is at work, or the directory holds another study.
        KeyboardInterrupt: what is done is kept, and the same call goes on from the running step.
    """
    cells = select_cells(study, only)
    trainings = check_study(study, cells, host)
    with open_study(out, study) as (folder, lock):
        done = {state.cell for state in StudyResults(folder, study).states if state.state == "done"}
        todo = [cell for cell in cells if cell not in done]
        groups = {cell.group for cell in todo}
        if todo:
            needed = needed_data(study, {group: found for group, found in trainings.items() if group in groups})
            make_data(study, folder, needed, host, progress)
            check_same_data(study, folder, needed)
            counts = numbers_trained(study, folder)
            fresh = {group: found for group, found in trainings.items() if group in groups - counts.keys()}
            if fresh:
                display.note(f"setting up {len(fresh)} trainings, to see whether they can be run")
            counts |= check_set_up(study, folder, fresh, host, means)
            check_disk(study, folder, counts, host, means, cells, todo)
        try:
            runner = _Runner(study, folder, host, means, display, lock, robot_data(study, folder, study.data))
            runner.run(cells, todo)
        finally:
            display.finished()
    return read_study(out)


class _Runner:
    """The trainings of a study, part after part."""

    def __init__(
        self,
        study: Study,
        folder: StudyFolder,
        host: PluginHost,
        means: Means,
        display: Display,
        lock: BinaryIO,
        robots: set[str],
    ) -> None:
        self._study, self._folder, self._host, self._means = study, folder, host, means
        self._display, self._lock, self._robots = display, lock, robots
        self._choices: dict[Group, dict[str, Any]] = dict(read_study(folder.path).choices)  # type: ignore[arg-type]
        self._lost: dict[Group, str] = {}

    def run(self, cells: Sequence[Cell], todo: Sequence[Cell]) -> None:
        """Sweep, then do the cells."""
        self._sweep(list(dict.fromkeys(cell.group for cell in todo if is_swept(self._study, cell))))
        tasks = [self._cell_task(cell) for cell in cells]
        lost = [task for task in tasks if task.cell in todo and task.cell.group in self._lost]
        for task in lost:
            self._work(task).record(self._lost[task.cell.group])
        tasks = [task for task in tasks if task.cell.group not in self._lost]
        waiting = {task.cell for task in tasks if task.cell in todo}
        self._carry_out("cells", tasks, [task for task in tasks if task.cell in waiting], lambda ended: None)

    def _cell_task(self, cell: Cell) -> Task:
        choice = self._choices.get(cell.group) if is_swept(self._study, cell) else None
        return Task(kind="cell", cell=cell, value=None if choice is None else float(choice["chosen"]))

    def _sweep(self, groups: Sequence[Group]) -> None:
        """Try the values of the groups that have no choice yet, and choose."""
        sweep = self._study.sweep
        open_groups = [group for group in groups if group not in self._choices]
        if sweep is None or not open_groups:
            return
        tasks = [
            Task(kind="sweep", cell=Cell(backbone=group[0], arm=group[1], head=group[2], seed=sweep.seed), value=value, number=n)
            for group in open_groups
            for n, value in enumerate(sweep.values)
        ]
        tried = {task for task in tasks if is_tried(self._folder, self._study, task.cell.group, task.number)}
        left = {group: sum(task.cell.group == group for task in tasks if task not in tried) for group in open_groups}
        failed: dict[Group, dict[int, Ended]] = {group: {} for group in open_groups}

        def ended(one: Ended) -> None:
            group = one.task.cell.group
            if one.reason is not None:
                failed[group][one.task.number] = one
            left[group] -= 1
            if not left[group]:
                self._choose(group, failed[group])

        for group in open_groups:
            if not left[group]:
                self._choose(group, {})
        self._carry_out("sweep", tasks, [task for task in tasks if task not in tried], ended)

    def _choose(self, group: Group, failed: dict[int, Ended]) -> None:
        try:
            self._choices[group] = choose(self._study, self._folder, group, failed, self._host)
        except GrinningFaceError as error:
            self._lost[group] = str(error)
            return
        write_choices(self._study, self._folder, list(self._choices.values()))

    def _carry_out(self, title: str, tasks: Sequence[Task], todo: Sequence[Task], ended: Callable[[Ended], None]) -> None:
        """Do what several begin with, then the tasks themselves.

        Args:
            title: of the part.
            tasks: all of it, also those that are done: what they share doesn't depend on how far it is.
            todo: those that are not done.
            ended: is called with each that ended.
        """
        if not todo:
            return
        todo, lost = self._fronts(tasks, todo)
        self._display.part(title, len(tasks), len(tasks) - len(todo) - len(lost))
        for one in lost:
            if one.task.kind == "cell":
                self._work(one.task).record(one.reason)
            self._display.ends(one)
            ended(one)
        self._do(todo, ended)

    def _fronts(self, tasks: Sequence[Task], todo: Sequence[Task]) -> tuple[list[Task], list[Ended]]:
        """Train what several tasks begin with. Returns the tasks with their fronts, and those whose front failed."""
        trainings = {task: cell_training(self._study, task.cell, self._host, task.value) for task in tasks}
        shared = shared_fronts(trainings.values(), self._robots)
        fronts = {task: shared.get(trainings[task].key) for task in todo}
        wanted: dict[str, Task] = {}
        for task, front in fronts.items():
            if front is not None and not (self._work(task).path / "training").exists():
                one = Task(kind="front", cell=task.cell, value=task.value, number=len(front.recipe.stages))
                wanted.setdefault(front.folder, one)
        missing = [task for name, task in wanted.items() if not _is_trained(self._folder.front(name))]
        failed: dict[str, str] = {}

        def ended(one: Ended) -> None:
            if one.reason is not None:
                failed[self._work(one.task).path.name] = one.reason

        if missing:
            self._display.part("first stages that several share", len(wanted), len(wanted) - len(missing))
            self._do(missing, ended)
        ready, lost = [], []
        for task, front in fronts.items():
            if front is not None and front.folder in failed:
                lost.append(Ended(task=task, reason=f"what it begins with failed: {failed[front.folder]}"))
            else:
                ready.append(Task(**{**vars(task), "front": front.folder if front else None}))
        return ready, lost

    def _do(self, tasks: Sequence[Task], ended: Callable[[Ended], None]) -> None:
        if self._means.jobs:
            pool = Pool(self._folder, self._means, self._display, self._lock)
            pool.carry_out(tasks, lambda task: self._work(task).path, lambda one: self._ended(one, ended))
            return
        import torch

        torch.set_num_threads(self._means.threads)  # as in processes of their own: sums depend on it in their last bits
        for task in tasks:
            start = time.monotonic()
            self._display.begins(task)
            outcome = self._work(task).attempt()
            seconds = time.monotonic() - start
            one = Ended(task=task, reason=outcome.reason, diverged=outcome.diverged, seconds=seconds)
            self._display.ends(one)
            ended(one)

    def _ended(self, one: Ended, then: Callable[[Ended], None]) -> None:
        if one.phase and one.task.kind == "cell":
            self._work(one.task, one.phase).record(one.reason)
        then(one)

    def _work(self, task: Task, phase: str = "set-up") -> Work:
        def report(what: str, done: int, of: int) -> None:
            self._display.moves(task, what, done, of)

        return Work(task, self._folder, self._study, self._host, self._means, report, phase)


def _is_trained(front: Path) -> bool:
    return (front / "training" / "checkpoint" / "checkpoint.json").is_file()
