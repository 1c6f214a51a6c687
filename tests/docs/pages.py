"""Reads the documentation's pages: which of their blocks are files, which are run, and what these must print.

A comment on the line before a fenced block says what it is:

- ``<!-- file: NAME -->``: written to NAME.
- ``<!-- run -->``, of ``bash`` or ``python``: run. ``<!-- run: exit 2 -->``: with another exit code. ``<!-- run: full -->``: only
  by `make test-full`, as it takes long. Both: ``<!-- run: full, exit 1 -->``.
- ``<!-- output -->``: lines that the block run before it printed, in this order, perhaps among others.
- ``<!-- not run: REASON -->``: what can't be run here.

Blocks of commands or Python have to be one of these; others may go without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>[\w{}-]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"file: \S+|run|run: (?:full|exit \d+|full, exit \d+)|output|not run: \S.*")
_COMMAND = re.compile(r"^(?:\$ )?(?:gf|pip|python|make|pytest) ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its comment says (empty for none), its language and its text."""

    mark: str
    language: str
    text: str

    @property
    def known(self) -> bool:
        """Whether the mark is one of those above."""
        return _MARK.fullmatch(self.mark) is not None

    @property
    def is_run(self) -> bool:
        """Whether it is run, always or in full."""
        return re.match(r"run\b", self.mark) is not None

    @property
    def only_in_full(self) -> bool:
        """Whether it is run by `make test-full` alone."""
        return self.is_run and "full" in self.mark

    @property
    def exit_code(self) -> int:
        """With which it has to end."""
        found = re.search(r"exit (\d+)", self.mark)
        return int(found[1]) if found else 0

    @property
    def shows_commands(self) -> bool:
        """Whether a reader would take it for something to run."""
        return self.language in {"bash", "sh", "shell", "console", "python"} or (
            not self.language and bool(_COMMAND.search(self.text))
        )


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(mark=match["mark"] or "", language=match["language"], text=match["text"]) for match in found]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))
