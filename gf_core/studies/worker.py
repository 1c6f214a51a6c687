"""The process of a task: ``python -m gf_core.studies.worker FD`` reads the task from standard input and tells FD how it goes.

Rows of JSON go there: ``{"doing": [what, done, of]}``, at last ``{"ended": null or "reason", "diverged": bool}``.
Whoever started it and is gone is like Ctrl-C: the running step ends,
its state is kept.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gf_core.studies.folder import StudyFolder, read_study
from gf_core.studies.tasks import Means, task_from

if TYPE_CHECKING:
    from gf_core.studies.work import Outcome

INTERRUPTED = 130
BETWEEN = 0.2
"""Seconds between rows that say the same with another number of steps, at least."""


def main() -> int:
    """Do the task. Returns 0, 1 for a task that failed, 130 for one that was interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what was started in the background
    channel = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    asked = json.loads(sys.stdin.read())
    try:
        outcome = _do(asked, channel)
        _say(channel, ended=outcome.reason, diverged=outcome.diverged)
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if outcome.reason is None else 1


def _do(asked: dict[str, Any], channel: TextIO) -> Outcome:
    import torch

    from gf_core.plugins import load_plugins
    from gf_core.studies.work import Work

    means = asked["means"]
    means = Means(**{**means, "plugin_files": tuple(map(Path, means["plugin_files"]))})
    torch.set_num_threads(means.threads)
    folder = StudyFolder(Path(asked["folder"]))
    host = load_plugins(means.plugin_files)
    study = read_study(folder.path).study
    return Work(task_from(asked["task"]), folder, study, host, means, _Telling(channel)).attempt()


class _Telling:
    """Tells how far the task is, not too often."""

    def __init__(self, channel: TextIO) -> None:
        self._channel, self._last, self._what = channel, 0.0, ""

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what != self._what or now - self._last >= BETWEEN:
            self._what, self._last = what, now
            _say(self._channel, doing=[what, done, of])


def _say(channel: TextIO, **row: Any) -> None:
    try:
        channel.write(json.dumps(row) + "\n")
        channel.flush()
    except BrokenPipeError:
        signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
