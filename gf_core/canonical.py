"""Canonical JSON and content hashes: equal content is equal bytes, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


def canonical_json(value: object) -> str:
    """``value`` as JSON with sorted keys, no spaces and the shortest float representation.

    Raises:
        ValueError: on NaN or an infinity, which JSON doesn't have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(data: bytes | str) -> str:
    """Hex SHA-256 of bytes, or of a string's UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def content_hash(value: object) -> str:
    """Hex SHA-256 of ``value``'s canonical JSON."""
    return sha256(canonical_json(value))


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else; stable across versions and machines."""
    return int.from_bytes(hashlib.sha256(canonical_json(list(parts)).encode()).digest()[:8], "big") >> 1
