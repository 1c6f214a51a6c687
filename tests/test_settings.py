"""What a setting's schema accepts, refuses and fills in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gf_core.errors import SchemaError
from gf_core.schemas import validate_config
from gf_core.settings import choice, flag, integer, names, number, roles, settings

KINDS: Mapping[str, tuple[Mapping[str, Any], object, list[object], list[object]]] = {
    "integer": (integer(5, "d", low=2, high=9), 5, [2, 9], [1, 10, 2.5, True]),
    "count": (integer(5, "d"), 5, [1], [0]),
    "any integer": (integer(-1, "d", low=None), -1, [-7], ["1"]),
    "number": (number(0.5, "d", low=0, high=1), 0.5, [0, 1], [-0.1, 1.1]),
    "open number": (number(0.5, "d", above=0, below=1), 0.5, [0.1], [0, 1]),
    "flag": (flag(True, "d"), True, [False], [0, "yes"]),
    "choice": (choice("d", "b", "a"), "b", ["a"], ["c", ""]),
    "names": (names("d"), [], [["x", "y"]], [["x", "x"], "x"]),
    "roles": (roles("d", ["language"]), ["language"], [["vision"]], [[], ["head"], ["vision", "vision"]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_accepts_refuses_and_has_a_default(kind: str) -> None:
    schema, default, good, bad = KINDS[kind]
    whole = settings(it=schema)
    assert schema["description"] == "d"
    assert validate_config({}, whole, source="test") == {"it": default}
    for value in good:
        assert validate_config({"it": value}, whole, source="test") == {"it": value}
    for value in bad:
        with pytest.raises(SchemaError):
            validate_config({"it": value}, whole, source="test")


def test_other_keys_are_refused_and_required_ones_asked_for() -> None:
    schema = settings(["name"], name={"type": "string"}, size=integer(1, "d"))
    assert validate_config({"name": "x"}, schema, source="test") == {"name": "x", "size": 1}
    for wrong in ({}, {"name": "x", "sise": 2}):
        with pytest.raises(SchemaError):
            validate_config(wrong, schema, source="test")
