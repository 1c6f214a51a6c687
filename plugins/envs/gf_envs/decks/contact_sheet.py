"""See a deck at a glance: ``python -m gf_envs.decks.contact_sheet DECK out.png`` (an id, or a folder of images)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gf_core.contracts import Deck, Images
from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_envs.decks import EMOJI_NOTO, MANIFESTS, load_deck, tiles
from gf_envs.decks.folder import load_folder

COLUMNS = 16
BORDER, TEXT_HEIGHT = 4, 14


def contact_sheet(deck: Deck, columns: int = COLUMNS) -> Images:
    """``(H, W, 3) uint8``: every face on its white card with id, split's initial and label below, in the deck's order."""
    from PIL import Image, ImageDraw

    cells = []
    for item in deck.items.values():
        face = tiles.on_white(deck.image(item.id))
        height, width = face.shape[:2]
        cell = Image.new("RGB", (width + 2 * BORDER, height + 2 * BORDER + 2 * TEXT_HEIGHT), (110, 110, 120))
        cell.paste(Image.fromarray(face), (BORDER, BORDER))
        text = f"{item.id} {item.split[:1]}\n{item.label}".encode("ascii", "replace").decode()
        ImageDraw.Draw(cell).multiline_text((BORDER, BORDER + height), text, spacing=2)
        cells.append(np.asarray(cell))
    return tiles.join(np.stack(cells), columns)


def find_deck(name: str) -> Deck:
    """The deck of an id or of a folder.

    Raises:
        UnknownIdError: it is neither.
    """
    if name in MANIFESTS:
        return load_deck(name)
    if Path(name).is_dir():
        return load_folder(Path(name))
    raise UnknownIdError(f"{name!r} is neither a deck of GrinningFace nor a folder", hint=f"try {EMOJI_NOTO}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the contact sheet."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m gf_envs.decks.contact_sheet", description=__doc__)
    parser.add_argument("deck", help="id of a deck, or a folder of images with labels.csv")
    parser.add_argument("out", type=Path, help="image file to write")
    options = parser.parse_args(arguments)
    try:
        deck = find_deck(options.deck)
    except GrinningFaceError as error:
        parser.exit(2, f"{error}\n")
    Image.fromarray(contact_sheet(deck)).save(options.out)
    print(f"{options.out}: {len(deck.items)} cards of {deck.id}, SHA-256 {deck.sha256}")


if __name__ == "__main__":
    main()
