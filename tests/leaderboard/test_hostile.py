"""A hostile file costs little: its memory is measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from gf_core.canonical import sha256
from gf_core.leaderboard import verify_file
from gf_core.leaderboard.archive import _CENTRAL, _END, _LOCAL, open_archive, write_archive
from gf_core.leaderboard.bundle import document_bytes

from .forging import CARD, bundle

MIB = 1 << 20
CHECK = r"""
import json, re, sys
from pathlib import Path
from gf_core.leaderboard import verify_file
from gf_core.plugins import load_plugins
verdict = verify_file(Path(sys.argv[1]), load_plugins())
detail = next(f.detail for f in verdict.findings if f.code == verdict.first_failed)
# Not getrusage: its peak includes that of the process that started this one.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps([verdict.badge, verdict.first_failed, detail, peak]))
"""


def check(path: Path) -> tuple[str, str]:
    """First rule broken and what was found, in less than 300 MB."""
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, timeout=120, check=True)
    badge, code, detail, kilobytes = json.loads(done.stdout)
    assert badge == "disputed"
    assert kilobytes < 300_000
    return code, detail


def sparse(path: Path, size: int, name: bytes) -> None:
    """An archive with one member of so many zero bytes, which takes no room on disk."""
    crc, chunk = 0, bytes(MIB)
    for _ in range(size // MIB):
        crc = zlib.crc32(chunk, crc)
    local = _LOCAL.pack(b"PK\3\4", 20, 0, 0, 0, 33, crc, size, size, len(name), 0) + name
    central = _CENTRAL.pack(b"PK\1\2", 20, 20, 0, 0, 0, 33, crc, size, size, len(name), 0, 0, 0, 0, 0, 0) + name
    with path.open("wb") as file:
        file.write(local)
        file.seek(len(local) + size)
        file.write(central + _END.pack(b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + size, 0))


def one_gigabyte(path: Path, forge) -> str:
    sparse(path, 1023 * MIB, b"runs/1/episodes.jsonl")
    return "it has no submission.json"


def large_manifest(path: Path, forge) -> str:
    sparse(path, 512 * MIB, b"submission.json")
    return "submission.json has 536,870,912 bytes"


def only_a_directory(path: Path, forge) -> str:
    """Nothing but directory entries, which other readers take into memory."""
    with path.open("wb") as file:
        file.truncate(1000 * MIB)
        file.seek(1000 * MIB - _END.size)
        file.write(_END.pack(b"PK\5\6", 0, 0, 0xFFFE, 0xFFFE, 1000 * MIB - _END.size, 0, 0))
    return "65,534 members"


def deep(path: Path, forge) -> str:
    write_archive(path, [("card.json", b'{"name":' * 100_000), ("submission.json", b"[" * 7_000_000)])
    return "nested more than"


def many_values(path: Path, forge) -> str:
    write_archive(path, [("card.json", json.dumps(CARD).encode()), ("submission.json", b"[" + b"[]," * 2_600_000 + b"[]]")])
    return "holds more than"


@pytest.mark.parametrize("attack", [one_gigabyte, only_a_directory])
def test_a_gigabyte_is_refused_in_little_memory(tmp_path, forge, attack):
    message = attack(tmp_path / "a.zip", forge)
    code, detail = check(tmp_path / "a.zip")
    assert code in ("GF401", "GF402")
    assert message in detail


@pytest.mark.full
@pytest.mark.parametrize("attack", [large_manifest, deep, many_values])
def test_other_hostile_files(tmp_path, forge, attack):
    message = attack(tmp_path / "a.zip", forge)
    code, detail = check(tmp_path / "a.zip")
    assert code == "GF402"
    assert message in detail


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (b'{"episode":' + b"[" * 30_000 + b"\n", "nested more than"),
        (b"[" + b"[]," * 15_000 + b"[]]\n", "holds more than"),
        (b'"' + b"x" * 15_000_000 + b'"\n', "too large"),
        (b"\n" * 15_000_000, "is empty"),
        (b'{"episode":NaN}\n', "NaN isn't JSON"),
        (b'{"episode":"a","episode":"b"}\n', "more than once"),
        (b"x" * 17_000_000, "at most 16,777,216 are read"),
    ],
)
def test_hostile_rows_are_refused_at_the_first(tmp_path, forge, host, submit, rows, message):
    with open_archive(submit(forge().write())) as archive:
        content = {name: archive.read(name, 1 << 24) for name in archive.members}
    manifest = json.loads(content["submission.json"])
    content["runs/1/episodes.jsonl"] = rows
    manifest["files"]["runs/1/episodes.jsonl"] = {"sha256": sha256(rows), "bytes": len(rows)}
    content["submission.json"] = document_bytes(manifest)
    write_archive(tmp_path / "b.zip", sorted(content.items()))
    verdict = verify_file(tmp_path / "b.zip", host)
    assert verdict.first_failed == "GF404"
    assert message in next(f.detail for f in verdict.findings if f.code == "GF404")


def test_an_error_that_nobody_thought_of_ends_in_no_badge(forge, submit, host, monkeypatch):
    def broken(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("gf_core.leaderboard.verify.check_done", broken)
    verdict = verify_file(submit(forge().write()), host)
    assert (verdict.badge, verdict.first_failed) == ("disputed", "GF401")
    assert verdict.findings[0].detail == "checking it broke: RecursionError: too deep"


def test_hostile_text_in_the_card_is_refused_or_harmless(forge, host, tmp_path):
    texts = {"script": "<script>alert(1)</script>", "formula": "=HYPERLINK(1)", "bidi": "a\u202eb", "escape": "a\x1b[2Jb"}
    for name, text in texts.items():
        verdict = verify_file(bundle(tmp_path / f"{name}.zip", forge().write(), card={**CARD, "name": text}), host)
        if name in ("script", "formula"):
            assert (verdict.badge, verdict.name) == ("replayed", text), "text is text; who shows it escapes it"
        else:
            assert (verdict.badge, verdict.first_failed, verdict.name) == ("disputed", "GF403", None)
