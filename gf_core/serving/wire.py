"""Messages as bytes: msgpack with arrays and images, as vla-eval 0.8.0 writes and reads them; see docs/serving.md.

Bytes come from strangers. A message's size bounds what reading it takes: arrays are views of its bytes, compressed pictures
are refused before they are decompressed if they claim more pixels than cameras have, and there is a limit to values, each of
which takes many times its byte.
"""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgpack
import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError

PROTOCOL_VERSION = 1
HELLO, START, OBSERVATION, ACTION, END, ERROR = "hello", "episode_start", "observation", "action", "episode_end", "error"
TYPES = (HELLO, START, OBSERVATION, ACTION, END, ERROR)

ImageFormat = Literal["raw", "png", "jpeg"]
_JPEG_QUALITY = 95
_MAX_PIXELS = 1 << 24
"""Of all compressed pictures of a message together; 4096 x 4096."""
_MAX_AXES = 8
_MAX_LENGTH, _MAX_VALUES = 1 << 12, 1 << 16
"""Of one list or map, whose memory is taken before its values are read, and of all together. A chunk of actions as lists has
some hundreds."""
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_local = threading.local()
"""``packer``: one for each message would take and give back its memory, which costs more than filling it. ``pixels``: of the
message that is being read."""
_ARRAY, _IMAGE = "__ndarray__", "__image__"


class WireError(GrinningFaceError):
    """Bytes that aren't a message, or a message that doesn't belong here."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message.

    Attributes:
        type: one of :data:`TYPES`.
        payload: by key; arrays are NumPy's, and can't be written to.
        seq: an answer has that of its question.
        timestamp: when it was made [s since 1970].
    """

    type: str
    payload: Mapping[str, Any]
    seq: int = 0
    timestamp: float = field(default_factory=time.time)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to send: ``(H, W, 3) uint8`` RGB, and how."""

    image: Images
    format: ImageFormat = "raw"


def pack(message: Message) -> bytes:
    """The bytes of a message. Arrays and numbers of NumPy, and pictures, may stand anywhere in its payload."""
    head = {"type": message.type, "payload": message.payload, "seq": message.seq, "timestamp": message.timestamp}
    packer = getattr(_local, "packer", None) or msgpack.Packer(default=_encode)
    _local.packer = None  # one that breaks is not used again
    packed: bytes = packer.pack(head)
    _local.packer = packer
    return packed


def _encode(value: Any) -> Any:
    if isinstance(value, Picture):
        return _encode_picture(value)
    if isinstance(value, np.ndarray):
        return {_ARRAY: True, "data": _bytes(value), "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} can't be sent")


def _bytes(array: NDArray[Any]) -> memoryview | bytes:
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""


def _encode_picture(picture: Picture) -> dict[str, Any]:
    image = picture.image
    head = {_IMAGE: True, "format": picture.format, "shape": list(image.shape)}
    if picture.format == "raw":
        return {**head, "data": _bytes(image), "dtype": image.dtype.str}
    from PIL import Image

    file = io.BytesIO()
    options = {"quality": _JPEG_QUALITY} if picture.format == "jpeg" else {}
    Image.fromarray(image).save(file, picture.format, **options)
    return {**head, "data": file.getvalue()}


def unpack(data: bytes) -> Message:
    """The message in bytes. Raises WireError: they aren't one, and why."""
    _local.pixels = 0
    raw = read_map(data, _decode)
    kind, payload, seq, timestamp = (raw.get(key) for key in ("type", "payload", "seq", "timestamp"))
    if not isinstance(kind, str) or kind not in TYPES:
        raise WireError(f"{kind!r:.80} isn't a type of message", hint=f"one of {', '.join(TYPES)}")
    if not isinstance(payload, dict) or not isinstance(seq, int) or not isinstance(timestamp, int | float):
        raise WireError(f"a message of type {kind} needs payload (a map), seq (an integer) and timestamp (a number)")
    return Message(type=kind, payload=payload, seq=seq, timestamp=float(timestamp))


def read_map(data: bytes, decode: Callable[[dict[Any, Any]], Any]) -> dict[Any, Any]:
    """The map that bytes are, in memory bounded by theirs.

    Args:
        data: msgpack.
        decode: what a map in it stands for.

    Raises:
        WireError: they aren't one, and why.
    """
    left = _MAX_VALUES

    def count(values: int) -> None:
        nonlocal left
        left -= values
        if left < 0:
            raise WireError(f"a message of more than {_MAX_VALUES:,} values", hint="send numbers as arrays")

    def read_list(value: list[Any]) -> list[Any]:
        count(len(value))
        return value

    def read(value: dict[Any, Any]) -> Any:
        count(len(value))
        return decode(value)

    try:
        found = msgpack.unpackb(
            data,
            object_hook=read,
            list_hook=read_list,
            raw=False,
            strict_map_key=True,
            max_array_len=_MAX_LENGTH,
            max_map_len=_MAX_LENGTH,
        )
    except WireError:
        raise
    except Exception as error:  # msgpack has many, and some are bare ValueErrors
        raise WireError(f"{len(data)} bytes that aren't msgpack ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict):
        raise WireError(f"a message is a map, and this is {type(found).__name__}")
    return found


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decode(value: dict[str, Any]) -> Any:
    if _IMAGE in value:
        return _decode_picture(value)
    return read_array(value) if _ARRAY in value else value


def read_array(value: Mapping[str, Any]) -> NDArray[Any]:
    """The array of ``dtype``, ``shape`` and ``data``, a view of these bytes. Raises WireError: they don't fit together."""
    dtype, shape, data = value.get("dtype"), value.get("shape"), value.get("data")
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise WireError(f"an array of dtype {dtype!r:.40}: only truth values and numbers are read")
    if not isinstance(shape, list) or len(shape) > _MAX_AXES or not all(_is_int(n) and 0 <= n < 1 << 31 for n in shape):
        raise WireError(f"an array of shape {shape!r:.80}")
    count = 1
    for n in shape:
        count *= n
    if not isinstance(data, bytes) or len(data) != count * np.dtype(dtype).itemsize:
        size = len(data) if isinstance(data, bytes) else "no"
        raise WireError(f"an array of shape {shape} and dtype {dtype} with {size} bytes")
    return np.frombuffer(data, dtype).reshape(shape)


def _decode_picture(value: Mapping[str, Any]) -> NDArray[Any]:
    form, data = value.get("format"), value.get("data")
    if form == "raw":
        return read_array({"dtype": "|u1", **value})
    if not isinstance(form, str) or form not in get_args(ImageFormat) or not isinstance(data, bytes):
        raise WireError(f"a picture of format {form!r:.40}", hint=f"one of {', '.join(get_args(ImageFormat))}")
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[form]) as opened:
            _local.pixels += opened.width * opened.height
            if _local.pixels > _MAX_PIXELS:
                raise WireError(f"pictures of more than {_MAX_PIXELS:,} pixels")
            return np.asarray(opened if opened.mode in ("RGB", "L") else opened.convert("RGB"))
    except WireError:
        raise
    except Exception as error:  # a decoder fails in many ways
        raise WireError(f"a picture that isn't {form} ({type(error).__name__})") from error
