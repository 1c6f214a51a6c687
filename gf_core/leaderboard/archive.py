"""The zip files of submissions, in the one form that we write: stored members back to back, nothing else.

Zip is a format with many readers that disagree. What two of them could read differently is refused here: compressed, encrypted,
split, nested or duplicate members, overlaps and gaps, extra fields and comments, zip64. So the size of a file bounds what is in
it, its bytes follow from its content, and reading it takes memory for its directory only. Nothing is ever extracted to disk.

The format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (its end).
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gf_core._problems import printable, shorten
from gf_core.errors import GrinningFaceError

MAX_BYTES = 1 << 30
MAX_MEMBERS = 40_000
"""A run has a member for every episode: this is 13 runs of both gf/standard@1 and gf/controls@1."""
MAX_NAME = 200
_CHUNK = 1 << 20

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_EPOCH = 0x0021
"""1980-01-01 as a DOS date: equal content is equal bytes."""
_REGULAR = (stat.S_IFREG | 0o644) << 16
_UNIX = 3 << 8 | 20
_ENCRYPTED, _UTF8 = 0x1, 0x800


class ArchiveError(GrinningFaceError):
    """A file isn't an archive of the one form that is read."""


class _Entry(NamedTuple):
    """A member's header in the central directory; ``name``, ``extra`` and ``comment`` are lengths."""

    mark: bytes
    made_by: int
    needs: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name: int
    extra: int
    comment: int
    disk: int
    internal: int
    attributes: int
    offset: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive: where its bytes are, how many, and their CRC-32."""

    name: str
    offset: int
    size: int
    crc: int


class Archive:
    """An open archive. Make it with :func:`open_archive`.

    Attributes:
        source: what errors call it.
        members: name to member, in the file's order.
    """

    def __init__(self, file: BinaryIO, source: str, members: Mapping[str, Member]) -> None:
        self._file, self.source, self.members = file, source, members

    def read(self, name: str, most: int) -> bytes:
        """A member's bytes.

        Raises:
            ArchiveError: no such member, more than ``most`` bytes, or bytes that don't fit their checksum.
        """
        member = self.members.get(name)
        if member is None:
            raise ArchiveError(f"it has no {name}", where=self.source)
        if member.size > most:
            raise ArchiveError(f"{name} has {member.size:,} bytes", where=self.source, hint=f"at most {most:,} are read")
        self._file.seek(member.offset)
        data = self._file.read(member.size)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ArchiveError(f"{name} is damaged: its bytes don't fit their checksum", where=self.source)
        return data

    def sha256(self, name: str) -> str:
        """Hex SHA-256 of a member's bytes, read in pieces."""
        member, digest = self.members[name], hashlib.sha256()
        self._file.seek(member.offset)
        left = member.size
        while left and (chunk := self._file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
        return digest.hexdigest()


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive for reading, having checked all of its structure and none of its content. Errors call it by its name alone.

    Raises:
        ArchiveError: it isn't one, or not of this form; says what is in it that mustn't be.
    """
    source = printable(path.name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ArchiveError("isn't a regular file", where=source, hint="give a .zip that `gf submit pack` wrote")
        with path.open("rb") as file:
            yield Archive(file, source, read_directory(file, os.fstat(file.fileno()).st_size, source))
    except OSError as error:
        raise ArchiveError(f"can't be read ({error.strerror or error})", where=source) from error


def read_directory(file: BinaryIO, size: int, source: str) -> dict[str, Member]:
    """The members of an archive of ``size`` bytes. Raises ArchiveError where it isn't of the one form."""
    if size > MAX_BYTES:
        raise ArchiveError(f"it has {size:,} bytes", where=source, hint=f"at most {MAX_BYTES:,} are read")
    count, start, length = _read_end(file, size, source)
    file.seek(start)
    directory = file.read(length)
    members: dict[str, Member] = {}
    folded: set[str] = set()
    at, place = 0, 0
    for _ in range(count):
        if at + _CENTRAL.size > length:
            raise _odd("its directory ends too early", source)
        entry = _Entry._make(_CENTRAL.unpack_from(directory, at))
        raw = directory[at + _CENTRAL.size : at + _CENTRAL.size + entry.name]
        at += _CENTRAL.size + entry.name
        name = _name(raw, source)
        _check_entry(name, entry, source)
        if name.lower() in folded:
            raise _odd(f"{name!r} is in it twice", source)
        folded.add(name.lower())
        if entry.offset != place:
            raise _odd(f"{name!r} doesn't follow the member before it: members overlap, or something lies between them", source)
        _check_local(file, place, entry, raw, source)
        offset = place + _LOCAL.size + entry.name
        members[name] = Member(name=name, offset=offset, size=entry.size, crc=entry.crc)
        place = offset + entry.size
    if at != length or place != start:
        raise _odd("something lies in it that isn't a member", source)
    return members


def _read_end(file: BinaryIO, size: int, source: str) -> tuple[int, int, int]:
    """Number of members, and start and length of the directory."""
    if size < _END.size:
        raise ArchiveError("isn't a zip file", where=source, hint="give a .zip that `gf submit pack` wrote")
    file.seek(size - _END.size)
    mark, disk, start_disk, here, count, length, start, comment = _END.unpack(file.read(_END.size))
    if mark != _END_MARK:
        raise ArchiveError(
            "isn't a zip file, or one with a comment or with something after it",
            where=source,
            hint="give a .zip that `gf submit pack` wrote",
        )
    if (disk, start_disk, comment) != (0, 0, 0) or here != count or 0xFFFF in (here, count) or 0xFFFFFFFF in (length, start):
        raise _odd("it is split, commented or of the zip64 form", source)
    if count > MAX_MEMBERS or length > MAX_MEMBERS * (_CENTRAL.size + MAX_NAME):
        raise _odd(f"it has {count:,} members and a directory of {length:,} bytes; at most {MAX_MEMBERS:,} are read", source)
    if start + length + _END.size != size:
        raise _odd("its directory isn't where its end says", source)
    return count, start, length


def _name(raw: bytes, source: str) -> str:
    try:
        name = raw.decode("ascii")
    except UnicodeDecodeError:
        raise _odd(f"the name {shorten(repr(raw))} isn't ASCII", source) from None
    shown = shorten(repr(name))
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise _odd(f"{shown} isn't a name that is written", source)
    if name.startswith("/") or "\\" in name or ":" in name:
        raise _odd(f"{shown} is an absolute name", source)
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        raise _odd(f"{shown} leads outside", source)
    if name.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".whl")):
        raise _odd(f"{shown} is an archive in the archive", source)
    return name


def _check_entry(name: str, entry: _Entry, source: str) -> None:
    if entry.mark != _CENTRAL_MARK:
        raise _odd("its directory is damaged", source)
    kind = stat.S_IFMT(entry.attributes >> 16)
    if kind == stat.S_IFLNK:
        raise _odd(f"{name!r} is a symbolic link", source)
    if kind not in (0, stat.S_IFREG) or name.endswith("/"):
        raise _odd(f"{name!r} isn't a regular file", source)
    if entry.flags & _ENCRYPTED:
        raise _odd(f"{name!r} is encrypted", source)
    if entry.method != 0 or entry.packed != entry.size:
        raise _odd(f"{name!r} is compressed ({entry.size:,} bytes in {entry.packed:,})", source)
    if entry.flags & ~_UTF8 or entry.extra or entry.comment or entry.disk:
        raise _odd(f"{name!r} has flags, extra fields or a comment", source)


def _check_local(file: BinaryIO, place: int, entry: _Entry, raw: bytes, source: str) -> None:
    """The local header must say what the directory says, since other programs read that one."""
    file.seek(place)
    header = file.read(_LOCAL.size + len(raw))
    if len(header) < _LOCAL.size + len(raw):
        raise _odd("a member lies outside the file", source)
    mark, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack_from(header)
    agrees = (flags, method, crc, packed, size) == (entry.flags, entry.method, entry.crc, entry.packed, entry.size)
    if mark != _LOCAL_MARK or not agrees or extra or name != len(raw) or header[_LOCAL.size :] != raw:
        raise _odd(f"{shorten(repr(raw.decode('ascii')))} has another header than the directory says", source)


def write_archive(path: Path, content: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive: members sorted by name, stored, without times; equal content gives equal bytes.

    Args:
        path: where to; written beside it and renamed, so that it is whole or absent.
        content: names and bytes; bytes may be made as they are asked for.

    Raises:
        ArchiveError: it would be too large, or can't be written.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        with beside.open("wb") as file:
            _write(file, content, printable(str(path)))
        beside.replace(path)
    except OSError as error:
        raise ArchiveError(f"can't be written ({error.strerror or error})", where=printable(str(path))) from error
    finally:
        beside.unlink(missing_ok=True)


def _write(file: BinaryIO, content: Iterable[tuple[str, bytes]], source: str) -> None:
    directory: list[bytes] = []
    place = 0
    for name, data in content:
        raw, crc, size = _name(name.encode(), source).encode(), zlib.crc32(data), len(data)
        file.write(_LOCAL.pack(_LOCAL_MARK, 20, 0, 0, 0, _EPOCH, crc, size, size, len(raw), 0) + raw)
        file.write(data)
        directory.append(
            _CENTRAL.pack(_CENTRAL_MARK, _UNIX, 20, 0, 0, 0, _EPOCH, crc, size, size, len(raw), 0, 0, 0, 0, _REGULAR, place) + raw
        )
        place += _LOCAL.size + len(raw) + size
        if place > MAX_BYTES or len(directory) > MAX_MEMBERS:
            raise ArchiveError(
                f"it would be larger than {MAX_BYTES:,} bytes or {MAX_MEMBERS:,} members",
                where=source,
                hint="pack fewer runs into one submission",
            )
    joined = b"".join(directory)
    file.write(joined)
    file.write(_END.pack(_END_MARK, 0, 0, len(directory), len(directory), len(joined), place, 0))


def _odd(what: str, source: str) -> ArchiveError:
    return ArchiveError(what, where=source, hint="`gf submit pack` writes what is read")
