"""What `gf leaderboard init` writes beside leaderboard.json: a page for people, and workflows for GitHub."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from gf_core._files import write_whole
from gf_core.canonical import JSON
from gf_core.errors import GrinningFaceError

INCOMING = "incoming"
"""Where pull requests put submissions."""

_FILES = {
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "check.yml": ".github/workflows/check-submission.yml",
    "comment.yml": ".github/workflows/comment-result.yml",
    "publish.yml": ".github/workflows/publish.yml",
}


def write_template(path: Path, board: Mapping[str, JSON]) -> None:
    """Write the files that aren't there yet; what is there stays as it is.

    Args:
        path: the repository's directory.
        board: leaderboard.json.
    """
    texts = resources.files("gf_core.leaderboard.board") / "template"
    for name, place in _FILES.items():
        text = (texts / name).read_text(encoding="utf-8")
        for key in ("title", "storage"):
            text = text.replace(f"@{key.upper()}@", str(board[key]))
        if not (path / place).exists():
            write_whole(path / place, text.encode(), kind=GrinningFaceError)
    for folder in ("entries", INCOMING):
        if not (path / folder).exists():
            write_whole(path / folder / ".gitkeep", b"", kind=GrinningFaceError)
