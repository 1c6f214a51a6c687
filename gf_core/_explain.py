"""Turns what jsonschema finds into problems that say what is wrong and what to do.

Loaded only when something is validated, because jsonschema takes a while to import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import Any

import jsonschema
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from gf_core._problems import MAX_PROBLEMS, Path, Problem, closest, in_order, show, suggest
from gf_core.canonical import canonical_json
from gf_core.errors import SchemaError

Schema = Mapping[str, Any]

_TYPE_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def _is_integer(_: object, value: object) -> bool:
    """Neither ``true`` nor ``1.0``: equal documents are equal bytes, and ``range(1.0)`` is an error."""
    return isinstance(value, int) and not isinstance(value, bool)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """A schema's pattern, whose final ``$`` is the end of the text as in ECMA 262, not also before a last newline."""
    return re.compile(re.sub(r"(?<!\\)((?:\\\\)*)\$$", r"\1\\Z", pattern))


def _pattern_within(longest: int) -> Callable[..., Iterator[jsonschema.ValidationError]]:
    def pattern(_: Validator, pattern: str, instance: object, __: Schema) -> Iterator[jsonschema.ValidationError]:
        if isinstance(instance, str) and (len(instance) > longest or not compiled(pattern).search(instance)):
            yield jsonschema.ValidationError("malformed")

    return pattern


def _unique_items(_: Validator, unique: bool, instance: object, __: Schema) -> Iterator[jsonschema.ValidationError]:
    """In linear time; jsonschema compares every object with every other."""
    if unique and isinstance(instance, list) and len({canonical_json(item) for item in instance}) < len(instance):
        yield jsonschema.ValidationError("items repeat")


@cache
def _validator_class(max_pattern_text: int) -> Callable[..., Validator]:
    draft = jsonschema.Draft202012Validator
    made: Callable[..., Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        draft,
        validators={"pattern": _pattern_within(max_pattern_text), "uniqueItems": _unique_items},
        type_checker=draft.TYPE_CHECKER.redefine("integer", _is_integer),
    )
    return made


def make_validator(schema: Schema, *, max_pattern_text: int = 1 << 20) -> Validator:
    """A validator that never fetches anything: references reach within ``schema`` only.

    Args:
        schema: a valid draft 2020-12 schema.
        max_pattern_text: longer texts never match a pattern, which bounds the time that one can take.
    """
    # Without a registry jsonschema would fetch what isn't found; an empty one retrieves nothing.
    return _validator_class(max_pattern_text)(schema, registry=Registry())


def schema_problems(schema: Schema) -> list[Problem]:
    """What makes ``schema`` itself an invalid draft 2020-12 schema."""
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    return in_order(Problem(path=tuple(e.absolute_path), what=e.message[:200]) for e in islice(meta.iter_errors(schema), 20))


def document_problems(validator: Validator, document: Any, *, source: str, skip_unknown: bool = False) -> list[Problem]:
    """Every way in which ``document`` doesn't fit, sorted by pointer; at most MAX_PROBLEMS.

    Args:
        validator: from :func:`make_validator`.
        document: JSON values.
        source: the document's name, for an error in the schema.
        skip_unknown: unknown keys are no problem (in a document of a newer minor version).

    Raises:
        SchemaError: when the schema itself can't be used: a reference leads nowhere, or round in circles.
    """
    try:
        problems = (p for error in validator.iter_errors(document) for p in _explain(error, skip_unknown))
        return in_order(islice(problems, MAX_PROBLEMS))
    except Unresolvable as error:
        raise SchemaError(
            f"the schema refers to {show(str(error.ref))}, which isn't part of it",
            where=source,
            hint="nothing is fetched: put it under $defs",
        ) from error
    except RecursionError:
        raise SchemaError("the schema refers to itself without end", where=source) from None


def _explain(error: jsonschema.ValidationError, skip_unknown: bool) -> Iterator[Problem]:
    """The problems behind one of jsonschema's errors, which may be several."""
    path, keyword = tuple(error.absolute_path), str(error.validator)
    if error.context and keyword in ("anyOf", "oneOf"):
        yield from _explain_alternatives(error, error.context, skip_unknown)
        return
    schema = error.schema if isinstance(error.schema, dict) else {}
    if keyword == "additionalProperties" and error.validator_value is False:
        if not skip_unknown:
            yield from _unknown_keys(path, error.instance if isinstance(error.instance, dict) else {}, schema)
    elif "propertyNames" in error.absolute_schema_path:
        what, hint = _message(keyword, error, schema)
        yield Problem(path=(*path, str(error.instance)), what=f"as a key, {what}", hint=hint)
    else:
        what, hint = _message(keyword, error, schema)
        yield Problem(path=path, what=what, hint=hint)


def _explain_alternatives(
    error: jsonschema.ValidationError, context: Iterable[jsonschema.ValidationError], skip_unknown: bool
) -> Iterator[Problem]:
    """What is wrong with the only alternative whose type, and whose constants, fit; or that none does."""
    branches: dict[object, list[jsonschema.ValidationError]] = {}
    for inner in context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    telling = [next(filter(_tells_apart, errors), None) for errors in branches.values()]
    fitting = [errors for errors, tells in zip(branches.values(), telling, strict=True) if tells is None]
    path, first = tuple(error.absolute_path), telling[0]
    if len(fitting) == 1:
        for inner in fitting[0]:
            yield from _explain(inner, skip_unknown)
    elif fitting or first is None or any(t is None or t.validator != first.validator for t in telling):
        yield Problem(path=path, what=f"{show(error.instance)} fits none of the {len(branches)} forms that are allowed here")
    elif first.validator == "type":
        types = [name for tells in telling if tells for name in _as_list(tells.validator_value)]
        yield Problem(path=path, what=_type(error.instance, types, {}, "")[0])
    else:
        what, hint = _enum(first.instance, [tells.validator_value for tells in telling if tells], {}, "")
        yield Problem(path=tuple(first.absolute_path), what=what, hint=hint)


def _as_list(types: Any) -> list[str]:
    return [types] if isinstance(types, str) else list(types)


def _tells_apart(error: jsonschema.ValidationError) -> bool:
    """Whether it says that another alternative was meant, rather than what is wrong with this one."""
    return (error.validator == "type" and not error.path) or (error.validator == "const" and len(error.path) == 1)


def _unknown_keys(path: Path, instance: Mapping[str, object], schema: Schema) -> Iterator[Problem]:
    known = schema.get("properties", {})
    patterns = [compiled(pattern) for pattern in schema.get("patternProperties", {})]
    for key in instance:
        if key not in known and not any(pattern.search(key) for pattern in patterns):
            hint = suggest(key, known, "known here:") if known else "nothing belongs here"
            yield Problem(path=(*path, key), what="unknown key", hint=hint)


def type_names(types: str | list[str]) -> str:
    """``"a string, an integer or null"``."""
    names = [_TYPE_NAMES.get(name, name) for name in _as_list(types)]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _examples(schema: Schema) -> str:
    examples = schema.get("examples") or []
    return f"e.g. {', '.join(show(example) for example in examples[:2])}" if examples else ""


def _message(keyword: str, error: jsonschema.ValidationError, schema: Schema) -> tuple[str, str]:
    explain = _EXPLAIN.get(keyword)
    if explain is None:
        return f"doesn't fit: {error.message[:200]}", str(schema.get("description", ""))
    return explain(error.instance, error.validator_value, schema, error.message)


def _type(instance: Any, types: Any, schema: Schema, _: str) -> tuple[str, str]:
    found = {True: "true", False: "false"}.get(instance) if isinstance(instance, bool) else show(instance)
    hint = _examples(schema)
    wants_number = "integer" in types or "number" in types
    if wants_number and isinstance(instance, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", instance):
        hint = "remove the quotes"
    elif "integer" in types and isinstance(instance, float) and instance.is_integer() and abs(instance) < 2**53:
        hint = f"write {int(instance)}"
    elif wants_number and isinstance(instance, bool):
        hint = "true and false aren't numbers"
    return f"expected {type_names(types)}, found {found}", hint


def _enum(instance: Any, values: Any, _: Schema, __: str) -> tuple[str, str]:
    texts = [value for value in values if isinstance(value, str)]
    close = closest(instance, texts) if isinstance(instance, str) else ""
    return f"{show(instance)} isn't one of {', '.join(show(v) for v in values[:50])}", close


def _const(instance: Any, value: Any, _: Schema, __: str) -> tuple[str, str]:
    return f"expected {show(value)}, found {show(instance)}", ""


def _required(instance: Any, keys: Any, schema: Schema, message: str) -> tuple[str, str]:
    # jsonschema reports one missing key at a time, and names it only in its message.
    key = next((k for k in keys if k not in instance and message.startswith(repr(k))), "")
    description = schema.get("properties", {}).get(key, {}).get("description", "")
    return f"{key!r} is missing", f"add it: {description}" if description else "add it"


def _malformed(instance: Any, pattern: Any, schema: Schema, _: str) -> tuple[str, str]:
    return f"{show(instance)} isn't well-formed", _examples(schema) or f"it must match {pattern}"


def _bound(comparison: str) -> Callable[[Any, Any, Schema, str], tuple[str, str]]:
    def explain(instance: Any, limit: Any, schema: Schema, _: str) -> tuple[str, str]:
        return f"must be {comparison} {json.dumps(limit)}, found {show(instance)}", _examples(schema)

    return explain


def _count(comparison: str, unit: str) -> Callable[[Any, Any, Schema, str], tuple[str, str]]:
    def explain(instance: Any, limit: Any, schema: Schema, _: str) -> tuple[str, str]:
        return f"needs {comparison} {limit} {unit}, has {len(instance)}", _examples(schema)

    return explain


_EXPLAIN: Mapping[str, Callable[[Any, Any, Schema, str], tuple[str, str]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "required": _required,
    "pattern": _malformed,
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"),
    "uniqueItems": lambda *_: ("has items that repeat", "each may occur once"),
    "multipleOf": _bound("a multiple of"),
    "minItems": _count("at least", "items"),
    "maxItems": _count("at most", "items"),
    "minLength": _count("at least", "characters"),
    "maxLength": _count("at most", "characters"),
    "minProperties": _count("at least", "keys"),
    "maxProperties": _count("at most", "keys"),
}
