"""Render the emoji atlas: ``python -m gf_envs.decks.render_noto`` (Debian 12, ``apt install fonts-noto-color-emoji``).

The atlas is rendered once and committed, because pixels are part of a benchmark: another version of the font draws other
pictures. This script says how it was made, and refuses every font file but the one that it was made from.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from gf_core.canonical import sha256
from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_envs.decks import EMOJI_NOTO, SUMMARIES, tiles
from gf_envs.decks.atlas import FOLDER, write_deck

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_SHA256 = "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec"
DEBIAN_PACKAGE, DEBIAN_VERSION = "fonts-noto-color-emoji", "2.042-0+deb12u1"
FONT_VERSION = "Version 2.042;GOOG;noto-emoji:20231129:7f49a00d523ae5f94e52fd9f9a39bac9cf65f958"

STRIKE = 109
"""Pixels per em of the font's only bitmap strike, whose glyphs are 136 × 128 px."""

COLUMNS = 20
SOURCE = FOLDER / "emoji_noto.csv"


def item_id(codepoint: str) -> str:
    """``u1f610`` for ``U+1F610``."""
    return codepoint.lower().replace("+", "")


def manifest_rows(source: str) -> list[dict[str, Any]]:
    """The manifest's items from the published table (columns index, codepoint, cldr_name, label, split, hard)."""
    return [
        {
            "id": item_id(row["codepoint"]),
            "label": row["label"],
            "split": row["split"],
            "names": {"cldr": row["cldr_name"], "glyph": chr(int(row["codepoint"][2:], 16))},
            "tags": ["hard"] if row["hard"] == "1" else [],
            "tile": int(row["index"]),
        }
        for row in csv.DictReader(io.StringIO(source))
    ]


def render(glyphs: list[str]) -> Images:
    """Tiles ``(N, 128, 128, 4) uint8``. Single code points, so neither shaping nor variation selectors are needed.

    Raises:
        GrinningFaceError: the font is missing or another version.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not FONT.is_file() or sha256(FONT.read_bytes()) != FONT_SHA256:
        what = f"this isn't the font of {DEBIAN_PACKAGE} {DEBIAN_VERSION} (SHA-256 {FONT_SHA256})"
        raise GrinningFaceError(what, where=str(FONT), hint=f"run it on Debian 12 after apt install {DEBIAN_PACKAGE}")
    font = ImageFont.truetype(str(FONT), STRIKE, layout_engine=ImageFont.Layout.BASIC)
    faces = []
    for glyph in glyphs:
        canvas = Image.new("RGBA", (2 * STRIKE, 2 * STRIKE))
        ImageDraw.Draw(canvas).text((STRIKE // 2, STRIKE // 2), glyph, font=font, embedded_color=True)
        # Pillow blends the glyph's colour with the canvas' transparent black: the result is premultiplied.
        faces.append(tiles.fit_tile(Image.frombytes("RGBa", canvas.size, canvas.tobytes()).convert("RGBA")))
    return np.stack(faces)


def write() -> str:
    """Write atlas, manifest and lock; returns the deck's SHA-256."""
    rows = manifest_rows(SOURCE.read_text(encoding="utf-8"))
    faces = render([row["names"]["glyph"] for row in rows])
    about = {
        "summary": SUMMARIES[EMOJI_NOTO],
        "license": "OFL-1.1",
        "attribution": "Noto Color Emoji, Copyright 2022 Google Inc., SIL Open Font License 1.1",
        "source": f"{DEBIAN_PACKAGE} {DEBIAN_VERSION}, {FONT.name}, {FONT_VERSION}, SHA-256 {FONT_SHA256}; "
        "labels and splits: GrinningFace v8 (arXiv:2511.06619)",
    }
    return write_deck(EMOJI_NOTO, about, rows, faces, COLUMNS)


if __name__ == "__main__":
    print(f"{EMOJI_NOTO} {write()}")
