"""What the user, a plugin or the infrastructure did wrong, as one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GrinningFaceError(Exception):
    """A user's mistake. The command line prints it without a traceback and exits with code 2.

    Args:
        what: what is wrong, in one sentence.
        where: the file and JSON pointer, option, plugin or field that it concerns.
        hint: what to do about it.
        code: a stable code, for errors that the documentation explains (see docs/errors.md).
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "", code: str = "") -> None:
        self.what, self.where, self.hint, self.code = what, where, hint, code
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = f"{text}; {self.hint}" if self.hint else text
        return f"[{self.code}] {text}" if self.code else text

    @property
    def line(self) -> str:
        """All of it in one line: a schema's error has one for each mistake."""
        return " · ".join(str(self).splitlines())

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.hint, self.code))


def _rebuild(kind: type[GrinningFaceError], what: str, where: str, hint: str, code: str) -> GrinningFaceError:
    return kind(what, where=where, hint=hint, code=code)


class UnknownIdError(GrinningFaceError):
    """An id that no loaded plugin registered."""


class PluginError(GrinningFaceError):
    """A plugin broke a rule of the registry, or failed while it was used."""


class SchemaError(GrinningFaceError):
    """A document doesn't fit its schema."""


class MismatchError(GrinningFaceError):
    """Policy, environment and suite don't fit together; found before the first step."""


class RunDirectoryError(GrinningFaceError):
    """A run directory is locked, belongs to another configuration, is damaged, or can't be written."""


class DivergedError(GrinningFaceError):
    """A training whose loss or gradient isn't finite any more."""


class MissingDependencyError(GrinningFaceError):
    """Something that has to be installed first: an extra, a system library."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the closest of ``choices`` to ``word``, or an empty string."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
