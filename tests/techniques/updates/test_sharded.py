"""Penalties and copies under FSDP2: two processes have the gradients of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.full
def test_two_sharded_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    program = Path(__file__).parent / "sharded.py"
    done = subprocess.run([sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    worst = json.loads((tmp_path / "worst.json").read_text())
    assert set(worst) == {"full", "lora"}
    assert max(worst.values()) < 1e-5, worst
