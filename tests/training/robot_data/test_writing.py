"""The files are as LeRobot has them, and their statistics are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gf_core._files import write_whole
from gf_core.training.lerobot import RobotDataset
from gf_core.training.lerobot.files import numbered
from gf_core.training.lerobot.statistics import feature_stats, image_histogram, image_stats, merged_image_stats
from gf_core.training.lerobot.writing import column_values

from . import foreign


def test_files_are_where_and_what_info_says(demos: Path) -> None:
    info = foreign.read_json(demos / "meta/info.json")
    path = demos / info["data_path"].format(chunk_index=0, file_index=0)
    file = pq.ParquetFile(path)
    assert info["codebase_version"] == "v3.0"
    assert info["fps"] == 20
    assert isinstance(info["fps"], int)
    assert info["splits"] == {"train": "0:3"}
    assert file.schema_arrow.names == list(info["features"])
    assert file.metadata.num_row_groups == info["total_episodes"] == 3, "a row group for each episode"
    assert file.metadata.num_rows == info["total_frames"]
    assert file.schema_arrow.field("observation.images.third").type == pa.struct({"bytes": pa.binary(), "path": pa.string()})
    assert file.schema_arrow.field("action").type == pa.list_(pa.float32(), 7)
    assert [name for name, feature in info["features"].items() if feature["dtype"] == "image"] == [
        "observation.images.third",
        "observation.images.wrist",
    ]
    assert info["features"]["observation.images.third"]["shape"] == [64, 64, 3]
    table = file.read()
    assert table.column("index").to_pylist() == list(range(info["total_frames"]))
    rows = pq.read_table(demos / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    for row in rows:
        frames = range(row["dataset_from_index"], row["dataset_to_index"])
        assert len(frames) == row["length"]
        assert set(table.column("episode_index").to_pylist()[frames.start : frames.stop]) == {row["episode_index"]}
        assert table.column("timestamp")[frames.stop - 1].as_py() == pytest.approx((row["length"] - 1) / 20)
    tasks = pq.read_table(demos / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert [row["tasks"] for row in rows] == [[task] for task in tasks.column("task").to_pylist()]


def test_statistics_are_those_of_the_data(demos: Path) -> None:
    stats = foreign.read_json(demos / "meta/stats.json")
    table = pq.read_table(demos / "data/chunk-000/file-000.parquet")
    for name in ("action", "observation.state", "index"):
        values = column_values(table, name).reshape(table.num_rows, -1).astype(float)
        for which, expected in (("mean", values.mean(0)), ("std", values.std(0)), ("q01", np.quantile(values, 0.01, axis=0))):
            assert np.allclose(stats[name][which], expected), (name, which)
        assert stats[name]["count"] == [table.num_rows]
    data = RobotDataset(demos)
    images = [data.image(n, frame, "third") / 255 for n, e in enumerate(data.episodes) for frame in range(0, e.length, 8)]
    found = stats["observation.images.third"]
    assert np.shape(found["mean"]) == (3, 1, 1)
    assert np.allclose(np.ravel(found["mean"]), np.mean(images, axis=(0, 1, 2)), atol=0.02), "from a sixteenth of the pixels"
    assert found["count"] == [len(images)]
    row = pq.read_table(demos / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[1]
    actions, _ = data.chunk(1, 0, data.episodes[1].length)
    assert np.allclose(row["stats/action/max"], actions.max(0))


def test_image_statistics_from_histograms() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.integers(low, low + 100, (count, 40, 40, 3)).astype(np.uint8) for low, count in ((0, 3), (120, 5))]
    parts = [image_stats(sum(map(image_histogram, group)), len(group)) for group in groups]  # type: ignore[arg-type]
    seen = [group[:, ::4, ::4].reshape(-1, 3) / 255 for group in groups]
    for part, values in zip(parts, seen, strict=True):
        direct = feature_stats(values)
        for which in ("mean", "std", "min", "max", "q50"):
            assert np.allclose(np.ravel(part[which]), direct[which], atol=1 / 255), which
    merged = merged_image_stats(parts)
    everything = np.concatenate(seen)
    assert np.allclose(np.ravel(merged["mean"]), everything.mean(0))
    assert np.allclose(np.ravel(merged["std"]), everything.std(0))
    assert np.allclose(np.ravel(merged["max"]), everything.max(0))
    assert merged["count"] == [8]


def test_lists_of_unequal_length_are_refused() -> None:
    ragged = pa.table({"a": pa.array([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]])})
    with pytest.raises(ValueError, match="differ in length"):
        column_values(ragged, "a")
    with pytest.raises(ValueError, match="lacks 1 values"):
        column_values(pa.table({"a": pa.array([1.0, None])}), "a")


def test_files_are_numbered_in_chunks_of_a_thousand() -> None:
    template = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert numbered(template, 1002) == Path("data/chunk-001/file-002.parquet")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a" / "file"
    write_whole(target, lambda file: file.write(b"old"))

    def fail(file: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(target, fail)
    assert [(p.name, p.read_bytes()) for p in target.parent.iterdir()] == [("file", b"old")]
