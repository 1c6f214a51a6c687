"""Indexes of plugins: lists that others keep, read from strangers. An index that breaks a rule is refused as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gf_core._discovery import LOCAL, normalised
from gf_core._loader import OWN_DISTRIBUTION, OWN_NAMESPACE
from gf_core._problems import Problem, printable, refuse, show
from gf_core.community.fetching import fetch_index
from gf_core.community.sources import Source, entry_source
from gf_core.errors import GrinningFaceError, UnknownIdError, did_you_mean
from gf_core.schemas import parse_json, validate
from gf_core.specs import API_VERSION

VARIABLE = "GF_PLUGIN_INDEX"
"""Environment variable with the indexes that are asked where ``--index`` names none, separated by commas."""

MAX_DEPTH = 8
_RESERVED = (OWN_DISTRIBUTION, OWN_NAMESPACE, LOCAL)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What an index says of a distribution.

    Attributes:
        name: of the distribution.
        summary: what it is, in one line.
        license: SPDX expression.
        api_version: the plugin interface that it is made for.
        source: what pip is asked for.
        brings: kind to ids.
        homepage: where to read about it; may be empty.
        maintainers: who looks after it.
        withdrawn: why it mustn't be installed any more; empty while it may.
        index: the index that it stands in, as it was named.
    """

    name: str
    summary: str
    license: str
    api_version: int
    source: Source
    brings: Mapping[str, Sequence[str]]
    homepage: str
    maintainers: Sequence[str]
    withdrawn: str
    index: str

    @property
    def compatible(self) -> bool:
        """Whether it is made for this program's plugin interface."""
        return self.api_version == API_VERSION

    @property
    def ids(self) -> list[str]:
        """Everything that it says it brings, in order of kinds."""
        return [id for ids in self.brings.values() for id in ids]

    def has(self, words: Sequence[str]) -> bool:
        """Whether every word is in its name, its summary or one of its ids, in whatever case."""
        text = "\n".join([self.name, self.summary, *self.ids]).casefold()
        return all(word.casefold() in text for word in words)


def index_places(given: Sequence[str]) -> list[str]:
    """The indexes to ask: those that were given, or else those of :data:`VARIABLE`; each once.

    Raises:
        GrinningFaceError: there is none.
    """
    named = list(given) or [place.strip() for place in os.environ.get(VARIABLE, "").split(",")]
    places = list(dict.fromkeys(place for place in named if place))
    if not places:
        hint = f"name one with --index PLACE or {VARIABLE}: a path, https://… or git+https://…"
        raise GrinningFaceError("no index of plugins is named, and none is built in", hint=hint)
    return places


def read_index(place: str) -> list[Entry]:
    """The entries of an index, in its order.

    Args:
        place: see :func:`gf_core.community.fetching.fetch_index`.

    Raises:
        GrinningFaceError: it can't be had, or is no index; every entry that is wrong is named.
    """
    document = parse_json(fetch_index(place), source=place, max_depth=MAX_DEPTH)
    validate(document, "plugin_index", source=place)
    plugins = cast(dict[str, Any], document)["plugins"]
    entries: list[Entry] = []
    problems = list(_names(plugins))
    for number, plugin in enumerate(plugins):
        try:
            entries.append(_entry(plugin, place))
        except GrinningFaceError as error:
            problems.append(Problem(path=("plugins", number, "source"), what=error.what, hint=error.hint))
    if problems:
        refuse(problems, place)
    return entries


def _entry(plugin: Mapping[str, Any], place: str) -> Entry:
    return Entry(
        name=plugin["name"],
        summary=plugin["summary"],
        license=plugin["license"],
        api_version=plugin["api_version"],
        source=entry_source(plugin["name"], plugin["source"]),
        brings=plugin["brings"],
        homepage=plugin.get("homepage", ""),
        maintainers=plugin.get("maintainers", []),
        withdrawn=plugin.get("withdrawn", ""),
        index=place,
    )


def _names(plugins: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Names that are taken, and ids that another distribution's name owns."""
    first: dict[str, int] = {}
    for number, plugin in enumerate(plugins):
        name = normalised(plugin["name"])
        if name in _RESERVED:
            yield Problem(path=("plugins", number, "name"), what=f"{show(plugin['name'])} is kept for this program")
        elif first.setdefault(name, number) != number:
            what = f"{show(plugin['name'])} is already the name of plugins/{first[name]}"
            yield Problem(path=("plugins", number, "name"), what=what, hint="each may occur once")
        for kind, ids in plugin["brings"].items():
            for place, id in enumerate(ids):
                if id.partition("/")[0] != name:
                    what = f"{show(id)} isn't in the namespace {show(name)}"
                    hint = "a distribution's ids begin with its own name"
                    yield Problem(path=("plugins", number, "brings", kind, place), what=what, hint=hint)


def find_entry(name: str, places: Sequence[str]) -> Entry:
    """The entry about a distribution.

    Raises:
        UnknownIdError: no index has it.
        GrinningFaceError: several have it; an index can't be read.
    """
    entries = [entry for place in places for entry in read_index(place)]
    found = [entry for entry in entries if normalised(entry.name) == normalised(name)]
    if not found:
        hints = [
            did_you_mean(name, (entry.name for entry in entries)),
            f"`{name}==VERSION` asks pip's own index for it, ./{name} is a path",
        ]
        where = ", ".join(map(printable, places))
        raise UnknownIdError(f"nothing is called {name!r}", where=where, hint="; ".join(filter(None, hints)))
    if len(found) > 1:
        named = " and ".join(printable(entry.index) for entry in found)
        raise GrinningFaceError(f"{name!r} is in {named}", hint="say which one is meant with --index")
    return found[0]
