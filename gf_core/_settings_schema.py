"""Whether a schema that a plugin's author wrote can be used: it fetches nothing, ends, and takes little time on any input.

Such schemas check data from strangers (a suite's scenes), so what could take exponential time is refused when the schema is
prepared, not found out when somebody sends the input for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from gf_core._json import parse_json
from gf_core._problems import Path, Problem, refuse, show
from gf_core.errors import SchemaError
from gf_core.specs import to_json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Schema = dict[str, Any]

MAX_SCHEMA_BYTES = 64 << 10
MAX_SUBSCHEMAS = 10_000
"""Most subschemas, with references followed: ten definitions that each refer twice to the next are a thousand."""
MAX_SCHEMA_DEPTH = 64
MAX_PATTERN = 256
"""Longest pattern, and longest text that is matched against one."""

_ONE = ("additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames")
_ONE_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "dependentSchemas")
_REFUSED = {
    "$id": "references within a schema are relative to its root",
    "$anchor": "refer to #/$defs/NAME",
    "$dynamicRef": "refer to #/$defs/NAME",
    "$dynamicAnchor": "refer to #/$defs/NAME",
    "patternProperties": "use propertyNames and additionalProperties",
}
_OPEN_ENDED = ("additionalProperties", "unevaluatedProperties", "allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas")


@dataclass(frozen=True)
class Prepared:
    """A checked schema, and the validator for it."""

    schema: Schema
    validator: Validator


def prepare(schema: Mapping[str, Any], *, source: str) -> Prepared:
    """The schema as plain JSON with its objects closed, and its validator; cached.

    An object that declares ``properties`` takes no other keys unless it says ``additionalProperties`` or combines schemas, so
    that a misspelled setting is an error.

    Raises:
        SchemaError: when the schema isn't valid draft 2020-12, refers outside of ``#/$defs``, is endless or huge, has a pattern
            that could take long, or a default that doesn't fit.
    """
    try:
        text = json.dumps(to_json(schema))
    except (TypeError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise SchemaError(f"isn't plain JSON ({reason})", where=source) from None
    return _prepare(text, source)


@lru_cache(maxsize=256)
def _prepare(text: str, source: str) -> Prepared:
    from gf_core._explain import document_problems, make_validator, schema_problems

    schema = cast(Schema, parse_json(text.encode(), source=source, max_bytes=MAX_SCHEMA_BYTES, max_depth=MAX_SCHEMA_DEPTH))
    if problems := schema_problems(schema):
        refuse(problems, source)
    schema = _closed(schema)
    expanded = list(_expand(schema, source))
    if problems := [problem for path, sub in expanded for problem in _sub_problems(path, sub)]:
        refuse(problems, source)
    validator = make_validator(schema, max_pattern_text=MAX_PATTERN)
    for path, sub in expanded:
        if "default" in sub:
            for problem in document_problems(validator.evolve(schema=sub), sub["default"], source=source):
                what = f"the default doesn't fit its own schema: {problem.what}"
                problems.append(Problem(path=(*path, "default", *problem.path), what=what, hint=problem.hint))
    if problems:
        refuse(problems, source)
    return Prepared(schema, validator)


def children(schema: Schema) -> Iterator[tuple[Path, Schema]]:
    """The subschemas of a schema; ``$defs`` count only where they are referred to."""
    for key in (*_ONE, *_ONE_UNEVALUATED):
        if isinstance(schema.get(key), dict):
            yield (key,), schema[key]
    for key in _MANY:
        yield from (((key, i), sub) for i, sub in enumerate(schema.get(key, ())) if isinstance(sub, dict))
    for key in _NAMED:
        yield from (((key, name), sub) for name, sub in schema.get(key, {}).items() if isinstance(sub, dict))


def resolve(reference: str, root: Schema) -> Schema | None:
    """What ``#/$defs/NAME`` refers to; ``None`` for nothing, or a boolean schema."""
    name = reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
    target = root.get("$defs", {}).get(name) if reference.startswith("#/$defs/") else None
    return target if isinstance(target, dict) else None


def _expand(root: Schema, source: str) -> Iterator[tuple[Path, Schema]]:
    """Every subschema that validation can meet, as often as it can meet it."""
    count = 0
    waiting: list[tuple[Schema, Path, int]] = [(root, (), 0)]
    while waiting:
        schema, path, depth = waiting.pop()
        count += 1
        if depth > MAX_SCHEMA_DEPTH:
            problem = Problem(path=path, what="refers to itself, or is nested too deep", hint="write the levels out")
            refuse([problem], source)
        if count > MAX_SUBSCHEMAS:
            raise SchemaError(f"has more than {MAX_SUBSCHEMAS:,} subschemas, with references followed", where=source)
        yield path, schema
        waiting.extend((sub, (*path, *step), depth + 1) for step, sub in children(schema))
        reference = schema.get("$ref")
        if reference is not None:
            target = resolve(reference, root)
            if target is None:
                hint = "only #/$defs/NAME can be referred to; nothing is fetched"
                refuse([Problem(path=(*path, "$ref"), what=f"{show(reference)} isn't part of the schema", hint=hint)], source)
            waiting.append((target, ("$defs", reference.removeprefix("#/$defs/")), depth + 1))


def _sub_problems(path: Path, schema: Schema) -> Iterator[Problem]:
    for key, hint in _REFUSED.items():
        if key in schema and not (key == "$id" and not path):
            yield Problem(path=(*path, key), what=f"{key} isn't allowed here", hint=hint)
    if "pattern" in schema:
        reason = pattern_problem(schema["pattern"])
        if reason:
            yield Problem(path=(*path, "pattern"), what=f"the pattern {reason}", hint="it may take very long on some texts")


def _closed(schema: Schema) -> Schema:
    """``schema`` with ``additionalProperties: false`` where an object of fixed keys doesn't say otherwise."""
    result = dict(schema)
    if "properties" in schema:
        result["properties"] = {k: _closed(v) if isinstance(v, dict) else v for k, v in schema["properties"].items()}
        if not any(key in schema for key in _OPEN_ENDED):
            result["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        result["items"] = _closed(schema["items"])
    return result


_QUANTIFIER = r"(?:[*+?]|\{\d*,?\d*\})[?+]?"
_GROUP = r"\((?:\?(?:[:=!>]|<[=!]|P<\w+>))?"
_TOKEN = re.compile(rf"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P=|{_GROUP}|[)|]|{_QUANTIFIER}|.", re.DOTALL)


def pattern_problem(pattern: str) -> str:
    """Why a pattern could take long on some text of MAX_PATTERN characters; empty if it can't.

    A backtracking matcher tries every way to divide a text among the repetitions: n^k ways for k of them in a row, 2^n for one
    inside another (or for alternatives inside one).
    """
    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN} characters"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"isn't a regular expression: {error}"
    groups, closed, variable = [False], False, 0
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        if re.fullmatch(r"\\[1-9]", token) or token == "(?P=":
            return "refers back to a group"
        if token[0] == "(":
            groups.append(False)
        elif token == ")":
            closed = groups.pop()
            groups[-1] |= closed
            continue
        elif token == "|":
            groups[-1] = True
        elif re.fullmatch(_QUANTIFIER, token):
            fixed = re.fullmatch(r"\{\d+\}[?+]?", token) is not None
            if closed and token[0] != "?":
                return "repeats a group that holds a repetition or alternatives"
            variable += not fixed
            groups[-1] |= not fixed
        closed = False
    most = 4 if pattern.startswith("^") and not groups[0] else 3
    return f"has more than {most} repetitions or options" if variable > most else ""
