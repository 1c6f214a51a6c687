"""What each rule came to while a submission is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from gf_core._problems import printable, shorten
from gf_core.errors import GrinningFaceError
from gf_core.leaderboard.rules import RULES

Status = Literal["pass", "fail", "flag", "unchecked"]
T = TypeVar("T")

_LONGEST = 500
_WEIGHT: dict[Status, int] = {"unchecked": 0, "pass": 1, "flag": 2, "fail": 3}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a rule came to: its code, status, and the first bad file, row or value."""

    code: str
    status: Status
    detail: str


class Sheet:
    """Findings by rule. A rule that was broken once stays broken, with what was found first."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def note(self, code: str, status: Status, detail: str = "") -> None:
        """Record a finding; a heavier one that is there already stays."""
        there = self._found.get(code)
        if there is None or _WEIGHT[status] > _WEIGHT[there.status]:
            self._found[code] = Finding(code=code, status=status, detail=shorten(printable(detail), _LONGEST))

    def check(self, codes: str | tuple[str, ...], work: Callable[[], T]) -> T | None:
        """What ``work`` returns, having passed these rules; ``None`` if it raises, which breaks the rule whose code it gives.

        Args:
            codes: the rules that it checks; an error without a code breaks the first.
            work: raises GrinningFaceError.
        """
        several = (codes,) if isinstance(codes, str) else codes
        try:
            result = work()
        except GrinningFaceError as error:
            lines = str(GrinningFaceError(error.what, where=error.where, hint=error.hint)).splitlines()
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            self.note(error.code if error.code in several else several[0], "fail", lines[0] + more)
            return None
        for code in several:
            self.note(code, "pass")
        return result

    @property
    def first_failed(self) -> str | None:
        """Code of the first rule in the table that is broken."""
        return next((finding.code for finding in self if finding.status == "fail"), None)

    def __iter__(self) -> Iterator[Finding]:
        for code in RULES:
            yield self._found.get(code, Finding(code=code, status="unchecked", detail=""))
