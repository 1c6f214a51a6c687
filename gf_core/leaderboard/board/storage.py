"""Where submissions lie, each named by its hash: a folder, or whatever fsspec opens."""

from __future__ import annotations

import hashlib
import posixpath
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from gf_core._files import write_whole
from gf_core.errors import GrinningFaceError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


class Storage(Protocol):
    """Files by their hash."""

    def has(self, sha256: str) -> bool:
        """Whether a file is there."""

    def put(self, path: Path, sha256: str) -> None:
        """Copy a file in; whole or not at all. Raises GrinningFaceError: it can't be written."""

    def fetch(self, sha256: str, to: Path) -> None:
        """Copy a file out, and check that it is the one. Raises GrinningFaceError: it isn't there, or isn't the one."""


def open_storage(board: Path, where: str) -> Storage:
    """The storage of a repository.

    Args:
        board: the repository's directory.
        where: a folder in it, or a URL with ``://``.

    Raises:
        MissingDependencyError: a URL, and fsspec or what it needs for the protocol isn't installed.
        GrinningFaceError: a folder outside the repository, or a URL that fsspec doesn't understand.
    """
    if "://" in where:
        return _Remote(where)
    folder = (board / where).resolve()
    if not folder.is_relative_to(board.resolve()):
        raise GrinningFaceError(
            f"the storage {where!r} lies outside the repository", where=str(board), hint="give a folder in it"
        )
    return _Folder(folder)


def _name(sha256: str) -> str:
    return f"{sha256}.zip"


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, sha256: str) -> bool:
        return (self._folder / _name(sha256)).is_file()

    def put(self, path: Path, sha256: str) -> None:
        def copy(file: IO[bytes]) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file)

        write_whole(self._folder / _name(sha256), copy, kind=GrinningFaceError)

    def fetch(self, sha256: str, to: Path) -> None:
        path = self._folder / _name(sha256)
        if not path.is_file():
            raise GrinningFaceError("the submission isn't in the storage", where=str(path))
        with path.open("rb") as source:
            _copy_checked(source, to, sha256, str(path))


class _Remote:
    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            hint = "pip install 'grinningface[leaderboard]'"
            raise MissingDependencyError(f"the storage {url} needs fsspec", hint=hint) from error
        try:
            self._files: Any
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise GrinningFaceError(
                f"the storage {url} can't be opened ({error})", hint="see fsspec's list of protocols"
            ) from error
        self._url = url

    def _path(self, sha256: str) -> str:
        return posixpath.join(self._root, _name(sha256))

    def has(self, sha256: str) -> bool:
        with self._explained():
            return bool(self._files.isfile(self._path(sha256)))

    def put(self, path: Path, sha256: str) -> None:
        with self._explained():
            self._files.makedirs(self._root, exist_ok=True)
            beside = f"{self._path(sha256)}.part"
            self._files.put_file(str(path), beside)
            self._files.mv(beside, self._path(sha256))

    def fetch(self, sha256: str, to: Path) -> None:
        where = f"{self._url}/{_name(sha256)}"
        if not self.has(sha256):
            raise GrinningFaceError("the submission isn't in the storage", where=where)
        with self._explained(), self._files.open(self._path(sha256), "rb") as source:
            _copy_checked(source, to, sha256, where)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except GrinningFaceError:
            raise
        except Exception as error:  # every protocol has errors of its own
            raise GrinningFaceError(f"the storage failed ({type(error).__name__}: {error})", where=self._url) from error


def _copy_checked(source: IO[bytes], to: Path, sha256: str, where: str) -> None:
    digest = hashlib.sha256()

    def copy(file: IO[bytes]) -> None:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise GrinningFaceError("the file isn't the one that its name says", where=where, hint="fetch or add it again")

    write_whole(to, copy, kind=GrinningFaceError)
