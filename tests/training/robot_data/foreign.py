"""Data sets of other origin, as LeRobot's older versions wrote them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def as_v21(source: Path, target: Path) -> Path:
    """A v3.0 data set of ours as v2.1: a file for each episode in row groups of 20, float64 lists of any length, JSON Lines."""
    info = read_json(source / "meta/info.json")
    info |= {"codebase_version": "v2.1", "chunks_size": 2, "data_path": DATA_V21, "video_path": None, "total_chunks": 2}
    del info["data_files_size_in_mb"], info["video_files_size_in_mb"]
    (target / "meta").mkdir(parents=True)
    (target / "meta/info.json").write_text(json.dumps(info))
    table = pq.read_table(source / "data/chunk-000/file-000.parquet")
    tasks = pq.read_table(source / "meta/tasks.parquet").to_pylist()
    lines = [{"task_index": row["task_index"], "task": row["task"]} for row in tasks]
    (target / "meta/tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    rows = pq.read_table(source / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    known = [{key: row[key] for key in ("episode_index", "tasks", "length")} for row in rows]
    (target / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in known))
    for row in rows:
        part = table.slice(row["dataset_from_index"], row["length"])
        for name in ("action", "observation.state"):
            values = pa.array(part.column(name).to_pylist(), pa.list_(pa.float64()))
            part = part.set_column(part.schema.get_field_index(name), name, values)
        path = target / DATA_V21.format(episode_chunk=row["episode_index"] // 2, episode_index=row["episode_index"])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part.replace_schema_metadata({}), path, row_group_size=20)
    return target


DATA_V21 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"


def copied(source: Path, target: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".run"))
    return target


def conventions_of(source: Path) -> dict[str, Any]:
    """What a user has to write for a data set like ours."""
    whole = read_json(source / "meta/grinningface.json")
    return {key: whole[key] for key in ("schema_version", "kind", "action", "proprio", "cameras")}


def rewrite(root: Path, name: str, change: Any) -> None:
    """Replace a column of the first data file by what ``change`` makes of its rows."""
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(name)
    values = pa.array(change(table.column(name).to_pylist()), table.schema.field(name).type)
    pq.write_table(table.set_column(place, table.schema.field(name), values), path)
