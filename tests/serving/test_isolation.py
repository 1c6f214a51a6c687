"""Policies in an environment of their own: what happens over there is at most a failed episode here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reach_suites import FAKES

from gf_core.cli.main import main
from gf_core.errors import GrinningFaceError
from gf_core.runs import read_run
from gf_core.serving import isolation

from .conftest import Play

FAR = {"scene": {"goal": [3.0, 3.0]}, "horizon": 15}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that shares this one's packages, and has one more."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    base = sysconfig.get_paths()["purelib"]
    (site / "shared.pth").write_text(f"import site; site.addsitedir({base!r})\n")
    (site / "only_there.py").write_text("STEP = 0.05\n")
    return folder


def run(suite: str, policy: str, out: Path, *options: str) -> int:
    return main(["run", suite, "--policy", policy, "--plugin", str(FAKES), "--out", str(out), "--slots", "4", *options])


def played(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path / "trajectories").iterdir()}


def test_what_breaks_over_there_fails_its_episodes_here(
    elsewhere: Path, play: Play, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    kinds = {
        "raise": "ValueError: I can't, says <object object at 0x…> at all",
        "os._exit": "the other end is gone",
        "segfault": "the other end is gone",
        "hang": "no answer before the deadline",
    }
    bad = [x for kind in kinds for x in ({"instruction": kind, **FAR}, FAR)]
    suite = write_suite(bad)
    code = run(suite, "local/reacher-v1", tmp_path / "away", "--isolate", str(elsewhere), "--deadline", "4")
    assert code == 0
    away = read_run(tmp_path / "away")
    rows = {row["episode"]: row for row in away.records}
    home = played(play(write_suite([{**e, "instruction": "go"} for e in bad]), "local/reacher-v1").run.path)
    for number, (kind, reason) in enumerate(kinds.items()):
        row = rows[f"e{2 * number:03}"]
        assert row["ending"] == "policy_error", kind
        assert reason in row["reason"], kind
        good = f"e{2 * number + 1:03}.npz"
        assert played(away.path)[good] == home[good]
    assert away.identity["policy"]["id"] == "gf/isolated-v1"
    assert away.identity["policy"]["config"]["policy"] == "local/reacher-v1"


MINE = """
import numpy as np
from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec


class Mine:
    def __init__(self, config, context):
        import only_there

        print("loading weights")
        self._step = only_there.STEP

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        actions = np.zeros((len(observation.slots), 1, 3), np.float32)
        actions[:, 0, 0] = self._step
        print("x" * 10_000)
        return ActionChunk(actions=actions)

    def close(self):
        pass


@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="local/mine-v1", summary="needs what is only there", entry_point="mine:Mine", observes=Observes()))
"""


def test_what_is_only_there_is_used_there(
    elsewhere: Path, write_suite: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    suite, plugin = write_suite(3), ("--plugin", str(tmp_path / "mine.py"))
    assert run(suite, "local/mine-v1", tmp_path / "home", *plugin) == 2
    assert "only_there" in capfd.readouterr().err
    for hz in ("20", "10"):
        out = tmp_path / hz
        assert run(suite, "local/mine-v1", out, *plugin, "--isolate", str(elsewhere), "--hz", hz) == 0
        trajectory = read_run(out).trajectory("e000")
        assert trajectory.actions[0].tolist() == pytest.approx([0.05, 0, 0])
    assert isolation.PYTHON not in os.environ


def test_what_is_unknown_over_there_is_told(
    elsewhere: Path, write_suite: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = write_suite(1)
    for policy, options, told in (
        ("local/nobody-v1", (), "in its environment: there is no policy 'local/nobody-v1'"),
        ("local/peeker-v1", (), "sees the simulator's state"),
        ("local/reacher-v1", ("--set", "speed=3"), "speed"),
        ("local/reacher-v1", ("--set", "unloadable=true"), "it can't be served in its environment"),
    ):
        assert run(suite, policy, tmp_path / "run", "--isolate", str(elsewhere), *options) == 2, policy
        error = capfd.readouterr().err
        assert told in error, error
        assert "Traceback" not in error


def test_the_server_ends_with_the_run(elsewhere: Path, write_suite: Callable[..., str], tmp_path: Path) -> None:
    suite = write_suite(2, horizon=2000)
    command = [sys.executable, "-m", "gf_core.cli.main", "run", suite, "--policy", "local/reacher-v1", "--plugin", str(FAKES)]
    options = ["--set", "pause=0.05", "--isolate", str(elsewhere), "--out", str(tmp_path / "run")]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def servers() -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"--with-stdin" in words and str(elsewhere).encode() in words:
                found.append(int(folder.name))
        return found

    wait_for(lambda: len(servers()) == 1 and (tmp_path / "run" / "policy.log").is_file())
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not servers())


def wait_for(what: Callable[[], Any]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture
def installing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """pip is not run, and what it would be asked is noted."""
    asked: list[list[str]] = []
    real = subprocess.run

    def note(command: list[str], **options: Any) -> Any:
        if "pip" not in command:
            return real([*command, "--without-pip"] if "venv" in command else command, **options)
        asked.append(command)
        options["stdout"].write(b"Collecting things\nERROR: No matching distribution found for acme-vla==9\n")
        return subprocess.CompletedProcess(command, 1 if "acme-vla==9" in command else 0)

    monkeypatch.setattr(isolation.subprocess, "run", note)
    monkeypatch.setenv("GF_CACHE", str(tmp_path / "cache"))
    return asked


def test_an_environment_is_made_once_for_the_same_requirements(installing: list[list[str]], tmp_path: Path) -> None:
    told: list[str] = []
    first = isolation.environment(("acme-vla==1",), told.append)
    assert isolation.environment(("acme-vla==1",)) == first
    other = isolation.environment(("acme-vla==2",))
    assert other != first
    assert len(installing) == 2
    assert installing[0][0] == str(first)
    assert installing[0][-1] == "acme-vla==1"
    assert "acme-vla==1" in told[-1]
    document = json.loads((first.parents[2] / "environment.json").read_bytes())
    assert document["requirements"] == ["acme-vla==1"]


def test_one_that_was_interrupted_is_made_anew(installing: list[list[str]]) -> None:
    python = isolation.environment(("acme-vla==1",))
    (python.parents[2] / "ready").unlink()
    (python.parents[1] / "left.txt").write_text("half")
    assert isolation.environment(("acme-vla==1",)) == python
    assert not (python.parents[1] / "left.txt").exists()
    assert len(installing) == 2


def test_what_pip_cannot_install_is_told(installing: list[list[str]]) -> None:
    with pytest.raises(GrinningFaceError) as caught:
        isolation.environment(("acme-vla==9",))
    assert "No matching distribution found for acme-vla==9" in str(caught.value)
    assert "pip.log" in str(caught.value)


def test_requirements_are_lines_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("torch==2.1  # old\n\n# a comment\nacme-vla\n")
    (tmp_path / "b.txt").write_text("acme-vla\ntorch\\\n==2.1\n")
    assert isolation.read_requirements(tmp_path / "a.txt") == ("acme-vla", "torch==2.1")
    assert isolation.read_requirements(tmp_path / "b.txt") == ("acme-vla", "torch==2.1")
    (tmp_path / "d.txt").write_text("acme @ git+https://example.org/acme@v1\nacme[sim]>=2; python_version > '3'\n")
    assert len(isolation.read_requirements(tmp_path / "d.txt")) == 2
    options = ("-r base.txt", "--index-url https://me:secret@example.org", "torch==2.1 --hash=sha256:00")
    places = ("./mine", "/opt/mine", "wheels/acme-1.0-py3-none-any.whl", "acme @ file:///opt/mine", "file:mine", "acme @ ./mine")
    for line in (*options, *places):
        (tmp_path / "c.txt").write_text(f"acme-vla\n{line}\n")
        with pytest.raises(GrinningFaceError, match=r"doesn't name a package|a place on this machine"):
            isolation.read_requirements(tmp_path / "c.txt")
    with pytest.raises(GrinningFaceError, match="doesn't name a package"):
        isolation.environment(["--pre"])
    with pytest.raises(GrinningFaceError, match="no requirements can be read"):
        isolation.read_requirements(tmp_path / "none.txt")
    with pytest.raises(GrinningFaceError, match="no virtual environment"):
        isolation.interpreter_of(tmp_path)
