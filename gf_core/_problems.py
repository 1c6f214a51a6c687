"""What is wrong with a document: one :class:`Problem` per mistake, and one error that lists them all, sorted."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NoReturn

from gf_core.errors import SchemaError, did_you_mean

Path = tuple[str | int, ...]
"""Keys and indices from a document's root to a value."""

MAX_PROBLEMS = 1000
"""Most problems that one error lists; a document of a million mistakes needn't print a million lines."""

_SHOWN = 80
_LISTED = 20
_COMPARED_LENGTH, _COMPARED_CHOICES = 100, 200


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake.

    Attributes:
        path: where it is, from the document's root.
        what: what is wrong, in one sentence.
        hint: what to do about it; may be empty.
        code: stable code of the rule that it breaks; empty for a mistake that the schema itself finds.
    """

    path: Path
    what: str
    hint: str = ""
    code: str = ""

    def line(self, source: str) -> str:
        """``source#/json/pointer: what; hint``."""
        return str(SchemaError(self.what, where=f"{printable(source)}#{pointer(self.path)}", hint=self.hint, code=self.code))


def printable(text: str) -> str:
    """``text`` without control, bidirectional or surrogate characters: those are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def shorten(text: str, length: int = _SHOWN) -> str:
    """``text``, cut in the middle to about ``length`` characters."""
    return text if len(text) <= length else f"{text[: length * 2 // 3]}…{text[-length // 4 :]}"


def show(value: object) -> str:
    """A JSON value for a message: short, printable, strings in single quotes, containers by their size."""
    if isinstance(value, str):
        return repr(shorten(value))
    if isinstance(value, dict):
        return f"an object of {len(value)} keys" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)} items" if value else "an empty array"
    return shorten(json.dumps(value))


def pointer(path: Path) -> str:
    """RFC 6901 JSON pointer; the empty string for the root. Unprintable characters are escaped, long keys cut."""
    return "".join("/" + shorten(printable(str(token))).replace("~", "~0").replace("/", "~1") for token in path)


def closest(word: str, choices: Collection[str]) -> str:
    """``did you mean 'x'?``, or an empty string. Long or many words aren't compared, because that takes too long."""
    return did_you_mean(word, choices) if len(word) <= _COMPARED_LENGTH and len(choices) <= _COMPARED_CHOICES else ""


def suggest(word: str, choices: Collection[str], otherwise: str) -> str:
    """``did you mean 'x'?``, or else ``otherwise`` and the first of the choices."""
    listed = [shorten(printable(choice)) for choice in islice(choices, _LISTED)]
    more = [f"and {len(choices) - _LISTED:,} more"] if len(choices) > _LISTED else []
    return closest(word, choices) or f"{otherwise} {', '.join([*listed, *more])}"


def _order(problem: Problem) -> tuple[tuple[tuple[int, int, str], ...], str, str]:
    tokens = tuple((0, token, "") if isinstance(token, int) else (1, 0, token) for token in problem.path)
    return tokens, problem.code, problem.what


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by pointer (indices as numbers), each once."""
    return sorted(set(problems), key=_order)


def refuse(problems: Sequence[Problem], source: str) -> NoReturn:
    """Raise one SchemaError that lists ``problems``, which must not be empty."""
    ordered = in_order(problems)
    if len(ordered) == 1:
        only = ordered[0]
        raise SchemaError(only.what, where=f"{printable(source)}#{pointer(only.path)}", hint=only.hint, code=only.code)
    lines = [problem.line(source) for problem in ordered[:MAX_PROBLEMS]]
    if len(ordered) >= MAX_PROBLEMS:
        lines.append(f"{printable(source)}: these are the first {MAX_PROBLEMS} problems; there may be more")
    raise SchemaError("\n".join(lines))
