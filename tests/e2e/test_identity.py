"""The same bytes for any slots, threads and interruptions, with the real tabletop."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import GF, WICKED, Gf, environment, results, smoke

EXPERT = ("--policy", "gf/expert-v1")
LOOKER = ("--policy", "local/looker-v1", "--plugin", str(WICKED), "--set", "history=[-3,0]")
POLICIES = pytest.mark.parametrize("policy", [EXPERT, LOOKER], ids=["expert", "looker"])


def finish(gf: Gf, out: str, *arguments: object) -> dict[str, bytes]:
    """Run to the end; returns the results."""
    done = gf("run", *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    return results(Path(out))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with a suite ``short.json``: gf/smoke@1, drawn fast and soon over, for who never succeeds anyway."""
    monkeypatch.chdir(tmp_path)
    document = smoke()
    document["env"]["config"] = {"render": "fast"}
    for row in document["episodes"]:
        row["horizon"] = 70
    Path("short.json").write_text(json.dumps(document))


@pytest.mark.parametrize(("suite", "policy"), [("gf/smoke@1", EXPERT), ("short.json", LOOKER)], ids=["expert", "looker"])
def test_slots_and_threads_change_no_byte(gf: Gf, suite: str, policy: tuple[str, ...]) -> None:
    ways = [("--slots", slots, "--threads", threads) for slots, threads in ((1, 1), (8, 2), (32, 0))]
    one, *others = [finish(gf, f"run{i}", suite, *policy, *way) for i, way in enumerate(ways)]
    assert len(one) == 14
    assert others == [one, one]


@pytest.mark.full
@POLICIES
def test_slots_and_threads_change_no_byte_of_a_longer_run(gf: Gf, policy: tuple[str, ...]) -> None:
    ways = [("--slots", slots, "--threads", threads) for slots, threads in ((1, 0), (8, 1), (8, 3), (32, 0))]
    one, *others = [finish(gf, f"run{i}", "gf/quick@1", *policy, *way) for i, way in enumerate(ways)]
    assert others == [one, one, one]


def interrupt(out: Path, arguments: tuple[object, ...], how: signal.Signals, chance: random.Random) -> bool:
    """Start a run and stop it at a random moment. Returns whether it was still at work."""
    command = [*GF, "run", *(str(argument) for argument in arguments), "--out", str(out)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal, until = out / "journal.jsonl", time.monotonic() + 60
    rows = _rows(journal) + chance.randrange(3)
    while process.poll() is None and _rows(journal) <= rows and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(chance.random() * 0.1)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said, said
    assert process.returncode in (0, -how, 130), said
    return process.returncode != 0


def _rows(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def check_interrupted(gf: Gf, suite: str, policy: tuple[str, ...], slots: int, how: signal.Signals, times: int) -> None:
    whole = finish(gf, "whole", suite, *policy)
    chance = random.Random(f"{suite} {policy} {slots} {how}")
    arguments = (suite, *policy, "--slots", slots)
    stopped = 0
    while not stopped:  # a busy machine may let the run end first
        shutil.rmtree("torn", ignore_errors=True)
        stopped = sum(interrupt(Path("torn"), arguments, how, chance) for _ in range(times))
    assert finish(gf, "torn", *arguments) == whole
    assert not list(Path("torn").rglob("*.tmp"))


@pytest.mark.parametrize(
    ("suite", "policy", "slots"), [("gf/smoke@1", EXPERT, 1), ("short.json", LOOKER, 8)], ids=["expert-1", "looker-8"]
)
def test_kill_9_and_the_same_command_again_give_the_same_bytes(gf: Gf, suite: str, policy: tuple[str, ...], slots: int) -> None:
    check_interrupted(gf, suite, policy, slots, signal.SIGKILL, 2)


def test_ctrl_c_and_the_same_command_again_give_the_same_bytes(gf: Gf) -> None:
    check_interrupted(gf, "gf/smoke@1", EXPERT, 3, signal.SIGINT, 1)


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("slots", [1, 8, 32])
@POLICIES
def test_any_interruption_of_a_longer_run(gf: Gf, policy: tuple[str, ...], slots: int, how: signal.Signals) -> None:
    check_interrupted(gf, "gf/quick@1", policy, slots, how, 5)
