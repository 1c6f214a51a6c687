"""Writes submissions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.canonical import JSON, sha256
from gf_core.errors import RunDirectoryError
from gf_core.evaluation.suites import load_suite
from gf_core.leaderboard.archive import write_archive
from gf_core.leaderboard.bundle import CARD, MANIFEST, PROBE, describe_run, document_bytes
from gf_core.leaderboard.card import check_card
from gf_core.runs import EPISODES, RUN, TRAJECTORIES, Run, read_run
from gf_core.schemas import load_document, validate

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was written.

    Attributes:
        path: the file.
        sha256: hash of its bytes.
        manifest: its submission.json.
    """

    path: Path
    sha256: str
    manifest: Mapping[str, Any]


def pack(
    runs: Sequence[Path],
    card: Mapping[str, JSON],
    out: Path,
    host: PluginHost,
    *,
    card_source: str = CARD,
    probe: Path | None = None,
) -> Packed:
    """Write runs and a card as one file. The same content gives the same bytes, in whatever order the runs are named.

    Args:
        runs: run directories; what isn't a result (journal, log, lock) stays out.
        card: the card, complete.
        out: the file to write.
        host: the plugins, which know the suites.
        card_source: what errors call the card.
        probe: what `gf probe` wrote of the runs' checkpoint and one of their suites; may be left out.

    Raises:
        GrinningFaceError: an incomplete or invalid card, an unfinished or damaged run, an unknown suite, an unwritable file.
    """
    check_card(card, card_source)
    read = sorted((_finished(path) for path in runs), key=_order)
    asked = None if probe is None else load_document(probe, "probe")
    prefixed = [(f"runs/{number}", run) for number, run in enumerate(read, start=1)]
    files: dict[str, dict[str, JSON]] = {}
    for name, data in _content(prefixed, card, asked):
        files[name] = {"sha256": sha256(data), "bytes": len(data)}
    manifest: dict[str, Any] = {
        "schema_version": "1.0",
        "kind": "submission",
        "runs": [
            describe_run(path, run.identity, run.records, load_suite(run.identity["suite"]["id"], host)) for path, run in prefixed
        ],
        "files": files,
    }
    validate(manifest, "submission", source=MANIFEST)

    def content() -> Iterator[tuple[str, bytes]]:
        yield from _content(prefixed, card, asked)
        yield MANIFEST, document_bytes(manifest)

    write_archive(out, content())
    return Packed(path=out, sha256=file_sha256(out), manifest=manifest)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finished(path: Path) -> Run:
    run = read_run(path)
    if not run.complete:
        raise RunDirectoryError("the run isn't finished", where=str(path), hint="the command that began it goes on with it")
    return run


def _order(run: Run) -> tuple[str, str, int, str]:
    identity = run.identity
    policy = identity["policy"]
    return identity["suite"]["id"], policy["id"], policy["seed"], sha256((run.path / RUN).read_bytes())


def _content(
    runs: Sequence[tuple[str, Run]], card: Mapping[str, JSON], probe: Mapping[str, Any] | None
) -> Iterator[tuple[str, bytes]]:
    """Every file but the manifest, sorted by name."""
    yield CARD, document_bytes(card)
    if probe is not None:
        yield PROBE, document_bytes(probe)
    for folder, run in sorted(runs, key=lambda pair: pair[0]):
        yield f"{folder}/{EPISODES}", (run.path / EPISODES).read_bytes()
        yield f"{folder}/{RUN}", (run.path / RUN).read_bytes()
        for episode in sorted(row["episode"] for row in run.records):
            path = run.path / TRAJECTORIES / f"{episode}.npz"
            if not path.is_file():
                raise RunDirectoryError("the file is missing", where=str(path))
            yield f"{folder}/{TRAJECTORIES}/{episode}.npz", path.read_bytes()
