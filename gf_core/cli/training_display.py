"""How `gf train` shows a training while it goes on: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID

    from gf_core.training.recipe import Stage
    from gf_core.training.running import Watcher

PLAIN_SECONDS = 10.0
"""Seconds between plain lines."""
SMOOTHING = 0.95
"""Weight of the past in the losses that are shown."""


def make_watcher() -> Watcher:
    """A display on standard error, so that standard output stays free for results; of several processes, the first one's."""
    from rich.console import Console

    if not is_first():
        return SilentWatcher()
    console = Console(stderr=True)
    return PlainWatcher(sys.stderr) if not console.is_terminal or console.is_dumb_terminal else LiveWatcher()


def is_first() -> bool:
    """Whether this process is the only one, or the first of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


class SilentWatcher:
    """Shows nothing."""

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """Nothing."""

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def finished(self) -> None:
        """Nothing."""


class _Smooth:
    """Losses as they are shown, samples per second, and how much of the time the data kept training waiting."""

    def __init__(self) -> None:
        self.losses: dict[str, float] = {}
        self.seconds = self.waited = 0.0
        self.steps = 0

    def add(self, row: Mapping[str, Any]) -> None:
        for name, value in row["losses"].items():
            self.losses[name] = SMOOTHING * self.losses.get(name, value) + (1 - SMOOTHING) * value
        self.seconds += row["seconds"]
        self.waited += row["wait"]
        self.steps += 1

    def text(self, batch: int) -> str:
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        rate = self.steps * batch / self.seconds if self.seconds else 0.0
        waits = f"  data {100 * self.waited / self.seconds:.0f} %" if self.waited > 0.1 * self.seconds else ""
        return f"{losses}  {rate:.3g} samples/s{waits}"


def _title(stage: Stage, trains: Mapping[str, int]) -> str:
    numbers = ", ".join(f"{role} {count:,}" for role, count in trains.items())
    return f"stage {stage.name}: {stage.steps} steps of {stage.batch_size * stage.accumulate} samples, training {numbers}"


class PlainWatcher:
    """Lines now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._last, self._smooth = stream, 0.0, _Smooth()

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """A line."""
        self._smooth = _Smooth()
        self._say(_title(stage, trains) + (f", going on after step {done}" if done else ""))

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """A line if the last one is old enough."""
        self._smooth.add(row)
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS or step == stage.steps:
            self._last = now
            self._say(f"{stage.name} {step}/{stage.steps}  {self._smooth.text(stage.batch_size * stage.accumulate)}")

    def note(self, text: str) -> None:
        """A line."""
        self._say(text)

    def finished(self) -> None:
        """Nothing."""

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class LiveWatcher:
    """A bar with what remains."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.fields[stage]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._progress.start()
        self._task: TaskID | None = None
        self._smooth = _Smooth()

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        """A new bar."""
        self._smooth = _Smooth()
        self._progress.console.print(_title(stage, trains), highlight=False, markup=False)
        self._task = self._progress.add_task("", total=stage.steps, completed=done, stage=stage.name)

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        """The bar moves."""
        self._smooth.add(row)
        if self._task is not None:
            text = self._smooth.text(stage.batch_size * stage.accumulate)
            self._progress.update(self._task, completed=step, description=text)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False)

    def finished(self) -> None:
        """The display ends."""
        self._progress.stop()
