"""Short ways to write a plugin's ``config_schema`` (JSON schema, draft 2020-12): one function for each usual kind of setting.

Any other schema may stand beside them; a default and a description belong to every property::

    config_schema=settings(width=integer(512, "width of the expert"), loss=choice("absolute or squared error", "l1", "l2"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BACKBONE_ROLES = ("vision", "projector", "language")
"""Roles that every backbone's parameters have."""


def settings(required: Sequence[str] | None = None, /, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of an object with these keys and no others.

    Args:
        required: keys that have to be given; ``None`` leaves the keyword out.
        **properties: key to its schema.
    """
    needed = {} if required is None else {"required": list(required)}
    return {"type": "object", "additionalProperties": False, **needed, "properties": properties}


def integer(default: int, description: str, low: int | None = 1, high: int | None = None) -> dict[str, Any]:
    """Schema of a whole number from ``low`` to ``high``, ends included; ``None`` for no end."""
    return {"type": "integer", **_given(minimum=low, maximum=high), "default": default, "description": description}


def number(
    default: float,
    description: str,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> dict[str, Any]:
    """Schema of a number from ``low`` to ``high``, ends included, or strictly above and below; ``None`` for no end."""
    ends = _given(minimum=low, maximum=high, exclusiveMinimum=above, exclusiveMaximum=below)
    return {"type": "number", **ends, "default": default, "description": description}


def flag(default: bool, description: str) -> dict[str, Any]:
    """Schema of a truth value."""
    return {"type": "boolean", "default": default, "description": description}


def choice(description: str, *values: str) -> dict[str, Any]:
    """Schema of one of several words; the first is the default."""
    return {"enum": list(values), "default": values[0], "description": description}


def names(description: str) -> dict[str, Any]:
    """Schema of a list of names, each once; empty by default."""
    return {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "default": [], "description": description}


def roles(description: str, default: Sequence[str] = BACKBONE_ROLES) -> dict[str, Any]:
    """Schema of a list of at least one of the backbone's roles."""
    return {
        "type": "array",
        "items": {"enum": list(BACKBONE_ROLES)},
        "minItems": 1,
        "uniqueItems": True,
        "default": list(default),
        "description": description,
    }


def _given(**ends: float | None) -> dict[str, float]:
    return {keyword: end for keyword, end in ends.items() if end is not None}
