"""How `gf study run` shows a study while it goes on: live lines in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, TextIO

from gf_core._problems import printable
from gf_core.cli.display import Clock, duration

if TYPE_CHECKING:
    from rich.progress import TaskID

    from gf_core.studies.pool import Display, Ended
    from gf_core.studies.tasks import Task

PLAIN_SECONDS = 30.0
"""Seconds between plain lines about tasks that go on."""


def make_study_display(jobs: int) -> Display:
    """A display on standard error, so that standard output stays free for results.

    Args:
        jobs: tasks side by side.
    """
    from rich.console import Console

    console = Console(stderr=True)
    plain = not console.is_terminal or console.is_dumb_terminal
    return PlainStudyDisplay(sys.stderr, jobs) if plain else LiveStudyDisplay(jobs)


class _Count:
    """What is known of a part so far."""

    def __init__(self, jobs: int, clock: Clock) -> None:
        self._jobs, self._clock = max(1, jobs), clock
        self.title, self.total, self.done, self.failed = "", 0, 0, 0
        self._spent: list[float] = []
        self._running: dict[Task, float] = {}

    def part(self, title: str, total: int, done: int) -> None:
        self.title, self.total, self.done, self.failed = title, total, done, 0
        self._spent.clear()
        self._running.clear()

    def begins(self, task: Task) -> None:
        self._running[task] = self._clock()

    def ends(self, ended: Ended) -> None:
        self._running.pop(ended.task, None)
        self.failed += ended.reason is not None
        self.done += ended.reason is None
        if ended.reason is None:
            self._spent.append(ended.seconds)

    def eta(self) -> str:
        """Time left by what tasks of this part took, or a dash while none has ended."""
        if not self._spent:
            return "—"
        usual, now = sum(self._spent) / len(self._spent), self._clock()
        waiting = self.total - self.done - self.failed - len(self._running)
        left = usual * waiting + sum(max(0.0, usual - (now - start)) for start in self._running.values())
        return duration(left / self._jobs)

    def text(self) -> str:
        """``cells 3/12 done, 1 failed``."""
        return f"{self.title} {self.done}/{self.total} done" + (f", {self.failed} failed" if self.failed else "")


class PlainStudyDisplay:
    """A line when a task begins and ends, and now and then while it goes on; for logs and pipes.

    Args:
        stream: where lines go.
        jobs: tasks side by side.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, jobs: int, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._count, self._last = _Count(jobs, clock), clock()

    def part(self, title: str, total: int, done: int) -> None:
        """A part begins."""
        self._count.part(title, total, done)
        self._say(self._count.text())

    def begins(self, task: Task) -> None:
        """A task begins."""
        self._count.begins(task)
        self._say(f"{task.title}: begins")

    def moves(self, task: Task, what: str, done: int, of: int) -> None:
        """A line if the last one is old enough."""
        if self._clock() - self._last >= PLAIN_SECONDS:
            self._say(f"{task.title}: {_step(what, done, of)}")

    def ends(self, ended: Ended) -> None:
        """A task ended."""
        self._count.ends(ended)
        self._say(_ending(ended))
        self._say(f"{self._count.text()}, {self._count.eta()} left")

    def note(self, text: str) -> None:
        """A line."""
        self._say(text)

    def finished(self) -> None:
        """Nothing."""

    def _say(self, text: str) -> None:
        self._last = self._clock()
        with contextlib.suppress(OSError):  # whoever watched is gone; the study goes on
            print(printable(text), file=self._stream, flush=True)


class LiveStudyDisplay:
    """A bar for the part, and a bar for each task at work: what it does, at which step.

    Args:
        jobs: tasks side by side.
        clock: seconds.
    """

    def __init__(self, jobs: int, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._count = _Count(jobs, clock)
        self._bar = Progress(
            BarColumn(bar_width=20), TextColumn("{task.description}", markup=False), console=Console(stderr=True), transient=True
        )
        self._whole: TaskID | None = None
        self._tasks: dict[Task, TaskID] = {}

    def part(self, title: str, total: int, done: int) -> None:
        """A part begins."""
        self._count.part(title, total, done)
        self._bar.start()
        if self._whole is None:
            self._whole = self._bar.add_task("")
        self._show()

    def begins(self, task: Task) -> None:
        """A bar more."""
        self._count.begins(task)
        self._tasks[task] = self._bar.add_task(f"{task.title}: begins", total=None)
        self._show()

    def moves(self, task: Task, what: str, done: int, of: int) -> None:
        """The task's bar moves."""
        text = f"{task.title}: {_step(what, done, of)}"
        self._bar.update(self._tasks[task], description=text, completed=done, total=of or None)

    def ends(self, ended: Ended) -> None:
        """A bar less, and a line that stays."""
        self._count.ends(ended)
        if (task := self._tasks.pop(ended.task, None)) is not None:
            self._bar.remove_task(task)
        self._line(_ending(ended), "red" if ended.reason is not None else "")
        self._show()

    def note(self, text: str) -> None:
        """A line that stays."""
        self._line(text, "yellow")

    def finished(self) -> None:
        """The display ends."""
        self._bar.stop()

    def _show(self) -> None:
        count = self._count
        if self._whole is not None:
            text = f"{count.text()} · {count.eta()} left"
            self._bar.update(self._whole, description=text, completed=count.done + count.failed, total=count.total)

    def _line(self, text: str, style: str) -> None:
        from rich.text import Text

        self._bar.console.print(Text(printable(text), style=style))


def _step(what: str, done: int, of: int) -> str:
    return f"{what} {done}/{of}" if of else what


def _ending(ended: Ended) -> str:
    if ended.reason is not None:
        return f"{ended.task.title}: FAILED, {ended.reason}"
    return f"{ended.task.title}: done in {duration(ended.seconds)}"
