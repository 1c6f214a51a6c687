"""What `make run` and `make test` do where nothing can be drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_opengl.py"
# Runs the script where the libraries can't be loaded until the file "installed" exists.
BLIND = """
import ctypes, os, runpy, sys
real = ctypes.CDLL
def cdll(name, *rest):
    if name in ("libEGL.so.1", "libOSMesa.so.8") and not os.path.exists(os.environ["INSTALLED"]):
        raise OSError(name + ": cannot open shared object file")
    return real(name, *rest)
ctypes.CDLL = cdll
if "UID_SHOWN" in os.environ:
    os.geteuid = lambda: int(os.environ["UID_SHOWN"])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def check(tmp_path: Path) -> object:
    """Runs the check as a user with an `apt-get` that notes what it was asked for; returns the process and the note."""
    note, installed = tmp_path / "note", tmp_path / "installed"
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {note}\n[ -n "$APT_WORKS" ] && touch {installed}\nexit 0\n')
    apt.chmod(0o755)
    # The script looks again in a process of its own; a python that is blind too takes its place.
    python = tmp_path / "python"
    blind = tmp_path / "blind.py"
    blind.write_text(BLIND)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {blind} "$@"\n')
    python.chmod(0o755)

    def run(user: int, *, apt_works: bool) -> tuple[subprocess.CompletedProcess[str], str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "APT_WORKS")}
        environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "INSTALLED": str(installed), "UID_SHOWN": str(user)}
        if apt_works:
            environment["APT_WORKS"] = "1"
        code = f"import sys; sys.executable = {str(python)!r}; exec(open({str(blind)!r}).read())"
        command = [sys.executable, "-c", code, str(SCRIPT)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done, note.read_text() if note.exists() else ""

    return run


def test_here_something_draws() -> None:
    assert subprocess.run([sys.executable, SCRIPT], check=False).returncode == 0


def test_a_user_is_told_the_line_to_run(check) -> None:  # type: ignore[no-untyped-def]
    done, note = check(1000, apt_works=True)
    assert done.returncode == 2
    assert "apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri" in done.stderr
    assert note == ""


def test_root_on_debian_installs_it(check) -> None:  # type: ignore[no-untyped-def]
    done, note = check(0, apt_works=True)
    assert "install -y --no-install-recommends libegl1 libgl1-mesa-dri" in note
    assert done.returncode == 0, done.stderr


def test_root_is_told_where_installing_did_not_help(check) -> None:  # type: ignore[no-untyped-def]
    done, note = check(0, apt_works=False)
    assert "install" in note
    assert done.returncode == 2
    assert "sudo apt-get" in done.stderr
