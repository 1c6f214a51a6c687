"""The site of the documentation: it builds without a warning, says what the code says, and behaves in a real browser."""

from __future__ import annotations

import dataclasses
import fcntl
import html
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browsers import browser, browser_needed, visiting

from gf_core import contracts, hookspecs, specs
from gf_core.cli.main import cli

from .pages import ROOT
from .test_pages import commands

DOCS = ROOT / "docs"
PHONE = {"width": 360, "height": 740}

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="docs/ is part of the checkout, not of the wheel")
pytest.importorskip("sphinx_click")


def sphinx(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs`."""
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-b", "html", "-d", str(out.with_name("doctrees"))]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Built once, whichever worker needs it first."""
    own = tmp_path_factory.getbasetemp()
    folder = own / "documentation" if worker_id == "master" else own.parent / "documentation"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "output.txt").exists():
            done = sphinx(DOCS, folder / "html")
            (folder / "output.txt").write_text(f"{done.stdout}{done.stderr}exit code {done.returncode}", encoding="utf-8")
    assert (folder / "output.txt").read_text(encoding="utf-8") == "exit code 0"
    return folder / "html"


def text_of(site: Path, page: str) -> str:
    """What a reader sees, in one line."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", (site / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL))))


class Loads(HTMLParser):
    """Collects what a page loads, and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag in ("script", "img", "link", "iframe", "source"):
            self.loaded += [value for name in ("src", "href") if (value := found.get(name))]


def test_every_page_is_built_and_nothing_comes_from_elsewhere(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        built = (site / page.relative_to(DOCS)).with_suffix(".html")
        found = Loads()
        found.feed(built.read_text(encoding="utf-8"))
        assert [address for address in found.loaded if re.match(r"(?:[a-z]+:)?//", address)] == [], page
        assert [link for link in found.links if re.search(r"\.md(#|$)|^\.\./\.\./\.\.|^/", link)] == [], page


def test_the_navigation_is_the_index(site: Path) -> None:
    named = re.findall(r"^\| \[[^\]]+\]\(([\w/.-]+)\.md\)", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    tree = (site / "index.html").read_text(encoding="utf-8").partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    assert re.findall(r'href="([\w/.-]+)\.html"', tree) == named
    assert [html.unescape(title) for title in re.findall(r'caption-text">([^<]+)<', tree)] == re.findall(
        r"^## (.+)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_what_tests_read_is_invisible_to_readers(site: Path) -> None:
    for page in ("first-run", "writing-a-plugin", "errors"):
        assert not re.search(r"<!--|-->|not run:", text_of(site, f"{page}.html"))


def test_the_projects_own_leaderboard_is_part_of_it(site: Path) -> None:
    found = Loads()
    found.feed((site / "demo.html").read_text(encoding="utf-8"))
    assert "demo/index.html" in found.links
    assert "nano full, seed 0" in text_of(site, "demo/index.html")


def test_hooks_are_those_of_the_code(site: Path) -> None:
    text = text_of(site, "reference/hooks.html")
    for name in (name for name in dir(hookspecs) if name.startswith("gf_")):
        arguments = inspect.signature(getattr(hookspecs, name)).parameters
        shown = text.partition(f"hookspecs.{name}(")[2].partition("hookspecs.gf_")[0]
        assert all(f"{argument}:" in shown.partition("→")[0] for argument in arguments), name
        assert inspect.getdoc(getattr(hookspecs, name)).splitlines()[0].replace("``", "") in shown, name  # type: ignore[union-attr]
        assert "Added in version 0.1" in shown, name


def test_commands_are_those_of_the_program(site: Path) -> None:
    page = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    text = text_of(site, "reference/cli.html")
    for path, command in commands(cli):
        anchor = "-".join(("gf", *path))
        assert f'id="{anchor}"' in page, path
        for option in (option for parameter in command.params for option in parameter.opts if option.startswith("--")):
            assert f'id="cmdoption-{anchor}{option.removeprefix("-")}"' in page, (path, option)
    assert "gf run gf/quick@1 --policy gf/expert-v1 --out runs/expert" in text
    assert "incoming/*.zip" in text


@pytest.mark.parametrize(("module", "page"), [(contracts, "contracts"), (specs, "specs")])
def test_contracts_and_specs_are_those_of_the_code(module: Any, page: str, site: Path) -> None:
    text = text_of(site, f"reference/{page}.html")
    own = [thing for thing in vars(module).values() if inspect.isclass(thing) and thing.__module__ == module.__name__]
    assert len(own) > 5
    for thing in (thing for thing in own if not thing.__name__.startswith("_")):
        _, found, shown = text.partition(f"{module.__name__}.{thing.__name__}")
        assert found, thing
        for field in dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ():
            assert f"{field.name}:" in shown.partition(f"class {module.__name__}.")[0], (thing, field.name)


def test_a_page_outside_the_navigation_and_a_dead_link_fail_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    shutil.copytree(DOCS / "_static", source / "_static")
    shutil.copy(DOCS / "conf.py", source)
    (source / "index.md").write_text("# All\n\n## Pages\n\n| page | |\n|---|---|\n| [One](one.md) | |\n", encoding="utf-8")
    (source / "one.md").write_text("# One\n\n[a heading](index.md#pages), [out](../README.md)\n", encoding="utf-8")
    fine = sphinx(source, tmp_path / "html")
    assert (fine.returncode, fine.stderr) == (0, "")
    (source / "stray.md").write_text("# Stray\n\n[nowhere](gone.md), [no heading](one.md#two)\n", encoding="utf-8")
    wrong = sphinx(source, tmp_path / "html")
    assert wrong.returncode == 1
    assert "stray.md: WARNING: document isn't included in any toctree" in wrong.stderr
    assert "'gone.md'" in wrong.stderr
    assert "'two'" in wrong.stderr


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium: Any, site: Path) -> Iterator[Callable[..., Any]]:
    """Open a page from the disk, without a server."""
    with visiting(chromium, site.as_uri()) as go:
        yield go


@browser_needed
@pytest.mark.parametrize(
    ("words", "page"), [("GF511", "errors.html"), ("gf_episode_finished", "reference/hooks.html"), ("separable", "trust.html")]
)
def test_search_finds_without_a_server(words: str, page: str, visit: Callable[..., Any]) -> None:
    found = visit(f"search.html?q={words}")
    found.wait_for_selector(f'#search-results a[href^="{page}"]')


@browser_needed
def test_light_dark_and_a_phone(visit: Callable[..., Any]) -> None:
    def paper(page: Any) -> int:
        return max(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))))

    assert paper(visit("index.html", color_scheme="dark")) < 60
    page = visit("index.html", color_scheme="light", viewport=PHONE)
    assert paper(page) > 200
    assert not page.locator(".sidebar-tree").is_visible() or page.locator(".sidebar-tree").bounding_box()["x"] < 0
    for path in ("errors.html", "schemas.html", "reference/cli.html", "reference/specs.html", "benchmarks.html"):
        page = visit(path, viewport=PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


@browser_needed
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, visit: Callable[..., Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    for path in ("index.html", "reference/hooks.html"):
        page = visit(path, color_scheme=scheme)
        page.evaluate(script)
        found = page.evaluate("axe.run({preload: false}).then((result) => result.violations)")
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path
