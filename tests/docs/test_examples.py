"""What the documentation shows is run, in order, page by page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from .pages import PAGES, ROOT, Block, blocks

THERE = [page for page in PAGES if page.is_file()]  # none, where the wheel is tested
COMMANDS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
SECONDS, SECONDS_IN_FULL = 300, 3600


def environment(site: Path) -> dict[str, str]:
    """`gf`, `python` and `pip` are the tests' own; what pip installs lands in a folder of the page's, alone."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    modules = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    pip = {"PIP_TARGET": str(site), "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_QUIET": "1"}
    return {**os.environ, "PATH": path, "PYTHONPATH": modules, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **pip}


def assert_lines_in_order(shown: str, printed: str) -> None:
    rest = iter(printed.splitlines())
    for line in filter(str.strip, shown.splitlines()):
        assert any(line.rstrip() in other for other in rest), f"not printed: {line!r}\n{printed}"


def to_run() -> Iterator[ParameterSet]:
    """Every page with something to run; pages with long blocks once without and once with them."""
    for page in THERE:
        found = blocks(page)
        if any(block.is_run and not block.only_in_full for block in found):
            yield pytest.param(page, False, id=page.stem)
        if any(block.only_in_full for block in found):
            yield pytest.param(page, True, id=f"{page.stem}-full", marks=pytest.mark.full)


@pytest.mark.parametrize(("page", "full"), list(to_run()))
def test_a_page_does_what_it_says(page: Path, full: bool, tmp_path: Path) -> None:
    work, environ = tmp_path / "work", environment(tmp_path / "site")
    work.mkdir()
    printed: str | None = ""
    for block in blocks(page):
        if block.mark.startswith("file: "):
            target = work / block.mark.removeprefix("file: ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.is_run:
            printed = run(block, work, environ, SECONDS_IN_FULL if full else SECONDS) if full or not block.only_in_full else None
        elif block.mark == "output" and printed is not None:
            assert_lines_in_order(block.text, printed)


def run(block: Block, work: Path, environ: dict[str, str], seconds: float) -> str:
    command = [*COMMANDS[block.language], block.text]
    result = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=seconds, check=False)
    printed = result.stdout + result.stderr
    assert result.returncode == block.exit_code, f"{block.text}\n{printed}"
    return printed


@pytest.mark.parametrize("page", THERE, ids=lambda page: page.stem)
def test_whatever_looks_like_something_to_run_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        assert block.known or not block.mark, f"a block is marked {block.mark!r}:\n{block.text}"
        assert block.mark or not block.shows_commands, f"neither run nor `<!-- not run: REASON -->`:\n{block.text}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```bash\ngf list\n```\n", "neither run"),
        ("```\ngf list\n```\n", "neither run"),
        ("<!-- runn -->\n```bash\ngf list\n```\n", "is marked 'runn'"),
        ("<!-- not run -->\n```bash\ngf list\n```\n", "is marked 'not run'"),
        ("<!-- run: exit -->\n```bash\ngf list\n```\n", "is marked 'run: exit'"),
        ("<!-- run: full, exit 1 -->\n```bash\ngf list\n```\n", ""),
        ("<!-- not run: needs a GPU -->\n```bash\ngf list\n```\n", ""),
        ("```json\n{}\n```\n", ""),
    ],
)
def test_a_block_without_a_mark_is_found(text: str, wrong: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    if not wrong:
        test_whatever_looks_like_something_to_run_is_run_or_says_why_not(page)
        return
    with pytest.raises(AssertionError, match=wrong):
        test_whatever_looks_like_something_to_run_is_run_or_says_why_not(page)


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is part of the checkout, not of the wheel")
def test_pages_with_commands_are_found() -> None:
    names = {page.id for page in to_run()}
    assert {"README", "writing-a-plugin", "running", "errors", "first-run", "first-run-full"} <= names
