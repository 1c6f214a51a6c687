"""The reference of document formats, written from the schemas themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gf_core.rules import Rule

Schema = Mapping[str, Any]

_COUNTS = (("Length", "characters"), ("Items", "items"), ("Properties", "keys"))


def reference(policy: str, schemas: Sequence[Schema], rules: Iterable[Rule]) -> str:
    """The whole page, as Markdown.

    Args:
        policy: how formats change, as Markdown.
        schemas: of every kind, with references resolved.
        rules: what the schemas can't say.
    """
    parts = [
        "# Schema reference",
        "Written by `python -m gf_core.schemas --write docs/schemas.md`; change the schemas, not this page.",
    ]
    parts += [policy.replace("``", "`").replace(":data:", ""), "Errors name every mistake: `file#/json/pointer: what; hint`."]
    parts += [describe_schema(schema).rstrip("\n") for schema in schemas]
    rows = [f"| {rule.code} | {rule.kind} | {_cell(rule.title)} |" for rule in rules]
    parts += [
        "## Rules",
        "What a schema can't say. Codes are stable.",
        "\n".join(["| code | kind | rule |", "|---|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def describe_schema(schema: Schema) -> str:
    """One kind, with references resolved: what it is, and a table of its fields."""
    kind = str(schema["$id"]).split(":")[-2]
    table = ["| field | type | needed | meaning |", "|---|---|---|---|", *_rows(schema, "")]
    return "\n".join([f"## {kind} {schema['x-version']}", "", str(schema["description"]), "", *table, ""])


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    """A row for every described field, by its dotted name; ``[]`` is any index, ``*`` any key."""
    for name, sub in schema.get("properties", {}).items():
        yield from _field_rows(sub, f"{prefix}{name}", needed=name in schema.get("required", ()))
    yield from _field_rows(schema.get("additionalProperties"), f"{prefix}*", needed=False)
    if isinstance(schema.get("items"), dict):
        yield from _rows(schema["items"], f"{prefix.removesuffix('.')}[].")
    for branch in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        if "title" in branch:
            yield f"| | | | *{_cell(branch['title'])}* |"
        yield from _rows(branch, prefix)


def _field_rows(schema: object, name: str, *, needed: bool) -> Iterator[str]:
    if isinstance(schema, dict) and "description" in schema:
        yield f"| `{name}` | {_cell(_type(schema))} | {'yes' if needed else ''} | {_cell(_meaning(schema))} |"
        yield from _rows(schema, f"{name}.")


def _type(schema: Schema) -> str:
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if branches:
        return " or ".join(_type(branch) for branch in branches)
    types = schema.get("type", "any")
    text = types if isinstance(types, str) else " or ".join(types)
    limits = ", ".join(_limits(schema))
    text = f"{text} ({limits})" if limits else text
    return f"{text} of {_type(schema['items'])}" if isinstance(schema.get("items"), dict) else text


def _limits(schema: Schema) -> Iterator[str]:
    for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")):
        if key in schema:
            yield f"{sign} {schema[key]}"
    for key, unit in _COUNTS:
        low, high = schema.get(f"min{key}", 0), schema.get(f"max{key}")
        if low == high:
            yield f"{low} {unit}"
        elif high is not None:
            yield f"{low} to {high} {unit}"
        elif low:
            yield f"{low} or more {unit}"


def _meaning(schema: Schema) -> str:
    examples = ", ".join(f"`{json.dumps(example, ensure_ascii=False)}`" for example in schema.get("examples", ()))
    text = str(schema.get("description", ""))
    return f"{text} E.g. {examples}." if examples else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
