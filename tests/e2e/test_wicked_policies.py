"""A policy may do what it likes: exactly the episodes in which it does fail, with the reason, and the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import WICKED, Gf, results, rows, smoke

REASONS = {
    "raise": "RuntimeError: out of ideas \\x1b[31min red",
    "sys.exit": "SystemExit: 0",
    "os._exit": "its process ended with exit code 0",
    "segfault": "its process was ended by SIGSEGV",
    "abort": "its process was ended by SIGABRT",
    "kill": "its process was ended by SIGKILL, perhaps for want of memory",
    "memory": "MemoryError",
    "hang": "no answer before the deadline",
    "hang in C": "no answer before the deadline",
    "hang in re": "no answer before the deadline",
    "stop": "no answer before the deadline",
    "close": "its process ended with exit code 0",
    "exec": "its process ended with exit code 0",
    "nan": "action element 2 at chunk step 3 isn't finite (nan)",
    "inf": "action element 2 at chunk step 3 isn't finite (-inf)",
    "wild": "action element 2 at chunk step 3 is beyond 100 times its bound (1e+06)",
    "shape": "act returned actions of shape (1, 20, 6), not (1, T, 7)",
    "dtype": "act returned actions of dtype float64, not float32",
    "empty": "act returned actions of shape (1, 0, 7), not (1, T, 7)",
    "list": "act returned list, not ActionChunk",
    "noise": "",
    "nothing": "",
}
"""What a policy does, as tests/e2e/wicked.py knows it, to why its episode failed; empty where it didn't."""


def write_suite(path: Path, deeds: list[str]) -> None:
    """A suite with an episode for each deed, told to the policy as its instruction."""
    document = smoke()
    episodes = document["episodes"]
    document["episodes"] = [
        {**episodes[i % len(episodes)], "id": f"e{i:03d}", "instruction": deed, "horizon": 80} for i, deed in enumerate(deeds)
    ]
    document["splits"] = {name: document["splits"][name] for name in {row["split"] for row in document["episodes"]}}
    path.write_text(json.dumps(document))


def play(gf: Gf, out: str, *more: object) -> Path:
    done = gf("run", "mine.json", "--policy", "local/wicked-v1", "--plugin", WICKED, "--deadline", "2", "--out", out, *more)
    assert done.returncode == 0, done.stderr
    return Path(out)


def check(gf: Gf, folder: Path, deeds: list[str], *slots: int) -> None:
    write_suite(folder / "mine.json", deeds)
    runs = [folder / play(gf, f"run-{n}", "--slots", n) for n in slots]
    for row, deed in zip(rows(runs[0]), deeds, strict=True):
        reason = REASONS[deed]
        assert row.get("reason", "") == reason, deed
        assert row["ending"] == ("policy_error" if reason else "horizon"), deed
        assert row["steps"] == (40 if reason else 80), deed
    for run in runs[1:]:
        assert results(run) == results(runs[0])


def test_exactly_the_guilty_episodes_fail(gf: Gf, tmp_path: Path) -> None:
    check(gf, tmp_path, ["raise", "nothing", "nan", "hang in C", "segfault", "noise"], 8)
    replayed = gf("replay", "run-8", "first-failure", "--suite", "mine.json", "--plugin", WICKED)
    assert replayed.returncode == 0, replayed.stderr
    assert "policy_error (RuntimeError: out of ideas \\x1b[31min red) after 40 steps" in replayed.stdout
    report = gf("report", "run-8", "--suite", "mine.json", "--plugin", WICKED)
    assert report.returncode == 0
    assert "policy_error 4" in report.stdout


@pytest.mark.full
def test_two_processes_that_answer_harm_nobody_else(gf: Gf, tmp_path: Path) -> None:
    deeds = ["nothing", "raise", "fork", "nothing", "noise"]
    for name in ("fork", "nothing"):
        write_suite(tmp_path / "mine.json", [name if deed == "fork" else deed for deed in deeds])
        play(gf, name, "--slots", 2)
    forked, quiet = (rows(tmp_path / name) for name in ("fork", "nothing"))
    assert [row["ending"] for row in quiet] == ["horizon", "policy_error", "horizon", "horizon", "horizon"]
    for i in (0, 1, 3, 4):  # whether the one that forked is found out before it ends is a matter of chance
        assert {**forked[i], "previous": ""} == {**quiet[i], "previous": ""}


@pytest.mark.full
def test_whatever_a_policy_does_the_results_are_the_same_for_any_slots(gf: Gf, tmp_path: Path) -> None:
    check(gf, tmp_path, list(REASONS), 1, 8, 32)
