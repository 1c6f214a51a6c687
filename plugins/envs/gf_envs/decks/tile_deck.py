"""Decks whose faces are tiles in memory, and the one that is read from a manifest and its atlas."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from gf_core.canonical import content_hash, sha256
from gf_core.contracts import DeckItem, Images
from gf_core.errors import GrinningFaceError, UnknownIdError, did_you_mean
from gf_core.specs import to_json
from gf_envs.decks import tiles

HINT = "reinstall grinningface: its files have changed on this machine"


@dataclass(eq=False)
class TileDeck:
    """A :class:`gf_core.contracts.Deck` that holds its faces in memory.

    Attributes:
        id: ``namespace/name@N``.
        sha256: :func:`deck_hash` of the items and of the decoded pixels.
        items: item id to item, in the deck's order.
        faces: item id to ``(H, W, 4) uint8`` sRGB with straight alpha, upright; read-only views of one array.
    """

    id: str
    sha256: str
    items: Mapping[str, DeckItem]
    faces: Mapping[str, Images] = field(repr=False)

    def image(self, item: str) -> Images:
        """``(H, W, 4) uint8`` sRGB with straight alpha, upright; read-only.

        Raises:
            UnknownIdError: the deck has no such item.
        """
        if item not in self.faces:
            raise UnknownIdError(f"no item {item!r}", where=f"deck {self.id}", hint=did_you_mean(item, self.faces))
        return self.faces[item]


def tile_deck(deck_id: str, items: Sequence[DeckItem], faces: Images) -> TileDeck:
    """A deck of ``items`` with ``faces`` ``(N, H, W, 4) uint8`` in the same order; the array becomes read-only."""
    faces.flags.writeable = False
    named = {item.id: face for item, face in zip(items, faces, strict=True)}
    return TileDeck(deck_id, deck_hash(deck_id, items, faces), {item.id: item for item in items}, named)


def deck_hash(deck_id: str, items: Sequence[DeckItem], faces: Images) -> str:
    """Hex SHA-256 over id, every item's data and every decoded pixel: a changed label or pixel is another deck.

    Pixels are hashed decoded, because the same picture can be compressed in many ways.
    """
    pixels = {"shape": list(faces.shape), "sha256": sha256(np.ascontiguousarray(faces).tobytes())}
    return content_hash({"id": deck_id, "items": to_json(list(items)), "pixels": pixels})


def read_manifest(file: Traversable) -> dict[str, Any]:
    """A deck manifest (schema ``deck-1``) as JSON."""
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return manifest


def manifest_items(manifest: Mapping[str, Any]) -> list[DeckItem]:
    """The items of a deck manifest, in the order of their tiles."""
    rows = sorted(manifest["items"], key=lambda row: row["tile"])
    return [
        DeckItem(id=row["id"], label=row["label"], split=row["split"], names=row["names"], tags=tuple(row["tags"]))
        for row in rows
    ]


def load_manifest_deck(folder: Traversable, manifest_name: str, expected_sha256: str) -> TileDeck:
    """The deck of a manifest and of the atlas beside it.

    Raises:
        GrinningFaceError: the atlas isn't the file that the manifest pins, or the deck isn't the one that was registered.
    """
    from PIL import Image

    manifest = read_manifest(folder / manifest_name)
    atlas = manifest["atlas"]
    data = (folder / atlas["file"]).read_bytes()
    if (found := sha256(data)) != atlas["sha256"]:
        what = f"the atlas has SHA-256 {found}, the deck's manifest pins {atlas['sha256']}"
        raise GrinningFaceError(what, where=str(folder / atlas["file"]), hint=HINT)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        pixels = np.array(image.convert("RGBA"))
    items = manifest_items(manifest)
    deck = tile_deck(manifest["id"], items, tiles.split(pixels, (atlas["tile"][0], atlas["tile"][1]), len(items)))
    if deck.sha256 != expected_sha256:
        what = f"deck {deck.id} has SHA-256 {deck.sha256}, but {expected_sha256} was registered: a label or a pixel differs"
        raise GrinningFaceError(what, where=str(folder / manifest_name), hint=HINT)
    return deck
