"""Data sets pass between this program and the real lerobot package, in an environment that has both (`make interop`).

Ours are read by lerobot, and lerobot's (images, and videos) are read by us. Images inside Parquet must agree in every pixel.
Exit code 0: they do. Otherwise the first difference is raised.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features

from gf_core.cli.main import main as gf
from gf_core.training.lerobot import RobotDataset
from gf_core.training.samples import Wanted

STEPS, EDGE, FPS = 12, 48, 10


def main() -> int:
    """Run every check in a folder of its own."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("lerobot", "datasets", "pyarrow", "torch"))
    print(versions)
    with tempfile.TemporaryDirectory() as folder:
        ours_in_theirs(Path(folder) / "ours")
        for videos in (False, True):
            theirs_in_ours(Path(folder) / f"theirs-{videos}", videos=videos)
    return 0


def ours_in_theirs(path: Path) -> None:
    """Record two demonstrations and read every frame with lerobot."""
    from torch.utils.data import DataLoader

    arguments = ["gf/smoke@1", "--out", str(path), "--limit", "2", "--size", "96", "--cameras", "third,wrist", "--retries", "0.5"]
    check(gf(["demos", "record", *arguments]) == 0, "recording failed")
    ours, theirs = RobotDataset(path), LeRobotDataset("local/ours", root=path)
    check(theirs.num_episodes == 2, "episodes")
    place = 0
    for owner, episode in enumerate(ours.episodes):
        for frame in range(episode.length):
            sample, item = ours.at(owner, frame, Wanted()), theirs[place]
            for one in sample.frames:
                seen = (item[f"observation.images.{one.camera}"].numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
                check(np.array_equal(seen, one.image), f"{sample.key}: {one.camera}")
            check(np.array_equal(item["action"].numpy(), sample.actions[0]), f"{sample.key}: action")
            check(np.array_equal(item["observation.state"].numpy(), sample.proprio), f"{sample.key}: state")
            check(bool(item["imitate"]) == bool(sample.action_mask[0]), f"{sample.key}: imitate")
            check(item["task"] == sample.prompt, f"{sample.key}: task")
            place += 1
    check(place == len(theirs), "frames")
    wanted = {"observation.state", "action", "observation.images.third", "observation.images.wrist"}
    check(set(dataset_to_policy_features(theirs.meta.features)) == wanted, "a policy of lerobot's sees other features")
    check(set(theirs.meta.stats["action"]) >= {"min", "max", "mean", "std", "count", "q01", "q99"}, "statistics")
    chunked = LeRobotDataset("local/ours", root=path, delta_timestamps={"action": [step / 20 for step in range(8)]}, episodes=[1])
    batch = next(iter(DataLoader(chunked, batch_size=4, shuffle=True)))
    check(tuple(batch["action"].shape) == (4, 8, 7), "a batch of action chunks")
    print(f"ours in lerobot: {place} frames of 2 cameras, pixel error 0; actions, states, tasks and masks equal; a batch loads")


def theirs_in_ours(path: Path, *, videos: bool) -> None:
    """Have lerobot write two episodes and read every frame with ours."""
    written = write_theirs(path, videos=videos)
    (path / "meta" / "grinningface.json").write_text(json.dumps(conventions()))
    ours = RobotDataset(path)
    check([episode.length for episode in ours.episodes] == [STEPS, STEPS], "lengths")
    worst = 0.0
    for owner in range(2):
        for frame in range(STEPS):
            sample = ours.at(owner, frame, Wanted(horizon=3))
            image, action = written[owner * STEPS + frame]
            error = np.abs(sample.frames[0].image.astype(int) - image).mean()
            worst = max(worst, float(error))
            check(np.array_equal(sample.actions[0], action), f"{sample.key}: action")
            check(sample.action_mask.tolist() == [frame + step < STEPS for step in range(3)], f"{sample.key}: mask")
            check(sample.prompt == f"task {owner}", f"{sample.key}: task")
    # Neighbouring frames differ by 18 levels, so that a wrong one would be seen through a video's losses.
    check(worst == 0 if not videos else worst < 6, f"pixel error {worst}")
    print(f"lerobot's {'videos' if videos else 'images'} in ours: {2 * STEPS} frames, worst mean pixel error {worst:.2f}")


def write_theirs(path: Path, *, videos: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two episodes; returns their images and actions, frame by frame."""
    camera = {"dtype": "video" if videos else "image", "shape": (EDGE, EDGE, 3), "names": ["height", "width", "channels"]}
    vector = {"dtype": "float32", "shape": (2,), "names": ["dx", "dy"]}
    features = {"observation.images.top": camera, "observation.state": vector, "action": vector}
    coded = {"vcodec": "h264"} if videos else {}
    data = LeRobotDataset.create("local/theirs", FPS, features, root=path, use_videos=videos, **coded)
    rng = np.random.default_rng(0)
    written = []
    for owner in range(2):
        for frame in range(STEPS):
            image = np.full((EDGE, EDGE, 3), 18 * (frame + 1) + 3 * owner, np.uint8)
            image[: EDGE // 2] = rng.integers(0, 256, 3) if not videos else image[: EDGE // 2]
            action = rng.normal(size=2).astype(np.float32)
            values = {"observation.images.top": image, "observation.state": action, "action": action, "task": f"task {owner}"}
            data.add_frame(values)
            written.append((image, action))
        data.save_episode()
    data.finalize()
    return written


def conventions() -> dict[str, object]:
    """What lerobot's numbers mean."""
    field = {
        "shape": [2],
        "dtype": "float32",
        "names": ["dx", "dy"],
        "unit": ["m"],
        "frame": "base",
        "low": [],
        "high": [],
        "description": "",
    }
    action = {"hz": FPS, "representation": "ee_delta", "reference": "measured", "rotation": "none"}
    return {
        "schema_version": "1.0",
        "kind": "demos",
        "action": {**action, "field": {**field, "name": "action"}},
        "proprio": {**field, "name": "proprio"},
        "cameras": [{"name": "top", "feature": "observation.images.top"}],
    }


def check(holds: bool, what: str) -> None:
    """Raise AssertionError unless it holds, also under ``python -O``."""
    if not holds:
        raise AssertionError(what)


if __name__ == "__main__":
    sys.exit(main())
