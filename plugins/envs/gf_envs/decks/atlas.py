"""Writes a deck's files: its atlas, its manifest and its line in the lock. Only the scripts that make decks call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gf_core.canonical import sha256
from gf_core.contracts import Images
from gf_envs.decks import LOCK, MANIFESTS, tiles
from gf_envs.decks.tile_deck import manifest_items, tile_deck

FOLDER = Path(__file__).parent


def write_deck(deck_id: str, about: Mapping[str, str], rows: Sequence[Mapping[str, Any]], faces: Images, columns: int) -> str:
    """Write one deck and return its SHA-256.

    Args:
        deck_id: one of :data:`gf_envs.decks.MANIFESTS`.
        about: the manifest's summary, license, attribution and source.
        rows: the manifest's items, in the order of their tiles.
        faces: ``(N, TILE, TILE, 4) uint8``, sRGB with straight alpha.
        columns: tiles in a row of the atlas.
    """
    from PIL import Image

    manifest_file = FOLDER / MANIFESTS[deck_id]
    atlas = manifest_file.with_suffix(".png")
    Image.fromarray(tiles.join(faces, columns)).save(atlas, optimize=True)
    manifest = {
        "schema_version": "1.0",
        "kind": "deck",
        "id": deck_id,
        **about,
        "atlas": {"file": atlas.name, "sha256": sha256(atlas.read_bytes()), "tile": [tiles.TILE, tiles.TILE], "columns": columns},
        "items": list(rows),
    }
    manifest_file.write_text(manifest_text(manifest), encoding="utf-8")
    deck = tile_deck(deck_id, manifest_items(manifest), faces)
    lock_file = FOLDER / LOCK
    lock = json.loads(lock_file.read_text(encoding="utf-8")) | {deck_id: deck.sha256}
    lock_file.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")
    return deck.sha256


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """JSON with one item a line."""
    head = json.dumps({key: value for key, value in manifest.items() if key != "items"}, indent=2, ensure_ascii=False)
    rows = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in manifest["items"])
    return head[: -len("\n}")] + ',\n  "items": [\n' + rows + "\n  ]\n}\n"
