"""A data set as a source: what samples hold, who may read them, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gf_core.errors import GrinningFaceError, MismatchError, MissingDependencyError
from gf_core.training.lerobot import RobotDataset
from gf_core.training.samples import Sample, Source, Wanted

from . import foreign

WANTED = Wanted(horizon=8)


def same(a: Sample, b: Sample) -> bool:
    arrays = [(a.actions, b.actions), (a.action_mask, b.action_mask), (a.proprio, b.proprio)]
    arrays += [(x.image, y.image) for x, y in zip(a.frames, b.frames, strict=True)]
    return (a.prompt, a.domain) == (b.prompt, b.domain) and all(np.array_equal(x, y) for x, y in arrays)  # type: ignore[arg-type]


def test_a_sample_near_the_end_of_an_episode(demos: Path) -> None:
    data = RobotDataset(demos, name="robot")
    assert isinstance(data, Source)
    first, second = data.episodes[:2]
    index = first.length - 3  # every frame is a sample
    sample = data.sample(index, Wanted(horizon=5, offsets=(0, -2, 10)))
    whole, _ = data.chunk(0, 0, first.length)
    assert sample.key == f"robot/{first.id}/{index}"
    assert sample.prompt.startswith("pick the block and place it on ")
    assert sample.domain == "robot"
    assert sample.actions is not None
    assert sample.actions.dtype == np.float32
    assert np.array_equal(sample.actions, [*whole[-3:], whole[-1], whole[-1]])
    assert sample.action_mask is not None
    assert sample.action_mask.tolist() == [True, True, True, False, False]
    assert [(f.camera, f.offset) for f in sample.frames] == [(c, o) for o in (0, -2, 10) for c in ("third", "wrist")]
    assert np.array_equal(sample.frames[2].image, data.image(0, index - 2, "third"))
    assert np.array_equal(sample.frames[4].image, data.image(0, first.length - 1, "third")), "the last frame stands in"
    assert np.array_equal(data.image(1, -5, "third"), data.image(1, 0, "third"))
    assert data.sample(first.length, WANTED).key == f"robot/{second.id}/0"
    assert data.locate(len(data) - 1) == (2, data.episodes[2].length - 1)
    for wrong in (-1, len(data)):
        with pytest.raises(IndexError, match=f"sample {wrong} was asked for"):
            data.sample(wrong, WANTED)


def test_cameras_and_sizes_are_as_wanted(demos: Path) -> None:
    data = RobotDataset(demos)
    assert data.name == "demos"
    sample = data.sample(0, Wanted(cameras=("wrist",), size=(20, 30)))
    (frame,) = sample.frames
    assert frame.camera == "wrist"
    assert frame.image.shape == (20, 30, 3)
    reduced = Image.fromarray(data.image(0, 0, "wrist")).resize((30, 20), Image.Resampling.LANCZOS)
    assert np.array_equal(frame.image, reduced)
    with pytest.raises(GrinningFaceError, match=r"no camera 'wist'; did you mean 'wrist'\?"):
        data.sample(0, Wanted(cameras=("wist",)))


def test_conventions_and_manifest(demos: Path, tmp_path: Path) -> None:
    data = RobotDataset(demos, name="robot")
    found = data.conventions
    assert found is not None
    assert found.cameras == {"third": (64, 64), "wrist": (64, 64)}
    assert (found.action.hz, found.action.field.names[-1]) == (20, "opening")
    actions = np.concatenate([data.chunk(n, 0, episode.length)[0] for n, episode in enumerate(data.episodes)]).astype(float)
    assert found.action_statistics.count == len(actions) == len(data)
    assert np.allclose(found.action_statistics.mean, actions.mean(0))
    assert np.allclose(found.action_statistics.q99, np.quantile(actions, 0.99, axis=0))
    manifest = data.manifest()
    assert (manifest.name, manifest.kind, manifest.samples) == ("robot", "lerobot", len(data))
    assert manifest.items is not None
    assert set(manifest.items["gf/emoji-noto@1"]) == {item for episode in data.episodes for _, item in episode.items}
    assert all(episode.target in episode.items for episode in data.episodes)
    other = foreign.copied(demos, tmp_path / "other")
    assert RobotDataset(other).manifest().sha256 == manifest.sha256
    foreign.rewrite(other, "action", lambda rows: [[0.5] * 7, *rows[1:]])
    assert RobotDataset(other).manifest().sha256 != manifest.sha256


def test_threads_and_processes_read_the_same(demos: Path) -> None:
    data = RobotDataset(demos)
    indices = np.random.default_rng(0).integers(0, len(data), 24).tolist()
    alone = [data.sample(index, WANTED) for index in indices]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: data.sample(index, WANTED), indices))
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    with multiprocessing.get_context("fork").Pool(1) as processes:
        forked = processes.starmap(data.sample, [(index, WANTED) for index in indices[:4]])
    assert all(same(a, b) for a, b in zip(alone, forked, strict=False))
    copy = pickle.loads(pickle.dumps(data))
    assert same(copy.sample(indices[0], WANTED), alone[0])


def test_version_2_1_reads_the_same(demos: Path, tmp_path: Path) -> None:
    old = foreign.as_v21(demos, tmp_path / "old")
    (old / "meta/grinningface.json").write_text(json.dumps(foreign.conventions_of(demos)))
    theirs, ours = RobotDataset(old), RobotDataset(demos)
    assert len(theirs) == len(ours)
    for index in (0, 75, 76, len(ours) - 1):
        assert same(theirs.sample(index, WANTED), ours.sample(index, WANTED))
    assert theirs.sample(0, WANTED).key == "old/0/0"
    assert theirs.conventions == ours.conventions
    assert theirs.manifest().items is None, "nobody knows what lay on the table"


def test_a_data_set_that_doesnt_say_what_its_numbers_mean(demos: Path, tmp_path: Path) -> None:
    other = foreign.copied(demos, tmp_path / "other")
    (other / "meta/grinningface.json").unlink()
    with pytest.raises(GrinningFaceError) as caught:
        RobotDataset(other)
    for part in ("meta/grinningface.json", "at 20 Hz", "action [7]", "observation.images.wrist [64, 64, 3]", "docs/data.md"):
        assert part in str(caught.value)
    file = tmp_path / "conventions.json"
    document = foreign.conventions_of(demos)
    file.write_text(json.dumps(document | {"cameras": [{"name": "front", "feature": "observation.images.wrist"}]}))
    data = RobotDataset(other, conventions=file)
    assert data.cameras == ("front",)
    assert np.array_equal(pickle.loads(pickle.dumps(data)).image(0, 3, "front"), RobotDataset(demos).image(0, 3, "wrist"))


def action(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"action": {**document["action"], **changes}}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: action(d, hz=10), r"action\.hz is 10 there, and the data set has 20 frames per second"),
        (
            lambda d: action(d, field={**d["action"]["field"], "shape": [8]}),
            r"action has the shape \[8\] there, and 'action' of the data set \[7\]",
        ),
        (
            lambda d: {"cameras": [{"name": "third", "feature": "observation.image.third"}]},
            r"no feature 'observation\.image\.third'; did you mean",
        ),
        (lambda d: {"cameras": [{"name": "third", "feature": "action"}]}, "'action' of camera 'third' holds no images"),
        (lambda d: {"cameras": 2 * d["cameras"][:1]}, "two cameras are called 'third'"),
        (lambda d: {"episodes": [{"id": "a", "items": []}] * 3}, "two episodes are called 'a'"),
        (lambda d: {"episodes": [{"id": "a", "items": []}]}, "tells of 1 episodes, and the data set has 3"),
        (lambda d: action(d, rotation="axis"), "#/action/rotation: 'axis'"),
        (
            lambda d: action(d, field={**d["action"]["field"], "names": list("abcdef")}),
            r"said\.json: action\.names has 6 elements",
        ),
        (lambda d: action(d, field={**d["action"]["field"], "unit": []}), r"action\.unit has 0 elements; allowed are 1 or 7"),
        (lambda d: action(d, field={**d["action"]["field"], "dtype": "float99"}), r"action\.dtype is 'float99'"),
        (lambda d: {"proprio": {**d["proprio"], "names": list("abcdefghi")}}, r"proprio\.names has 9 elements"),
        (lambda d: {"features": {"imitate": "index"}}, r"the feature 'index' is int64 \[1\], and imitate is bool \[1\]"),
    ],
)
def test_what_is_said_must_fit(demos: Path, tmp_path: Path, change: Any, what: str) -> None:
    document = foreign.conventions_of(demos)
    file = tmp_path / "said.json"
    file.write_text(json.dumps(document | change(document)))
    with pytest.raises(GrinningFaceError, match=what):
        RobotDataset(demos, conventions=file)


def test_a_mismatch_is_one(demos: Path, tmp_path: Path) -> None:
    file = tmp_path / "said.json"
    document = foreign.conventions_of(demos)
    file.write_text(json.dumps(document | action(document, hz=5)))
    with pytest.raises(MismatchError):
        RobotDataset(demos, conventions=file)


def change_info(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    path.write_text(json.dumps(foreign.read_json(path) | changes))


def change_feature(root: Path, name: str, **changes: Any) -> None:
    features = foreign.read_json(root / "meta/info.json")["features"]
    change_info(root, features={**features, name: {**features[name], **changes}})


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda root: change_info(root, codebase_version="v1.6"), r"version 'v1\.6' of LeRobot's format isn't read; v3\.x"),
        (lambda root: (root / "meta/info.json").write_text("{"), r"info\.json: isn't as LeRobot writes it"),
        (lambda root: change_info(root, features={"action": "float32"}), r"info\.json: isn't as LeRobot writes it"),
        (lambda root: change_info(root, features={"action": {"shape": [7]}}), r"info\.json: .*lacks 'dtype'"),
        (lambda root: change_info(root, features={"action": {"dtype": "float32"}}), r"info\.json: .*lacks 'shape'"),
        (lambda root: change_feature(root, "action", dtype=None), r"info\.json: .*feature action has dtype None"),
        (lambda root: change_feature(root, "action", shape=["7"]), r"info\.json: .*feature action has .* shape \['7'\]"),
        (lambda root: change_feature(root, "observation.images.third", shape=[64]), "of camera 'third' holds no images"),
        (lambda root: change_feature(root, "observation.images.third", dtype="video"), r"info\.json: .*video_path is None"),
        (lambda root: change_info(root, total_episodes=4), r"total_episodes is 4, .* tell of 3 episodes; was the data set"),
        (lambda root: change_info(root, total_frames=300), r"info\.json: total_frames is 300, .* tell of .* frames"),
        (lambda root: change_info(root, data_path=7), r"info\.json: .*data_path is 7"),
        (lambda root: (root / "meta/tasks.parquet").write_bytes(b"PAR1"), r"tasks\.parquet: isn't as LeRobot writes it"),
        (lambda root: (root / "data/chunk-000/file-000.parquet").unlink(), r"file-000\.parquet: isn't as LeRobot writes it"),
        (lambda root: change_info(root, data_path="../{chunk_index}/{file_index}"), "leads out of the data set"),
        (lambda root: foreign.rewrite(root, "action", lambda rows: [[float("nan")] * 7, *rows[1:]]), "action of episode 0 isn't"),
        (lambda root: foreign.rewrite(root, "task_index", lambda rows: [7, *rows[1:]]), "has the task 7, which isn't listed"),
        (lambda root: foreign.rewrite(root, "episode_index", lambda rows: [1, *rows[1:]]), "episode 0 should have"),
        (lambda root: foreign.rewrite(root, "imitate", lambda rows: [False for _ in rows]), "none of its actions is to be"),
    ],
)
def test_damage_is_named(demos: Path, tmp_path: Path, spoil: Any, what: str) -> None:
    other = foreign.copied(demos, tmp_path / "other")
    spoil(other)
    with pytest.raises(GrinningFaceError, match=what):
        RobotDataset(other)


def test_damage_of_version_2_1_is_named(demos: Path, tmp_path: Path) -> None:
    old = foreign.as_v21(demos, tmp_path / "old")
    change_info(old, chunks_size=0)
    with pytest.raises(GrinningFaceError, match=r"episodes\.jsonl: isn't as LeRobot writes it \(.*zero"):
        RobotDataset(old)


def test_an_image_that_isnt_one(demos: Path, tmp_path: Path) -> None:
    other = foreign.copied(demos, tmp_path / "other")
    name = "observation.images.third"
    foreign.rewrite(other, name, lambda rows: [{"bytes": b"not a picture", "path": None}, *rows[1:]])
    with pytest.raises(GrinningFaceError, match=r"file-000\.parquet: isn't as LeRobot writes it \(.*cannot identify image"):
        RobotDataset(other).image(0, 0, "third")


def test_videos_need_pyav(demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = foreign.as_v21(demos, tmp_path / "old")
    (old / "meta/grinningface.json").write_text(json.dumps(foreign.conventions_of(demos)))
    features = foreign.read_json(old / "meta/info.json")["features"]
    features["observation.images.wrist"]["dtype"] = "video"
    change_info(old, features=features, video_path="videos/{episode_chunk:03d}/{video_key}/{episode_index:06d}.mp4")
    data = RobotDataset(old)
    assert data.image(2, 0, "third").shape == (64, 64, 3), "images are read all the same"
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"001/observation\.images\.wrist/000002\.mp4: .*PyAV.*pip install av"):
        data.image(2, 0, "wrist")


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(GrinningFaceError, match=r"no meta/info\.json in it; give the directory of a LeRobot data set"):
        RobotDataset(tmp_path)
    with pytest.raises(GrinningFaceError, match="there is no such directory"):
        RobotDataset(tmp_path / "nowhere")
