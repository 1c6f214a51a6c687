"""A training job's directory: what it is, how far it is, and what it takes to go on.

``job.json`` says what is trained on what. ``stages/`` holds the parameters of finished stages, ``progress.json`` what is
known of them. ``state-N/`` is the
running stage after N steps in all: parameters, optimiser. ``metrics.jsonl`` has a row for each logged step. ``checkpoint/``
is the result. Everything is
written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gf_core._files import explained, flush_directory, take, write_whole
from gf_core.errors import GrinningFaceError
from gf_core.runs import differences

GOES_ON = "free some space; the same command goes on from the last saved state"
JOB, PROGRESS, METRICS, STAGES = "job.json", "progress.json", "metrics.jsonl", "stages"
STATE = "state.json"


class JobDirectory:
    """The directory of one job, opened for one trainer at a time.

    Args:
        path: the directory; made if it isn't there.
        identity: what is trained on what, as JSON; a directory of another job is refused.
        chief: whether this process is the one that writes.

    Raises:
        GrinningFaceError: it belongs to another job, another trainer is at work in it, it is damaged, or it can't be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, chief: bool = True) -> None:
        self.path, self.chief = path, chief
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("ab")
        if chief:
            take(self._lock, path, "trainer")
            self._claim(identity)

    def close(self) -> None:
        """Let go of it."""
        self._lock.close()

    def _claim(self, identity: Mapping[str, Any]) -> None:
        known = self.path / JOB
        if known.exists():
            found = differences(_read(known, hint="give another --out"), identity)
            if found := [line for line in found if not line.startswith("/recipe_sha256")]:
                shown = "; ".join(found[:3]) + ("; …" if len(found) > 3 else "")
                raise GrinningFaceError(f"holds another job: {shown}", where=str(self.path), hint="give another --out")
            return
        others = sorted(entry.name for entry in self.path.iterdir() if entry.name != ".lock")
        if others:
            raise GrinningFaceError(
                f"isn't empty ({others[0]})", where=str(self.path), hint="give an empty or a new one with --out"
            )
        self.write_json(JOB, identity)

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a document in one go."""
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(self.path / name, text.encode(), when_full=GOES_ON)

    def progress(self) -> dict[str, Any]:
        """``heads`` (head to its state) and ``stages`` (entries of finished stages).

        Raises:
            GrinningFaceError: it is damaged.
        """
        path = self.path / PROGRESS
        if not path.exists():
            return {"heads": None, "stages": []}
        return _read(path, hint="remove it: finished stages are then trained again")

    def stage_file(self, number: int, name: str) -> Path:
        """Where a finished stage's parameters lie."""
        return self.path / STAGES / f"{number:02d}-{name}.safetensors"

    def save_state(
        self, stage: int, step: int, done: int, parameters: Mapping[str, Tensor], optimizer: Mapping[str, Any]
    ) -> None:
        """Keep the running stage's state; older ones go once it is on disk.

        Args:
            stage: number of the stage.
            step: optimiser steps of it that are done.
            done: optimiser steps of all stages that are done.
            parameters: those that train.
            optimizer: its state dict.
        """
        target = self.path / f"state-{done}"
        partial = self.path / "state.partial"
        with writing(partial):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            save_tensors(parameters, partial / "parameters.safetensors")
            _save_torch(optimizer, partial / "optimizer.pt")
            (partial / STATE).write_text(json.dumps({"stage": stage, "step": step}), encoding="utf-8")
            for path in partial.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            flush_directory(partial)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
            flush_directory(self.path)
        for old in self.path.glob("state-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)

    def state(self, stage: int) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Steps, parameters and optimiser state of a running stage; ``None`` where none was kept.

        Raises:
            GrinningFaceError: it is damaged.
        """
        for path in sorted(self.path.glob("state-*"), key=lambda path: int(path.name.removeprefix("state-")), reverse=True):
            try:
                where = json.loads((path / STATE).read_text(encoding="utf-8"))
                if where["stage"] != stage:
                    continue
                parameters = load_file(path / "parameters.safetensors")
                optimizer = torch.load(path / "optimizer.pt", weights_only=True)
            except (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
                raise GrinningFaceError(
                    f"the saved state is damaged ({error})", where=str(path), hint="remove it: the stage then starts over"
                ) from error
            return int(where["step"]), parameters, optimizer
        return None

    def drop_states(self) -> None:
        """Remove kept states: their stage is finished."""
        for path in self.path.glob("state-*"):
            shutil.rmtree(path, ignore_errors=True)

    def cut_metrics(self, done: int) -> None:
        """Forget rows behind step ``done``, which will be written again."""
        path = self.path / METRICS
        if path.exists():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if _step(line) <= done]
            write_whole(path, "".join(kept).encode(), when_full=GOES_ON)

    def is_evaluated(self, done: int) -> bool:
        """Whether the metrics hold the evaluation after step ``done``."""
        path = self.path / METRICS
        rows = map(_row, path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
        return any("evaluation" in row and row["done"] == done for row in rows)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to the metrics."""
        path = self.path / METRICS
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")


def _read(path: Path, *, hint: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise GrinningFaceError(f"is damaged ({error})", where=str(path), hint=hint) from error


def _save_torch(document: Mapping[str, Any], path: Path) -> None:
    try:
        torch.save(dict(document), path)
    except RuntimeError as error:  # what torch makes of a disk that is full
        raise OSError(f"{path.name}: {str(error).splitlines()[0]}") from error


def writing(path: Path) -> AbstractContextManager[None]:
    """Turn a write that fails into an error that says what to do."""
    return explained(path, when_full=GOES_ON)


def save_tensors(values: Mapping[str, Tensor], path: Path) -> None:
    """A safetensors file of tensors, on any device. Raises OSError where it can't be written."""
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in values.items()}, path)
    except SafetensorError as error:  # what safetensors makes of a disk that is full
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error


def _step(line: str) -> float:
    """The step of a metrics row; a torn last line is behind all."""
    return float(_row(line).get("done", "inf"))


def _row(line: str) -> dict[str, Any]:
    """A metrics row; empty for a torn last line."""
    with contextlib.suppress(ValueError, TypeError):
        return dict(json.loads(line))
    return {}
