"""Results that others report and nobody here counted: listed with their source, never ranked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gf_core._problems import printable
from gf_core.canonical import sha256
from gf_core.errors import GrinningFaceError
from gf_core.leaderboard.board.repository import Problem, changing, slug, today, write_json
from gf_core.leaderboard.card import alike, check_name
from gf_core.schemas import load_document, validate

CLAIMS = "claims"


def add_claim(path: Path, file: Path, *, date: str | None = None) -> str:
    """Copy a claim into a repository. Returns its file's name there.

    Args:
        path: the repository.
        file: a document of kind ``claim`` (claim-1.schema.json).
        date: the day; by default today's, UTC.

    Raises:
        GrinningFaceError: it isn't a claim, or one of its name is there.
    """
    document = {**load_document(file, "claim"), "added": date or today()}
    validate(document, "claim", source=str(file))
    check_name(document["name"], str(file))
    with changing(path):
        for there, claim in _read(path)[0].items():
            if alike(claim["name"]) == alike(document["name"]):
                raise GrinningFaceError("a claim of this name is there", where=str(there), hint="remove it first")
        target = _place(path / CLAIMS, document["name"])
        write_json(target, document)
    return target.name


def _place(folder: Path, name: str) -> Path:
    """The file of a claim: its name's slug, with a hash where another name has that one, too. Raises GrinningFaceError."""
    for stem in (slug(name), f"{slug(name)}-{sha256(name)[:8]}"):
        if not (file := folder / f"{stem}.json").exists():
            return file
    raise GrinningFaceError("a file of another claim is in the way", where=str(file), hint="remove it first")


def read_claims(path: Path) -> tuple[list[Mapping[str, Any]], list[Problem]]:
    """All claims by name, and what can't be read."""
    found, problems = _read(path)
    return sorted(found.values(), key=lambda claim: claim["name"].casefold()), problems


def _read(path: Path) -> tuple[dict[Path, Mapping[str, Any]], list[Problem]]:
    """File to claim, and what can't be read."""
    found: dict[Path, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    for file in sorted((path / CLAIMS).glob("*.json")):
        try:
            found[file] = load_document(file, "claim")
        except GrinningFaceError as error:
            problems.append(Problem(where=printable(f"{CLAIMS}/{file.name}"), what=error.line))
    return found, problems
