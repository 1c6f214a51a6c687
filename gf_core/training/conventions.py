"""Conventions as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gf_core.specs import ActionSpec, FieldSpec, to_json
from gf_core.training.samples import Conventions, Statistics


def conventions_to_json(conventions: Conventions) -> dict[str, Any]:
    """As plain JSON values."""
    document = to_json(conventions)
    assert isinstance(document, dict)
    return document


def conventions_from_json(document: Mapping[str, Any]) -> Conventions:
    """The inverse of :func:`conventions_to_json`.

    Raises:
        KeyError, TypeError: the document isn't one.
    """
    return Conventions(
        action=action_from_json(document["action"]),
        proprio=field_from_json(document["proprio"]),
        cameras={name: (int(size[0]), int(size[1])) for name, size in document["cameras"].items()},
        action_statistics=statistics_from_json(document["action_statistics"]),
        proprio_statistics=statistics_from_json(document["proprio_statistics"]),
    )


def action_from_json(document: Mapping[str, Any]) -> ActionSpec:
    """An ActionSpec from plain JSON values."""
    return ActionSpec(**{**document, "field": field_from_json(document["field"])})


def field_from_json(document: Mapping[str, Any]) -> FieldSpec:
    """A FieldSpec from plain JSON values."""
    return FieldSpec(**_tuples(document))


def statistics_from_json(document: Mapping[str, Any]) -> Statistics:
    """Statistics from plain JSON values."""
    return Statistics(**_tuples(document))


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
