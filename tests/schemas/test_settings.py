"""Settings against the schema that a plugin's author wrote: defaults, messages, and hostile schemas."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gf_core._explain import document_problems, make_validator
from gf_core.errors import SchemaError
from gf_core.schemas import apply_settings, parse_setting, validate_config

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "a", "description": "A name."},
        "steps": {"type": "integer", "minimum": 1, "default": 8},
        "rate": {"type": ["number", "null"], "default": None},
        "noise": {
            "type": "object",
            "default": {},
            "properties": {"std": {"type": "number", "minimum": 0, "default": 0.5}, "seed": {"$ref": "#/$defs/seed"}},
        },
        "optional": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}},
        "mode": {"enum": ["fast", "slow"], "default": "fast"},
        "seeds": {"type": "array", "items": {"$ref": "#/$defs/seed"}},
        "layers": {"type": "array", "items": {"type": "object", "properties": {"width": {"type": "integer", "default": 64}}}},
        "free": True,
    },
    "$defs": {"seed": {"type": "integer", "default": 7}},
}
DEFAULTS = {"name": "a", "steps": 8, "rate": None, "noise": {"std": 0.5, "seed": 7}, "mode": "fast"}


def message(config: object, schema: object = SCHEMA, **more: Any) -> str:
    with pytest.raises(SchemaError) as caught:
        validate_config(config, schema, source="p", **more)  # type: ignore[arg-type]
    return str(caught.value)


def set_message(*pairs: str, schema: Any = SCHEMA) -> str:
    with pytest.raises(SchemaError) as caught:
        apply_settings(pairs, schema)
    return str(caught.value)


def test_defaults_are_filled_in() -> None:
    assert validate_config({}, SCHEMA, source="p") == DEFAULTS
    filled = validate_config({"noise": {"seed": 1}, "optional": {}, "layers": [{}, {"width": 1}]}, SCHEMA, source="p")
    assert filled == {
        **DEFAULTS,
        "noise": {"std": 0.5, "seed": 1},
        "optional": {"size": 3},
        "layers": [{"width": 64}, {"width": 1}],
    }


def test_nothing_that_is_passed_in_changes_or_is_shared() -> None:
    schema, config = copy.deepcopy(SCHEMA), {"noise": {}}
    result = validate_config(config, schema, source="p")
    result["noise"]["std"] = 9
    assert (schema, config) == (SCHEMA, {"noise": {}})
    assert validate_config({}, schema, source="p") == DEFAULTS


def test_frozen_mappings_and_tuples_are_plain_json_afterwards() -> None:
    result = validate_config(MappingProxyType({"seeds": (1, 2)}), MappingProxyType(SCHEMA), source="p")
    assert result == {**DEFAULTS, "seeds": [1, 2]}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"stpes": 3}, "p#/stpes: unknown key; did you mean 'steps'?"),
        ({"noise": {"sdt": 3}}, "p#/noise/sdt: unknown key; did you mean 'std'?"),
        ({"steps": True}, "p#/steps: expected an integer, found true; true and false aren't numbers"),
        ({"steps": 2.0}, "p#/steps: expected an integer, found 2.0; write 2"),
        ({"steps": 0}, "p#/steps: must be at least 1, found 0"),
        ({"mode": "fats"}, "p#/mode: 'fats' isn't one of 'fast', 'slow'; did you mean 'fast'?"),
        ({"seeds": [1, "2"]}, "p#/seeds/1: expected an integer, found '2'; remove the quotes"),
        ({"rate": float("nan")}, "p#/rate: NaN isn't JSON; write null, or leave it out"),
        ({"rate": np.float32(1)}, "p: isn't plain JSON (Object of type float32 is not JSON serializable)"),
        ([1], "p#: expected an object of settings, found an array of 1 items"),
    ],
)
def test_messages(config: object, expected: str) -> None:
    assert message(config) == expected


def test_every_mistake_is_listed_and_the_place_within_a_document_is_told() -> None:
    text = message({"steps": 0, "name": 1, "x": 1}, at=("episodes", 3, "scene"))
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "p#/episodes/3/scene/name",
        "p#/episodes/3/scene/steps",
        "p#/episodes/3/scene/x",
    ]


def test_a_thing_without_settings() -> None:
    assert validate_config({}, None, source="p") == {}
    assert message({"a": 1}, None) == "p#/a: unknown key; there are no settings here"


def test_a_schema_that_allows_everything() -> None:
    assert validate_config({"a": {"b": 1}}, {}, source="p") == {"a": {"b": 1}}
    assert validate_config({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": True}, source="p") == {"a": 1}


def chain(length: int, width: int) -> dict[str, Any]:
    """Definitions that each refer ``width`` times to the next."""
    defs: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * width} for i in range(length)}
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, f"d{length}": {"type": "integer"}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


def property_of(schema: object) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (property_of({"$ref": "https://example.com/schema.json"}), "'https://example.com/schema.json' isn't part of the schema"),
        (property_of({"$ref": "file:///etc/passwd"}), "nothing is fetched"),
        (property_of({"$ref": "#/$defs/none"}), "p: the schema#/properties/a/$ref: '#/$defs/none' isn't part of the schema"),
        (property_of({"$dynamicRef": "#a"}), "$dynamicRef isn't allowed here"),
        (property_of({"$id": "urn:x"}), "$id isn't allowed here"),
        ({"$ref": "#"}, "'#' isn't part of the schema"),
        ({**property_of({"$ref": "#/$defs/b"}), "$defs": {"b": {"not": {"$ref": "#/$defs/b"}}}}, "refers to itself"),
        (chain(20, 2), "has more than 10,000 subschemas"),
        (chain(800, 1), "refers to itself, or is nested too deep"),
        (nested(60), "is nested more than 64 levels deep"),
        (nested(5000), "isn't plain JSON (it is nested too deep)"),
        (property_of({"type": "integr"}), "p: the schema#/properties/a/type: "),
        (property_of({"minimum": "1"}), "p: the schema#/properties/a/minimum: "),
        (property_of({"pattern": "("}), "the pattern isn't a regular expression"),
        (property_of({"pattern": "a" * 300}), "the pattern is longer than 256 characters"),
        (property_of({"pattern": "^(a+)+$"}), "the pattern repeats a group that holds a repetition or alternatives"),
        (property_of({"pattern": "^(?:(?:a|a)(b))*$"}), "the pattern repeats a group that holds a repetition or alternatives"),
        (property_of({"pattern": "^((a{1,9}){9}){1,9}$"}), "the pattern repeats a group that holds a repetition or alternatives"),
        (property_of({"pattern": "a*a*a*a*b"}), "the pattern has more than 3 repetitions or options"),
        (property_of({"pattern": r"^(a+)\1$"}), "the pattern refers back to a group"),
        (property_of({"pattern": "^(?P<x>a)(?P=x)$"}), "the pattern refers back to a group"),
        (
            property_of({"type": "integer", "default": "x"}),
            "/a/default: the default doesn't fit its own schema: expected an integer",
        ),
        (property_of({"patternProperties": {"(a+)+$": {}}}), "patternProperties isn't allowed here"),
        ({"type": {1, 2}}, "isn't plain JSON"),
        (property_of({"default": float("nan")}), "NaN isn't JSON"),
    ],
)
def test_a_schema_that_can_do_harm_is_refused(schema: dict[str, Any], reason: str) -> None:
    assert reason in message({"a": "a" * 40 + "!"}, schema)


@pytest.mark.parametrize("uri", ["https://example.com/schema.json", "http://localhost:1/a", "file:///etc/passwd", "other.json"])
def test_a_validator_fetches_nothing(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *arguments, **_: fetched.append(arguments))
    with pytest.raises(SchemaError, match="isn't part of it; nothing is fetched: put it under"):
        document_problems(make_validator({"$ref": uri}), {}, source="p")
    assert fetched == []


@pytest.mark.parametrize(
    "pattern", ["^[a-z]+$", r"^\d+\.\d+\.\d+$", "^#[0-9a-f]{6}$", "^(cpu|cuda(:[0-9])?)$", r"[(*+?{2}|\]]+", "^(ab){3}$", "a{,2}"]
)
def test_ordinary_patterns_are_accepted(pattern: str) -> None:
    assert validate_config({}, property_of({"type": "string", "pattern": pattern}), source="p") == {}


def test_a_pattern_matches_the_whole_text_and_never_a_long_one() -> None:
    schema = property_of({"type": "string", "pattern": "^[a-z]+$"})
    assert validate_config({"a": "abc"}, schema, source="p") == {"a": "abc"}
    assert "isn't well-formed" in message({"a": "abc\n"}, schema)
    assert "isn't well-formed" in message({"a": "a" * 257}, schema)


def test_repeated_items_are_found_among_many() -> None:
    schema = property_of({"type": "array", "uniqueItems": True})
    items: list[object] = [{"x": i} for i in range(20_000)]  # comparing each with each would take minutes
    assert validate_config({"a": items}, schema, source="p") == {"a": items}
    assert message({"a": [*items, {"x": 0}]}, schema) == "p#/a: has items that repeat; each may occur once"
    assert validate_config({"a": [1, True, "1", 1.0]}, schema, source="p") == {"a": [1, True, "1", 1.0]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", ("a", 1)),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ("a=text", ("a", "text")),
        ("a=", ("a", "")),
        ("a=b=c", ("a", "b=c")),
        ('a="1"', ("a", "1")),
        ("a=null", ("a", None)),
        ("a=NaN", ("a", "NaN")),
        ("a=1e400", ("a", "1e400")),
        ("a={", ("a", "{")),
    ],
)
def test_parse_setting(text: str, expected: tuple[str, object]) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["a", "=1", "", ".=1", "a.=1", "a..b=1"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(SchemaError, match="isn't of the form KEY=VALUE"):
        parse_setting(text)


def test_settings_are_read_as_the_schema_wants() -> None:
    pairs = ["name=5", "steps=5", "rate=1", "noise.std=2", "mode=slow", "seeds=[1,2]", "free.a.b=x"]
    assert apply_settings(pairs, SCHEMA) == {
        "name": "5",
        "steps": 5,
        "rate": 1,
        "noise": {"std": 2, "seed": 7},
        "mode": "slow",
        "seeds": [1, 2],
        "free": {"a": {"b": "x"}},
    }


def test_settings_go_on_top_of_others() -> None:
    base = {"noise": {"seed": 1}, "steps": 2}
    assert apply_settings(["noise.std=0"], SCHEMA, base=base)["noise"] == {"std": 0, "seed": 1}
    assert base == {"noise": {"seed": 1}, "steps": 2}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("stpes=1", "--set stpes: unknown key; did you mean 'steps'?"),
        ("noise.sdt=1", "--set noise.sdt: unknown key; did you mean 'std'?"),
        ("steps=ten", "--set steps: expected an integer, found 'ten'; e.g. --set steps=8"),
        ("steps=2.5", "--set steps: expected an integer, found 2.5; e.g. --set steps=8"),
        ("noise.std=NaN", "--set noise.std: expected a number, found 'NaN'; e.g. --set noise.std=0.5"),
        ("noise=1", "--set noise: expected an object, found 1; e.g. --set noise={}"),
        ("seeds=[1,[]]", "--set seeds.1: expected an integer, found an empty array; e.g. --set seeds.1=7"),
        ("mode=fats", "--set mode: 'fats' isn't one of 'fast', 'slow'; did you mean 'fast'?"),
    ],
)
def test_messages_about_settings_name_the_option_and_an_example(pair: str, expected: str) -> None:
    assert set_message(pair) == expected


def test_settings_given_twice() -> None:
    assert set_message("steps=1", "steps=2") == "--set steps: given more than once; keep one"
    assert set_message("noise.std=1", "noise={}") == "--set noise: given more than once; keep one"
    assert set_message("a=1", schema=None) == "--set a: unknown key; there are no settings here"


def test_every_mistaken_setting_is_listed() -> None:
    assert [line.split(":")[0] for line in set_message("stpes=1", "mode=x", "noise.std=-1").splitlines()] == [
        "--set mode",
        "--set noise.std",
        "--set stpes",
    ]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x"]), JSON_VALUES, max_size=4))
def test_completed_settings_are_a_fixed_point(config: dict[str, Any]) -> None:
    try:
        once = validate_config(config, SCHEMA, source="p")
    except SchemaError:
        return
    assert validate_config(once, SCHEMA, source="p") == once
    assert set(DEFAULTS) | set(config) == set(once)


@given(st.text(max_size=12))
def test_text_stays_text_where_the_schema_wants_text(text: str) -> None:
    result = apply_settings([f"name={text}"], SCHEMA)["name"]
    assert result == text or f'"{result}"' == text.strip() or text.startswith('"')
