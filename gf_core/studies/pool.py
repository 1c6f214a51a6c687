"""Carries tasks out, several at a time, each in a process of its own, and survives whatever becomes of them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from gf_core._problems import printable
from gf_core.studies.folder import LOG, StudyFolder
from gf_core.studies.tasks import Means, Task
from gf_core.studies.worker import INTERRUPTED

_START = "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); from gf_core.studies.worker import main; sys.exit(main())"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_TAIL = 300


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of a task.

    Attributes:
        task: which.
        reason: why it failed; ``None`` for one that is done.
        diverged: whether its training's loss wasn't finite.
        phase: where it was when its process died without a word, and so without writing a cell's record; empty otherwise.
        seconds: wall-clock time of this session.
    """

    task: Task
    reason: str | None
    diverged: bool = False
    phase: str = ""
    seconds: float = 0.0


class Display(Protocol):
    """What a study tells whoever watches it. It can't change a result."""

    def part(self, title: str, total: int, done: int) -> None:
        """A part of the study begins: ``total`` tasks, of which ``done`` were done earlier."""
        ...

    def begins(self, task: Task) -> None:
        """A task begins."""
        ...

    def moves(self, task: Task, what: str, done: int, of: int) -> None:
        """How far a task is; ``of`` is 0 where nobody knows."""
        ...

    def ends(self, ended: Ended) -> None:
        """A task ended."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def finished(self) -> None:
        """The display ends, also after an error."""
        ...


class Pool:
    """Runs tasks side by side.

    Args:
        folder: the study's directory.
        means: how many at a time, and with what.
        display: is told.
        lock: the study's lock file, which processes inherit: no other runner begins while one is at work.
    """

    def __init__(self, folder: StudyFolder, means: Means, display: Display, lock: BinaryIO) -> None:
        self._folder, self._means, self._display, self._lock = folder, means, display, lock
        self._selector = selectors.DefaultSelector()
        self._running: set[_Running] = set()

    def carry_out(self, tasks: Iterable[Task], log_of: Callable[[Task], Path], ended: Callable[[Ended], None]) -> None:
        """Do all tasks.

        Args:
            tasks: in the order in which they begin.
            log_of: the directory that gets the process's output.
            ended: is called with each that ended.

        Raises:
            KeyboardInterrupt: all processes have ended, after their running step.
        """
        waiting = deque(tasks)
        try:
            while waiting or self._running:
                while waiting and len(self._running) < max(1, self._means.jobs):
                    task = waiting.popleft()
                    self._start(task, log_of(task))
                for key, _ in self._selector.select():
                    if (over := self._hear(key.data)) is not None:
                        self._display.ends(over)
                        ended(over)
        except BaseException:  # an interrupt, or whatever else: no process is left behind
            self._stop()
            raise

    def _start(self, task: Task, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        read, write = os.pipe()
        environ = {**os.environ, **dict.fromkeys(_THREADS, str(self._means.threads))}
        means = {**vars(self._means), "plugin_files": [str(file) for file in self._means.plugin_files]}
        asked = {"folder": str(self._folder.path), "task": task.to_json(), "means": means}
        with (place / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(write), json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environ,
                pass_fds=(write, self._lock.fileno()),
                start_new_session=True,  # Ctrl-C is the runner's to pass on
            )
        os.close(write)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died already: its exit code says so
            process.stdin.write(json.dumps(asked).encode())
            process.stdin.close()
        running = _Running(task, process, os.fdopen(read, "rb"), place / LOG)
        self._running.add(running)
        self._selector.register(running.channel, selectors.EVENT_READ, running)
        self._display.begins(task)

    def _hear(self, running: _Running) -> Ended | None:
        """Take in what a process says. Returns what became of it once it has ended."""
        line = running.channel.readline()
        if line.endswith(b"\n"):
            row = json.loads(line)
            if "doing" in row:
                running.phase = row["doing"][0].partition(" ")[0].rstrip(":")
                self._display.moves(running.task, *row["doing"])
            else:
                running.last = row
            return None
        self._selector.unregister(running.channel)
        running.channel.close()
        self._running.discard(running)
        code = running.process.wait()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return running.ended(code)

    def _stop(self) -> None:
        """Have every process end after its running step; at a second Ctrl-C, at once."""
        for running in self._running:
            running.process.send_signal(signal.SIGINT)
        try:
            for running in self._running:
                running.process.wait()
        except KeyboardInterrupt:
            for running in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
            raise
        finally:
            for running in self._running:
                running.channel.close()
            self._running.clear()
            self._selector.close()


class _Running:
    """A process at work."""

    def __init__(self, task: Task, process: subprocess.Popen[bytes], channel: IO[bytes], log: Path) -> None:
        self.task, self.process, self.channel, self.log = task, process, channel, log
        self.last: Mapping[str, Any] | None = None
        self.phase = "set-up"
        self._start = time.monotonic()

    def ended(self, code: int) -> Ended:
        """What became of it: what it said at last, or what its end says."""
        seconds = time.monotonic() - self._start
        if self.last is None:
            return Ended(task=self.task, reason=_death(code, self.log), phase=self.phase, seconds=seconds)
        return Ended(task=self.task, reason=self.last["ended"], diverged=self.last["diverged"], seconds=seconds)


def _death(code: int, log: Path) -> str:
    """What the end of a process that said nothing means."""
    if code == -signal.SIGKILL:
        return "its process was killed, often for memory: give fewer --jobs"
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    last = printable(lines[-1])[-_TAIL:] if lines else "no output"
    return f"its process {how} ({last}); see {log}"
