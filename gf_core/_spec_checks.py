"""Whether a spec is what its class says: types, ids, references, schemas. Checked once, when a plugin registers it."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from gf_core.errors import SchemaError, did_you_mean
from gf_core.registry import KINDS, one_line
from gf_core.specs import DeckSpec, EnvSpec, FieldSpec, PolicyInterface, PolicySpec, Spec, SuiteSpec

CODE_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+([-_][a-z0-9]+)*-v(0|[1-9][0-9]*)")
DATA_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+([-_][a-z0-9]+)*@(0|[1-9][0-9]*)")
DATA_KINDS = ("decks", "suites")
ID_LENGTH = 100
SUMMARY_LENGTH = 200
DRAFT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_DOCUMENT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:(?!.*(^|/)\.\.?(/|$))[\w@.+-]+(/[\w@.+-]+)*\.json")
_HASH = re.compile(r"[0-9a-f]{64}")
_DTYPES = {"bool", "float16", "float32", "float64", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}


def problems(kind: str, spec: object) -> list[str]:
    """What is wrong with a spec that is registered as ``kind`` (a key of ``KINDS``), one line each; empty if nothing is."""
    wanted = KINDS[kind]
    if type(spec) is not wanted:
        return [f"gf_register_{kind} takes a {wanted.__name__}, not {one_line(repr(spec), 80)}"]
    found = list(type_problems(spec, wanted, ""))
    if not found:  # what follows relies on the types
        found = [*_general_problems(kind, spec), *_kind_problems(spec)]
    name = getattr(spec, "id", None)
    return [one_line(f"{name if isinstance(name, str) else wanted.__name__}: {problem}") for problem in found]


def interface_problems(interface: PolicyInterface) -> list[str]:
    """What is wrong with what a policy says that it needs, whether in its spec or for its settings."""
    found = list(type_problems(interface, PolicyInterface, ""))
    if not found:
        if interface.max_batch < 0:
            found.append(f"max_batch is {interface.max_batch}, less than 0")
        if len(set(interface.observes.cameras)) != len(interface.observes.cameras):
            found.append("observes.cameras repeats a name")
    return found


def type_problems(value: object, hint: Any, where: str) -> Iterator[str]:
    """Where ``value`` doesn't have the type ``hint``; ``where`` is the path of the field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin in (Union, types.UnionType):
        yield from _union_problems(value, arguments, where)
    elif origin is Literal:
        if value not in arguments:
            choices = ", ".join(map(repr, arguments))
            hint = did_you_mean(value, arguments) if isinstance(value, str) else ""
            yield f"{where} is {value!r}, not one of {choices}" + (f"; {hint}" if hint else "")
    elif origin is tuple:
        yield from _tuple_problems(value, arguments, where)
    elif dataclasses.is_dataclass(hint):
        yield from _dataclass_problems(value, cast(type, hint), where)
    elif not _is_a(value, origin or hint):
        yield f"{where} is {one_line(repr(value), 80)}, which is not a {getattr(origin or hint, '__name__', hint)}"


def _is_a(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _union_problems(value: object, options: tuple[Any, ...], where: str) -> Iterator[str]:
    if value is None and type(None) in options:
        return
    found = [list(type_problems(value, option, where)) for option in options if option is not type(None)]
    if all(found):
        yield from found[0]


def _tuple_problems(value: object, items: tuple[Any, ...], where: str) -> Iterator[str]:
    if not isinstance(value, tuple):
        yield f"{where} is {one_line(repr(value), 80)}, which is not a tuple"
        return
    expected = [items[0]] * len(value) if items[-1] is Ellipsis else list(items)
    if len(value) != len(expected):
        yield f"{where} has {len(value)} elements, not {len(expected)}"
        return
    for index, (element, hint) in enumerate(zip(value, expected, strict=True)):
        yield from type_problems(element, hint, f"{where}[{index}]")


def _dataclass_problems(value: object, kind: type, where: str) -> Iterator[str]:
    if type(value) is not kind:
        yield f"{where} is {one_line(repr(value), 80)}, which is not a {kind.__name__}"
        return
    for name, hint in get_type_hints(kind).items():
        yield from type_problems(getattr(value, name), hint, f"{where}.{name}" if where else name)
    if isinstance(value, FieldSpec):
        yield from _field_problems(value, where)


def _field_problems(spec: FieldSpec, where: str) -> Iterator[str]:
    if not isinstance(spec.shape, tuple) or not all(isinstance(n, int) and n > 0 for n in spec.shape):
        yield f"{where}.shape is {spec.shape!r}, not positive whole numbers"
        return
    if spec.dtype not in _DTYPES:
        yield f"{where}.dtype is {one_line(repr(spec.dtype), 40)}, not the name of a numeric NumPy dtype"
    last = spec.shape[-1] if spec.shape else 1
    for name, allowed in {"names": (0, last), "unit": (1, last), "low": (0, 1, last), "high": (0, 1, last)}.items():
        length = len(getattr(spec, name)) if isinstance(getattr(spec, name), tuple) else last
        if length not in allowed:
            yield f"{where}.{name} has {length} elements; allowed are {' or '.join(map(str, sorted(set(allowed))))}"
            return
    sides = [side for side in (spec.low, spec.high) if isinstance(side, tuple)]
    if len(sides) == 2 and all(isinstance(n, int | float) for side in sides for n in side):
        pairs = zip(spec.low * last, spec.high * last, strict=False)
        if not all(least <= most for least, most in pairs):
            low, high = (one_line(repr(side), 80) for side in sides)
            yield f"{where}.low is {low}, which isn't at most {where}.high, {high}"


def _general_problems(kind: str, spec: Spec) -> Iterator[str]:
    data = kind in DATA_KINDS
    if not (DATA_ID if data else CODE_ID).fullmatch(spec.id) or len(spec.id) > ID_LENGTH:
        form = "namespace/name@N" if data else "namespace/name-vN"
        yield f"the id isn't of the form {form} (small letters, digits and hyphens; at most {ID_LENGTH} characters)"
    if not spec.summary.strip() or not spec.summary.isprintable() or len(spec.summary) > SUMMARY_LENGTH:
        yield f"summary must be one printable line of at most {SUMMARY_LENGTH} characters"
    if not (_DOCUMENT if kind == "suites" else _REFERENCE).fullmatch(spec.entry_point):
        form = "package:path/inside/package.json" if kind == "suites" else "module:attr"
        yield f"entry_point {one_line(repr(spec.entry_point), 80)} isn't of the form {form}"
    if spec.doctor and not _REFERENCE.fullmatch(spec.doctor):
        yield f"doctor {one_line(repr(spec.doctor), 80)} isn't of the form module:attr"
    if spec.config_schema is not None:
        yield from schema_problems(spec.config_schema, "config_schema")


def _kind_problems(spec: Spec) -> Iterator[str]:
    if isinstance(spec, SuiteSpec):
        if not _HASH.fullmatch(spec.sha256):
            yield "sha256 must be the 64 hexadecimal digits of the document's content hash"
        if spec.challenge and not _REFERENCE.fullmatch(spec.challenge):
            yield f"challenge {one_line(repr(spec.challenge), 80)} isn't of the form module:attr"
    if isinstance(spec, DeckSpec) and spec.sha256 and not _HASH.fullmatch(spec.sha256):
        yield "sha256 must be 64 hexadecimal digits, or empty"
    if isinstance(spec, PolicySpec):
        if spec.interface and not _REFERENCE.fullmatch(spec.interface):
            yield f"interface {one_line(repr(spec.interface), 80)} isn't of the form module:attr"
        yield from interface_problems(PolicyInterface(observes=spec.observes, action=spec.action, max_batch=spec.max_batch))
        if not all(offset <= 0 for offset in spec.observes.history) or min(spec.observes.size) < 1:
            yield "observes.history must be 0 or less, and observes.size at least 1"
    if isinstance(spec, EnvSpec):
        if not spec.control_hz or not all(0 < hz < float("inf") for hz in spec.control_hz):
            yield f"control_hz is {spec.control_hz!r}, not one or more positive numbers"
        elif spec.action.hz and spec.action.hz not in spec.control_hz:
            yield f"action.hz is {spec.action.hz:g}, which control_hz doesn't offer"
        for name, values in {"cameras": spec.cameras, "metrics": [m.name for m in spec.metrics]}.items():
            if len(set(values)) != len(values):
                yield f"{name} repeats a name"
        if spec.scene_check and not _REFERENCE.fullmatch(spec.scene_check):
            yield f"scene_check {one_line(repr(spec.scene_check), 80)} isn't of the form module:attr"
        if spec.scene_schema:
            yield from schema_problems(spec.scene_schema, "scene_schema")


def schema_problems(schema: Mapping[str, Any], where: str) -> list[str]:
    """Why ``schema`` can't check the settings or scenes that it is for; one line each, empty if it can."""
    from gf_core._settings_schema import prepare  # with jsonschema, which takes longer to import than everything else here

    try:
        prepare(schema, source=where)
    except SchemaError as error:
        return [one_line(line) for line in str(error).splitlines()]
    fixed = {"type": "object", "$schema": DRAFT}
    wrong = [key for key in fixed if schema.get(key, fixed[key]) != fixed[key]]
    return [f"{where}#/{key} is {one_line(repr(schema[key]), 80)}, not {fixed[key]!r}" for key in wrong]
