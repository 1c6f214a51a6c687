"""Recordings of single episodes, driven through the environment again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gf_core import runs, trajectories
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError, PluginError, RunDirectoryError
from gf_core.evaluation import Camera, load_suite, replay_episode, verify_run
from gf_core.evaluation.video import Video

FAR = {"scene": {"goal": [9.0, 9.0]}, "horizon": 7}


@pytest.fixture
def run(play, write_suite):
    suite = write_suite([{}, FAR, {"instruction": "nan", **FAR}, {"scene": {"fault": "always"}}])
    return play(suite, "local/reacher-v1").run, Path(suite)


@pytest.mark.parametrize("by", ["actions", "controls", None])
@pytest.mark.parametrize("episode", ["e000", "e001", "e002", "e003"])
def test_replays_as_recorded(run, host, episode, by):
    there, suite = run
    found = replay_episode(there, episode, host, suite_file=suite, by=by)
    assert (found.differences, found.by) == ((), by or "actions")
    assert found.compared == found.equal == (episode != "e003"), "an infrastructure fault is shown, not compared"


def test_an_environment_that_breaks_is_named(play, write_suite, host):
    suite = write_suite([{"scene": {"fault": "reset"}}])
    there = play(suite).run
    with pytest.raises(PluginError, match=r"local/reach-v1 broke during the replay \(RuntimeError: can't lay out\)"):
        replay_episode(there, "e000", host, suite_file=Path(suite))


def test_the_first_failure(run, host):
    there, suite = run
    assert replay_episode(there, "first-failure", host, suite_file=suite).record["episode"] == "e001"


def test_other_controls_are_noticed(run, host):
    """Controls that were edited together with their hash aren't what the actions give, nor do they lead to the outcome."""
    there, suite = run
    trajectory = there.trajectory("e001")
    trajectory.controls[3, 0] -= 0.1
    data = trajectories.to_bytes(trajectory)
    (there.path / "trajectories" / "e001.npz").write_bytes(data)
    there.records[1]["trajectory_sha256"] = sha256(data)
    (difference,) = replay_episode(there, "e001", host, suite_file=suite).differences
    assert difference.startswith("step 4: controls[0]: ")
    (difference,) = replay_episode(there, "e001", host, suite_file=suite, by="controls").differences
    assert difference.startswith("distance: ")


def test_an_episode_that_ends_sooner_is_noticed(run, host):
    there, suite = run
    there.records[0]["steps"] += 1
    assert replay_episode(there, "e000", host, suite_file=suite).differences[0].startswith("steps: ")


def rerecord(run: runs.Run, number: int, **arrays: np.ndarray) -> None:
    """Forge a recording together with its row."""
    row = run.records[number]
    data = trajectories.to_bytes(dataclasses.replace(run.trajectory(row["episode"]), **arrays))
    (run.path / "trajectories" / f"{row['episode']}.npz").write_bytes(data)
    row.update(steps=len(arrays["actions"]), trajectory_sha256=sha256(data))


@pytest.mark.parametrize("by", ["actions", "controls"])
def test_a_recording_that_is_longer_or_shorter_than_the_episode_is_noticed(run, host, by):
    there, suite = run
    long, short = there.trajectory("e000"), there.trajectory("e001")
    rerecord(
        there,
        0,
        actions=np.pad(long.actions, ((0, 1), (0, 0)), constant_values=7e9),
        controls=np.pad(long.controls, ((0, 1), (0, 0))),
    )
    rerecord(there, 1, actions=short.actions[:3], controls=short.controls[:3])
    steps = len(long.actions)
    found = replay_episode(there, "e000", host, suite_file=suite, by=by)
    assert found.differences == (f"it is over after {steps} steps, and {steps + 1} are recorded",)
    found = replay_episode(there, "e001", host, suite_file=suite, by=by)
    assert found.differences == ("it isn't over, and ended with 'horizon' here as recorded",)


def test_a_recording_that_is_no_numbers_never_reaches_the_environment(run, host, tmp_path):
    there, suite = run
    old = there.trajectory("e001")
    rerecord(there, 1, actions=np.full_like(old.actions, np.nan), controls=old.controls)
    video = Video(tmp_path / "episode.webp", fps=20)
    camera = Camera(name="", size=(32, 32), shoot=video.shoot)
    found = replay_episode(there, "e001", host, suite_file=suite, camera=camera)
    assert found.differences == ("actions: not all recorded values are finite numbers",)
    video.write()


def test_numbers_of_numpy_are_what_was_recorded(play, write_suite, host):
    suite = write_suite([{"scene": {"fault": "numpy"}}])
    there = play(suite).run
    assert replay_episode(there, "e000", host, suite_file=Path(suite)).equal
    assert verify_run(there, load_suite(suite, host), host).equal


def test_mistakes(run, host, tmp_path):
    there, suite = run
    with pytest.raises(GrinningFaceError, match="did you mean 'e000'"):
        replay_episode(there, "e0000", host, suite_file=suite)
    with pytest.raises(GrinningFaceError, match="give its file with --suite"):
        replay_episode(there, "e000", host)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**json.loads(suite.read_text()), "summary": "changed"}))
    with pytest.raises(RunDirectoryError, match="the run's suite has the hash"):
        replay_episode(there, "e000", host, suite_file=other)
    camera = Camera(name="tpo", size=(32, 32), shoot=lambda *_: None)
    with pytest.raises(GrinningFaceError, match="no camera 'tpo'; did you mean 'top'"):
        replay_episode(there, "e000", host, suite_file=suite, camera=camera)


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_video_has_a_frame_for_every_step(run, host, tmp_path, suffix):
    from PIL import Image

    there, suite = run
    video = Video(tmp_path / f"episode{suffix}", fps=20)
    replay_episode(there, "e001", host, suite_file=suite, camera=Camera(name="", size=(96, 96), shoot=video.shoot))
    video.write()
    with Image.open(tmp_path / f"episode{suffix}") as image:
        assert image.n_frames == 8
        assert image.size[0] == 96
        assert image.size[1] > 96, "a strip for the caption"
        image.seek(7)
        image.load()
        assert image.info["duration"] > 1000, "time to read how it ended"
        strip = np.asarray(image.convert("RGB"))[96:]
    assert strip.std() > 10, "something is written in it"


def test_other_kinds_of_video_are_refused(tmp_path):
    with pytest.raises(GrinningFaceError, match=r"use \.webp or \.gif"):
        Video(tmp_path / "episode.mp4", fps=20)


def test_a_run_directory_that_is_none(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"no run\.json"):
        runs.read_run(tmp_path)
