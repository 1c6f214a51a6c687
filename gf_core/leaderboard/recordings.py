"""Reads a trajectory's file from a stranger: only the bytes that :func:`gf_core.trajectories.to_bytes` would write are read.

NumPy's own reader evaluates headers, unpickles if it is let, and allocates what a header asks for. Here a file's size bounds
everything.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.errors import RunDirectoryError
from gf_core.leaderboard.archive import Archive, ArchiveError, read_directory
from gf_core.trajectories import DTYPES, Trajectory

MAX_BYTES = 16 << 20
"""100,000 control steps of 25 actions and controls."""

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(rb"\{'descr': ([^\n]{1,40}), 'fortran_order': False, 'shape': \((\d{1,9}), ?(\d{1,9})?\), \} *\n")
"""NumPy's format 1.0 (numpy.lib.format), of arrays of one or two dimensions in C order."""


def read_recording(data: bytes, where: str) -> Trajectory:
    """The trajectory in a file's bytes.

    Raises:
        RunDirectoryError: they aren't exactly the three arrays of their dtypes, or these differ in length.
    """
    try:
        archive = Archive(io.BytesIO(data), where, read_directory(io.BytesIO(data), len(data), where))
        names = [f"{name}.npy" for name in DTYPES]
        if list(archive.members) != names:
            raise RunDirectoryError(f"holds {', '.join(archive.members) or 'nothing'}, not {', '.join(names)}", where=where)
        arrays = {name: _array(archive.read(f"{name}.npy", MAX_BYTES), name, where) for name in DTYPES}
    except ArchiveError as error:
        raise RunDirectoryError(f"not a trajectory: {error.what}", where=where) from error
    if len(arrays["actions"]) != len(arrays["controls"]):
        raise RunDirectoryError("actions and controls differ in length", where=where)
    return Trajectory(**arrays)


def _array(data: bytes, name: str, where: str) -> NDArray[Any]:
    length = int.from_bytes(data[8:10], "little")
    match = _HEADER.fullmatch(data, 10, 10 + length) if data.startswith(_MAGIC) else None
    if match is None:
        raise RunDirectoryError(f"{name} isn't an array of one or two dimensions in C order", where=where)
    dtype, wanted = match[1].decode("ascii", "replace"), DTYPES[name]
    if dtype != repr(wanted.str):
        raise RunDirectoryError(f"{name} is of dtype {dtype}, not {wanted.str!r} ({wanted.name})", where=where)
    shape = tuple(int(size) for size in match.groups()[1:] if size is not None)
    if len(shape) != (1 if name == "chunk_starts" else 2):
        raise RunDirectoryError(f"{name} has {len(shape)} dimensions", where=where)
    content = memoryview(data)[10 + length :]
    if math.prod(shape) * wanted.itemsize != len(content):
        raise RunDirectoryError(f"{name} of shape {shape} has {len(content):,} bytes", where=where)
    return np.frombuffer(content, wanted).reshape(shape)
