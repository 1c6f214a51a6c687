"""The card: the part of a submission that people write."""

from __future__ import annotations

import json
import re
import unicodedata
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
    check_name(str(card["name"]), source)


def check_name(name: str, source: str) -> None:
    """Raises SchemaError for a name that shows as nothing."""
    if not alike(name):
        raise SchemaError("the name shows as nothing", where=f"{source}#/name", hint="write one that people can read")


_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0\U0001d159"), " ")
"""Letters and signs that show as nothing: fillers of Hangul, Braille without a dot, a note without a head."""
_UNSEEN = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Marks that show as nothing: a joiner, and selectors of variants."""


def alike(name: str) -> str:
    """The same text for names that look the same; empty for one that shows as nothing.

    Compatible characters are one (NFKC), as are capital and small letters and all white space; what shows as nothing is left out.
    Letters of different scripts that look the same stay different.
    """
    plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", name.translate(_BLANK)))
    plain = unicodedata.normalize("NFKC", plain.casefold())
    seen = " ".join("".join(c for c in plain if unicodedata.category(c) != "Cf").split())
    return seen if any(unicodedata.category(c)[0] in "LNPS" for c in seen) else ""


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
