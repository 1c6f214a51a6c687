"""Reads a page the way a browser does, as far as the tests need it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
ALLOWED = {
    *("html", "head", "meta", "title", "link", "style", "body", "header", "main", "footer", "section", "nav"),
    *("h1", "h2", "h3", "h4", "p", "ul", "li", "a", "b", "br", "small", "span", "code", "pre", "div", "details", "summary"),
    *("figure", "figcaption", "img", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "defs", "symbol", "use", "image", "pattern", "rect", "circle", "line", "path", "text", "desc"),
}
"""Every element that a template uses: anything else came from somebody's text."""

URLS = {"href", "src", "srcset", "action", "formaction", "poster", "data", "background", "xlink:href", "cite", "ping"}


@dataclass
class Element:
    """An element with its attributes, its parents' names, and the text inside it."""

    name: str
    attributes: dict[str, str]
    parents: tuple[str, ...]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        found = [self] if self.name == name else []
        return found + [e for child in self.children for e in child.all(name)]


class Page(HTMLParser):
    """A parsed page; refuses elements that aren't closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.root = Element("", {}, ())
        self.open: list[Element] = [self.root]
        self.elements: list[Element] = []
        self.feed(text)
        self.close()
        assert [e.name for e in self.open] == [""], f"never closed: {[e.name for e in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(e.name for e in self.open))
        self.open[-1].children.append(element)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> inside <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def by_id(self, name: str) -> Element:
        (found,) = [e for e in self.elements if e.attributes.get("id") == name]
        return found

    def named(self, name: str) -> list[Element]:
        return [e for e in self.elements if e.name == name]

    def rows(self, caption: str) -> list[list[str]]:
        """The body of the one table whose caption begins so: words of each cell, joined by single spaces."""
        (table,) = [t for t in self.named("table") for c in t.all("caption") if c.text.startswith(caption)]
        body = [row for part in table.all("tbody") for row in part.all("tr")]
        return [[spaced(cell) for cell in row.children] for row in body]


def spaced(element: Element) -> str:
    """The words inside an element, its children's apart from its own."""
    inner = [spaced(child) for child in element.children]
    text = element.text
    for child in element.children:
        text = text.replace(child.text, " ", 1) if child.text else text
    return " ".join(" ".join([text, *inner]).split())


def check(page: Page) -> None:
    """What holds for every page: no script, nothing from outside, and a structure that a screen reader can use."""
    assert page.source.startswith("<!doctype html>\n<html lang=")
    assert {e.name for e in page.elements} <= ALLOWED
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        assert not [a for a in element.attributes if a.startswith("on") or a in ("style", "srcdoc", "xmlns")]
        for name in URLS & element.attributes.keys():
            url = element.attributes[name]
            assert re.fullmatch(r"#[\w-]+|data:,|data:image/webp;base64,[A-Za-z0-9+/=]+", url), url[:80]
            assert not url.startswith("#") or url[1:] in ids
        for reference in element.attributes.get("aria-labelledby", "").split():
            assert reference in ids
    _check_structure(page)
    (style,) = page.named("style")
    assert not re.search(r"@import|https?:|url\((?!#)|expression|</", style.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]", page.source)


def _check_structure(page: Page) -> None:
    levels = [int(e.name[1]) for e in page.elements if re.fullmatch("h[1-6]", e.name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.named("table"):
        assert len(table.all("caption")) == 1
        assert all(th.attributes.get("scope") in ("col", "row") for th in table.all("th"))
        widths = {len(row.children) for row in table.all("tr")}
        assert len(widths) == 1, f"{widths} in {table.all('caption')[0].text}"
    for image in page.named("img"):
        assert image.attributes["alt"]
        assert {"width", "height"} <= image.attributes.keys()
    for svg in page.named("svg"):
        described = svg.attributes.get("role") == "img" and svg.all("title") and svg.all("desc")
        inside = "svg" in svg.parents
        assert described or svg.attributes.get("aria-hidden") == "true" or inside
    for region in [e for e in page.elements if e.attributes.get("class") == "scroll"]:
        assert (region.attributes["tabindex"], region.attributes["role"]) == ("0", "region")
