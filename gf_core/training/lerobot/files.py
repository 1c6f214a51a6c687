"""Where the files of a LeRobot data set lie, and how they are written: whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gf_core.errors import GrinningFaceError

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


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing into an error that a user understands."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room, then the same command again goes on where it stopped" if full else "give another --out"
        why = os.strerror(error.errno) if error.errno else str(error)
        raise GrinningFaceError(f"can't be written ({why})", where=str(error.filename or path), hint=hint) from error


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Have ``write`` write a file beside its place, flush it to disk and rename it: whole or absent, even after a power cut.

    Raises:
        GrinningFaceError: it can't be written; nothing is left of it then.
    """
    beside = target.with_name(f".{target.name}.tmp")
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
