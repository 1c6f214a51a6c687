"""Messages of openpi's websocket server: msgpack with NumPy's arrays, as the package openpi-client 0.1.2 writes and reads them.

Its marks are bytes, not text, and an observation or an answer is the map itself, without an envelope or a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from gf_core.serving.wire import WireError, read_array, read_map

_ARRAY, _NUMBER = b"__ndarray__", b"__npgeneric__"
_DATA, _DTYPE, _SHAPE = b"data", b"dtype", b"shape"
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")


def pack(value: Mapping[str, Any]) -> bytes:
    """The bytes of an observation, with arrays and numbers of NumPy anywhere in it."""
    packed: bytes = msgpack.packb(value, default=_encode)
    return packed


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {_ARRAY: True, _DATA: value.tobytes(), _DTYPE: value.dtype.str, _SHAPE: value.shape}
    if isinstance(value, np.generic):
        return {_NUMBER: True, _DATA: value.item(), _DTYPE: value.dtype.str}
    raise TypeError(f"{type(value).__name__} can't be sent")


def unpack(data: bytes) -> dict[str, Any]:
    """The map in bytes. Raises WireError: they aren't one, and why."""
    return read_map(data, _decode)


def _decode(value: dict[Any, Any]) -> Any:
    if _ARRAY in value:
        return read_array({"dtype": value.get(_DTYPE), "shape": value.get(_SHAPE), "data": value.get(_DATA)})
    if _NUMBER in value:
        dtype, number = value.get(_DTYPE), value.get(_DATA)
        if not isinstance(dtype, str) or not _NUMBERS.fullmatch(dtype) or not isinstance(number, bool | int | float):
            raise WireError(f"a number {number!r:.40} of dtype {dtype!r:.40}")
        return number
    return value
