"""From an episode that ended to its row, on disk and to everyone who watches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gf_core._interrupts import uninterrupted
from gf_core.contracts import Outcome
from gf_core.evaluation.progress import Progress
from gf_core.evaluation.trial import Trial
from gf_core.runs import Row, RunWriter, is_valid
from gf_core.specs import EnvSpec

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


class Recorder:
    """Records episodes and faults.

    Args:
        writer: the run directory.
        identity: run.json.
        env: decides the widths of recorded arrays and the names of metrics.
        host: whose observers are told.
        progress: the display.
    """

    def __init__(
        self, writer: RunWriter, identity: Mapping[str, Any], env: EnvSpec, host: PluginHost, progress: Progress
    ) -> None:
        self._writer, self._identity, self._env, self._host, self._progress = writer, identity, env, host, progress

    def started(self, total: int, title: str) -> None:
        """The run begins or goes on."""
        self._progress.started(total, len(self._writer.done), title)
        for record in self._writer.done.values():
            self._progress.episode(record)
        self._host.observe("gf_run_started", run=self._identity)

    def episode(self, trial: Trial, outcome: Outcome, reason: str, attempts: int) -> None:
        """Record how a trial ended; ``reason`` is empty unless it ended in an error."""
        row: Row = {
            "episode": trial.episode.id,
            "split": trial.episode.split,
            "cluster": trial.episode.cluster,
            "factors": dict(trial.episode.factors),
            "success": outcome.success,
            "ending": outcome.ending,
            "steps": trial.step,
            "metrics": dict(outcome.metrics),
            "clipped_steps": trial.clipped,
            "chunks": trial.chunks,
        }
        if reason:
            row["reason"] = reason
        with uninterrupted():
            record = self._writer.episode(
                row,
                trial.trajectory(self._env.action.field.shape[0], self._env.controls.shape[0]),
                slot=trial.slot,
                attempts=attempts,
                seconds=time.monotonic() - trial.begun,
                ask_seconds=trial.ask_seconds,
            )
        self._progress.episode(record)
        self._host.observe("gf_episode_finished", run=self._identity, record=record)

    def fault(self, cause: str, trials: Sequence[Trial], reason: str) -> None:
        """Record that these trials begin again."""
        names = [trial.episode.id for trial in trials]
        self._writer.fault(cause, names, reason)
        who = names[0] if len(names) == 1 else f"{len(names)} episodes"
        self._progress.note(f"{cause} fault with {who}: {reason}")

    def finished(self) -> None:
        """The run is complete."""
        records = list(self._writer.done.values())
        result = {
            "episodes": len(records),
            "successes": sum(row["success"] for row in records),
            "endings": dict(Counter(row["ending"] for row in records)),
            "valid": is_valid(records),
        }
        self._host.observe("gf_run_finished", run=self._identity, result=result)
