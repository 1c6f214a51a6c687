"""What is in a submission's file, read without trust: bounded, hashed, and never written to disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gf_core.canonical import canonical_json, sha256
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.archive import MAX_MEMBERS, Archive, ArchiveError
from gf_core.leaderboard.recordings import MAX_BYTES as MAX_RECORDING
from gf_core.leaderboard.recordings import read_recording
from gf_core.runs import EPISODES, RUN, TRAJECTORIES, Row
from gf_core.schemas import parse_json, validate
from gf_core.trajectories import Trajectory

MANIFEST, CARD, PROBE = "submission.json", "card.json", "probe.json"
MAX_MANIFEST = 8 << 20
MAX_DOCUMENT = 1 << 20
MAX_EPISODES = 16 << 20
MAX_ROW = 64 << 10
_MAX_VALUES = 20_000
_NAME = re.compile(
    r"card\.json|probe\.json|submission\.json|runs/[1-9][0-9]?/(run\.json|episodes\.jsonl|trajectories/[a-z0-9][a-z0-9._-]{0,99}\.npz)"
)


@dataclass(frozen=True, kw_only=True)
class BundledRun:
    """A run in a submission; a :class:`gf_core.evaluation.verification.Recorded`.

    Attributes:
        archive: the submission's file.
        path: its folder there, ``runs/1``.
        identity: its run.json.
        records: its rows, checked against the suite.
        hashes: episode to the content hash of its trajectory.
    """

    archive: Archive
    path: str
    identity: Mapping[str, Any]
    records: tuple[Row, ...]
    hashes: Mapping[str, str]

    def trajectory(self, episode: str) -> Trajectory:
        """What a recorded episode did.

        Raises:
            RunDirectoryError: the file is missing, not the one that its row names, or not a trajectory.
        """
        name = f"{self.path}/{TRAJECTORIES}/{episode}.npz"
        try:
            data = self.archive.read(name, MAX_RECORDING)
        except ArchiveError as error:
            raise RunDirectoryError(error.what, where=name) from error
        if sha256(data) != self.hashes[episode]:
            raise RunDirectoryError("isn't the recording that its episode's row names", where=name)
        return read_recording(data, name)


def read_manifest(archive: Archive) -> dict[str, Any]:
    """submission.json, once everything in the file is what it says.

    Raises:
        GrinningFaceError: it lists other files, hashes or sizes than those that are there, or names one that no submission has.
    """
    for name in archive.members:
        if not _NAME.fullmatch(name):
            raise ArchiveError(f"{name!r} is no part of a submission", where=archive.source)
    manifest = read_document(archive, MANIFEST, "submission", MAX_MANIFEST, 4 * MAX_MEMBERS)
    listed, there = manifest["files"], archive.members.keys() - {MANIFEST}
    for name in sorted(listed.keys() ^ there):
        what = "is listed and isn't there" if name in listed else "isn't listed"
        raise GrinningFaceError(f"{name!r} {what}", where=f"{MANIFEST}#/files")
    for name, entry in sorted(listed.items()):
        if entry["bytes"] != archive.members[name].size or entry["sha256"] != archive.sha256(name):
            raise GrinningFaceError(f"{name!r} isn't the file that is listed", where=f"{MANIFEST}#/files")
    folders = [run["path"] for run in manifest["runs"]]
    found = sorted({name.rpartition(f"/{RUN}")[0] for name in there if name.endswith(f"/{RUN}")}, key=_number)
    if folders != found or folders != [f"runs/{n}" for n in range(1, len(folders) + 1)]:
        raise GrinningFaceError(f"it lists {', '.join(folders)}, and {', '.join(found) or 'none'} are there", where=MANIFEST)
    return manifest


def _number(folder: str) -> int:
    return int(folder.rpartition("/")[2])


def read_document(archive: Archive, name: str, kind: str, most: int, values: int = _MAX_VALUES) -> dict[str, Any]:
    """A JSON document of the submission. Raises GrinningFaceError: missing, too large, not JSON, or not of its kind."""
    document = parse_json(archive.read(name, most), source=name, max_values=values)
    validate(document, kind, source=name)
    return cast("dict[str, Any]", document)


def read_rows(archive: Archive, path: str) -> Iterator[tuple[str, bytes, Row]]:
    """The rows of a run one by one: where, their bytes, and as JSON, each fitting its schema.

    The caller stops at the first row that doesn't fit the run, so that a hostile file isn't held in memory.

    Raises:
        GrinningFaceError: a row that isn't one; code GF404.
    """
    name = f"{path}/{EPISODES}"
    data = archive.read(name, MAX_EPISODES)
    if not data.endswith(b"\n") and data:
        raise GrinningFaceError("the last row isn't whole", where=name, code="GF404")
    start = 0
    for number in range(1, data.count(b"\n") + 1):
        end = data.index(b"\n", start)
        where, line = f"{name}:{number}", data[start:end]
        start = end + 1
        try:
            row = parse_json(line, source=where, max_bytes=MAX_ROW, max_values=1000)
            validate(row, "episode_record", source=where, major=1)
        except GrinningFaceError as error:
            raise GrinningFaceError(error.what, where=error.where, hint=error.hint, code="GF404") from error
        yield where, line, cast(Row, row)


def describe_run(path: str, identity: Mapping[str, Any], records: Sequence[Row], suite: Suite) -> dict[str, Any]:
    """What submission.json says of a run, worked out from its other files.

    Args:
        path: its folder in the submission.
        identity: run.json.
        records: its rows.
        suite: what it was run on.
    """
    policy, chunks = identity["policy"], sum(row["chunks"] for row in records)
    rules = {episode.scene.get("success_rule") for episode in suite.episodes}
    return {
        "path": path,
        "suite": identity["suite"]["id"],
        "suite_sha256": identity["suite"]["sha256"],
        "environment": identity["environment"]["id"],
        "policy": policy["id"],
        "policy_provenance": policy["provenance"],
        "policy_seed": policy["seed"],
        "control_hz": identity["control_hz"],
        "timing": identity["timing"]["mode"],
        "latency_steps": identity["timing"]["latency_steps"],
        "execute_steps": policy["execute_steps"],
        "steps_per_chunk": round(sum(row["steps"] for row in records) / chunks, 3) if chunks else None,
        "success_rules": sorted(rule for rule in rules if isinstance(rule, str)),
        "episodes": len(records),
        "versions": identity["versions"],
        "platform": identity["platform"],
    }


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A document's bytes in a submission: canonical JSON and a newline."""
    return (canonical_json(document) + "\n").encode()
