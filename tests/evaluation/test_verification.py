"""Whole runs, driven again: what differs is named by episode and step, whatever it is and however many run side by side."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import numpy as np
import pytest

from gf_core import runs, trajectories
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation import load_suite, recorded_suite, verify_run
from gf_core.evaluation.verification import how_to_drive
from gf_core.trajectories import Trajectory

FAR = {"scene": {"goal": [9.0, 9.0]}, "horizon": 7}
FAULTY = [{}, FAR, {"instruction": "nan", **FAR}, {"scene": {"fault": "always"}}, {}, {"instruction": "raise", **FAR}, {}]


@pytest.fixture
def recorded(play, write_suite):
    """A run with successes, failures, policy errors and an infrastructure fault, and its suite's file."""
    suite = write_suite(FAULTY)
    return play(suite).run, Path(suite)


@pytest.fixture
def verify(host, recorded):
    run, suite = recorded

    def call(**options):
        return verify_run(runs.read_run(run.path), load_suite(str(suite), host), host, **options)

    return call


def rewrite(run: runs.Run, number: int, **changes: object) -> None:
    """Forge a row, in the journal's and the chain's despite."""
    rows = [json.loads(line) for line in (run.path / "episodes.jsonl").read_bytes().splitlines()]
    rows[number].update(changes)
    previous, lines = sha256((run.path / "run.json").read_bytes()), []
    for row in rows:
        lines.append(runs.canonical_json({**row, "previous": previous}))
        previous = sha256(lines[-1])
    (run.path / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    (run.path / "journal.jsonl").unlink(missing_ok=True)


def rerecord(run: runs.Run, number: int, **changes: object) -> None:
    """Forge a recording together with its hash."""
    row = run.records[number]
    old = run.trajectory(row["episode"])
    arrays = {name: changes.get(name, getattr(old, name)) for name in ("actions", "chunk_starts", "controls")}
    data = trajectories.to_bytes(Trajectory(**arrays))
    (run.path / "trajectories" / f"{row['episode']}.npz").write_bytes(data)
    rewrite(run, number, trajectory_sha256=sha256(data))


def changed(array: np.ndarray, step: int, element: int, by: float) -> np.ndarray:
    copy = array.copy()
    copy[step, element] += by
    return copy


@pytest.mark.parametrize("slots", [1, 2, 64])
@pytest.mark.parametrize("by", ["actions", "controls"])
def test_what_the_runner_recorded_is_what_happens(verify, recorded, slots, by):
    found = verify(slots=slots, by=by)
    assert found.equal
    assert (found.by, found.episodes, found.compared, found.not_compared) == (by, 7, 6, 1)
    assert found.steps == sum(row["steps"] for row in recorded[0].records if row["ending"] != "env_error")


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_an_edited_action_is_named_by_episode_step_and_control(verify, recorded, slots):
    run, _ = recorded
    rerecord(run, 4, actions=changed(run.trajectory("e004").actions, 2, 1, 1e-4))
    (difference,) = verify(slots=slots).differences
    assert (difference.number, difference.episode, difference.step) == (4, "e004", 3)
    assert difference.what.startswith("controls[1]: ")


def test_a_control_that_differs_in_its_last_bit_is_noticed(verify, recorded):
    run, _ = recorded
    controls = run.trajectory("e001").controls.copy()
    controls[5, 0] = np.nextafter(controls[5, 0], 1)
    rerecord(run, 1, controls=controls)
    (difference,) = verify().differences
    assert (difference.episode, difference.step) == ("e001", 6)


def test_a_negative_zero_is_another_control(verify, recorded):
    run, _ = recorded
    controls = run.trajectory("e001").controls.copy()
    assert controls[0, 2] == 0
    controls[0, 2] = -0.0
    rerecord(run, 1, controls=controls)
    assert verify().differences[0].what == "controls[2]: -0.0 recorded, 0.0 replayed"


@pytest.mark.parametrize(
    ("number", "changes", "what"),
    [
        (1, {"success": True}, "success: True recorded, False replayed"),
        (0, {"ending": "horizon"}, "ending: 'horizon' recorded, 'success' replayed"),
        (1, {"ending": "policy_error", "reason": "x"}, "it is over, and ended with 'policy_error'"),
        (2, {"ending": "horizon"}, "it isn't over, and ended with 'horizon'"),
        (2, {"success": True}, "success: True recorded, False replayed"),
        (1, {"clipped_steps": 99}, "clipped_steps: 99 recorded"),
        (1, {"steps": 6}, "steps: 6 recorded, and the trajectory has 7"),
        (1, {"metrics": {}}, "distance: 'nothing' recorded"),
        (3, {"ending": "horizon"}, "it isn't over, and ended with 'horizon'"),
    ],
)
@pytest.mark.parametrize("slots", [1, 64])
def test_a_forged_row_is_named(verify, recorded, number, changes, what, slots):
    run, _ = recorded
    rewrite(run, number, **changes)
    (difference,) = verify(slots=slots).differences
    assert difference.number == number
    assert difference.what.startswith(what)


@pytest.mark.parametrize("slots", [1, 2, 64])
def test_a_recording_that_breaks_the_environment_is_named_and_the_others_are_compared(host, play, write_suite, slots):
    suite = write_suite([{}, {"scene": {"fault": "reset"}}, {}, {}])
    run = play(suite).run
    rewrite(run, 1, ending="horizon")
    found = verify_run(runs.read_run(run.path), load_suite(suite, host), host, slots=slots)
    assert [str(d) for d in found.differences] == [
        "e001 (episode 2), step 0: the environment broke (RuntimeError: can't lay out)"
    ]
    assert found.compared == 4


def test_a_forged_metric_is_named_and_an_integer_is_no_boolean(verify, recorded):
    run, _ = recorded
    metrics = dict(run.records[1]["metrics"])
    rewrite(run, 1, metrics={**metrics, "state_sha256": "0" * 64})
    assert verify().differences[0].what.startswith("state_sha256: ")
    rewrite(run, 1, metrics={**metrics, "near": 0})
    assert verify().differences[0].what == "near: 0 recorded, False replayed"


def test_every_episode_that_differs_is_found_and_the_first_comes_first(verify, recorded):
    run, _ = recorded
    rewrite(run, 6, success=False)
    rewrite(run, 0, success=False)
    found = verify(slots=64)
    assert [difference.episode for difference in found.differences] == ["e000", "e006"]
    assert found.compared == 6


@pytest.mark.parametrize("slots", [1, 64])
def test_only_the_first_if_asked(verify, recorded, slots):
    run, _ = recorded
    rewrite(run, 6, success=False)
    rerecord(runs.read_run(run.path), 4, actions=changed(run.trajectory("e004").actions, 2, 1, 1e-4))
    found = verify(first_only=True, slots=slots)
    assert [difference.episode for difference in found.differences] == ["e004"]


@pytest.mark.parametrize("what", ["missing", "damaged"])
def test_a_recording_that_cannot_be_read_is_a_difference(verify, recorded, what):
    run, _ = recorded
    path = run.path / "trajectories" / "e004.npz"
    if what == "missing":
        path.unlink()
    else:
        path.write_bytes(b"PK")
    (difference,) = verify().differences
    assert (difference.episode, difference.step) == ("e004", 0)


@pytest.mark.parametrize("array", ["actions", "controls"])
def test_recordings_that_are_no_numbers_never_reach_the_environment(verify, recorded, array):
    run, _ = recorded
    values = getattr(run.trajectory("e001"), array).copy()
    values[2, 0] = np.nan
    rerecord(run, 1, **{array: values})
    assert verify().differences[0].what.startswith(array)


def test_on_another_platform_controls_give_the_outcome(verify, recorded, monkeypatch):
    run, _ = recorded
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    metrics = dict(run.records[1]["metrics"])
    rewrite(run, 1, metrics={**metrics, "state_sha256": "0" * 64, "distance": metrics["distance"] + 1e-6})
    found = verify()
    assert (found.by, found.equal) == ("controls", True)
    assert found.why == f"recorded with {run.identity['platform']['machine']}, and this is riscv64"
    rewrite(run, 1, metrics={**metrics, "near": True})
    assert verify().differences[0].what == "near: True recorded, False replayed"


def test_how_to_drive_names_what_bits_depend_on(recorded):
    identity = json.loads(json.dumps(dict(recorded[0].identity)))
    assert how_to_drive(identity) == ("actions", "")
    identity["environment"]["runtime"] = {"renderer": "another"}
    identity["platform"]["python"] = "3.99"
    identity["versions"]["grinningface"] = "99"
    assert how_to_drive(identity) == ("actions", "")
    identity["versions"]["numpy"] = "1.0"
    by, why = how_to_drive(identity)
    assert (by, why.startswith("recorded with numpy 1.0")) == ("controls", True)


def test_recordings_are_read_as_slots_fall_free(host, play, write_suite):
    """Memory doesn't grow with the number of episodes."""
    suite = write_suite(40)
    run = play(suite, slots=8).run
    alive: set[int] = set()
    most = 0

    class Watched:
        identity, records = run.identity, run.records

        def trajectory(self, episode):
            nonlocal most
            found = run.trajectory(episode)
            alive.add(id(found))
            weakref.finalize(found, alive.discard, id(found))
            most = max(most, len(alive))
            return found

    assert verify_run(Watched(), load_suite(suite, host), host, slots=4).compared == 40
    assert most <= 6


def test_mistakes(host, recorded, tmp_path):
    run, path = recorded
    suite = load_suite(str(path), host)
    with pytest.raises(GrinningFaceError, match="give its file with --suite"):
        recorded_suite(run, host)
    rewrite(run, 1, episode="e999")
    with pytest.raises(RunDirectoryError, match="has no episode 'e999'"):
        verify_run(runs.read_run(run.path), suite, host)
    rewrite(run, 1, episode="e001", steps="seven")
    with pytest.raises(RunDirectoryError, match="episode row 2 has no proper 'steps'"):
        verify_run(runs.read_run(run.path), suite, host)


def test_faults_alone_verify_nothing(play, write_suite, host):
    suite = write_suite([{"scene": {"fault": "always"}}])
    found = verify_run(play(suite).run, load_suite(str(suite), host), host)
    assert (found.compared, found.not_compared, found.differences) == (0, 1, ())
    assert not found.equal
