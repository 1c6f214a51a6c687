"""What checking submissions came to, as a comment in Markdown. It is made from a file that may be a stranger's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gf_core._problems import printable, shorten
from gf_core.leaderboard.rules import RULES
from gf_core.leaderboard.verdict import MEANS

MAX_BYTES = 2 << 20
"""Of a verdict that is read."""
_MOST = 20
_DETAIL = 300


def as_comment(verdict: Mapping[str, Any]) -> str:
    """A comment: a line and the findings that matter for each submission.

    Args:
        verdict: a document of kind ``verdict``, checked against its schema.
    """
    submissions = verdict["submissions"]
    lines: list[str] = []
    for one in submissions[:_MOST]:
        name = f" · {_text(one['name'])}" if one["name"] is not None else ""
        lines += [f"### {_text(one['file'])}{name}: {one['badge']}", "", f"{MEANS[one['badge']]}.", ""]
        matters = [rule for rule in one["rules"] if rule["status"] in ("fail", "flag")]
        if matters:
            lines += [*(f"- {rule['code']}, {rule['status']}: {_title(rule)} {_text(rule['detail'])}" for rule in matters), ""]
        for run in one["runs"]:
            for split in run["splits"]:
                rates = ", ".join(f"{_text(rate['name'])} {rate['k']}/{rate['n']}" for rate in split["rates"])
                lines.append(f"- {_text(run['suite'])}, {_text(split['split'])}: {rates}")
        lines.append("")
    if len(submissions) > _MOST:
        lines.append(f"And {len(submissions) - _MOST} more.")
    lines.append("Counted again from the recorded episodes. A maintainer decides whether it becomes an entry.")
    return "\n".join(lines) + "\n"


def _title(rule: Mapping[str, Any]) -> str:
    known = RULES.get(rule["code"])  # in words of this program where it has the rule, whatever the file says
    return known.title if known else _text(rule["title"])


def _text(value: str) -> str:
    """A code span: nothing in it is markup, a link, a reference or somebody's name.

    Character references don't do: GitHub looks for addresses, names, numbers of issues and hashes of commits in what they stand
    for, and not within code. A cell of a table would end at a bar even there, so there must be no table around it.
    """
    short = shorten(printable(value), _DETAIL) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", short)), default=0))
    pad = " " * ("`" in short)
    return f"{fence}{pad}{short}{pad}{fence}"
