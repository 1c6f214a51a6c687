"""What an episode did, step by step, as a file whose bytes depend on its content only."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Doubles, Floats, Slots
from gf_core.errors import RunDirectoryError

_EPOCH = (1980, 1, 1, 0, 0, 0)
DTYPES: dict[str, np.dtype[Any]] = {"actions": np.dtype("<f4"), "chunk_starts": np.dtype("<i4"), "controls": np.dtype("<f8")}
"""Name of an array to its dtype, in the order of the file's members."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One episode's actions and controls.

    Attributes:
        actions: ``(T, A) float32``, what the policy asked for at each control step, before clipping.
        chunk_starts: ``(N,) int32``, the control steps at which the policy was asked.
        controls: ``(T, C) float64``, the commands that reached the actuators.
    """

    actions: Floats
    chunk_starts: Slots
    controls: Doubles


def to_bytes(trajectory: Trajectory) -> bytes:
    """An uncompressed ``.npz``; equal trajectories give equal bytes (fixed member order and time stamps)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in _arrays(trajectory).items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            info.create_system = 3  # zipfile writes the operating system's number otherwise
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def _arrays(trajectory: Trajectory) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(getattr(trajectory, name), dtype) for name, dtype in DTYPES.items()}


def from_bytes(data: bytes, *, where: str) -> Trajectory:
    """The trajectory in a file's bytes.

    Raises:
        RunDirectoryError: if they aren't one; nothing is unpickled.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
                raise RunDirectoryError("a compressed trajectory", where=where)  # equal content must be equal bytes
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in DTYPES}
    except (ValueError, KeyError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise RunDirectoryError(f"not a trajectory ({error})", where=where) from error
    for name, dtype in DTYPES.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != (1 if name == "chunk_starts" else 2):
            raise RunDirectoryError(f"{name} is {arrays[name].dtype}, {arrays[name].ndim}-dimensional", where=where)
    if len(arrays["actions"]) != len(arrays["controls"]):
        raise RunDirectoryError("actions and controls differ in length", where=where)
    return Trajectory(**arrays)
