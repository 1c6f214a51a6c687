"""Settings of a policy, environment or deck: checked against the schema that its author wrote, completed with its defaults."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from gf_core._json import parse_json
from gf_core._problems import Path, Problem, in_order, printable, refuse, show
from gf_core._settings_schema import Prepared, Schema, prepare, resolve
from gf_core.canonical import JSON
from gf_core.errors import SchemaError
from gf_core.specs import to_json

_JSON_TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_EXAMPLES: Mapping[str, JSON] = {
    "boolean": True,
    "integer": 3,
    "number": 0.5,
    "string": "text",
    "array": [1, 2],
    "object": {"key": 1},
    "null": None,
}


def validate_config(config: Mapping[str, Any], schema: Mapping[str, Any] | None, *, source: str, at: Path = ()) -> dict[str, Any]:
    """The settings as plain JSON, completed with their defaults.

    Defaults are filled in wherever an object that is there lacks a key (in ``properties``, behind ``$ref`` and ``allOf``, and in
    the items of arrays). An object that is absent stays so unless it has a default of its own.

    Args:
        config: the settings, or any other data with a schema by a plugin's author, such as a scene.
        schema: draft 2020-12; ``None`` for a thing without settings.
        source: what errors call it: an option, a file's name.
        at: where ``config`` lies within ``source``; errors show it before their own pointer.

    Raises:
        SchemaError: listing every setting that doesn't fit, or what is wrong with the schema (see ``_settings_schema.prepare``).
    """
    completed, problems = _check(config, schema, source)
    if problems:
        refuse([Problem(path=(*at, *p.path), what=p.what, hint=p.hint) for p in problems], source)
    return completed


def default_settings(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """What settings are where nobody gives any; those without a default are absent."""
    return _check({}, schema, "")[0]


def _check(config: object, schema: Mapping[str, Any] | None, source: str) -> tuple[dict[str, Any], list[Problem]]:
    try:
        plain = parse_json(json.dumps(to_json(config)).encode(), source=source)
    except (TypeError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise SchemaError(f"isn't plain JSON ({reason})", where=source) from None
    if not isinstance(plain, dict):
        return {}, [Problem(path=(), what=f"expected an object of settings, found {show(plain)}")]
    if schema is None:
        return {}, [Problem(path=(key,), what="unknown key", hint="there are no settings here") for key in plain]
    from gf_core._explain import document_problems

    prepared = prepare(schema, source=f"{source}: the schema")
    completed = cast(dict[str, Any], _completed(plain, prepared.schema, prepared.schema))
    return completed, document_problems(prepared.validator, completed, source=source)


def _applicable(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schema and those that hold wherever it does."""
    yield schema
    target = resolve(schema["$ref"], root) if "$ref" in schema else None
    for sub in (target, *schema.get("allOf", ())):
        if isinstance(sub, dict):
            yield from _applicable(sub, root)


def _completed(value: JSON, schema: Schema, root: Schema) -> JSON:
    for part in _applicable(schema, root):
        if isinstance(value, dict):
            value = dict(value)
            for name, sub in part.get("properties", {}).items():
                default = _default(sub, root) if isinstance(sub, dict) and name not in value else ()
                if default:
                    value[name] = copy.deepcopy(default[0])
                if name in value and isinstance(sub, dict):
                    value[name] = _completed(value[name], sub, root)
        elif isinstance(value, list) and isinstance(part.get("items"), dict):
            value = [_completed(item, part["items"], root) for item in value]
    return value


def _default(schema: Schema, root: Schema) -> tuple[JSON, ...]:
    """The default in a tuple, which is empty where there is none."""
    return next(((part["default"],) for part in _applicable(schema, root) if "default" in part), ())


def parse_setting(text: str) -> tuple[str, JSON]:
    """Key and value of ``KEY=VALUE``. The value is read as JSON if it is JSON, and is text otherwise.

    Dots in the key lead into nested objects; see :func:`apply_settings`, which also knows what the schema wants.

    Raises:
        SchemaError: when it isn't of that form.
    """
    key, raw = _split(text, "--set")
    parsed = _as_json(raw)
    return key, parsed[0] if parsed else raw


def _split(text: str, source: str) -> tuple[str, str]:
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise SchemaError(f"{show(text)} isn't of the form KEY=VALUE", where=source, hint=f"e.g. {source} noise.std=0.1")
    return key, raw


def _as_json(text: str) -> tuple[JSON, ...]:
    """The value in a tuple, which is empty for text that isn't strict JSON."""
    try:
        return (parse_json(text.encode(errors="surrogatepass"), source=""),)
    except SchemaError:
        return ()


def apply_settings(
    pairs: Sequence[str], schema: Mapping[str, Any] | None, *, base: Mapping[str, Any] | None = None, source: str = "--set"
) -> dict[str, Any]:
    """Settings from ``KEY=VALUE`` texts, each read as the type that the schema wants, checked and completed.

    ``a.b=1`` sets ``b`` within the object ``a``. Where the schema wants text, ``name=5`` is the text ``"5"``.

    Args:
        pairs: as given on the command line.
        schema: of the settings; ``None`` for a thing without settings.
        base: settings that the pairs are put on top of.
        source: the option's name, for errors.

    Raises:
        SchemaError: naming each key that is unknown or given twice, and the type that a value should have, with an example.
    """
    prepared = None if schema is None else prepare(schema, source=f"{source}: the schema")
    settings: dict[str, Any] = copy.deepcopy(to_json(base or {}))
    given: set[tuple[str, ...]] = set()
    for pair in pairs:
        key, raw = _split(pair, source)
        path = tuple(key.split("."))
        if any(path[: len(other)] == other or other[: len(path)] == path for other in given):
            raise SchemaError("given more than once", where=f"{source} {printable(key)}", hint="keep one")
        given.add(path)
        _put(settings, path, _coerced(raw, _schema_at(path, prepared)))
    completed, problems = _check(settings, schema, source)
    if problems:
        raise SchemaError("\n".join(_setting_line(problem, prepared, source) for problem in in_order(problems)))
    return completed


def _put(settings: dict[str, Any], path: tuple[str, ...], value: JSON) -> None:
    for name in path[:-1]:
        if not isinstance(settings.get(name), dict):
            settings[name] = {}
        settings = settings[name]
    settings[path[-1]] = value


def _schema_at(path: Path, prepared: Prepared | None) -> Schema | None:
    """The schema of a setting, or ``None`` where none is known."""
    schema: Schema | None = prepared.schema if prepared else None
    for token in path:
        if schema is None or prepared is None:
            return None
        parts = list(_applicable(schema, prepared.schema))
        if isinstance(token, int):
            found = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
        else:
            found = [part["properties"][token] for part in parts if token in part.get("properties", {})]
            found = found or [part["additionalProperties"] for part in parts if "additionalProperties" in part]
        schema = found[0] if found and isinstance(found[0], dict) else None
    if schema is None or prepared is None:
        return None
    merged: Schema = {}
    for part in _applicable(schema, prepared.schema):
        merged = {**part, **merged}
    return merged


def _types(schema: Schema) -> set[str]:
    """JSON types that a schema allows, as far as it says; empty for any."""
    if "type" in schema:
        types = schema["type"]
        return {types} if isinstance(types, str) else set(types)
    if "const" in schema or "enum" in schema:
        return {_JSON_TYPES[type(value)] for value in schema.get("enum", [schema.get("const")])}
    branches = [_types(sub) if isinstance(sub, dict) else set() for sub in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]]
    return set().union(*branches) if all(branches) else set()


def _coerced(raw: str, schema: Schema | None) -> JSON:
    parsed = _as_json(raw)
    types = _types(schema) if schema else set()
    if not parsed:
        return raw
    kind = _JSON_TYPES[type(parsed[0])]
    fits = not types or kind in types or (kind == "integer" and "number" in types)
    return raw if not fits and "string" in types else parsed[0]


def _setting_line(problem: Problem, prepared: Prepared | None, source: str) -> str:
    """``--set a.b: what; hint``, with an example where nothing better is known."""
    key = ".".join(map(str, problem.path))
    schema, hint = _schema_at(problem.path, prepared), problem.hint
    if schema is not None and not hint and problem.path:
        hint = f"e.g. {source} {key}={_example(schema)}"
    return str(SchemaError(problem.what, where=f"{source} {printable(key)}".rstrip(), hint=hint))


def _example(schema: Schema) -> str:
    """A value as it would be written after the equals sign."""
    known = [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else ()), *schema.get("enum", ())]
    value = known[0] if known else schema.get("minimum", _EXAMPLES.get(next(iter(sorted(_types(schema))), "string")))
    return value if isinstance(value, str) else json.dumps(value)
