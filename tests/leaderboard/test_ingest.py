"""A hundred submissions, whose adding is killed again and again: in the end the repository is what one quiet session makes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gf_core.leaderboard.board import init, read_board
from gf_core.leaderboard.pack import pack
from gf_core.plugins import PluginHost

from .forging import CARD

SUBMISSIONS, ALIKE = 100, 5
GF = (sys.executable, "-m", "gf_core.cli.main", "leaderboard")


@pytest.mark.full
def test_a_hundred_submissions_killed_and_gone_on_with(host: PluginHost, smoke: Callable[..., Path], tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    names = [(number, f"{number:03}") for number in range(SUBMISSIONS)] + [(number, f"again-{number}") for number in range(ALIKE)]
    for number, name in names:
        pack([smoke("gf/random-v1", number)], {**CARD, "name": name}, incoming / f"{name}.zip", host)
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for board in (quiet, killed):
        init(board, title="Ours", storage="files")

    def add(board: Path, *options: str) -> subprocess.Popen[str]:
        command = [*GF, "add", str(board), str(incoming), "--date", "2026-01-31", "--no-pictures", "--json", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    process = add(quiet, "--jobs", "2")
    told = json.loads(process.communicate()[0])["files"]
    assert process.returncode == 1  # the copies are refused
    assert [one["outcome"] for one in told] == ["added"] * SUBMISSIONS + ["refused"] * ALIKE

    rng, kills = random.Random(0), 0
    while True:
        process = add(killed)
        try:
            out, _ = process.communicate(timeout=rng.uniform(5, 40))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGINT]))
            process.communicate()
            kills += 1
    assert kills > 2
    assert {one["outcome"] for one in json.loads(out)["files"]} <= {"added", "there", "refused"}
    assert not read_board(killed).problems
    assert contents(killed) == contents(quiet)

    process = add(killed)
    again = json.loads(process.communicate()[0])["files"]
    assert sorted(one["outcome"] for one in again) == ["refused"] * ALIKE + ["there"] * SUBMISSIONS
    assert contents(killed) == contents(quiet)


def contents(board: Path) -> dict[str, bytes]:
    """Everything but the lock."""
    files = (path for path in board.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(board)): path.read_bytes() for path in files}
