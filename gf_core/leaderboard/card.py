"""The card: the part of a submission that people write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gf_core.canonical import JSON
from gf_core.errors import SchemaError
from gf_core.schemas import load_json, load_schema, validate

_HEADER = {"schema_version": "1.0", "kind": "card"}


def read_card(path: Path) -> dict[str, JSON]:
    """A card as far as it is filled in: without notes, and without fields that are null or empty text.

    Raises:
        SchemaError: not a file with a JSON object.
    """
    found = load_json(path)
    if not isinstance(found, dict):
        raise SchemaError("a card is a JSON object", where=str(path), hint="`gf submit card` writes an empty one")
    header: dict[str, JSON] = dict(_HEADER)
    return header | {key: value for key, value in found.items() if value not in (None, "") and not key.startswith("x-")}


def missing_fields(card: Mapping[str, JSON]) -> dict[str, Mapping[str, Any]]:
    """Required fields that a card lacks, each with its schema, in the schema's order."""
    schema = load_schema("card")
    return {name: field_schema(name) for name in schema["properties"] if name in schema["required"] and name not in card}


def field_schema(name: str) -> dict[str, Any]:
    """A field's schema, with what it refers to in its place."""
    schema = load_schema("card")
    field: dict[str, Any] = schema["properties"][name]
    if "$ref" in field:
        field = {**schema["$defs"][field["$ref"].rpartition("/")[2]], **field}
    return field


def check_card(card: Mapping[str, JSON], source: str) -> None:
    """Raises SchemaError that lists everything that is missing or wrong, each with its pointer."""
    validate(dict(card), "card", source=source)


def template() -> str:
    """An empty card: every field null, with a note on what belongs there. Fields that stay null count as missing."""
    schema = load_schema("card")
    content: dict[str, JSON] = dict(_HEADER)
    for name in schema["properties"]:
        if name in _HEADER:
            continue
        field = field_schema(name)
        need = "needed" if name in schema["required"] else "optional"
        example = f" E.g. {json.dumps(field['examples'][0], ensure_ascii=False)}." if "examples" in field else ""
        choice = f" One of {', '.join(field['enum'])}." if "enum" in field else ""
        content[f"x-{name}"] = f"{need}: {field['description']}{choice}{example}"
        content[name] = None
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
