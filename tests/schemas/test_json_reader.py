"""Hostile JSON is refused with its place, in bounded memory and time; everything else means what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.canonical import canonical_json
from gf_core.errors import SchemaError
from gf_core.schemas import load_json, parse_json

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
SCALARS = st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=25
)

REFUSED = {
    b"NaN": "x.json#: NaN isn't JSON",
    b'{"a": [0, -Infinity]}': "x.json#/a/1: -Infinity isn't JSON",
    b"[1e400]": "x.json#/0: 1e400 is too large for a float64",
    b"[9223372036854775808]": "x.json#/0: the integer 9223372036854775808 doesn't fit 64 bits",
    b"-9223372036854775809": "x.json#: the integer -9223372036854775809 doesn't fit 64 bits",
    b"[" + b"9" * 5000 + b"]": "x.json#/0: the integer 9999",
    b"0." + b"1" * 5000: "x.json#: a number of 5,002 characters",
    b'{"a": {"b": 1, "b": 1}}': "x.json#/a/b: the key appears more than once",
    b'{"a~/b": NaN}': "x.json#/a~0~1b: NaN isn't JSON",
    b'["\\ud800"]': "x.json#/0: a lone surrogate isn't a character",
    b'{"\\udfff": 1}': "x.json#/\\udfff: a lone surrogate isn't a character",
    b"": "x.json: is empty",
    b" \n": "x.json: is empty",
    b"\xef\xbb\xbf{}": "x.json:1:1: starts with a byte order mark",
    b'{"a":\n "\xff"}': "x.json:2:3: isn't UTF-8",
    b"[1] 2": "x.json:1:5: isn't JSON: something follows after the document's end",
    b"[1,\n 2": "x.json:2:3: isn't JSON: the document ends too early",
    b"{'a': 1}": "x.json:1:2: isn't JSON: a single quote",
    b"// a\n{}": "x.json:1:1: isn't JSON: a comment",
    b'{"a": 1,}': "isn't JSON: a comma before a closing bracket",
    b'["abc': "isn't JSON: a string that doesn't end",
    b'["a\nb"]': "isn't JSON: a control character within a string",
    b"[01]": "isn't JSON",
    b"[+1]": "isn't JSON",
    b"[.5]": "isn't JSON",
    b"True": "isn't JSON",
    b"[" * 10_000 + b"]" * 10_000: "x.json:1:65: is nested more than 64 levels deep",
    b'{"a":' * 10_000: "x.json:1:321: is nested more than 64 levels deep",
}


@pytest.mark.parametrize("data", REFUSED, ids=lambda data: repr(data[:24]))
def test_refused(data: bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_json(data, source="x.json")
    assert REFUSED[data] in str(caught.value)


def test_all_refused_values_are_listed_in_order() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_json(b'{"b": [NaN, 1, 1e999], "a": 1, "a": 2}', source="x.json")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["x.json#/a", "x.json#/b/0", "x.json#/b/2"]


def test_unprintable_keys_are_escaped_in_messages() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_json('{"\u202e\\u001b[31m": NaN}'.encode(), source="x\n.json")
    assert str(caught.value).startswith("x\\n.json#/\\u202e\\x1b[31m: ")


def test_brackets_within_strings_are_no_nesting() -> None:
    text = "[" * 1000 + '\\"' + "{" * 1000
    assert parse_json(json.dumps([text]).encode(), source="x") == [text]


def test_nesting_up_to_the_limit_is_accepted() -> None:
    value = parse_json(b"[" * 64 + b"]" * 64, source="x")
    for _ in range(63):
        assert isinstance(value, list)
        value = value[0]
    assert value == []


def test_limits_of_values_and_bytes() -> None:
    assert parse_json(b"[1,2,3]", source="x", max_values=4, max_bytes=7) == [1, 2, 3]
    with pytest.raises(SchemaError, match="holds more than 3 values"):
        parse_json(b"[1,2,3]", source="x", max_values=3)
    with pytest.raises(SchemaError, match="7 bytes is too large"):
        parse_json(b"[1,2,3]", source="x", max_bytes=6)


def test_the_largest_numbers_are_accepted() -> None:
    assert parse_json(b"[9223372036854775807, -9223372036854775808, 1.7976931348623157e308]", source="x") == [
        2**63 - 1,
        -(2**63),
        sys.float_info.max,
    ]


@given(VALUES)
def test_every_json_value_survives_a_round_trip(value: object) -> None:
    text = canonical_json(value)
    assert canonical_json(parse_json(text.encode(), source="x")) == text


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:\\u0dD8019eE+-.nNaIftrue \n', max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_a_schema_error(data: bytes) -> None:
    try:
        value = parse_json(data, source="x")
    except SchemaError:
        return
    assert parse_json(canonical_json(value).encode(), source="x") == value
    assert json.loads(data) == value


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": "😀"}', encoding="utf-8")
    link = tmp_path / "link.json"
    link.symlink_to(file)
    assert load_json(file) == load_json(link) == {"a": "😀"}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, reason in {
        fifo: "isn't a regular file",  # reading it would block for ever: nobody writes
        Path("/dev/zero"): "isn't a regular file",
        tmp_path: "is a directory",
        tmp_path / "none.json": "no such file",
        Path("a\0b"): "can't be read",
        tmp_path / ("a" * 5000): "can't be read",
    }.items():
        with pytest.raises(SchemaError, match=reason):
            load_json(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.touch(mode=0o000)
    with pytest.raises(SchemaError, match="can't be read: Permission denied"):
        load_json(file)


def run_with_memory_limit(code: str, megabytes: int) -> str:
    """What ``code`` prints, in a process that fails to allocate more than so much address space."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20}, {megabytes << 20}))\n"
    setup = (
        "from pathlib import Path\nfrom gf_core.errors import SchemaError\nfrom gf_core.schemas import load_json, parse_json\n"
    )
    done = subprocess.run([sys.executable, "-c", setup + limit + code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_huge_file_is_refused_in_little_memory(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    huge.touch()
    os.truncate(huge, 1 << 30)
    code = f"try: load_json(Path({str(huge)!r}))\nexcept SchemaError as error: print(error)"
    assert "1 GiB is too large for a JSON document; at most 64 MiB are read" in run_with_memory_limit(code, 256)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("b'[],' * (1 << 22)", "holds more than 2,000,000 values"),
        ("b'[' * (1 << 24)", "is nested more than 64 levels deep"),
        ("b'\"' + b'\\\\\\\\' * (1 << 23)", "a string that doesn't end"),
        ("b'1' * (1 << 24)", "doesn't fit 64 bits"),
        ("b'1.' + b'1' * (1 << 24)", "a number of 16,777,218 characters"),
    ],
)
def test_large_hostile_documents_are_refused_in_little_memory(made: str, reason: str) -> None:
    code = f"try: parse_json({made}, source='x')\nexcept SchemaError as error: print(error)"
    assert reason in run_with_memory_limit(code, 512)
