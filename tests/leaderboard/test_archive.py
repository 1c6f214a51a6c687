"""Zip files of the one form, and everything else that calls itself a zip."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core.leaderboard import archive
from gf_core.leaderboard.archive import ArchiveError, open_archive, write_archive

CONTENT = {"a.json": b"{}", "b/c.npz": bytes(range(256)) * 9, "b/empty.json": b""}


def contents(path: Path) -> dict[str, bytes]:
    with open_archive(path) as found:
        return {name: found.read(name, 1 << 20) for name in found.members}


@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,9}(/[a-z0-9.]{1,9}x)?", fullmatch=True), st.binary(max_size=2000), max_size=9))
def test_what_is_written_is_read_by_us_and_by_others(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    write_archive(path, sorted(content.items()))
    assert contents(path) == content
    with zipfile.ZipFile(path) as others:
        assert others.testzip() is None
        assert {info.filename: others.read(info) for info in others.infolist()} == content


def test_equal_content_is_equal_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_archive(tmp_path / name, CONTENT.items())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_whichever_byte_is_changed_the_content_is_the_same_or_refused(tmp_path):
    path = tmp_path / "a.zip"
    write_archive(path, CONTENT.items())
    whole = path.read_bytes()
    for place in [*range(0, len(whole), 7), *range(len(whole) - 260, len(whole))]:
        for flip in (0x01, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                assert contents(path) == CONTENT, place
            except ArchiveError:
                continue


def test_nothing_is_left_of_an_archive_that_cannot_be_written(tmp_path):
    def content():
        yield "a.json", b"{}"
        raise ArchiveError("stop")

    with pytest.raises(ArchiveError, match="stop"):
        write_archive(tmp_path / "a.zip", content())
    assert list(tmp_path.iterdir()) == []


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
        file.comment = comment
    return buffer.getvalue()


def symlink() -> bytes:
    info = zipfile.ZipInfo("card.json")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped((info, b"/etc/passwd"))


def encrypted() -> bytes:
    data = bytearray(zipped(("card.json", b"{}")))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(("card.json", b"{}"), ("card.json", b"[]"))


def gap() -> bytes:
    """Bytes between the last member and the directory, as a self-extracting program would put before the first."""
    data = zipped(("card.json", b"{}"))
    place = data.index(b"PK\x01\x02")
    end = bytearray(data[place:])
    start = len(end) - 22 + 16
    end[start : start + 4] = struct.pack("<I", place + 5)
    return data[:place] + b"extra" + bytes(end)


def overlap() -> bytes:
    """Two names for the same bytes: what quoted bombs are made of."""
    data = zipped(("a.json", b"{}" * 50))
    place = data.index(b"PK\x01\x02")
    entry, end = data[place:-22], bytearray(data[-22:])
    other = entry.replace(b"a.json", b"b.json")
    struct.pack_into("<HHI", end, 8, 2, 2, 2 * len(entry))
    return data[:place] + entry + other + bytes(end)


def other_header() -> bytes:
    """The directory says one name, the member's own header another."""
    return zipped(("card.json", b"{}")).replace(b"card.json", b"cark.json", 1)


def too_many() -> bytes:
    data = bytearray(zipped(("card.json", b"{}")))
    struct.pack_into("<HH", data, len(data) - 14, 60_000, 60_000)
    return bytes(data)


def zip64() -> bytes:
    info = zipfile.ZipInfo("card.json")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file, file.open(info, "w", force_zip64=True) as member:
        member.write(b"{}")
    return buffer.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip-slip": (lambda: zipped(("../../etc/cron.d/x", b"")), "leads outside"),
    "hidden slip": (lambda: zipped(("runs/1/../../x", b"")), "leads outside"),
    "absolute": (lambda: zipped(("/etc/passwd", b"")), "absolute name"),
    "drive": (lambda: zipped(("C:/x", b"")), "absolute name"),
    "backslash": (lambda: zipped(("runs\\1\\run.json", b"")), "absolute name"),
    "not ascii": (lambda: zipped(("cаrd.json", b"")), "isn't ASCII"),
    "control character": (lambda: zipped(("card\n.json", b"")), "isn't a name"),
    "long name": (lambda: zipped(("a" * 300, b"")), "isn't a name"),
    "symlink": (symlink, "symbolic link"),
    "folder": (lambda: zipped(("runs/", b"")), "isn't a regular file"),
    "twice": (twice, "twice"),
    "other case": (lambda: zipped(("card.json", b""), ("CARD.json", b"")), "twice"),
    "encrypted": (encrypted, "encrypted"),
    "compressed": (lambda: zipped(("card.json", b"0" * 10_000_000), compression=zipfile.ZIP_DEFLATED), "compressed"),
    "nested": (lambda: zipped(("runs.zip", zipped(("a", b"")))), "archive in the archive"),
    "comment": (lambda: zipped(("card.json", b"{}"), comment=b"hello"), "isn't a zip file, or one with a comment"),
    "something after it": (lambda: zipped(("card.json", b"{}")) + b"#!/bin/sh\n", "something after it"),
    "something before it": (lambda: b"MZ" * 40 + zipped(("card.json", b"{}")), "its directory isn't where"),
    "gap": (gap, "something lies in it"),
    "overlap": (overlap, "doesn't follow"),
    "other header": (other_header, "another header"),
    "too many": (too_many, "60,000 members"),
    "zip64": (zip64, "another header"),
    "cut off": (lambda: zipped(("card.json", b"{}"))[:-30], "isn't a zip file"),
    "empty": (lambda: b"", "isn't a zip file"),
    "tar": (lambda: b"card.json" + bytes(2000), "isn't a zip file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_everything_else_is_refused_with_what_it_is(tmp_path, name):
    make, message = HOSTILE[name]
    path = tmp_path / "a.zip"
    path.write_bytes(make())
    with pytest.raises(ArchiveError, match=message):
        contents(path)


def test_limits(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    write_archive(path, CONTENT.items())
    with open_archive(path) as found, pytest.raises(ArchiveError, match=r"b/c\.npz has 2,304 bytes"):
        found.read("b/c.npz", 1000)
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    with pytest.raises(ArchiveError, match="at most 100 are read"):
        contents(path)
    with pytest.raises(ArchiveError, match="pack fewer runs"):
        write_archive(path, CONTENT.items())


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_what_is_no_file(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveError):
        contents(tmp_path / what)
