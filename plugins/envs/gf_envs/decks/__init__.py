"""Card decks: the emojis of GrinningFace, and a user's own folder of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gf_core.specs import DeckSpec

if TYPE_CHECKING:
    # Only for the annotation: it would bring NumPy into every `gf list`.
    from gf_core.contracts import Deck

EMOJI_NOTO = "gf/emoji-noto@1"
MANIFEST = "emoji_noto.json"


def locked_sha256(deck_id: str) -> str:
    """The SHA-256 that this distribution pins for one of its decks."""
    lock: dict[str, str] = json.loads((files(__name__) / "lock.json").read_text(encoding="utf-8"))
    return lock[deck_id]


def deck_specs() -> list[DeckSpec]:
    """Descriptions of the decks that come with GrinningFace; reads no artwork."""
    return [
        DeckSpec(
            id=EMOJI_NOTO,
            summary="The 328 emojis of GrinningFace v8 in Noto Color Emoji's artwork",
            entry_point=f"{__name__}:make_emoji_noto",
            citation="arXiv:2511.06619",
            license="OFL-1.1",
            sha256=locked_sha256(EMOJI_NOTO),
        )
    ]


def make_emoji_noto(config: Mapping[str, Any]) -> Deck:
    """``gf/emoji-noto@1``; it has no settings.

    Raises:
        GrinningFaceError: its files differ from the pinned ones.
    """
    from gf_envs.decks.tile_deck import load_manifest_deck

    return load_manifest_deck(files(__name__), MANIFEST, locked_sha256(EMOJI_NOTO))
