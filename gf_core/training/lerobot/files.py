"""Where the files of a LeRobot data set lie."""

from __future__ import annotations

from pathlib import Path

INFO, STATS = Path("meta/info.json"), Path("meta/stats.json")
TASKS, OLD_TASKS, OLD_EPISODES = Path("meta/tasks.parquet"), Path("meta/tasks.jsonl"), Path("meta/episodes.jsonl")
CONVENTIONS = Path("meta/grinningface.json")
"""The one file that isn't LeRobot's."""

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES_PER_CHUNK = 1000


def numbered(template: str, number: int) -> Path:
    """The path of a data set's n-th file."""
    return Path(template.format(chunk_index=number // FILES_PER_CHUNK, file_index=number % FILES_PER_CHUNK))
