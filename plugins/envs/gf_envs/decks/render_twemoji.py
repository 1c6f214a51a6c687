"""Render the second artwork: ``python -m gf_envs.decks.render_twemoji FOLDER`` (``pip install resvg-py==0.5.0``).

``FOLDER`` holds what ``npm pack @twemoji/svg@15.0.0`` writes; another version is refused. Like the first atlas this one is
rendered once and committed. Tiles, framing and ground are those of ``gf/emoji-noto@1``: the artwork is all that differs.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_envs.decks import EMOJI_TWEMOJI, SUMMARIES, tiles
from gf_envs.decks.atlas import write_deck
from gf_envs.decks.npm_packages import TWEMOJI, read_members
from gf_envs.decks.render_noto import COLUMNS, SOURCE, item_id
from gf_envs.decks.words import read_words

RESVG = "0.5.0"
"""Version of resvg-py that the committed atlas was rendered with."""

CANVAS = 1152
"""Side at which the drawings are rendered before they are scaled to a tile [px]: 32 times their own 36 units."""


def manifest_rows(source: str) -> list[dict[str, Any]]:
    """The manifest's items: ids, labels and splits of the published table (as :mod:`gf_envs.decks.render_noto` reads it), and
    the words of ``emoji_words.csv``."""
    words = read_words()
    rows = []
    for row in csv.DictReader(io.StringIO(source)):
        known = words[item_id(row["codepoint"])]
        names = {
            "cldr": row["cldr_name"],
            "glyph": chr(int(row["codepoint"][2:], 16)),
            "synonym": known.synonym,
            "description": known.description,
        }
        item = {"id": known.id, "label": row["label"], "split": row["split"], "names": names}
        rows.append(item | {"tags": known.tags, "tile": int(row["index"])})
    return rows


def render(drawings: Sequence[str]) -> Images:
    """Tiles ``(N, 128, 128, 4) uint8`` of SVG drawings.

    Raises:
        GrinningFaceError: resvg-py isn't installed.
    """
    from PIL import Image

    try:
        import resvg_py  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise GrinningFaceError("resvg-py isn't installed", hint=f"pip install resvg-py=={RESVG}") from error
    faces = []
    for drawing in drawings:
        png = bytes(resvg_py.svg_to_bytes(svg_string=drawing, width=CANVAS, height=CANVAS, skip_system_fonts=True))
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            faces.append(tiles.fit_tile(image))
    return np.stack(faces)


def write(folder: Path) -> str:
    """Write atlas, manifest and lock; returns the deck's SHA-256.

    Raises:
        GrinningFaceError: resvg-py or the package is missing, or the package is another version.
    """
    rows = manifest_rows(SOURCE.read_text(encoding="utf-8"))
    # File names are code points without variation selectors, as are the items' ids.
    drawings = read_members(folder, TWEMOJI, [f"{row['id'].removeprefix('u')}.svg" for row in rows])
    about = {
        "summary": SUMMARIES[EMOJI_TWEMOJI],
        "license": "CC-BY-4.0",
        "attribution": "Twemoji (https://github.com/jdecked/twemoji), Copyright 2014-2021 Twitter, Inc and other contributors, "
        "Copyright 2022-present Jason Sofonia, Justine De Caires and other contributors, CC-BY 4.0; optimised by Samuel Kopp "
        "(@twemoji/svg), rendered, trimmed and scaled here",
        "source": f"npm {TWEMOJI}, rendered with resvg-py {RESVG}; labels and splits: GrinningFace v8 (arXiv:2511.06619); "
        "groups: Unicode emoji-test; synonyms: Unicode CLDR 45 and by hand; descriptions: by hand",
    }
    return write_deck(EMOJI_TWEMOJI, about, rows, render(drawings), COLUMNS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the deck."""
    parser = argparse.ArgumentParser(prog="python -m gf_envs.decks.render_twemoji", description="Render gf/emoji-twemoji@1.")
    parser.add_argument("folder", type=Path, help=f"folder with {TWEMOJI.archive}")
    try:
        print(f"{EMOJI_TWEMOJI} {write(parser.parse_args(arguments).folder)}")
    except GrinningFaceError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
