"""The cards' faces and names, for pages: from the decks that the runs' suites name, where they are installed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gf_core._problems import printable, shorten
from gf_core.contracts import Deck, Images
from gf_core.errors import GrinningFaceError
from gf_core.reporting.model import Evidence
from gf_core.reporting.picture import data_uri

if TYPE_CHECKING:
    from gf_core.evaluation.suites import Suite
    from gf_core.plugins import PluginHost

THUMBNAIL = 40
"""Width and height of a face [px]: twice what it is shown at, for fine screens."""

_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Face:
    """A card's face.

    Attributes:
        key: unique within the page; empty for one without a picture.
        name: its label, or its id where that isn't known.
    """

    key: str
    name: str


class Faces:
    """Finds faces, and remembers which ones a page uses, so that each picture is in it once.

    Args:
        decks: where to look, by id.
    """

    def __init__(self, decks: Mapping[str, Deck]) -> None:
        self._decks = decks
        self._found: dict[tuple[str, str], Face] = {}
        self.used: dict[str, str] = {}
        """Key to picture, as a data URI."""

    def find(self, item: str, deck: str = "") -> Face:
        """The face of an item, in any deck if ``deck`` is empty; without a picture where it isn't known."""
        if (deck, item) not in self._found:
            self._found[deck, item] = self._load(item, [deck] if deck else list(self._decks))
        return self._found[deck, item]

    def _load(self, item: str, decks: Iterable[str]) -> Face:
        for name in decks:
            deck = self._decks.get(name)
            if deck is not None and item in deck.items:
                key = f"face-{len(self.used)}"
                self.used[key] = _thumbnail(deck.image(item))
                return Face(key=key, name=_name(deck.items[item].label))
        return Face(key="", name=_name(item))


def load_faces(evidence: Iterable[Evidence], host: PluginHost) -> Faces:
    """The faces of these runs' suites."""
    return Faces(load_decks([one.suite for one in evidence if one.suite is not None], host))


def load_decks(suites: Iterable[Suite], host: PluginHost) -> dict[str, Deck]:
    """The decks of suites that are installed here as they were when the suites were frozen, by id."""
    from gf_core.evaluation.environment import load_deck

    decks: dict[str, Deck] = {}
    for suite in suites:
        for name, digest in suite.decks.items():
            if name in decks:
                continue
            try:
                deck = load_deck(name, host)
            except GrinningFaceError:  # names then stand for faces: the page says no less
                continue
            if deck.sha256 == digest:
                decks[name] = deck
    return decks


def _name(text: str) -> str:
    return shorten(printable(text), _NAME)


def _thumbnail(image: Images) -> str:
    from PIL import Image

    small = Image.fromarray(image, "RGBA").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=75, method=4)
    return data_uri(file.getvalue())
