"""Terminals, pipes and closed streams."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from .conftest import GF, Gf, environment, results

RUN = ("run", "gf/smoke@1", "--policy", "gf/expert-v1", "--slots", "2", "--out")


def in_terminal(folder: Path, *arguments: str, columns: int = 100, stop: bytes = b"", **changes: str) -> tuple[int, str]:
    """Run `gf` in a terminal; Ctrl-C is pressed once ``stop`` has appeared. Returns the exit code and what was shown."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen([*GF, *arguments], cwd=folder, env=environment(**changes), start_new_session=True, **ends)
    os.close(theirs)
    shown, until = b"", time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not data:
                break
            shown += data
        if stop and stop in shown:
            os.killpg(process.pid, signal.SIGINT)  # what the terminal does for the foreground's processes
            stop = b""
    os.close(ours)
    return process.wait(60), shown.decode(errors="replace")


@pytest.mark.parametrize(
    ("columns", "changes", "seen", "unseen"),
    [
        (100, {"TERM": "xterm"}, ["12/12 episodes", "━━", "├", "\x1b["], []),
        (30, {"TERM": "xterm"}, ["12/12 episodes", "├"], ["━━"]),
        (100, {"TERM": "dumb"}, ["12/12 episodes", "100 [51.0, 100]"], ["\x1b[", "├"]),
        (100, {"TERM": "xterm", "NO_COLOR": "1"}, ["12/12 episodes"], ["\x1b[31m", "\x1b[91m"]),
        (100, {"TERM": "xterm", "PYTHONIOENCODING": "ascii"}, ["12/12 episodes", "slip <= 0"], ["\\u", "\\x"]),
    ],
    ids=["wide", "narrow", "dumb", "no colour", "ascii"],
)
def test_a_live_display(tmp_path: Path, columns: int, changes: dict[str, str], seen: list[str], unseen: list[str]) -> None:
    code, shown = in_terminal(tmp_path, *RUN, "run", columns=columns, **changes)
    assert code == 0
    assert all(text in shown for text in seen), shown
    assert not any(text in shown for text in unseen), shown


def test_ctrl_c_in_a_terminal(tmp_path: Path, gf: Gf) -> None:
    code, shown = in_terminal(tmp_path, *RUN, "run", stop=b"2/12", TERM="xterm")
    assert code == 130
    assert "the same command again goes on from there" in shown
    assert "Traceback" not in shown
    again = gf(*RUN, "run")
    assert again.returncode == 0
    assert "of them done earlier" in again.stderr
    assert gf(*RUN, "whole").returncode == 0
    assert results(tmp_path / "run") == results(tmp_path / "whole")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=["stdout", "stderr", "all"])
def test_closed_streams_end_nothing(tmp_path: Path, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for stream in closed:
            os.close(stream)

    command = [*GF, *RUN, "run", "--limit", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), preexec_fn=close, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert (tmp_path / "run" / "episodes.jsonl").read_bytes().count(b"\n") == 2


def test_who_reads_only_the_first_line_gets_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*GF, "list", "--json"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"{\n"
    process.stdout.close()
    assert process.wait(60) in (0, 141)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_closed_pipe_is_no_finding(tmp_path: Path) -> None:
    """Exit code 1 would say that something isn't in order."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*GF, "list"], cwd=tmp_path, env=environment(), stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_loads_nothing_that_takes_time(tmp_path: Path) -> None:
    code = "import sys; from gf_core.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy = {"numpy", "mujoco", "gymnasium", "scipy", "PIL", "rich", "torch", "jsonschema", "gf_envs", "gf_policies"}
    assert not heavy & set(done.stdout.split())
