"""The directory of a recording: whose it is, who is at work in it, whether it is finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from gf_core._files import occupied, write_whole
from gf_core.canonical import canonical_json
from gf_core.errors import RunDirectoryError
from gf_core.runs import differences
from gf_core.schemas import load_document, load_json
from gf_core.training.demos.filming import Cameras
from gf_core.training.lerobot.files import CONVENTIONS

IDENTITY, LOCK, RUN = ".recording.json", ".lock", ".run"
_WRITTEN_WITH = ("pyarrow", "pillow", "numpy")
"""Distributions that the bytes of pictures and files depend on."""

Json = dict[str, Any]


class Folder:
    """A recording's directory, locked. Make it with :func:`open_folder`.

    Attributes:
        path: the data set.
        run: the run that was filmed.
        was_finished: whether it was complete when it was opened.
    """

    def __init__(self, path: Path, identity: Json) -> None:
        self.path, self.run = path, path / RUN
        self._identity = self._adopt(identity)
        self.was_finished = (path / CONVENTIONS).is_file()

    def _adopt(self, identity: Json) -> Json:
        """What the directory is of, or an error if that is something else."""
        target = self.path / IDENTITY
        if not target.exists():
            write_whole(target, _line(identity))
            return identity
        there = cast(Json, load_json(target))
        if other := differences({**there, "runtime": None}, {**identity, "runtime": None}):
            raise RunDirectoryError(
                "the directory holds another recording: " + "; ".join(other[:6]), where=str(self.path), hint="give another --out"
            )
        return there

    def finished(self) -> Json | None:
        """Its meta/grinningface.json, or nothing while it isn't complete."""
        return load_document(self.path / CONVENTIONS, "demos") if self.was_finished else None

    def drawn_by(self, runtime: Mapping[str, str]) -> Mapping[str, str]:
        """Note what draws the pictures, the same for all of them. Raises RunDirectoryError if some were drawn by another."""
        there = self._identity.get("runtime")
        if there is None:
            self._identity = {**self._identity, "runtime": dict(runtime)}
            write_whole(self.path / IDENTITY, _line(self._identity))
        elif other := differences(there, dict(runtime)):
            raise RunDirectoryError(
                "pictures are drawn by something else here: " + "; ".join(other), where=str(self.path), hint="give another --out"
            )
        return runtime

    def versions(self) -> Mapping[str, str]:
        """What files are written with."""
        return cast("dict[str, str]", self._identity["versions"])

    def finish(self, document: Json) -> None:
        """Write meta/grinningface.json: the recording is complete."""
        write_whole(self.path / CONVENTIONS, _line(document))


@contextmanager
def open_folder(path: Path, cameras: Cameras) -> Iterator[Folder]:
    """Create a recording's directory, or take up one of the same cameras, and hold its lock.

    Raises:
        RunDirectoryError: another process holds it, or it holds something else.
        GrinningFaceError: it can't be written.
    """
    identity = {
        "cameras": list(cameras.names),
        "size": list(cameras.size),
        "format": cameras.format,
        "versions": {name: metadata.version(name) for name in _WRITTEN_WITH},
    }
    with occupied(path, identity=IDENTITY, lock=LOCK, what="recording", who="recorder"):
        yield Folder(path, identity)


def _line(document: Mapping[str, Any]) -> bytes:
    return (canonical_json(document) + "\n").encode()
