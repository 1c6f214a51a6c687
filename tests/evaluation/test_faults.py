"""A policy or an environment that breaks: the guilty episodes fail with their reason, and the run goes on."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from gf_core.errors import GrinningFaceError, MissingDependencyError, PluginError
from gf_core.evaluation import Deadlines

from .conftest import results

REASONS = {
    "raise": "ValueError: I can't, says <object object at 0x…> at all",
    "sys.exit": "SystemExit: bye",
    "os._exit": "its process ended with exit code 3",
    "segfault": "its process was ended by SIGSEGV",
    "shape": "act returned actions of shape (1, 1, 2), not (1, T, 3)",
    "batch": "act returned actions of shape (2, 1, 3), not (1, T, 3)",
    "empty": "act returned actions of shape (1, 0, 3), not (1, T, 3)",
    "dtype": "act returned actions of dtype float64, not float32",
    "list": "act returned actions of type list, not a NumPy array",
    "nan": "action element 1 at chunk step 0 isn't finite (nan)",
    "inf": "action element 0 at chunk step 0 isn't finite (inf)",
    "wild": "action element 0 at chunk step 0 is beyond 100 times its bound (1e+06)",
}
HANGS = ("hang", "hang in C")
FAR = {"scene": {"goal": [3.0, 3.0]}, "horizon": 15}


def rows(run) -> dict[str, dict]:
    return {row["episode"]: {**row, "previous": ""} for row in run.records}


def journal(run) -> list[dict]:
    return [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]


def test_exactly_the_guilty_episodes_fail(play, write_suite):
    kinds = list(REASONS)
    bad = [x for kind in kinds for x in ({"instruction": kind, **FAR}, FAR)]
    broken = play(write_suite(bad), in_process=False, slots=8, out="broken").run
    sound = play(write_suite([{**e, "instruction": "go"} for e in bad]), slots=8, out="sound").run
    for number, kind in enumerate(kinds):
        row = rows(broken)[f"e{2 * number:03}"]
        assert (row["success"], row["ending"], row["reason"]) == (False, "policy_error", REASONS[kind]), kind
        assert row["steps"] == 3
        assert row["metrics"]["state_sha256"]
        good = f"e{2 * number + 1:03}"
        assert rows(broken)[good] == rows(sound)[good]
    assert broken.valid
    assert broken.complete
    blamed = [row for row in journal(broken) if row["kind"] == "fault"]
    assert any(len(row["episodes"]) > 1 for row in blamed), "the first call that broke had several slots"


@pytest.mark.full
def test_faults_are_recorded_in_the_same_bytes(play, write_suite):
    suite = write_suite([x for kind in REASONS for x in ({"instruction": kind, **FAR}, FAR)])
    expected = results(play(suite, in_process=False, slots=1, out="1").run.path)
    for slots in (5, 32):
        assert results(play(suite, in_process=False, slots=slots, out=str(slots)).run.path) == expected


def test_two_faults_in_the_same_bytes(play, write_suite):
    suite = write_suite([FAR, {"instruction": "raise", **FAR}, {"instruction": "os._exit", **FAR}, FAR])
    expected = results(play(suite, in_process=False, slots=1, out="1").run.path)
    assert results(play(suite, in_process=False, slots=4, out="4").run.path) == expected


def test_a_policy_that_hangs_in_python_or_in_c_is_ended(play, write_suite):
    suite = write_suite([FAR, *({"instruction": kind, **FAR} for kind in HANGS), FAR])
    run = play(suite, in_process=False, slots=4, deadlines=Deadlines(call=1.0, load=20.0)).run
    assert [row["ending"] for row in run.records] == ["horizon", "policy_error", "policy_error", "horizon"]
    assert {row["reason"] for row in run.records if "reason" in row} == {"no answer before the deadline"}


def test_in_process_exceptions_are_recorded(play, write_suite):
    kinds = [kind for kind in REASONS if kind not in ("os._exit", "segfault")]
    run = play(write_suite([{"instruction": kind, **FAR} for kind in kinds])).run
    assert [row["reason"] for row in run.records] == [REASONS[kind] for kind in kinds]


def test_a_policy_that_can_only_do_one_at_a_time_loses_nothing(play, write_suite):
    suite = write_suite(6)
    run = play(suite, in_process=False, policy_config={"fail_batches": True}).run
    assert {row["ending"] for row in run.records} == {"success"}


def test_what_a_policy_prints_goes_to_the_log(play, write_suite, capfd):
    run = play(write_suite([{"instruction": "noise", **FAR}, FAR]), in_process=False).run
    assert [row["ending"] for row in run.records] == ["horizon", "horizon"]
    assert capfd.readouterr() == ("", "")
    log = (run.path / "policy.log").read_text()
    assert "x" * 100_000 in log
    assert log.endswith("closed\n")


def test_beyond_its_bounds_is_clipped_and_counted(play, write_suite):
    run = play(write_suite([{"instruction": "beyond", **FAR}, FAR]), slots=2).run
    trajectory = run.trajectory("e000")
    assert (trajectory.actions[3:, 0] == np.float32(0.3)).all()
    assert (trajectory.controls[3:, 0] == 0.1).all()
    assert run.records[0]["clipped_steps"] >= 12 > run.records[1]["clipped_steps"]


def test_no_number_that_is_not_finite_is_played_from_late_in_a_chunk(play, write_suite):
    run = play(write_suite([{"instruction": "nan", **FAR}]), policy_config={"chunk": 4}).run
    (row,) = run.records
    assert row["reason"] == "action element 1 at chunk step 3 isn't finite (nan)"
    assert (row["steps"], row["chunks"]) == (4, 2)


@pytest.mark.parametrize("in_process", [True, False])
def test_a_policy_that_cannot_be_loaded(play, write_suite, tmp_path, in_process):
    with pytest.raises(GrinningFaceError, match="ValueError: no weights here"):
        play(write_suite(2), in_process=in_process, policy_config={"unloadable": True})
    if not in_process:
        assert "Traceback" in (tmp_path / "run" / "policy.log").read_text()
    with pytest.raises(PluginError, match="Nobody"):
        play(write_suite(2), "local/missing-v1", in_process=in_process, out="other")


def test_an_environment_that_breaks_once_changes_no_result(play, write_suite):
    sys.modules["reach"].FAULTED.clear()
    once = [{"scene": {"fault": "once"}}, {}, {}, {"scene": {"fault": "once"}}]
    run = play(write_suite(once), slots=4, out="once").run
    calm = play(write_suite(4), slots=4, out="calm").run
    assert [r["trajectory_sha256"] for r in run.records] == [r["trajectory_sha256"] for r in calm.records]
    faults = [row for row in journal(run) if row["kind"] == "fault"]
    assert faults[0]["cause"] == "environment"
    assert "0x…" in faults[0]["reason"], "no memory address"


@pytest.mark.parametrize("fault", ["always", "reset", "nan"])
def test_infrastructure_faults_are_counted_apart(play, write_suite, fault):
    run = play(write_suite([{}, {"scene": {"fault": fault}}, {}]), slots=3).run
    assert [row["ending"] for row in run.records] == ["success", "env_error", "success"]
    assert run.records[1]["reason"]
    assert not run.valid, "one of three is more than 2 %"
    assert journal(run)[-1]["valid"] is False


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("blind", "ValueError: proprio isn't finite"),
        ("clipped", "ValueError: a step's clipped is bool (1, 3), not bool (1,)"),
        ("one", "ValueError: the outcome's success is 1, not a bool"),
        ("huge", f"ValueError: the metric 'distance' is {2**70}"),
        ("half", r"ValueError: the metric 'note' is '\ud83d'"),
        ("unsaid", r"ValueError: the metric '\ud83d' is 1"),
        ("garbled", r"ValueError: the outcome's ending is '\ud83d', not a word"),
    ],
)
def test_what_an_environment_returns_is_its_own_fault(play, write_suite, fault, reason):
    run = play(write_suite([{}, {"scene": {"fault": fault}}]), slots=2).run
    assert [row["ending"] for row in run.records] == ["success", "env_error"]
    assert run.records[1]["reason"] == reason


def test_numbers_of_numpy_are_recorded_as_those_of_python(play, write_suite, tmp_path):
    play(write_suite([{"scene": {"fault": "numpy"}}, {}]), slots=2)
    first, _ = (json.loads(line) for line in (tmp_path / "run" / "episodes.jsonl").read_text().splitlines())
    assert (first["success"], first["metrics"]["near"], first["ending"]) == (True, True, "success")
    assert 0 < first["metrics"]["distance"] < 0.05


def test_one_in_fifty_is_not_too_many(play, write_suite):
    assert play(write_suite([*([{}] * 49), {"scene": {"fault": "always"}}]), slots=16).run.valid


def test_an_environment_that_cannot_be_made(play, write_suite):
    with pytest.raises(PluginError, match=r"the factory of local/reach-v1 made NoneType, not a BatchEnv"):
        play(write_suite(2), env_config={"broken": "nothing"})
    with pytest.raises(PluginError, match=r"local/reach-v1 can't be made \(RuntimeError: no such plane\)"):
        play(write_suite(2), env_config={"broken": "make"})
    with pytest.raises(MissingDependencyError, match="apt-get install libegl1"):
        play(write_suite(2), env_config={"broken": "missing"})
