"""The program as a user has it: the installed `gf`, in a process of its own, in a folder of its own."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gf_core.cli.main import main

WICKED = Path(__file__).with_name("wicked.py")
SCRIPT = Path(sys.executable).with_name("gf")
GF = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "gf_core.cli.main"]

Gf = Callable[..., subprocess.CompletedProcess[str]]


def environment(**changes: str) -> dict[str, str]:
    steering = ("GF_", "MUJOCO_GL", "PYOPENGL_PLATFORM", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    return {**{key: value for key, value in os.environ.items() if not key.startswith(steering)}, **changes}


def call(folder: Path, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `gf`. Whatever happens, nobody sees a traceback."""
    command = [*GF, *(str(argument) for argument in arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment(**changes), capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def gf(tmp_path: Path) -> Gf:
    """``gf("run", ..., MUJOCO_GL="egl")``: the finished process, run in ``tmp_path``."""
    return lambda *arguments, **changes: call(tmp_path, *arguments, **changes)


@pytest.fixture
def refused(
    gf: Gf, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """As ``gf``, for what is a user's mistake: exit code 2, nothing on stdout, nothing new on disk. Returns the error's lines.

    In a process of its own only where the environment is another one, since starting takes longer than refusing.
    """

    def run(*arguments: object, **changes: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        if changes:
            done = gf(*arguments, **changes)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code = main([str(argument) for argument in arguments])
            out, err = capfd.readouterr()
        assert (code, out) == (2, ""), out + err
        # A busy machine is slow to load the plugin file, which is warned of.
        err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("warning: "))
        assert err.startswith("error: "), err
        assert sorted(tmp_path.rglob("*")) == before
        return err.removeprefix("error: ").rstrip("\n")

    for key in set(os.environ) - set(environment()):
        monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield run
    for name in ("mine", WICKED.stem):  # plugin files
        sys.modules.pop(name, None)


def smoke() -> dict[str, Any]:
    """The document of gf/smoke@1, as the beginning of a suite file."""
    text = importlib.resources.files("gf_envs.suites").joinpath("data/smoke-1.json").read_text()
    return {**json.loads(text), "id": "local/mine@1"}


def results(run: Path) -> dict[str, bytes]:
    """What must be the same bytes however a run was carried out."""
    files = [run / "run.json", run / "episodes.jsonl", *sorted((run / "trajectories").iterdir())]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of a finished run's episodes.jsonl."""
    return [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def expert_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expert on gf/smoke@1; not to be written to."""
    folder = tmp_path_factory.mktemp("expert")
    done = call(folder, "run", "gf/smoke@1", "--policy", "gf/expert-v1", "--out", "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"
