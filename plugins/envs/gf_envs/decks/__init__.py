"""Card decks: the emojis of GrinningFace, plain things for robot pretraining, and a user's own folder of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gf_core.specs import DeckSpec

if TYPE_CHECKING:
    # Only for the annotation: it would bring NumPy into every `gf list`.
    from gf_core.contracts import Deck

EMOJI_NOTO, EMOJI_TWEMOJI = "gf/emoji-noto@1", "gf/emoji-twemoji@1"
COLOURS, SHAPES, DIGITS = "gf/colours@1", "gf/shapes@1", "gf/digits@1"
LOCK, MANIFEST = "lock.json", "emoji_noto.json"
MANIFESTS = {
    EMOJI_NOTO: MANIFEST,
    EMOJI_TWEMOJI: "emoji_twemoji.json",
    COLOURS: "colours.json",
    SHAPES: "shapes.json",
    DIGITS: "digits.json",
}
"""Id to the manifest's file; the atlas beside it has the same name."""

SUMMARIES = {
    EMOJI_NOTO: "The 328 emojis of GrinningFace v8 in Noto Color Emoji's artwork",
    EMOJI_TWEMOJI: "The same 328 emojis in Twemoji's artwork, with a synonym, a description and categories of each",
    COLOURS: "Ten plain colours, for robot pretraining without emojis",
    SHAPES: "Nine shapes in six colours, for robot pretraining without emojis",
    DIGITS: "The ten digits, for robot pretraining without emojis",
}


def locked_sha256(deck_id: str) -> str:
    """The SHA-256 that this distribution pins for one of its decks."""
    lock: dict[str, str] = json.loads((files(__name__) / LOCK).read_text(encoding="utf-8"))
    return lock[deck_id]


def deck_specs() -> list[DeckSpec]:
    """Descriptions of the decks that come with GrinningFace; reads no artwork."""
    return [
        _spec(EMOJI_NOTO, "make_emoji_noto", "OFL-1.1", "arXiv:2511.06619"),
        _spec(EMOJI_TWEMOJI, "make_emoji_twemoji", "CC-BY-4.0", "arXiv:2511.06619"),
        _spec(COLOURS, "make_colours", "Apache-2.0", ""),
        _spec(SHAPES, "make_shapes", "Apache-2.0", ""),
        _spec(DIGITS, "make_digits", "Apache-2.0", ""),
    ]


def _spec(deck_id: str, maker: str, license: str, citation: str) -> DeckSpec:
    return DeckSpec(
        id=deck_id,
        summary=SUMMARIES[deck_id],
        entry_point=f"{__name__}:{maker}",
        citation=citation,
        license=license,
        sha256=locked_sha256(deck_id),
    )


def load_deck(deck_id: str) -> Deck:
    """One of the decks that come with GrinningFace.

    Raises:
        GrinningFaceError: its files differ from the pinned ones.
    """
    from gf_envs.decks.tile_deck import load_manifest_deck

    return load_manifest_deck(files(__name__), MANIFESTS[deck_id], locked_sha256(deck_id))


def make_emoji_noto(config: Mapping[str, Any]) -> Deck:
    """``gf/emoji-noto@1``; it has no settings. Raises GrinningFaceError where its files differ from the pinned ones."""
    return load_deck(EMOJI_NOTO)


def make_emoji_twemoji(config: Mapping[str, Any]) -> Deck:
    """``gf/emoji-twemoji@1``; it has no settings. Raises GrinningFaceError where its files differ from the pinned ones."""
    return load_deck(EMOJI_TWEMOJI)


def make_colours(config: Mapping[str, Any]) -> Deck:
    """``gf/colours@1``; it has no settings. Raises GrinningFaceError where its files differ from the pinned ones."""
    return load_deck(COLOURS)


def make_shapes(config: Mapping[str, Any]) -> Deck:
    """``gf/shapes@1``; it has no settings. Raises GrinningFaceError where its files differ from the pinned ones."""
    return load_deck(SHAPES)


def make_digits(config: Mapping[str, Any]) -> Deck:
    """``gf/digits@1``; it has no settings. Raises GrinningFaceError where its files differ from the pinned ones."""
    return load_deck(DIGITS)
