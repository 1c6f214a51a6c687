"""Bytes and messages: what goes in comes out, and what isn't a message is refused in bounded time and memory."""

from __future__ import annotations

import io
import random
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from PIL import Image

from gf_core.serving.wire import Message, Picture, WireError, pack, unpack

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def message(payload: Any, **changes: Any) -> bytes:
    """As another program writes it."""
    packed: bytes = msgpack.packb({"type": "observation", "payload": payload, "seq": 7, "timestamp": 1.5, **changes})
    return packed


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(2.5),
        np.zeros((0, 7), np.float32),
        np.array([True, False]),
        np.arange(4, dtype=">i2"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=str,
)
def test_arrays_come_back(array: np.ndarray) -> None:
    back = unpack(pack(Message(type="action", payload={"a": array, "deep": [{"b": array}]}, seq=3)))
    assert (back.type, back.seq) == ("action", 3)
    for found in (back.payload["a"], back.payload["deep"][0]["b"]):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


def test_numbers_of_numpy_are_numbers() -> None:
    back = unpack(pack(Message(type="hello", payload={"n": np.int64(3), "x": np.float32(0.5), "b": np.bool_(True)})))
    assert dict(back.payload) == {"n": 3, "x": 0.5, "b": True}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"a": [[[]] * 4000] * 250}, "more than 65,536 values"),
        ({"a": [{}] * 4000 + [[{}] * 4000] * 50}, "more than 65,536 values"),
        ({"a": [0] * 5000}, "aren't msgpack"),
    ],
    ids=["lists", "maps", "one list"],
)
def test_values_are_counted(payload: Any, why: str) -> None:
    """Empty lists are a byte each, and take 60."""
    sent = message(payload)
    tracemalloc.start()
    with pytest.raises(WireError, match=why):
        unpack(sent)
    assert tracemalloc.get_traced_memory()[1] < 16_000_000
    tracemalloc.stop()


def test_lists_that_announce_more_than_they_hold() -> None:
    """Each says that it has 65,535 elements, the first of which is the next."""
    tracemalloc.start()
    with pytest.raises(WireError):
        unpack(b"\xdc\xff\xff" * 400)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("form", ["raw", "png", "jpeg"])
def test_pictures_come_back(form: Any) -> None:
    smooth = np.tile(np.arange(0, 240, 15, dtype=np.uint8)[None, :, None], (12, 1, 3))
    back = unpack(pack(Message(type="observation", payload={"images": {"third": Picture(smooth, form)}}))).payload["images"][
        "third"
    ]
    assert (back.dtype, back.shape) == (np.uint8, smooth.shape)
    assert np.abs(back.astype(int) - smooth).max() <= (4 if form == "jpeg" else 0)


def test_what_vla_eval_writes_is_read() -> None:
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "PNG")
    payload = {
        "images": {
            "a": {"__image__": True, "format": "png", "data": file.getvalue(), "shape": [12, 16, 3]},
            "b": {"__image__": True, "format": "raw", "data": IMAGE.tobytes(), "dtype": "|u1", "shape": [12, 16, 3]},
            "c": {"__ndarray__": True, "data": IMAGE.tobytes(), "dtype": "|u1", "shape": [12, 16, 3]},
        },
        "task_description": "go",
    }
    back = unpack(message(payload))
    assert (back.type, back.seq, back.timestamp) == ("observation", 7, 1.5)
    for image in back.payload["images"].values():
        np.testing.assert_array_equal(image, IMAGE)


def bomb() -> bytes:
    """A small PNG of very many pixels."""
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    return file.getvalue()


def part() -> bytes:
    """A picture that is large, but may be."""
    file = io.BytesIO()
    Image.new("L", (1000, 1000)).save(file, "PNG")
    return file.getvalue()


ARRAY = {"__ndarray__": True, "data": b"\0" * 8, "dtype": "<f4", "shape": [2]}
WRONG: dict[str, Any] = {
    "nothing": b"",
    "a byte": b"\xc1",
    "text": b"hello",
    "a number": msgpack.packb(5),
    "a list": msgpack.packb([1, 2]),
    "no type": message({}, type=None),
    "another type": message({}, type="shutdown"),
    "a payload that is no map": message([1]),
    "no number": message({}, seq="7"),
    "no time": message({}, timestamp=None),
    "keys that aren't text": msgpack.packb({1: 2}),
    "cut off": message({"a": ARRAY})[:-3],
    "more behind it": message({}) + b"\0",
    "deep": b"\x91" * 100_000,
    "a list of four thousand million": b"\xdd\xff\xff\xff\xff",
    "an object's dtype": message({"a": {**ARRAY, "dtype": "|O"}}),
    "a dtype that is code": message({"a": {**ARRAY, "dtype": "__import__('os')"}}),
    "a record's dtype": message({"a": {**ARRAY, "dtype": [["x", "<f4"]]}}),
    "too few bytes": message({"a": {**ARRAY, "shape": [3]}}),
    "a negative shape": message({"a": {**ARRAY, "shape": [-1]}}),
    "a huge shape": message({"a": {**ARRAY, "shape": [1 << 40]}}),
    "shapes that overflow": message({"a": {**ARRAY, "shape": [1 << 30, 1 << 30, 1 << 30]}}),
    "many axes": message({"a": {**ARRAY, "shape": [2] + [1] * 40}}),
    "no shape": message({"a": {**ARRAY, "shape": "2"}}),
    "no bytes": message({"a": {**ARRAY, "data": "text"}}),
    "another picture": message({"a": {"__image__": True, "format": "tiff", "data": b"II*\0", "shape": [1, 1, 3]}}),
    "a broken picture": message({"a": {"__image__": True, "format": "png", "data": b"\x89PNG\r\n\x1a\n", "shape": [1, 1, 3]}}),
    "a bomb in parts": message(
        {str(n): {"__image__": True, "format": "png", "data": part(), "shape": [1, 1]} for n in range(40)}
    ),
    "a type that is an array": message({}, type=ARRAY),
    "a bomb": message({"a": {"__image__": True, "format": "png", "data": bomb(), "shape": [1, 1, 3]}}),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(WireError) as caught:
        unpack(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000
    assert len(str(caught.value)) < 500


def test_damaged_messages_are_refused_or_read() -> None:
    whole = message(
        {"images": {"third": {"__image__": True, "format": "png", "data": bomb()[:200], "shape": [1, 1, 3]}}, "a": ARRAY}
    )
    rng = random.Random(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            unpack(bytes(data))
        except WireError:
            refused += 1
    assert refused > 1000


def test_what_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="object can't be sent"):
        pack(Message(type="hello", payload={"x": object()}))
