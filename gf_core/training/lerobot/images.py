"""Images of a data set at random: from row groups of memory-mapped Parquet files, or from videos.

Every thread of every process has files of its own, opened when it first reads, so a data set may be shared, forked and pickled.
"""

from __future__ import annotations

import importlib
import io
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.training.lerobot.metadata import Footage, damaged

CACHED_BYTES = 64 << 20
"""Row groups that a thread keeps; of those that LeRobot and we write, about a hundred."""
OPEN_FILES = 32


@dataclass(kw_only=True, eq=False)
class _Open:
    """What one thread holds."""

    process: int
    files: OrderedDict[Path, tuple[pq.ParquetFile, np.ndarray]] = field(default_factory=OrderedDict)
    columns: OrderedDict[tuple[Path, int, str], pa.ChunkedArray] = field(default_factory=OrderedDict)
    size: int = 0


class ImageReader:
    """Reads images of one data set.

    Args:
        root: of the data set.
        fps: its frames per second.
    """

    def __init__(self, root: Path, fps: float) -> None:
        self._root, self._fps = root, fps
        self._local = threading.local()

    def stored(self, path: Path, row: int, feature: str) -> Images:
        """``(H, W, 3) uint8`` RGB from a row of a Parquet file. Raises GrinningFaceError for what isn't an image."""
        column, first = self._row_group(path, row, feature)
        with damaged(self._root / path):
            cell = column[row - first].as_py()
            data = cell["bytes"] if isinstance(cell, dict) else cell
            if data is None:
                data = (self._root / cell["path"]).read_bytes()
            return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def filmed(self, footage: Footage, frame: int) -> Images:
        """``(H, W, 3) uint8`` RGB: a frame of an episode's video.

        Raises:
            MissingDependencyError: PyAV isn't installed.
            GrinningFaceError: the video has no such frame.
        """
        path = self._root / footage.path
        try:
            av: Any = importlib.import_module("av")
        except ImportError as error:
            raise MissingDependencyError(
                "its images are in videos, and PyAV, which decodes them, isn't installed", where=str(path), hint="pip install av"
            ) from error
        wanted, half = footage.start + frame / self._fps, 0.5 / self._fps
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                container.seek(max(0, int((wanted - half) / stream.time_base)), stream=stream, backward=True)
                for picture in container.decode(stream):
                    if picture.time is not None and picture.time > wanted - half:
                        if picture.time > wanted + half:
                            break
                        return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        except (OSError, ValueError, IndexError, av.error.FFmpegError) as error:
            raise GrinningFaceError(f"can't be decoded ({error})", where=str(path)) from error
        raise GrinningFaceError(f"it has no frame at {wanted:.3f} s", where=str(path))

    def _row_group(self, path: Path, row: int, feature: str) -> tuple[pa.ChunkedArray, int]:
        """The column of the row group that holds a row, and the number of its first row."""
        held = self._held()
        with damaged(self._root / path):
            file, starts = self._file(held, path)
            group = int(np.searchsorted(starts, row, side="right")) - 1
            key = (path, group, feature)
            if key not in held.columns:
                column = file.read_row_group(group, columns=[feature], use_threads=False).column(feature)
                held.columns[key] = column
                held.size += column.nbytes
                while held.size > CACHED_BYTES and len(held.columns) > 1:
                    held.size -= held.columns.popitem(last=False)[1].nbytes
            held.columns.move_to_end(key)
            return held.columns[key], int(starts[group])

    def _file(self, held: _Open, path: Path) -> tuple[pq.ParquetFile, np.ndarray]:
        if path not in held.files:
            file = pq.ParquetFile(self._root / path, memory_map=True)
            rows = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
            held.files[path] = file, np.cumsum([0, *rows])[:-1]
            while len(held.files) > OPEN_FILES:
                held.files.popitem(last=False)
        held.files.move_to_end(path)
        return held.files[path]

    def _held(self) -> _Open:
        held: _Open | None = getattr(self._local, "held", None)
        if held is None or held.process != os.getpid():  # a forked process doesn't share its parent's
            held = self._local.held = _Open(process=os.getpid())
        return held
