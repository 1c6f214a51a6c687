"""How `gf run` shows a run while it goes on: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from gf_core._problems import printable
from gf_core.evaluation.progress import Progress
from gf_core.reporting.tables import percent
from gf_core.statistics import clustered_wilson
from gf_core.summary import ENV_ERROR, POLICY_ERROR

if TYPE_CHECKING:
    from rich.console import Console

Clock = Callable[[], float]

PLAIN_LEAST, PLAIN_MOST = 2.0, 30.0
"""Seconds between plain lines: never less than the first, and never more than the second while episodes end."""


WIDE, NARROW = 90, 50
"""Columns from which a live line shows everything, and from which it shows more than episodes and success."""


def make_progress(*, plain: bool | None = None) -> Progress:
    """A display on standard error, so that standard output stays free for results.

    Args:
        plain: whether to print plain lines; ``None`` decides by whether standard error is a terminal that can move its cursor.
    """
    if plain is None:
        from rich.console import Console

        console = Console(stderr=True)
        plain = not console.is_terminal or console.is_dumb_terminal
    return PlainProgress(sys.stderr) if plain else LiveProgress()


class _Count:
    """What is known of a run so far."""

    def __init__(self, total: int, done: int, now: float) -> None:
        self.total, self.earlier, self.start = total, done, now
        self.done = self.policy_errors = self.env_errors = 0
        self._clusters: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, record: Mapping[str, Any]) -> None:
        self.done += 1
        self.policy_errors += record["ending"] == POLICY_ERROR
        if record["ending"] == ENV_ERROR:
            self.env_errors += 1
            return
        cell = self._clusters[record["cluster"]]
        cell[0] += bool(record["success"])
        cell[1] += 1

    def success(self) -> str:
        """``71.2 % [66.1, 75.8]``, an approximation of the report's interval; a dash before the first scored episode."""
        k, n = ([cell[i] for cell in self._clusters.values()] for i in (0, 1))
        return percent(sum(k) / sum(n) if n else None, clustered_wilson(k, n))

    def speed(self, now: float) -> float:
        """Episodes of this session per second; 0 before the first."""
        return max(self.done - self.earlier, 0) / max(now - self.start, 1e-9)

    def eta(self, now: float) -> str:
        """Time left, or a dash while there is nothing to go by."""
        speed = self.speed(now)
        return duration((self.total - self.done) / speed) if speed else "—"

    def faults(self) -> str:
        """Nothing, or how many episodes ended in a fault."""
        counts = (("policy error", self.policy_errors), ("infrastructure fault", self.env_errors))
        return "".join(f" · {n} {what}{'s' * (n > 1)}" for what, n in counts if n)


class PlainProgress:
    """A line at every tenth of the run or half minute, but not in quick succession; for logs and pipes.

    Args:
        stream: where lines go.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._count = _Count(0, 0, clock())
        self._last, self._tenths = clock(), 0

    def started(self, total: int, done: int, title: str) -> None:
        """The run begins."""
        self._count = _Count(total, done, self._clock())
        self._last, self._tenths = self._clock(), done * 10 // max(total, 1)
        self._line(_opening(title, total, done))

    def episode(self, record: Mapping[str, Any]) -> None:
        """An episode ended; prints a line when one is due."""
        count, now = self._count, self._clock()
        count.add(record)
        if count.done <= count.earlier or count.done >= count.total:  # earlier sessions', or the last: finished() tells
            return
        waited, tenths = now - self._last, count.done * 10 // count.total
        if waited >= PLAIN_MOST or (waited >= PLAIN_LEAST and tenths > self._tenths):
            self._last, self._tenths = now, tenths
            speed = f"{rate_text(count.speed(now))} · {count.eta(now)} left"
            self._line(f"{_episodes(count.total, f'{count.done}/')} · success {count.success()} · {speed}{count.faults()}")

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._line(text)

    def finished(self, complete: bool) -> None:
        """The last line."""
        self._line(_farewell(self._count, self._clock(), complete))

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever watched is gone; the run goes on
            print(printable(text), file=self._stream, flush=True)


class LiveProgress:
    """One line that renews itself: bar, episodes, success with interval, episodes/s, time left. Notes scroll by above it.

    Args:
        console: a terminal; ``None`` for standard error.
        clock: seconds.
    """

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        self._clock = clock
        self._count = _Count(0, 0, clock())
        console = console or Console(stderr=True)
        columns: list[ProgressColumn] = [
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("success [bold]{task.fields[success]}", markup=True),
        ]
        if console.width >= WIDE:
            columns = [BarColumn(bar_width=24), *columns, TextColumn("[dim]{task.fields[speed]}[/]", markup=True)]
        if console.width >= NARROW:
            columns.append(TextColumn("{task.fields[eta]} left"))
        self._bar = Bar(*columns, TextColumn("[red]{task.fields[faults]}"), console=console, transient=True)

    def started(self, total: int, done: int, title: str) -> None:
        """The run begins."""
        self._count = _Count(total, done, self._clock())
        self._say(_opening(title, total, done), "bold")
        self._task = self._bar.add_task("", total=total, success="—", speed="starting", eta="—", faults="")
        self._bar.start()

    def episode(self, record: Mapping[str, Any]) -> None:
        """An episode ended."""
        count, now = self._count, self._clock()
        count.add(record)
        self._bar.update(self._task, completed=count.done, success=count.success(), faults=count.faults())
        if count.done > count.earlier:
            self._bar.update(self._task, speed=rate_text(count.speed(now)), eta=count.eta(now))

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._say(text, "yellow")

    def finished(self, complete: bool) -> None:
        """The display ends; its last line stays."""
        self._bar.stop()
        self._say(_farewell(self._count, self._clock(), complete), "" if complete else "yellow")

    def _say(self, text: str, style: str) -> None:
        from rich.text import Text

        self._bar.console.print(Text(printable(text), style=style))


def _opening(title: str, total: int, done: int) -> str:
    return f"{title}: {_episodes(total)}" + (f", {done} of them done earlier" if done else "")


def _episodes(count: int, of: str = "") -> str:
    """``12 episodes``, ``1 episode``, ``3/12 episodes``."""
    return f"{of}{count} episode{'s' * (count != 1)}"


def _farewell(count: _Count, now: float, complete: bool) -> str:
    new = count.done - count.earlier
    took = f" in {duration(now - count.start)}, {rate_text(count.speed(now))}" if new > 0 else ""
    share = f", {new} of them now" if count.earlier else ""
    stopped = "" if complete else "stopped at "
    return f"{stopped}{_episodes(count.total, f'{count.done}/')}{share}{took} · success {count.success()}{count.faults()}"


def duration(seconds: float) -> str:
    """``4.2 s``, ``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rate_text(per_second: float) -> str:
    """Episodes per second, or per minute where that reads better."""
    return f"{per_second:.1f} episodes/s" if per_second >= 1 else f"{per_second * 60:.1f} episodes/min"
