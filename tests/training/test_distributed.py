"""Two processes compute what one computes, whether each holds the whole policy or a part of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from gf_core.plugins import load_plugins
from gf_core.training.recipe import complete
from gf_core.training.running import Job
from gf_core.training.trainer import train
from tests.training import small
from tests.training.conftest import Watched
document, out, parallel, stop_at = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
host = load_plugins([Path(small.__file__)])
job = Job(recipe=complete(document, host, source="test"), host=host, sources={{"robot": small.Robot(), "vl": small.Questions()}},
          out=out, workers=0, parallel=parallel, save_every=2)
try:
    train(job, Watched(stop_at or None))
except KeyboardInterrupt:
    pass
"""
MIXED = [{"source": "robot", "weight": 3}, {"source": "vl"}]


def run(out: Path, processes: int, batch: int, parallel: str = "ddp", stop_at: int = 0) -> Path:
    """A job in so many processes."""
    from .small import recipe

    document = recipe(batch_size=batch, mixture=MIXED, steps=3, optimizer={"clip": 0})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", SCRIPT.format(root=str(ROOT)), json.dumps(document), str(out), parallel, str(stop_at)]
    started = []
    for rank in range(processes):
        place = {"WORLD_SIZE": str(processes), "RANK": str(rank), "LOCAL_RANK": str(rank)}
        variables = {**os.environ, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(errors)[-4000:]
    return out


def rows(out: Path) -> list[dict[str, float]]:
    return [{**row["losses"], "norm": row["norm"]} for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("alone") / "job", 1, 8)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_equal_one(alone: Path, tmp_path: Path, parallel: str) -> None:
    both = run(tmp_path / "job", 2, 4, parallel)
    for one, two in zip(rows(alone), rows(both), strict=True):
        assert two == pytest.approx(one, rel=2e-4)
    stage = Path("checkpoint/links/00/00-robot.safetensors")
    mine, theirs = load_file(alone / stage), load_file(both / stage)
    assert mine.keys() == theirs.keys()
    moved = max(float((mine[name] - theirs[name]).abs().max()) for name in mine)
    assert moved < 2e-3, moved
