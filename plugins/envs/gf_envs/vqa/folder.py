"""A data set's folder: what lies in it, and whether it may be written to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gf_core.canonical import JSON, canonical_json, content_hash
from gf_core.errors import GrinningFaceError
from gf_core.runs import Run, differences
from gf_core.schemas import load_document

FILE, MANIFEST, IMAGES, RUN = "conversations.jsonl", "manifest.json", "images", "run"


Document = dict[str, Any]
"""A manifest (schema ``conversations-1``)."""


def manifest(path: Path) -> Document | None:
    """A folder's manifest; ``None`` where there is none. Raises SchemaError: it isn't one."""
    file = path / MANIFEST
    return load_document(file, "conversations") if file.is_file() else None


def take(path: Path, request: Mapping[str, JSON]) -> Document | None:
    """Make a folder ready to be written, or say that the same was made there before.

    What an interrupted call left is written over: the manifest comes last.

    Returns:
        The manifest of a finished data set that was made by the same request; ``None`` where there is something to do.

    Raises:
        GrinningFaceError: it holds another data set, or something else.
    """
    found = manifest(path) if path.is_dir() else None
    if found is not None:
        if canonical_json(found.get("request")) == canonical_json(dict(request)) and (path / FILE).is_file():
            return found
        other = differences(found.get("request"), dict(request))
        raise GrinningFaceError(
            f"it holds data that was made otherwise: {'; '.join(other[:4])}", where=str(path), hint="give another --out"
        )
    path.mkdir(parents=True, exist_ok=True)
    own = {FILE, f".{FILE}.tmp", f".{MANIFEST}.tmp", IMAGES, RUN}
    strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in own)
    if strangers:
        raise GrinningFaceError(f"it holds {strangers[0]!r}", where=str(path), hint="give an empty or a new folder with --out")
    return None


def fingerprint(run: Run) -> str:
    """What was recorded: a hash over a run's identity and its rows."""
    return content_hash({"run": dict(run.identity), "rows": [row["trajectory_sha256"] for row in run.records]})
