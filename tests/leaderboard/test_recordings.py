"""Trajectories from strangers."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from gf_core import trajectories
from gf_core.errors import RunDirectoryError
from gf_core.leaderboard.recordings import read_recording
from gf_core.trajectories import Trajectory

STEPS = 5
GOOD = {
    "actions": np.arange(STEPS * 7, dtype="<f4").reshape(STEPS, 7),
    "chunk_starts": np.array([0, 3], "<i4"),
    "controls": np.arange(STEPS * 6, dtype="<f8").reshape(STEPS, 6),
}


class Explosive:
    def __reduce__(self):
        return (exec, ("raise AssertionError('unpickled')",))


def npz(**changes: np.ndarray | bytes | None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, value in {**GOOD, **changes}.items():
            member = io.BytesIO()
            if isinstance(value, np.ndarray):
                np.lib.format.write_array(member, value, version=(1, 0))
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue() if not isinstance(value, bytes) else value)
    return buffer.getvalue()


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_reads_what_the_runner_writes(steps):
    written = Trajectory(
        actions=GOOD["actions"][:steps], chunk_starts=GOOD["chunk_starts"][:steps], controls=GOOD["controls"][:steps]
    )
    read = read_recording(trajectories.to_bytes(written), "here")
    for name, array in vars(written).items():
        assert getattr(read, name).dtype == array.dtype
        assert (getattr(read, name) == array).all()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(controls=GOOD["controls"].astype("<f4")), r"controls is of dtype '<f4', not '<f8' \(float64\)"),
        (npz(actions=GOOD["actions"].astype("<f8")), r"actions is of dtype '<f8', not '<f4' \(float32\)"),
        (npz(actions=GOOD["actions"].astype(">f4")), "actions is of dtype '>f4'"),
        (npz(controls=np.array([Explosive()], object)), "controls is of dtype '|O'"),
        (npz(actions=np.asfortranarray(GOOD["actions"])), "in C order"),
        (npz(actions=GOOD["actions"][:3]), "differ in length"),
        (npz(actions=GOOD["actions"][0]), "actions has 1 dimensions"),
        (npz(chunk_starts=GOOD["chunk_starts"][None]), "chunk_starts has 2 dimensions"),
        (npz(extra=GOOD["actions"]), r"extra\.npy"),
        (npz(actions=pickle.dumps(Explosive())), "isn't an array"),
        (npz(actions=header("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 99), }\n")), r"has 0 bytes"),
        (npz(actions=header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 7), }\n") + bytes(141)), "has 141 bytes"),
        (npz(actions=header("__import__('os').abort()\n")), "isn't an array"),
        (npz(actions=b""), "isn't an array"),
        (pickle.dumps(Explosive()), "not a trajectory"),
        (b"", "not a trajectory"),
    ],
)
def test_everything_else_is_refused_unread(data, message):
    with pytest.raises(RunDirectoryError, match=message.replace("|", r"\|")):
        read_recording(data, "here")


def test_compressed_recordings_are_refused():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **GOOD)
    with pytest.raises(RunDirectoryError, match="not a trajectory"):
        read_recording(buffer.getvalue(), "here")
