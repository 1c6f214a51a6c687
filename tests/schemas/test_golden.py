"""Documents that must be accepted, and documents whose every message is pinned.

After an intended change of a message: ``GF_UPDATE_GOLDEN=1 pytest tests/schemas/test_golden.py``, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gf_core import schemas
from gf_core.errors import SchemaError

GOLDEN = Path(__file__).parent / "golden"


def documents(verdict: str) -> list[Path]:
    return sorted(GOLDEN.glob(f"*/{verdict}-*.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def check(path: Path) -> None:
    kind, _, major = path.parent.name.rpartition("-")
    rows = "schema_version" not in schemas.load_schema(kind, int(major))["required"]  # rows of a table don't repeat it
    document = schemas.parse_json(path.read_bytes(), source=path.name)
    schemas.validate(document, kind, source=path.name, major=int(major) if rows else None)


@pytest.mark.parametrize("path", documents("valid"), ids=name)
def test_valid_documents_are_accepted(path: Path) -> None:
    check(path)


@pytest.mark.parametrize("path", documents("invalid"), ids=name)
def test_messages_of_invalid_documents(path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        check(path)
    expected = path.with_suffix(".txt")
    if os.environ.get("GF_UPDATE_GOLDEN"):
        expected.write_text(f"{caught.value}\n", encoding="utf-8")
    assert f"{caught.value}\n" == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", schemas.kinds())
def test_every_kind_has_golden_documents_of_both_sorts(kind: str) -> None:
    for major in schemas.kinds()[kind]:
        folder = GOLDEN / f"{kind}-{major}"
        assert list(folder.glob("valid-*.json")), folder
        assert list(folder.glob("invalid-*.json")), folder


def test_no_message_is_left_over() -> None:
    assert {p.with_suffix(".json") for p in GOLDEN.glob("*/*.txt")} == set(documents("invalid"))
