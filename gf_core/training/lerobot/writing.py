"""Writes LeRobot data sets v3.0 with pyarrow: a row group for each episode, images inside.

The format: LeRobot's ``lerobot/datasets`` (0.4 and 0.6), which these files are read back with in the interoperability test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gf_core._files import write_whole
from gf_core.contracts import Bools, Doubles, Floats
from gf_core.specs import FieldSpec
from gf_core.training.lerobot.files import DATA_PATH, EPISODES_PATH, FILES_PER_CHUNK, INFO, STATS, TASKS, numbered
from gf_core.training.lerobot.statistics import FeatureStats, feature_stats, image_stats, merged_image_stats

ACTION, STATE, IMAGES, IMITATE = "action", "observation.state", "observation.images.", "imitate"
"""Features. LeRobot ignores ``imitate``: no policy of its takes a feature of another name than observation and action."""
EPISODES_PER_FILE = 25
"""At 224 × 224 px about 18 MB for each camera, where LeRobot's limit is 100 MB; a recording that is stopped loses no more."""

_IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_NUMBERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every episode of a data set has.

    Attributes:
        cameras: camera to height and width [px].
        action, state: what the numbers are.
        fps: frames per second.
        robot: what LeRobot calls ``robot_type``.
    """

    cameras: Mapping[str, tuple[int, int]]
    action: FieldSpec
    state: FieldSpec
    fps: float
    robot: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One episode of T frames.

    Attributes:
        tasks: the instruction that holds at each frame.
        states: ``(T, P) float32``, before each action.
        actions: ``(T, A) float32``.
        imitate: ``(T,) bool``.
        images: camera to T encoded images, before each action.
        histograms: camera to the sum of its images' histograms and how many these were.
    """

    tasks: Sequence[str]
    states: Floats
    actions: Floats
    imitate: Bools
    images: Mapping[str, Sequence[bytes]]
    histograms: Mapping[str, tuple[Doubles, int]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where episodes come in the data set: the number of their file, and of the first episode and frame in it."""

    file: int
    episode: int
    frame: int


def write_file(root: Path, layout: Layout, place: Place, episodes: Sequence[Recorded], tasks: Mapping[str, int]) -> None:
    """Write a file of episodes, and then the file that tells of them: once that is there, both are whole.

    Args:
        root: of the data set.
        layout: of the data set.
        place: of these episodes.
        episodes: all that belong into the file.
        tasks: instruction to its index.

    Raises:
        GrinningFaceError: a file can't be written.
    """
    schema = _schema(layout)
    rows: list[dict[str, Any]] = []
    tables: list[pa.Table] = []
    frame = place.frame
    for number, episode in enumerate(episodes, start=place.episode):
        numbers = _numbers(layout, episode, number, frame, tasks)
        tables.append(_table(schema, episode, numbers))
        rows.append(_episode_row(episode, numbers, place.file, number, frame))
        frame += len(episode.actions)

    def write(file: object) -> None:
        # Images are compressed already; a dictionary of them would be as large as they are.
        plain = [f"{IMAGES}{camera}.bytes" for camera in layout.cameras]
        codecs = {_leaf(field): "none" if _leaf(field) in plain else "snappy" for field in schema}
        with pq.ParquetWriter(file, schema, compression=codecs, use_dictionary=False, write_statistics=False) as writer:
            for table in tables:
                writer.write_table(table)

    write_whole(root / numbered(DATA_PATH, place.file), write)
    table = pa.Table.from_pylist(rows)
    write_whole(root / numbered(EPISODES_PATH, place.file), lambda file: pq.write_table(table, file))


def is_written(root: Path, file: int) -> bool:
    """Whether the n-th file of episodes is there, whole."""
    return (root / numbered(EPISODES_PATH, file)).is_file() and (root / numbered(DATA_PATH, file)).is_file()


def finish(root: Path, layout: Layout, tasks: Mapping[str, int], files: int) -> None:
    """Write what tells of the whole data set, from its files.

    Raises:
        GrinningFaceError: a file can't be written.
    """
    rows = [row for n in range(files) for row in pq.read_table(root / numbered(EPISODES_PATH, n)).to_pylist()]
    numeric = [ACTION, STATE, IMITATE, *_NUMBERS]
    data = pa.concat_tables(pq.read_table(root / numbered(DATA_PATH, n), columns=numeric) for n in range(files))
    stats = {name: feature_stats(column_values(data, name)) for name in numeric}
    for camera in layout.cameras:
        key = f"{IMAGES}{camera}"
        stats[key] = merged_image_stats([_image_row(row, key) for row in rows])
    info = {
        "codebase_version": "v3.0",
        "robot_type": layout.robot,
        "total_episodes": len(rows),
        "total_frames": data.num_rows,
        "total_tasks": len(tasks),
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": int(layout.fps) if layout.fps.is_integer() else layout.fps,
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": DATA_PATH,
        "video_path": None,
        "features": features(layout),
    }
    write_whole(root / TASKS, lambda file: pq.write_table(_tasks_table(tasks), file))
    write_whole(root / STATS, _json(stats))
    write_whole(root / INFO, _json(info))


def features(layout: Layout) -> dict[str, Any]:
    """The ``features`` of info.json: name to dtype, shape and names."""

    def vector(field: FieldSpec) -> dict[str, Any]:
        return {"dtype": "float32", "shape": list(field.shape), "names": list(field.names) or None}

    found: dict[str, Any] = {STATE: vector(layout.state), ACTION: vector(layout.action)}
    for camera, (height, width) in layout.cameras.items():
        found[f"{IMAGES}{camera}"] = {"dtype": "image", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    found[IMITATE] = {"dtype": "bool", "shape": [1], "names": None}
    for name in _NUMBERS:
        found[name] = {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    return found


def column_values(table: pa.Table, name: str) -> np.ndarray:
    """A numerical column as an array: ``(n,)``, or ``(n, elements)`` of lists of equal length.

    Raises:
        ValueError: lists differ in length, or values are missing.
    """
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise ValueError(f"{name} lacks {column.null_count} values")
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        values: np.ndarray = column.to_numpy(zero_copy_only=False)
        return values
    flat = column.flatten()
    if flat.null_count or (len(column) and len(flat) % len(column)):
        raise ValueError(f"the values of {name} differ in length")
    found: np.ndarray = flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    if not pa.types.is_fixed_size_list(column.type) and len(set(column.value_lengths().to_pylist())) > 1:
        raise ValueError(f"the values of {name} differ in length")
    return found


def _schema(layout: Layout) -> pa.Schema:
    fields = []
    for name, feature in features(layout).items():
        if feature["dtype"] == "image":
            fields.append(pa.field(name, _IMAGE))
        elif feature["shape"] == [1]:
            fields.append(pa.field(name, {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}[feature["dtype"]]))
        else:
            fields.append(pa.field(name, pa.list_(pa.float32(), feature["shape"][0])))
    # With this, the datasets library and the hub's viewer know images from bytes.
    known = {name: _hub_feature(feature) for name, feature in features(layout).items()}
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": known}})})


def _hub_feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    if feature["dtype"] == "image":
        return {"_type": "Image"}
    value = {"dtype": feature["dtype"], "_type": "Value"}
    return value if feature["shape"] == [1] else {"feature": value, "length": feature["shape"][0], "_type": "List"}


def _leaf(field: pa.Field) -> str:
    if pa.types.is_struct(field.type):
        return f"{field.name}.bytes"
    return f"{field.name}.list.element" if pa.types.is_fixed_size_list(field.type) else str(field.name)


def _numbers(layout: Layout, episode: Recorded, number: int, first: int, tasks: Mapping[str, int]) -> dict[str, np.ndarray]:
    steps = np.arange(len(episode.actions))
    return {
        STATE: episode.states,
        ACTION: episode.actions,
        IMITATE: episode.imitate,
        "timestamp": (steps / layout.fps).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(len(steps), number),
        "index": first + steps,
        "task_index": np.array([tasks[task] for task in episode.tasks]),
    }


def _table(schema: pa.Schema, episode: Recorded, numbers: Mapping[str, np.ndarray]) -> pa.Table:
    columns = []
    for field in schema:
        if pa.types.is_struct(field.type):
            encoded = pa.array(episode.images[field.name.removeprefix(IMAGES)], pa.binary())
            columns.append(pa.StructArray.from_arrays([encoded, pa.nulls(len(encoded), pa.string())], fields=list(_IMAGE)))
        elif pa.types.is_fixed_size_list(field.type):
            flat = pa.array(np.ascontiguousarray(numbers[field.name], np.float32).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        else:
            columns.append(pa.array(numbers[field.name].ravel(), field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _episode_row(episode: Recorded, numbers: Mapping[str, np.ndarray], file: int, number: int, first: int) -> dict[str, Any]:
    chunk, index = divmod(file, FILES_PER_CHUNK)
    stats = {name: feature_stats(values) for name, values in numbers.items()}
    stats |= {f"{IMAGES}{camera}": image_stats(*found) for camera, found in episode.histograms.items()}
    return {
        "episode_index": number,
        "tasks": list(dict.fromkeys(episode.tasks)),
        "length": len(episode.actions),
        "data/chunk_index": chunk,
        "data/file_index": index,
        "dataset_from_index": first,
        "dataset_to_index": first + len(episode.actions),
        "meta/episodes/chunk_index": chunk,
        "meta/episodes/file_index": index,
        **{f"stats/{name}/{which}": value for name, found in stats.items() for which, value in found.items()},
    }


def _image_row(row: Mapping[str, Any], key: str) -> FeatureStats:
    start = f"stats/{key}/"
    return {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}


def _tasks_table(tasks: Mapping[str, int]) -> pa.Table:
    """Instructions as the index of a pandas table, as LeRobot reads them."""

    def column(name: str, kind: str, numpy: str) -> dict[str, Any]:
        return {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}

    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": "20.0.0"},
        "pandas_version": "2.2.0",
    }
    ordered = sorted(tasks, key=tasks.__getitem__)
    table = pa.table({"task_index": pa.array([tasks[t] for t in ordered], pa.int64()), "task": pa.array(ordered, pa.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(about)})


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False) + "\n").encode()
