"""Runs that are stopped at any moment, on disks that are full, in directories that are taken."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gf_core import runs
from gf_core.errors import RunDirectoryError
from gf_core.evaluation import Deadlines

from .conftest import FAKES, results


class Crash(BaseException):
    """The power goes; nothing that would run afterwards runs."""


def count_down(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException, *, torn: bool) -> list[int]:
    """Raise ``error`` in the ``number``-th call that changes the disk. A torn write writes half. Returns the calls left."""
    left = [number]

    def wrapped(original):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise error
            if left[0] == 0:
                if torn and original is os_write:
                    os_write(args[0], args[1][: len(args[1]) // 2])
                raise error
            return original(*args, **kwargs)

        return call

    os_write = os.write
    monkeypatch.setattr(runs.os, "write", wrapped(os.write))
    monkeypatch.setattr(runs.os, "fsync", wrapped(os.fsync))
    monkeypatch.setattr(Path, "replace", wrapped(Path.replace))
    return left


@pytest.mark.parametrize("torn", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_crash_at_any_write_loses_and_doubles_nothing(play, write_suite, monkeypatch, torn):
    suite = write_suite(4)
    expected = results(play(suite, out="whole").run.path)
    for number in range(1, 200):
        with monkeypatch.context() as patch:
            left = count_down(patch, number, Crash(), torn=torn)
            with contextlib.suppress(Crash):
                play(suite, slots=2, out=f"crash{number}")
        run = play(suite, slots=3, out=f"crash{number}").run
        assert results(run.path) == expected, f"crash at write {number}"
        rows = [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]
        assert sorted({r["record"]["episode"] for r in rows if r["kind"] == "episode"}) == [f"e00{n}" for n in range(4)]
        if left[0] > 0:
            break
    else:
        pytest.fail("a run of four episodes doesn't take two hundred writes")
    assert number > 30


@pytest.mark.parametrize("number", [1, 2, 5, 9, 14, 22, 29])
def test_a_full_disk_is_a_clear_error_and_loses_nothing(play, write_suite, monkeypatch, number):
    suite = write_suite(4)
    expected = results(play(suite, out="whole").run.path)
    with monkeypatch.context() as patch:
        count_down(patch, number, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), torn=True)
        with pytest.raises(RunDirectoryError, match=r"No space left on device.*the same command again goes on"):
            play(suite, out="full")
    assert results(play(suite, out="full").run.path) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full(play, write_suite, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting isn't allowed here")
    try:
        suite = write_suite(40)
        with pytest.raises(RunDirectoryError, match="No space left on device"):
            play(suite, out="disk/run")
        recorded = len((disk / "run" / "journal.jsonl").read_text().splitlines())
        assert recorded > 3
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        done_before = runs.read_run(disk / "run").records
        run = play(suite, out="disk/run").run
        assert len(run.records) == 40
        assert {r["episode"] for r in done_before} <= {r["episode"] for r in run.records}
        assert results(run.path) == results(play(suite, out="whole").run.path)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def command(suite: str, out: Path, *more: str) -> list[str]:
    arguments = ["run", suite, "--policy", "local/reacher-v1", "--plugin", str(FAKES), "--out", str(out), *more]
    return [sys.executable, "-c", "import sys; from gf_core.cli.main import main; sys.exit(main())", *arguments]


def start(suite: str, out: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(suite, out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_rows(path: Path, rows: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < rows):
        time.sleep(0.002)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def kill_and_resume(play, write_suite, tmp_path, kills: int, seed: int) -> None:
    suite = write_suite(60)
    expected = results(play(suite, out="whole", policy_config={"pause": 0.003}).run.path)
    draw = random.Random(seed)
    out = tmp_path / f"killed{seed}"
    killed = 0
    for _ in range(kills):
        process = start(suite, out, "--set", "pause=0.003", "--slots", str(draw.choice([1, 3, 8])))
        recorded = (out / "journal.jsonl").read_bytes().count(b"\n") if (out / "journal.jsonl").exists() else 0
        wait_for_rows(out / "journal.jsonl", recorded + draw.randint(1, 15), process)
        time.sleep(draw.random() * 0.01)
        policies = children(process.pid)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        for pid in policies:
            while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                time.sleep(0.005)  # ends with the runner, or this waits for ever
    assert killed
    process = start(suite, out, "--set", "pause=0.003")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert results(out) == expected


def test_killed_and_resumed(play, write_suite, tmp_path):
    kill_and_resume(play, write_suite, tmp_path, kills=3, seed=0)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 9))
def test_killed_and_resumed_often(play, write_suite, tmp_path, seed):
    kill_and_resume(play, write_suite, tmp_path, kills=5, seed=seed)


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(play, write_suite, tmp_path):
    suite, out = write_suite(200), tmp_path / "run"
    process = start(suite, out, "--set", "pause=0.01")
    wait_for_rows(out / "journal.jsonl", 4, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert b"the same command again" in errors
    assert b"Traceback" not in errors
    assert 0 < len(runs.read_run(out).records) < 200
    assert not runs.read_run(out).complete


def test_a_second_runner_is_refused(play, write_suite, tmp_path):
    suite, out = write_suite(200), tmp_path / "run"
    process = start(suite, out, "--set", "pause=0.01")
    try:
        wait_for_rows(out / "journal.jsonl", 2, process)
        with pytest.raises(RunDirectoryError, match="another runner is at work"):
            play(suite, policy_config={"pause": 0.01})
    finally:
        process.kill()
        process.communicate()


def test_another_configuration_is_refused_and_named(play, write_suite):
    suite = write_suite(3)
    play(suite)
    with pytest.raises(
        RunDirectoryError, match=r"/policy/config/chunk is 1 there and 2 here; /policy/seed is 0 there and 7 here"
    ):
        play(suite, policy_config={"chunk": 2}, policy_seed=7)
    with pytest.raises(RunDirectoryError, match=r"/suite/sha256 is"):
        play(write_suite(4))


def test_a_finished_run_is_not_run_again(play, write_suite):
    suite = write_suite(3)
    first = play(suite)
    before = (first.run.path / "journal.jsonl").read_bytes()
    again = play(suite, slots=1)
    assert again.was_finished
    assert not first.was_finished
    assert (first.run.path / "journal.jsonl").read_bytes() == before


def unfinish(path: Path, *, keep: int) -> Path:
    """As if the runner had been killed after ``keep`` rows of the journal."""
    (path / "episodes.jsonl").unlink()
    journal = path / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:keep]))
    return journal


def test_a_torn_last_row_is_dropped(play, write_suite):
    suite = write_suite(5)
    path = play(suite, slots=1).run.path
    expected = results(path)
    journal = unfinish(path, keep=4)
    journal.write_bytes(journal.read_bytes()[:-20])
    assert len(runs.read_run(path).records) == 2
    assert results(play(suite, slots=1).run.path) == expected


def test_a_damaged_row_in_the_middle_is_an_error(play, write_suite):
    suite = write_suite(5)
    path = play(suite, slots=1).run.path
    journal = unfinish(path, keep=4)
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([rows[0], rows[1][:-9] + b"\n", *rows[2:]]))
    with pytest.raises(RunDirectoryError, match=r"journal\.jsonl:2: not JSON"):
        play(suite)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_an_episode_whose_trajectory_is_not_as_recorded_is_played_again(play, write_suite, damage):
    suite = write_suite(5)
    path = play(suite, slots=1).run.path
    expected = results(path)
    unfinish(path, keep=4)
    target = path / "trajectories" / "e001.npz"
    target.unlink() if damage == "gone" else target.write_bytes(target.read_bytes()[:-1] + b"x")
    assert results(play(suite, slots=1).run.path) == expected


def test_an_edited_result_is_not_taken_up(play, write_suite):
    suite = write_suite(5)
    path = play(suite).run.path
    episodes = path / "episodes.jsonl"
    episodes.write_bytes(episodes.read_bytes().replace(b'"success":true', b'"success":false', 1))
    with pytest.raises(RunDirectoryError, match=r"episodes\.jsonl:2: the row doesn't follow"):
        runs.read_run(path)
    with pytest.raises(RunDirectoryError, match="changed after the run ended"):
        play(suite)


def test_a_trajectory_that_was_edited_is_not_read(play, write_suite):
    run = play(write_suite(2)).run
    target = run.path / "trajectories" / "e001.npz"
    target.write_bytes(target.read_bytes() + b" ")
    with pytest.raises(RunDirectoryError, match="changed after the episode was recorded"):
        run.trajectory("e001")


def test_a_strangers_directory_is_left_alone(play, write_suite, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("all my work")
    with pytest.raises(RunDirectoryError, match=r"holds 'thesis\.tex'"):
        play(write_suite(2))
    assert [p.name for p in (tmp_path / "run").iterdir() if p.name != ".lock"] == ["thesis.tex"]


def test_a_path_that_cannot_be_written(play, write_suite, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="Not a directory"):
        play(write_suite(2), out="file/run")


def test_a_policy_that_hangs_does_not_hold_up_ctrl_c(write_suite, tmp_path):
    suite, out = write_suite([{"instruction": "hang", "scene": {"goal": [3.0, 3.0]}}]), tmp_path / "run"
    process = start(suite, out, "--deadline", str(Deadlines().load))
    log = out / "policy.log"
    while process.poll() is None and (not log.exists() or log.read_bytes().count(b"asked") < 4):
        time.sleep(0.01)
    (policy,) = children(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert not Path(f"/proc/{policy}").exists()
