"""Where the records of a conversations file begin, and everything about them that can be wrong, found before training."""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gf_core.errors import GrinningFaceError
from gf_core.training.conversations_records import parse_record

MAX_LINE = 1 << 20
"""Longest line [bytes]; a question-answer pair takes some hundreds."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """Where everything is; 24 bytes a record.

    Attributes:
        offsets, lengths: ``(R,) int64`` of each record's line [bytes].
        lines: ``(R,) int64``, its number in the file, from 1.
        ends: ``(R,) int64``, samples up to and with it.
        sha256: over the file's bytes.
        images_sha256: over the names and sizes of its records' images, in order.
        stamp: the file's size and modification time [ns] when it was read.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    lines: NDArray[np.int64]
    ends: NDArray[np.int64]
    sha256: str
    images_sha256: str
    stamp: tuple[int, int]


def build_index(path: Path, images: Path, domain: str) -> Index:
    """Read a file once, line by line.

    Args:
        path: the file.
        images: the folder that paths of images are relative to.
        domain: of records that don't say theirs.

    Raises:
        GrinningFaceError: with the file and line of the first record that can't be used.
    """
    offsets, lengths, lines, ends = (array("q") for _ in range(4))
    text, pictures = hashlib.sha256(), hashlib.sha256()
    offset = samples = number = 0
    root = os.path.realpath(images)
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            while line := file.readline(MAX_LINE + 1):
                number += 1
                where = f"{path}:{number}"
                if len(line) > MAX_LINE:
                    raise GrinningFaceError(
                        f"the line is longer than {MAX_LINE >> 20} MiB", where=where, hint="images go in files"
                    )
                text.update(line)
                if line.strip():
                    record = parse_record(line, where=where, domain=domain)
                    for image in record.images:
                        pictures.update(f"{image}\0{check_image(root, image, where)}\n".encode())
                    samples += len(record.turns)
                    for column, value in ((offsets, offset), (lengths, len(line)), (lines, number), (ends, samples)):
                        column.append(value)
                offset += len(line)
    except OSError as error:
        raise GrinningFaceError(f"can't be read ({error.strerror or error})", where=str(path)) from error
    if not samples:
        raise GrinningFaceError("it holds no conversation", where=str(path))
    return Index(
        offsets=np.array(offsets),
        lengths=np.array(lengths),
        lines=np.array(lines),
        ends=np.array(ends),
        sha256=text.hexdigest(),
        images_sha256=pictures.hexdigest(),
        stamp=(before.st_size, before.st_mtime_ns),
    )


def check_image(root: str, image: str, where: str) -> int:
    """Size [bytes] of an image that lies within a folder.

    Args:
        root: the folder, resolved.
        image: path, as written.
        where: the record.

    Raises:
        GrinningFaceError: it is outside, also through a link, or isn't a file.
    """
    full = os.path.normpath(os.path.join(root, image))  # noqa: PTH118  once for each of a million images
    outside = os.path.isabs(image) or not full.startswith(root + os.sep)  # noqa: PTH117
    try:
        found = os.lstat(full)
        if not outside and stat.S_ISLNK(found.st_mode):
            outside = not os.path.realpath(full).startswith(root + os.sep)
            found = os.stat(full)  # noqa: PTH116
    except OSError as error:
        if not outside:
            raise GrinningFaceError(f"there is no image {image!r} ({error.strerror})", where=where) from error
    if outside or not _inside(root, os.path.dirname(full)):  # noqa: PTH120
        raise GrinningFaceError(
            f"the image {image!r} lies outside {root}", where=where, hint="give the images' folder, and relative paths"
        )
    if not stat.S_ISREG(found.st_mode):
        raise GrinningFaceError(f"the image {image!r} isn't a file", where=where)
    return found.st_size


@lru_cache(maxsize=4096)
def _inside(root: str, folder: str) -> bool:
    """Whether a folder leads into ``root``, whatever links lie on the way."""
    resolved = os.path.realpath(folder)
    return resolved == root or resolved.startswith(root + os.sep)
