"""Vision-language data as a source of samples: JSON Lines of conversations, the program's own and anybody's."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gf_core.canonical import content_hash
from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_core.schemas import load_document
from gf_core.training.conversations_index import build_index, check_image
from gf_core.training.conversations_records import OTHER, Record, parse_record
from gf_core.training.samples import Conventions, Frame, Manifest, Sample, Wanted

CONVERSATIONS = "conversations.jsonl"
SIDECAR = "manifest.json"
"""Beside the file: what it holds (schema ``conversations-1``). A file without one is as good, but nobody knows its items."""

MAX_PIXELS = 50_000_000
"""Of an image; more is a mistake or an attack."""


class Conversations:
    """A :class:`gf_core.training.samples.Source` over a conversations file.

    Each question-answer pair is a sample: all images shown up to it, its question without tags, its answer. What was said before
    in the same conversation isn't repeated. The file is read once when it is opened; after that 32 bytes a record stay in memory.

    Args:
        path: the ``.jsonl`` file, or a folder that holds :data:`CONVERSATIONS`.
        name: of the source; by default the file's name, or the folder's.
        domain: of records that don't say theirs.
        images: the folder that paths of images are relative to; by default the file's.
        sidecar: whether to read :data:`SIDECAR` and to refuse a file that isn't the one that it describes.

    Attributes:
        path: the file.
        name: as given.
        conventions: ``None``: there are no actions in it.

    Raises:
        GrinningFaceError: with file and line, whatever can't be trained on: no JSON, a question without answer, a missing image,
            one outside the folder, as many tags as there aren't images, a line of more than 1 MiB; or a sidecar that is another
            file's.
    """

    conventions: Conventions | None = None

    def __init__(
        self, path: Path, *, name: str = "", domain: str = OTHER, images: Path | None = None, sidecar: bool = True
    ) -> None:
        self.path = path / CONVERSATIONS if path.is_dir() else path
        if not self.path.is_file():
            raise GrinningFaceError("there is no such file", where=str(self.path), hint="give a .jsonl file of conversations")
        self.name = name or (path.name if path.is_dir() else path.stem)
        self._images = images or self.path.parent
        self._domain = domain
        self._index = build_index(self.path, self._images, domain)
        self._sidecar = self._read_sidecar() if sidecar else None
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._index.ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_file", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _file=None, _lock=threading.Lock())

    @property
    def records(self) -> int:
        """Number of records."""
        return len(self._index.ends)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the file."""
        return self._index.sha256

    @property
    def sidecar(self) -> dict[str, Any] | None:
        """The document beside the file, if there is one."""
        return self._sidecar

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """The question-answer pair at ``index``; ``wanted`` is a robot source's business.

        Raises:
            IndexError: there is none.
            GrinningFaceError: the file was changed since it was opened, or an image can't be read.
        """
        row = self._row(index)
        record = self.record(row)
        number = index - (int(self._index.ends[row - 1]) if row else 0)
        turn, where = record.turns[number], self.where(row)
        frames = (Frame(camera=f"image{i}", offset=0, image=self.image(path, where)) for i, path in enumerate(turn.images))
        key = f"{self.name}/{int(self._index.lines[row])}/{number}"
        return Sample(frames=tuple(frames), prompt=turn.prompt, answer=turn.answer, domain=record.domain, key=key)

    def domain(self, index: int) -> str:
        """The domain of the sample at ``index``; reads its record, not its images."""
        return self.record(self._row(index)).domain

    def record(self, row: int) -> Record:
        """The record at ``row``, from 0. Raises GrinningFaceError: the file was changed since it was opened."""
        length, offset = int(self._index.lengths[row]), int(self._index.offsets[row])
        data = os.pread(self._open().fileno(), length, offset)  # has no position that processes or threads could share
        return parse_record(data, where=self.where(row), domain=self._domain)

    def where(self, row: int) -> str:
        """``file:line`` of a record."""
        return f"{self.path}:{int(self._index.lines[row])}"

    def image(self, path: str, where: str) -> Images:
        """An image ``(H, W, 3) uint8`` RGB, turned as its EXIF says; ``where`` is what errors call its record.

        Raises:
            GrinningFaceError: it is outside the folder, damaged, or larger than :data:`MAX_PIXELS`.
        """
        from PIL import Image, ImageOps

        root = os.path.realpath(self._images)
        check_image(root, path, where)
        try:
            with Image.open(Path(root, path)) as image:
                if image.width * image.height > MAX_PIXELS:
                    what = f"the image {path!r} has {image.width} x {image.height} px"
                    raise GrinningFaceError(what, where=where, hint=f"at most {MAX_PIXELS:,} are read")
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # PIL's, of damaged files
            raise GrinningFaceError(f"the image {path!r} can't be read ({error})", where=where) from error

    def manifest(self) -> Manifest:
        """What it holds: hash over the file and over the names and sizes of its images; items if the sidecar says them."""
        items = None
        if self._sidecar is not None:
            items = {deck: tuple(sorted({*found["shown"], *found["named"]})) for deck, found in self._sidecar["items"].items()}
        source = {key: (self._sidecar or {}).get(key) for key in ("suite", "seed", "generator", "domains") if self._sidecar}
        return Manifest(
            name=self.name,
            kind="conversations",
            sha256=content_hash({"file": self._index.sha256, "images": self._index.images_sha256}),
            samples=len(self),
            items=items,
            details={"file": self.path.name, **source},
        )

    def _row(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return int(np.searchsorted(self._index.ends, index, side="right"))

    def _open(self) -> BinaryIO:
        with self._lock:
            if self._file is None:
                try:
                    file = self.path.open("rb")
                except OSError as error:
                    raise GrinningFaceError(f"can't be read ({error.strerror or error})", where=str(self.path)) from error
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != self._index.stamp:
                    file.close()
                    raise GrinningFaceError("it was changed since it was opened", where=str(self.path), hint="begin again")
                self._file = file
            return self._file

    def _read_sidecar(self) -> dict[str, Any] | None:
        path = self.path.with_name(SIDECAR)
        if self.path.name != CONVERSATIONS or not path.is_file():
            return None
        document = load_document(path, "conversations")
        if document["sha256"] != self._index.sha256:
            raise GrinningFaceError(
                f"the file isn't the one that {SIDECAR} describes",
                where=str(self.path),
                hint=f"make it again, or remove {SIDECAR}",
            )
        return document
