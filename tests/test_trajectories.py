"""Trajectories as bytes."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gf_core.errors import RunDirectoryError
from gf_core.trajectories import Trajectory, from_bytes, to_bytes


@given(steps=st.integers(0, 5), data=st.data())
def test_the_same_comes_back_and_equal_content_is_equal_bytes(steps, data):
    trajectory = Trajectory(
        actions=data.draw(arrays.arrays(np.float32, (steps, 3))),
        chunk_starts=data.draw(arrays.arrays(np.int32, st.integers(0, 4))),
        controls=data.draw(arrays.arrays(np.float64, (steps, 2))),
    )
    written = to_bytes(trajectory)
    again = from_bytes(written, where="t")
    for name in ("actions", "chunk_starts", "controls"):
        assert getattr(again, name).tobytes() == getattr(trajectory, name).tobytes()
    fortran = Trajectory(
        actions=np.asfortranarray(trajectory.actions),
        chunk_starts=trajectory.chunk_starts,
        controls=trajectory.controls[::1],
    )
    assert to_bytes(fortran) == written


def test_numpy_reads_it(tmp_path):
    path = tmp_path / "t.npz"
    path.write_bytes(
        to_bytes(Trajectory(actions=np.ones((2, 3), np.float32), chunk_starts=np.zeros(1, np.int32), controls=np.ones((2, 1))))
    )
    with np.load(path) as archive:
        assert sorted(archive) == ["actions", "chunk_starts", "controls"]
        assert archive["actions"].dtype == np.float32


def archive(save=np.savez, **members: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **members)
    return buffer.getvalue()


GOOD = {"actions": np.ones((2, 3), np.float32), "chunk_starts": np.zeros(1, np.int32), "controls": np.ones((2, 1))}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a trajectory"),
        (b"PK\x03\x04 nonsense", "not a trajectory"),
        (archive(**{**GOOD, "actions": np.array([{"a": 1}], object)}), "not a trajectory"),
        (archive(actions=GOOD["actions"]), "not a trajectory"),
        (archive(np.savez_compressed, **GOOD), "compressed"),
        (archive(**{**GOOD, "actions": np.ones((2, 3))}), "actions is float64"),
        (archive(**{**GOOD, "controls": np.ones((3, 1))}), "differ in length"),
    ],
)
def test_strangers_bytes_are_refused(data, words):
    with pytest.raises(RunDirectoryError, match=words):
        from_bytes(data, where="t")


def test_members_carry_no_time(tmp_path):
    with zipfile.ZipFile(io.BytesIO(to_bytes(Trajectory(**GOOD)))) as found:
        assert {info.date_time for info in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}
