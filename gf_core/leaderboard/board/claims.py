"""Results that others report and nobody here counted: listed with their source, never ranked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gf_core._problems import printable
from gf_core.errors import GrinningFaceError
from gf_core.leaderboard.board.repository import Problem, changing, slug, today, write_json
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
    with changing(path):
        name = f"{slug(document['name'])}.json"
        if (path / CLAIMS / name).exists():
            raise GrinningFaceError("a claim of this name is there", where=str(path / CLAIMS / name), hint="remove it first")
        write_json(path / CLAIMS / name, document)
    return name


def read_claims(path: Path) -> tuple[list[Mapping[str, Any]], list[Problem]]:
    """All claims by name, and what can't be read."""
    found: list[Mapping[str, Any]] = []
    problems: list[Problem] = []
    for file in sorted((path / CLAIMS).glob("*.json")):
        try:
            found.append(load_document(file, "claim"))
        except GrinningFaceError as error:
            what = error.line
            problems.append(Problem(where=printable(f"{CLAIMS}/{file.name}"), what=what))
    return sorted(found, key=lambda claim: claim["name"].casefold()), problems
