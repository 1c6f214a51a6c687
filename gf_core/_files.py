"""Files that are written whole or not at all, and directories that one process at a time works in."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gf_core.errors import GrinningFaceError, RunDirectoryError

_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
ELSEWHERE = "choose another place"
"""Which option names a place differs from command to command, and many have none."""
MAKE_ROOM = "what is recorded is safe: make room, then the same command again goes on"

Write = Callable[[BinaryIO], object]


@contextmanager
def explained(path: Path, *, kind: type[GrinningFaceError] = RunDirectoryError, when_full: str = MAKE_ROOM) -> Iterator[None]:
    """Turn what the operating system says about writing a file into an error that a user understands.

    Args:
        path: what the error names where the system doesn't.
        kind: of the error.
        when_full: its hint when the disk is full.
    """
    try:
        yield
    except OSError as error:
        what = "a file is in the way" if error.errno in _IN_THE_WAY else "can't be written"
        why = os.strerror(error.errno) if error.errno else str(error)
        hint = when_full if error.errno in _FULL else ELSEWHERE
        raise kind(f"{what} ({why})", where=str(error.filename or path), hint=hint) from error


def write_whole(
    target: Path, content: bytes | Write, *, kind: type[GrinningFaceError] = RunDirectoryError, when_full: str = MAKE_ROOM
) -> None:
    """Write beside the place, flush to disk, rename, flush the directory: whole or absent, even after a power cut.

    Args:
        target: the file; folders above it are made.
        content: its bytes, or what writes them.
        kind, when_full: as in :func:`explained`.
    """
    beside = target.with_name(f".{target.name}.tmp")
    with explained(target, kind=kind, when_full=when_full):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        except BaseException:  # an interrupt too leaves nothing behind
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        flush_directory(target.parent)


def flush_directory(path: Path) -> None:
    """Have a directory's entries on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take(lock: BinaryIO, path: Path, who: str) -> None:
    """Hold a directory's lock file for as long as it is open; the kernel lets go of it when the process ends, however it ends.

    Raises:
        RunDirectoryError: another process (``"runner"``, ``"trainer"``) holds it.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = f"wait for it, or {ELSEWHERE}"
        raise RunDirectoryError(f"another {who} is at work in it", where=str(path), hint=hint) from error


@contextmanager
def occupied(path: Path, *, identity: str, lock: str, what: str, who: str) -> Iterator[BinaryIO]:
    """Make a directory that one process at a time works in, or take up one that was begun; yields its lock file, held.

    Args:
        path: the directory.
        identity: the file in it that says what it is; a directory with other files and without this one is refused.
        lock: name of the lock file.
        what: what such a directory holds, for the error.
        who: who works in it (``"recorder"``), for the error.

    Raises:
        RunDirectoryError: another process holds it, it holds something else, or it can't be written.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        names = sorted(entry.name for entry in path.iterdir())
        strangers = [name for name in names if name not in {lock, f".{identity}.tmp"}]
        if strangers and identity not in names:
            found = f"the directory holds {strangers[0]!r} but no {what}"
            raise RunDirectoryError(found, where=str(path), hint="choose an empty or a new one")
        file = (path / lock).open("ab")
    with file:
        take(file, path, who)
        yield file
