"""What the documentation shows is run, in order, page by page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, Block, blocks

COMMANDS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
MARKED = [page for page in PAGES if page.is_file() and any(block.mark for block in blocks(page))]


def environment(site: Path) -> dict[str, str]:
    """`gf`, `python` and `pip` are the tests' own; what pip installs lands in a folder of the page's, alone."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    modules = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    pip = {"PIP_TARGET": str(site), "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_QUIET": "1"}
    return {**os.environ, "PATH": path, "PYTHONPATH": modules, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **pip}


def expected_exit(block: Block) -> int:
    return int(block.mark.removeprefix("run: exit ")) if block.mark != "run" else 0


def assert_lines_in_order(shown: str, printed: str) -> None:
    rest = iter(printed.splitlines())
    for line in filter(str.strip, shown.splitlines()):
        assert any(line.rstrip() in other for other in rest), f"not printed: {line!r}\n{printed}"


@pytest.mark.parametrize("page", MARKED, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page, tmp_path):
    work, environ = tmp_path / "work", environment(tmp_path / "site")
    work.mkdir()
    printed = ""
    for block in blocks(page):
        if block.mark.startswith("file: "):
            target = work / block.mark.removeprefix("file: ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.mark.startswith("run"):
            command = [*COMMANDS[block.language], block.text]
            result = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, timeout=300, check=False)
            printed = result.stdout + result.stderr
            assert result.returncode == expected_exit(block), f"{block.text}\n{printed}"
        elif block.mark == "output":
            assert_lines_in_order(block.text, printed)
        else:
            assert not block.mark, f"a block is marked {block.mark!r}"


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is part of the checkout, not of the wheel")
def test_pages_with_commands_are_found():
    assert {"README", "writing-a-plugin", "running", "errors"} <= {page.stem for page in MARKED}
