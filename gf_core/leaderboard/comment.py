"""What checking submissions came to, as a comment in Markdown. It is made from a file that may be a stranger's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gf_core._problems import printable, shorten

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
        lines += [f"### {_text(one['file'])}{name}: {one['badge']}", "", f"{_text(one['means'])}.", ""]
        matters = [rule for rule in one["rules"] if rule["status"] in ("fail", "flag")]
        if matters:
            lines += ["| rule | | found |", "|---|---|---|"]
            lines += [f"| {r['code']} | {r['status']} | {_text(r['title'])} {_text(r['detail'])} |" for r in matters]
            lines.append("")
        for run in one["runs"]:
            for split in run["splits"]:
                rates = ", ".join(f"{_text(rate['name'])} {rate['k']}/{rate['n']}" for rate in split["rates"])
                lines.append(f"- {_text(run['suite'])}, {_text(split['split'])}: {rates}")
        lines.append("")
    if len(submissions) > _MOST:
        lines.append(f"And {len(submissions) - _MOST} more.")
    lines.append("Counted again from the recorded episodes. A maintainer decides whether it becomes an entry.")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # As character references, so that neither Markdown nor HTML sees them, nor anybody gets called by an @.
    short = shorten(printable(value), _DETAIL)
    return "".join(c if c.isalnum() or c in " ,;:%=+-/'" else f"&#{ord(c)};" for c in short)
