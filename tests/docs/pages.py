"""Reads the documentation's pages: which of their blocks are files, which are run, and what these must print.

A comment on the line before a fenced block says what it is: ``<!-- file: NAME -->`` is written to NAME, ``<!-- run -->`` (of
``bash`` or ``python``; ``<!-- run: exit 2 -->`` for another exit code) is run, and ``<!-- output -->`` shows lines that the block
run before it printed, in this order, perhaps among others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its comment says (empty for none), its language and its text."""

    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(mark=match["mark"] or "", language=match["language"], text=match["text"]) for match in found]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))
