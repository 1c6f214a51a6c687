"""Reads JSON from strangers: strict, and in bounded memory and time.

RFC 8259 leaves open what duplicate keys, huge numbers and lone surrogates mean, and Python's reader also takes NaN. Whatever is
ambiguous is refused here, so that a document means the same to every program that reads it.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from gf_core._problems import MAX_PROBLEMS, Problem, printable, refuse, shorten
from gf_core._problems import Path as DocumentPath
from gf_core.canonical import JSON
from gf_core.errors import SchemaError

MAX_BYTES = 64 << 20
MAX_DEPTH = 64
MAX_VALUES = 2_000_000
"""Most values in one document: 64 MiB of ``[],[],`` would otherwise become gigabytes of Python objects."""

MIN_INT, MAX_INT = -(2**63), 2**63 - 1
_MAX_NUMBER_LENGTH = 1100  # the longest exact decimal of a float64 has 1,075 characters after the point
_CHUNK = 1 << 20

# Strings are skipped as a whole; a lone quote only matches where a string doesn't end. Possessive, so it never backtracks.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class _Refused:
    """Stands in the parsed tree where a value was refused, so that its pointer can be told afterwards."""

    __slots__ = ("hint", "what")

    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint


def load_json(path: Path, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> JSON:
    """The document in a file; see :func:`parse_json`. A file beyond ``max_bytes`` isn't read.

    Raises:
        SchemaError: when it can't be read, isn't a regular file (a pipe could block for ever), or isn't strict JSON.
    """
    return parse_json(read_bounded(path, max_bytes), source=str(path), max_bytes=max_bytes, max_depth=max_depth)


def read_bounded(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most ``max_bytes``.

    Raises:
        SchemaError: when it is something else, too large, or can't be read.
    """
    where = printable(str(path))
    try:
        _check_file(path.stat(), where, max_bytes)  # before opening: opening a device may do things
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check_file(os.fstat(descriptor), where, max_bytes)
            chunks, size = [], 0
            while chunk := file.read(_CHUNK):  # the size may be a lie (/proc), and the file may grow
                chunks.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(where, f"more than {_human(max_bytes)}", max_bytes)
    except FileNotFoundError:
        raise SchemaError("no such file", where=where) from None
    except (OSError, ValueError) as error:
        raise SchemaError(f"can't be read: {getattr(error, 'strerror', None) or error}", where=where) from error
    return b"".join(chunks)


def _check_file(status: os.stat_result, where: str, max_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SchemaError("is a directory, not a file", where=where)
    if not stat.S_ISREG(status.st_mode):
        raise SchemaError("isn't a regular file", where=where, hint="pipes and devices aren't read: write it to a file first")
    if status.st_size > max_bytes:
        raise _too_large(where, _human(status.st_size), max_bytes)


def _too_large(where: str, size: str, max_bytes: int) -> SchemaError:
    return SchemaError(f"{size} is too large for a JSON document", where=where, hint=f"at most {_human(max_bytes)} are read")


def _human(size: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size / scale:.4g} {unit}"
    return f"{size} bytes"


def parse_json(
    data: bytes, *, source: str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES
) -> JSON:
    """The value that ``data`` holds, as strict UTF-8 JSON.

    Refused are: NaN and infinities, floats that overflow, integers beyond 64 bits, duplicate keys, nesting deeper than
    ``max_depth``, more than ``max_values`` values or ``max_bytes`` bytes, invalid UTF-8, a byte order mark, lone surrogates, and
    anything after the document.

    Args:
        data: the whole document.
        source: what errors call it: a file name, an option.
        max_bytes, max_depth, max_values: limits; the depth of a scalar is 0.

    Raises:
        SchemaError: listing every refused value as ``source#/json/pointer``, or the first place that isn't JSON as
            ``source:line:column``.
    """
    if len(data) > max_bytes:
        raise _too_large(printable(source), _human(len(data)), max_bytes)
    text = _decode(data, source)
    _check_shape(data, source, max_depth, max_values)
    document, refused = _parse(text, source)
    if refused or _SURROGATE_ESCAPE.search(data):
        problems = list(_refused_values(document))
        if problems:
            refuse(problems, source)
    return document


def _decode(data: bytes, source: str) -> str:
    where = printable(source)
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise SchemaError("starts with a byte order mark", where=f"{where}:1:1", hint="save it as UTF-8 without one")
    if not data.strip(b" \t\r\n"):
        raise SchemaError("is empty", where=where, hint="a JSON document was expected")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        position = _position(data, error.start)
        raise SchemaError("isn't UTF-8", where=f"{where}:{position}", hint="save it with UTF-8 encoding") from None


def _position(data: bytes, offset: int) -> str:
    """``line:column`` of a byte, both from 1; the column counts characters."""
    start = data.rfind(b"\n", 0, offset) + 1
    line = data.count(b"\n", 0, offset) + 1
    column = len(data[start:offset].decode(errors="replace")) + 1
    return f"{line}:{column}"


def _check_shape(data: bytes, source: str, max_depth: int, max_values: int) -> None:
    """Refuses too deep and too many values before any is built; what isn't JSON is left to the parser."""
    depth, values = 0, 1
    for match in _TOKEN.finditer(data):
        token = data[match.start()]
        if token in b"[{":
            depth += 1
            values += 1
            if depth > max_depth:
                where = f"{printable(source)}:{_position(data, match.start())}"
                raise SchemaError(f"is nested more than {max_depth} levels deep", where=where, hint="flatten it")
        elif token in b"]}":
            depth -= 1
        elif token == 0x2C:
            values += 1
        elif match.end() == match.start() + 1:
            return  # a string without an end
        if values > max_values:
            raise SchemaError(f"holds more than {max_values:,} values", where=printable(source), hint="split it")


def _parse(text: str, source: str) -> tuple[JSON, bool]:
    """The document, with `_Refused` where a value was refused, and whether there are any of those."""
    refused = False

    def refusal(what: str, hint: str) -> _Refused:
        nonlocal refused
        refused = True
        return _Refused(what, hint)

    def constant(name: str) -> _Refused:
        return refusal(f"{name} isn't JSON", "write null, or leave it out")

    def integer(digits: str) -> int | _Refused:
        if len(digits) <= 20 and MIN_INT <= (value := int(digits)) <= MAX_INT:
            return value
        return refusal(f"the integer {shorten(digits)} doesn't fit 64 bits", f"it must lie in {MIN_INT} to {MAX_INT}")

    def number(digits: str) -> float | _Refused:
        if len(digits) > _MAX_NUMBER_LENGTH:
            return refusal(f"a number of {len(digits):,} characters", "17 significant digits say all that a float64 holds")
        value = float(digits)
        return value if math.isfinite(value) else refusal(f"{shorten(digits)} is too large for a float64", "at most 1.7e308")

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    members[key] = refusal("the key appears more than once", "keep one")
                seen.add(key)
        return members

    try:
        document: JSON = json.loads(
            text, parse_constant=constant, parse_int=integer, parse_float=number, object_pairs_hook=members
        )
    except json.JSONDecodeError as error:
        position, what, hint = _explain(text, error)
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        raise SchemaError(what, where=f"{printable(source)}:{line}:{column}", hint=hint) from None
    except RecursionError:
        raise SchemaError("is nested too deep", where=printable(source), hint="flatten it") from None
    return document, refused


def _explain(text: str, error: json.JSONDecodeError) -> tuple[int, str, str]:
    """Where it isn't JSON, what is there, and what to do; the same for every version of Python, whose wordings differ."""
    position = error.pos
    if error.msg.startswith("Illegal trailing comma"):  # since 3.13, which points at the comma
        position += 1 + len(text[position + 1 :]) - len(text[position + 1 :].lstrip())
    rest = text[position : position + 2]
    before = text[max(0, position - 100) : position].rstrip()
    if not rest:
        what, hint = "the document ends too early", "something isn't closed, or the file was cut off"
    elif error.msg.startswith("Extra data"):
        what, hint = "something follows after the document's end", "one document per file"
    elif rest[0] in "]}" and before.endswith(","):
        what, hint = "a comma before a closing bracket", "remove the comma"
    elif rest in ("//", "/*") or rest[0] == "#":
        what, hint = "a comment", "JSON has none; keys that begin with x- may hold notes"
    elif rest[0] == "'":
        what, hint = "a single quote", 'strings and keys are written in double quotes: "like this"'
    elif "control character" in error.msg:
        what, hint = "a control character within a string", "write it as an escape, such as \\n"
    elif error.msg.startswith("Unterminated string"):
        what, hint = "a string that doesn't end", 'add the closing "'
    else:
        what, hint = error.msg[:1].lower() + error.msg[1:], ""
    return position, f"isn't JSON: {what}", hint


def _refused_values(document: object) -> Iterator[Problem]:
    """Refused values and strings with lone surrogates, found without recursion; at most MAX_PROBLEMS."""
    found = 0
    waiting: list[tuple[object, DocumentPath]] = [(document, ())]
    while waiting and found < MAX_PROBLEMS:
        value, path = waiting.pop()
        if isinstance(value, _Refused):
            found += 1
            yield Problem(path=path, what=value.what, hint=value.hint)
        elif isinstance(value, dict):
            for key, member in value.items():
                waiting.append((member, (*path, key)))
                waiting.append((key, (*path, key)))
        elif isinstance(value, list):
            waiting.extend((item, (*path, index)) for index, item in enumerate(value))
        elif isinstance(value, str) and not value.isascii() and not encodable(value):
            found += 1
            yield Problem(path=path, what="a lone surrogate isn't a character", hint="escape characters in pairs, or write UTF-8")


def encodable(text: str) -> bool:
    """Whether ``text`` is free of lone surrogates, which no file in UTF-8 holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
