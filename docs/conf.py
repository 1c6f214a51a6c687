"""How Sphinx makes the site of these pages: `make docs`.

The pages stay plain Markdown. What the site needs beyond them is added here while it is built: the navigation, which is what
`index.md` shows, and what becomes of links that lead out of this folder. A new page needs a row in `index.md`, and nothing else;
without one the build fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gf_core import __version__

if TYPE_CHECKING:
    import click
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "GrinningFace"
copyright = "GrinningFace maintainers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_copybutton"]
smartquotes_action = "D"
default_role = "code"  # one backtick in a help text or a docstring means what it means in Markdown
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]

html_theme = "furo"
html_title = f"GrinningFace {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_search_summary = False  # it would need a server
html_show_sourcelink = False

DEMO = HERE / "demo"
"""The project's own results repository, whose site becomes part of this one."""
_DEMO_LINK = re.compile(r"^<!-- the site: ([\w/.]+) -->$", re.MULTILINE)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| \[[^\]]+\]\(([\w/.-]+)\.md\) \|", re.MULTILINE)
_NAMES = re.compile(r"( +)(\w+(?:, \w+)+): (.+)")
_STAR = re.compile(r"(?<!\*)\*(?!\*)")
_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)\s]+)\)")
_ACCESSIBLE = {
    "furo_navigation_tree": {'role="heading"': 'role="heading" aria-level="2"'},
    "body": {
        "<pre>": '<pre tabindex="0">',  # may be too wide, and then scrolls
        '<dl>\n<dd><em class="sig-param': '<dl role="presentation">\n<dd role="presentation"><em class="sig-param',
        '</dd>\n<dd><em class="sig-param': '</dd>\n<dd role="presentation"><em class="sig-param',
    },
}


def navigation(index: str) -> str:
    """The tables of contents that Sphinx wants, one for each section of the index: the pages that its rows begin with."""
    parts = _SECTION.split(index)[1:]
    trees = []
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        pages = "\n".join(_ROW.findall(text))
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n")
    return "\n".join(trees)


def without_links_out(text: str, page: str) -> str:
    """Links to files of the repository that aren't pages keep their text: the site has no address of the repository."""

    def replace(match: re.Match[str]) -> str:
        target = PurePosixPath(page).parent / match[2].partition("#")[0]
        inside = (HERE / target).resolve().is_relative_to(HERE)
        return match[0] if inside else match[1]

    return _LINK.sub(replace, text)


def help_text(lines: Iterable[str]) -> Iterator[str]:
    """A command's help as reStructuredText: columns and examples as they are typed, and a single `*` as what it is."""
    for as_typed, group in groupby(lines, key=lambda line: line.startswith("| ")):
        text = [line.removeprefix("| ") for line in group]
        columns = any("  " in line for line in text)
        if not as_typed or not columns:
            yield from (_STAR.sub(r"\\*", line) for line in text)
            continue
        if text[0].endswith(":"):
            yield text.pop(0)
        yield from ("", ".. code-block:: text", "", *(f"   {line}" for line in text), "")


def one_by_one(lines: Iterable[str]) -> Iterator[str]:
    """A docstring in which `low, high: limits` is told of each: Napoleon knows one name a line."""
    for line in lines:
        match = _NAMES.fullmatch(line)
        yield from (f"{match[1]}{name}: {match[3]}" for name in match[2].split(", ")) if match else (line,)


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Called for every page that was read."""
    source[0] = _DEMO_LINK.sub(r'<p><a href="\1">Open the site</a></p>', without_links_out(source[0], docname))
    if docname == "index":
        source[0] += "\n" + navigation(source[0])


def describe(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Called for every text of a command."""
    lines[:] = help_text(lines)


def docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Called for every docstring, before Napoleon."""
    lines[:] = one_by_one(lines)


def signature(app: Sphinx, what: str, name: str, thing: object, *rest: object) -> tuple[str, str] | None:
    """Called for every signature. Nobody makes a protocol, so there is nothing to say of how."""
    return ("", "") if getattr(thing, "_is_protocol", False) else None


def page(app: Sphinx, pagename: str, template: str, context: dict[str, object], doctree: object) -> None:
    """Called for every page that is written: what readers without a mouse or without sight need, and the theme leaves out."""
    for part, changes in _ACCESSIBLE.items():
        for old, new in changes.items():
            context[part] = str(context.get(part, "")).replace(old, new)


def leaderboard(app: Sphinx, exception: Exception | None) -> None:
    """Called when all pages are written."""
    if exception is None and DEMO.is_dir():
        from gf_core.leaderboard.board import read_board
        from gf_core.leaderboard.site import build
        from gf_core.plugins import load_plugins

        build(read_board(DEMO), load_plugins(), Path(app.outdir) / DEMO.name)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", docstring, priority=400)
    app.connect("autodoc-process-signature", signature)
    app.connect("html-page-context", page, priority=900)
    app.connect("build-finished", leaderboard)
    for part in ("description", "options", "epilog"):
        app.connect(f"sphinx-click-process-{part}", describe)
