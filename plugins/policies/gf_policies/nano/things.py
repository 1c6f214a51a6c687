"""What pages show: the pictures of decks, with all that they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from gf_core.contracts import Deck, DeckItem
from gf_core.errors import GrinningFaceError

NAMES = ("cldr", "synonym")
"""Kinds of a deck item's other names that are names of the picture in English."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A picture that pages show.

    Attributes:
        item: its id in the decks.
        label: its name.
        names: further names.
        kinds: what it is, broadly: names of its groups.
        faces: its artworks, each in two sizes, RGBA.
    """

    item: str
    label: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    faces: tuple[tuple[Image.Image, ...], ...]


def things_of(decks: Sequence[Deck]) -> tuple[Thing, ...]:
    """The pictures of decks that show the same items in different artworks; names are gathered from all of them.

    Raises:
        GrinningFaceError: the decks don't hold the same items.
    """
    first, *others = decks
    for other in others:
        if other.items.keys() != first.items.keys():
            raise GrinningFaceError(f"decks {first.id!r} and {other.id!r} don't show the same items", where="decks")
    found = []
    called = {key: _names([deck.items[key] for deck in decks]) for key in first.items}
    owners = Counter(name for names in called.values() for name in names)
    labels = {item.label for item in first.items.values()}
    for key, item in first.items.items():
        entries = [deck.items[key] for deck in decks]
        found.append(
            Thing(
                item=key,
                label=item.label,
                # A published label is sometimes another emoji's CLDR name: then it means the one that it labels.
                names=tuple(name for name in called[key] if name not in labels and owners[name] == 1),
                kinds=tuple(dict.fromkeys(tag for entry in entries for tag in entry.tags if tag != "hard")),
                faces=tuple(_sizes(Image.fromarray(deck.image(key))) for deck in decks),
            )
        )
    return tuple(found)


def _names(entries: Sequence[DeckItem]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.names[kind] for entry in entries for kind in NAMES if kind in entry.names))


def _sizes(face: Image.Image) -> tuple[Image.Image, ...]:
    return face, face.resize((face.width // 2, face.height // 2), Image.Resampling.BOX)
