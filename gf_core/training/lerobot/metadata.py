"""What a LeRobot data set says of itself: versions 3.0, 2.1 and 2.0, which keep it in different places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from gf_core.errors import GrinningFaceError
from gf_core.registry import one_line
from gf_core.training.lerobot.files import INFO, OLD_EPISODES, OLD_TASKS, TASKS

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Footage:
    """An episode's part of a video: the file, and when the episode begins in it [s]."""

    path: Path
    start: float


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An episode: its index, its length in frames, the file that holds its numbers, and its videos by feature."""

    index: int
    length: int
    path: Path
    videos: Mapping[str, Footage]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """A data set.

    Attributes:
        root: its directory.
        version: ``"v3.0"``, ``"v2.1"``, …
        fps: frames per second.
        features: name to dtype, shape and names.
        tasks: index to instruction.
        entries: episodes, by index.
    """

    root: Path
    version: str
    fps: float
    features: Mapping[str, Json]
    tasks: Mapping[int, str]
    entries: tuple[Entry, ...]

    def image_size(self, feature: str) -> tuple[int, int]:
        """Height and width [px] of a feature's images, whether their shape begins or ends with the channels."""
        shape = [int(n) for n in self.features[feature]["shape"]]
        channels_first = len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3)
        return (shape[1], shape[2]) if channels_first else (shape[0], shape[1])


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Turn what reading a file of a data set raises into an error that names it."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else one_line(error, 200)
        raise GrinningFaceError(f"isn't as LeRobot writes it ({what})", where=str(path)) from error


def read_metadata(root: Path) -> Metadata:
    """Read a data set's metadata.

    Raises:
        GrinningFaceError: there is none, of a version that isn't known, damaged, or of more or less than is there.
    """
    path = root / INFO
    if not path.is_file():
        what = f"no {INFO} in it" if root.is_dir() else "there is no such directory"
        raise GrinningFaceError(what, where=str(root), hint="give the directory of a LeRobot data set")
    with damaged(path):
        info = cast(dict[str, Any], json.loads(path.read_bytes()))
        version, fps, features = str(info["codebase_version"]), float(info["fps"]), dict(info["features"])
        _check_info(info)
        totals = {what: int(info[f"total_{what}"]) for what in ("episodes", "frames")}
    if version.startswith("v3."):
        tasks, entries = _tasks(root / TASKS), _entries(root, info)
    elif version in ("v2.0", "v2.1"):
        tasks, entries = _old_tasks(root / OLD_TASKS), _old_entries(root, info)
    else:
        raise GrinningFaceError(
            f"version {version!r} of LeRobot's format isn't read",
            where=str(path),
            hint="v3.x, v2.1 and v2.0 are; LeRobot converts",
        )
    if not entries:
        raise GrinningFaceError("it holds no episode", where=str(root))
    for what, found in (("episodes", len(entries)), ("frames", sum(entry.length for entry in entries))):
        if found != totals[what]:
            raise GrinningFaceError(
                f"total_{what} is {totals[what]}, and the files beside it tell of {found} {what}",
                where=str(path),
                hint="was the data set fetched or copied whole?",
            )
    return Metadata(root=root, version=version, fps=fps, features=features, tasks=tasks, entries=tuple(entries))


def _check_info(info: Json) -> None:
    """Raises what :func:`damaged` names: a feature or a path that isn't told as LeRobot tells it."""
    filmed = False
    for name, feature in info["features"].items():
        dtype, shape = feature["dtype"], feature["shape"]
        if not isinstance(dtype, str) or not isinstance(shape, list) or not all(type(n) is int for n in shape):
            raise ValueError(f"feature {name} has dtype {dtype!r} and shape {shape!r}")
        filmed = filmed or dtype == "video"
    for key in ("data_path", "video_path") if filmed else ("data_path",):
        if not isinstance(info[key], str):
            raise ValueError(f"{key} is {info[key]!r}")


def _tasks(path: Path) -> dict[int, str]:
    with damaged(path):
        table = pq.read_table(path)
        (text,) = [name for name in table.column_names if name != "task_index"]  # an index without a name has a made-up one
        return dict(zip(table.column("task_index").to_pylist(), map(str, table.column(text).to_pylist()), strict=True))


def _old_tasks(path: Path) -> dict[int, str]:
    with damaged(path):
        return {int(row["task_index"]): str(row["task"]) for row in _lines(path)}


def _entries(root: Path, info: Json) -> list[Entry]:
    found = []
    cameras = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        with damaged(path):
            names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
            for row in pq.read_table(path, columns=names).to_pylist():
                places = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
                found.append(
                    Entry(
                        index=int(row["episode_index"]),
                        length=int(row["length"]),
                        path=_inside(info["data_path"], places),
                        videos={name: _footage(info["video_path"], name, row) for name in cameras},
                    )
                )
    return sorted(found, key=lambda entry: entry.index)


def _footage(template: str, feature: str, row: Json) -> Footage:
    at = f"videos/{feature}/"
    places = {"chunk_index": row[f"{at}chunk_index"], "file_index": row[f"{at}file_index"]}
    return Footage(path=_inside(template, {"video_key": feature, **places}), start=float(row[f"{at}from_timestamp"]))


def _old_entries(root: Path, info: Json) -> list[Entry]:
    path = root / OLD_EPISODES
    cameras = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    found = []
    with damaged(path):
        for row in _lines(path):
            index = int(row["episode_index"])
            places = {"episode_chunk": index // int(info["chunks_size"]), "episode_index": index}
            videos = {
                name: Footage(path=_inside(info["video_path"], {"video_key": name, **places}), start=0.0) for name in cameras
            }
            found.append(Entry(index=index, length=int(row["length"]), path=_inside(info["data_path"], places), videos=videos))
    return sorted(found, key=lambda entry: entry.index)


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _inside(template: str, places: Json) -> Path:
    """A path within the data set. Raises ValueError for one that leads out of it."""
    path = Path(template.format(**places))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{template!r} leads out of the data set")
    return path
