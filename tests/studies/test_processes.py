"""Studies in processes of their own: interrupted, killed, gone on with."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gf_core.studies.document import Cell
from gf_core.studies.folder import open_study, read_study

Gf = Callable[..., tuple[int, str, str]]
Make = Callable[..., dict[str, Any]]


def test_a_process_that_dies_is_one_failed_cell(gf: Gf, study_document: Make) -> None:
    deadly = {"id": "local/deadly-v1", "settings": {"file": str(Path("deadly").resolve())}}
    techniques = [{"id": "gf/full-finetune-v1"}, deadly]
    arms = {"full": {"description": "x", "set": {"stages.robot.techniques": techniques}}}
    document = study_document(arms=arms, probe=None)
    Path("deadly").touch()
    code, out, err = gf(document, jobs=1)
    assert code == 1, err
    record = read_study(Path("study")).records[Cell(backbone="small", arm="full", head="l1", seed=0)]
    assert (record.phase, record.reason) == ("train", "its process was killed, often for memory: give fewer --jobs")
    assert "train: its process was killed" in out


def test_an_interrupt_ends_after_the_running_step_and_the_same_command_goes_on(study_document: Make, gf: Gf) -> None:
    document = study_document(probe=None)
    document["protocol"]["set"] = {"stages.robot.steps": 100_000}
    training = Path("study/cells/small/full/l1/0/training").absolute()
    over = threading.Event()

    def interrupt() -> None:
        while not _steps(training) and not over.is_set():
            time.sleep(0.1)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        code, out, err = gf(document, jobs=1)
    finally:
        over.set()
        thread.join()
    assert (code, out) == (130, ""), err
    assert "the same command again goes on from there" in err
    (state,) = training.glob("state-*")
    done = int(state.name.removeprefix("state-"))
    assert done == _steps(training)[-1] > 2
    assert json.loads((state / "state.json").read_text()) == {"stage": 1, "step": done - 2}
    (shown,) = read_study(Path("study")).states
    assert (shown.state, shown.told) == ("started", f"train: stage robot, step {done - 2}")
    with open_study(Path("study"), read_study(Path("study")).study):
        pass  # whoever was at work in it is gone


def _steps(training: Path) -> list[int]:
    """Steps behind the first stage that were logged."""
    file = training / "metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [done for done in (json.loads(line)["done"] for line in lines if line.endswith("\n")) if done > 2]
