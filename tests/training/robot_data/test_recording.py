"""What is recorded is what happened, whatever stopped it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation import Quiet, load_suite
from gf_core.evaluation.environment import make_env
from gf_core.runs import read_run
from gf_core.schemas import load_document
from gf_core.specs import Observes
from gf_core.training.demos.filming import Cameras, encode
from gf_core.training.lerobot import RobotDataset

from .recorded import CAMERAS, SIZE, plugins, record_few

SMALL = Cameras(names=("third",), size=(16, 16), format="png")
FAST = ("render=fast",)


def files(path: Path) -> dict[str, bytes]:
    """All that is the data set."""
    found = sorted(p for folder in ("data", "meta") for p in (path / folder).rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in found}


def test_images_and_numbers_are_those_of_the_run(demos: Path) -> None:
    data, run = RobotDataset(demos), read_run(demos / ".run")
    host = plugins()
    suite = load_suite("gf/smoke@1", host)
    record = run.records[1]
    trajectory = run.trajectory(record["episode"])
    env = make_env(suite, {"render": ""}, 20.0, host, slots=1, threads=1)
    slot = np.zeros(1, np.int32)
    env.reset(slot, [episode for episode in suite.episodes if episode.id == record["episode"]])
    assert data.episodes[1].id == record["episode"]
    assert data.episodes[1].length == record["steps"]
    actions, mask = data.chunk(1, 0, record["steps"])
    assert np.array_equal(actions, trajectory.actions)
    assert mask.all()
    for step in range(record["steps"]):
        if step in (0, 30, record["steps"] - 1):
            seen = env.observe(slot, Observes(cameras=("third", "wrist"), size=SIZE))
            for camera, images in seen.images.items():
                assert np.array_equal(data.image(1, step, camera), images[0]), (camera, step)
            assert np.array_equal(data._numbers.proprio[data.episodes[1].first + step], seen.proprio[0])
        env.step(slot, trajectory.actions[step : step + 1])
    env.close()


def test_the_document_names_what_lay_on_the_table(demos: Path) -> None:
    document = load_document(demos / "meta" / "grinningface.json", "demos")
    suite = load_suite("gf/smoke@1", plugins())
    assert document["recording"]["suite"] == {"id": suite.id, "sha256": suite.sha256}
    assert document["recording"]["left_out"] == []
    for told, episode in zip(document["episodes"], suite.episodes, strict=False):
        cards = episode.scene["cards"]
        assert told["id"] == episode.id
        assert told["items"] == [{"deck": card["deck"], "item": card["item"]} for card in cards]
        assert told["target"]["item"] == cards[episode.scene["target"]]["item"]
    assert document["action"]["hz"] == 20
    assert document["action"]["reference"] == "previous_target"


class Interrupting(Quiet):
    """Ctrl-C once so many episodes were filmed."""

    left = 0

    def started(self, total: int, done: int, title: str) -> None:
        self.filming = title.startswith("filming")

    def episode(self, record: Mapping[str, Any]) -> None:
        if self.filming:
            type(self).left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def test_a_stopped_recording_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gf_core.training.demos.recording.EPISODES_PER_FILE", 1)
    whole = record_few(tmp_path / "whole", cameras=SMALL, slots=3, env_config=FAST)
    monkeypatch.setattr(Interrupting, "left", 2)
    with pytest.raises(KeyboardInterrupt):
        record_few(tmp_path / "stopped", cameras=SMALL, slots=1, progress=Interrupting, env_config=FAST)
    left = files(tmp_path / "stopped")
    assert any("file-000" in name for name in left)
    assert "meta/info.json" not in left
    again = record_few(tmp_path / "stopped", cameras=SMALL, slots=2, env_config=FAST)
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")
    assert (again.document, again.was_finished) == (whole.document, False)
    assert record_few(tmp_path / "stopped", cameras=SMALL, env_config=FAST).was_finished


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, room = tmp_path / "out", os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().name.startswith(".file-000.parquet"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(GrinningFaceError, match=r"No space left on device.*make room, then the same command again goes on"):
        record_few(out, cameras=SMALL, limit=1, env_config=FAST)
    assert files(out) == {}
    monkeypatch.setattr(os, "fsync", room)
    assert record_few(out, cameras=SMALL, limit=1, env_config=FAST).episodes == 1


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, demos: Path) -> None:
    before = files(demos)
    with pytest.raises(RunDirectoryError, match=r"another recording: /size/0 is 64 there and 16 here.*give another --out"):
        record_few(demos, cameras=Cameras(names=CAMERAS.names, size=(16, 16), format="png"))
    with pytest.raises(RunDirectoryError, match="belongs to another configuration: /episodes"):
        record_few(demos, limit=2)
    assert files(demos) == before
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunDirectoryError, match=r"holds 'thesis\.tex' but no recording"):
        record_few(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_failed_episodes_are_left_out_and_named(tmp_path: Path) -> None:
    found = record_few(tmp_path / "out", cameras=SMALL, policy="gf/random-card-v1", limit=6, env_config=FAST)
    rows = [json.loads(line) for line in (tmp_path / "out" / ".run" / "episodes.jsonl").read_text().splitlines()]
    good = [row["episode"] for row in rows if row["success"]]
    bad = [{"id": row["episode"], "ending": row["ending"]} for row in rows if not row["success"]]
    assert good
    assert bad
    assert [episode["id"] for episode in found.document["episodes"]] == good
    assert found.document["recording"]["left_out"] == bad
    assert [episode.id for episode in RobotDataset(tmp_path / "out").episodes] == good


def test_mistakes_are_found_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(GrinningFaceError, match=r"no camera 'thrid'; did you mean 'third'\?"):
        record_few(tmp_path / "out", cameras=Cameras(names=("thrid",), size=(16, 16), format="png"))
    assert not (tmp_path / "out").exists()


def test_nothing_succeeds(tmp_path: Path) -> None:
    with pytest.raises(GrinningFaceError, match=r"gf/null-v1 on gf/smoke@1: none of 1 episodes succeeded \(horizon\)"):
        record_few(tmp_path / "out", cameras=SMALL, policy="gf/null-v1", limit=1)


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_png_and_webp_lose_nothing(format: Any, demos: Path) -> None:
    import io

    from PIL import Image

    image = RobotDataset(demos).image(0, 0, "third")
    read = np.asarray(Image.open(io.BytesIO(encode(image, format))).convert("RGB"))
    error = np.abs(read.astype(int) - image)
    assert error.max() == 0 if format != "jpeg" else 0 < error.mean() < 2
