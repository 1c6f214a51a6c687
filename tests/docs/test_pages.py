"""The documentation is complete, its links lead somewhere, and it is free of what belongs to one machine."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gf_core import hookspecs
from gf_core.cli.main import cli
from gf_core.errors import GrinningFaceError
from gf_core.rules import RULES

from .pages import PAGES, ROOT, prose

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs/ is part of the checkout, not of the wheel")

SOURCES = ("gf_core", "plugins", "schemas")


def everything() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("hook", [name for name in dir(hookspecs) if name.startswith("gf_")])
def test_every_hook_is_documented_with_its_arguments(hook):
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({arguments})`" in (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_documented():
    text = everything()
    for path, command in commands(cli):
        assert f"gf {' '.join(path)}" in text, f"gf {' '.join(path)}"
        for parameter in command.params:
            for option in (o for o in parameter.opts if o.startswith("--") and isinstance(parameter, click.Option)):
                assert re.search(rf"{re.escape(option)}\b", text), f"gf {' '.join(path)} {option}"


def test_every_code_is_documented_and_exists():
    files = [file for source in SOURCES for file in (ROOT / source).rglob("*.py")]
    used = {code for file in files for code in re.findall(r"\"(GF\d{3})\"", file.read_text(encoding="utf-8"))}
    documented = set(re.findall(r"^\| (GF\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE))
    documented |= set(re.findall(r"^### (GF4\d{2}): ", (ROOT / "docs" / "rules.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert used == documented
    assert set(RULES) <= used


def test_every_environment_variable_is_documented():
    files = [file for source in SOURCES for file in (ROOT / source).rglob("*.py")]
    used = {name for file in files for name in re.findall(r"\b(GF_[A-Z_]+[A-Z]|MUJOCO_GL)\b", file.read_text(encoding="utf-8"))}
    assert {name for name in used if name not in everything()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_nothing_belongs_to_one_machine(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users)/", text)
    assert not re.findall(r"--(?:extra-)?index-url", text)


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "index.md" or f"({name})" in index, name


def test_errors_are_shown_in_the_documented_form():
    error = GrinningFaceError("what is wrong", where="where", hint="what to do", code="CODE")
    assert str(error) == "[CODE] where: what is wrong; what to do"
    assert f"error: {error}" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("*.[wp][en][bg]*")), ids=lambda path: path.name)
def test_pictures_are_small_enough_for_a_repository(picture):
    assert picture.stat().st_size < 2_000_000
