"""A user's deck: a folder of images and a ``labels.csv`` that names them.

Columns: ``file`` (relative to the folder) and ``label``; optional ``id`` (default: from the file's name), ``split`` (default
``all``) and ``tags`` (separated by ``;``). Every other column is another name of the card: its header is the language or kind.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from gf_core.contracts import Deck, DeckItem, Images
from gf_core.errors import GrinningFaceError, did_you_mean
from gf_core.specs import DeckSpec
from gf_envs.decks import tiles
from gf_envs.decks.tile_deck import TileDeck, tile_deck

LABELS = "labels.csv"
KNOWN_COLUMNS = ("file", "label", "id", "split", "tags")
FORMATS = ("PNG", "JPEG", "WEBP")
DEFAULT_SPLIT = "all"

MAX_ITEMS = 4096
MAX_CSV_BYTES = 4 * 2**20
MAX_IMAGE_BYTES = 32 * 2**20
MAX_IMAGE_PIXELS = 4096 * 4096
MAX_TEXT = 200
"""Limits that no deck of cards needs to exceed; they bound memory and time for hostile input (decompression bombs)."""

MAX_PROBLEMS_SHOWN = 50
MAX_NAME = 80
ITEM_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Both as in the deck manifest's schema."""


@dataclass(frozen=True)
class Row:
    """One line of labels.csv, as read: its line number (the header is line 1), file and item."""

    number: int
    file: str
    item: DeckItem


def slug(text: str) -> str:
    """``text`` as part of an id: ASCII lower case, with a hyphen for everything else; empty where nothing is left."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")


def folder_id(path: Path) -> str:
    """``local/<folder's name>@1``.

    Raises:
        GrinningFaceError: the name makes no id: it has no ASCII letter or digit, or is too long.
    """
    name = slug(path.resolve().name)
    if not 0 < len(name) <= MAX_NAME:
        what = f"the folder's name must have 1 to {MAX_NAME} ASCII letters or digits to make an id of"
        raise GrinningFaceError(what, where=str(path), hint="rename it")
    return f"local/{name}@1"


def folder_deck_spec(path: Path) -> DeckSpec:
    """How a folder is registered: its factory is called with ``{"path": path}``, the default of its only setting.

    Nothing but the path is looked at. The hash isn't pinned: runs and suites record the one that the deck had.

    Raises:
        GrinningFaceError: ``path`` isn't a folder, or its name makes no id.
    """
    if not path.is_dir():
        raise GrinningFaceError("no such folder", where=str(path), hint=f"a deck is a folder with images and {LABELS}")
    setting = {"type": "string", "default": str(path.resolve()), "description": f"Folder that holds the images and {LABELS}."}
    schema = {"type": "object", "properties": {"path": setting}, "additionalProperties": False}
    deck_id = folder_id(path)
    return DeckSpec(
        id=deck_id, summary=f"The images of a folder: {deck_id}", entry_point=f"{__name__}:make", config_schema=schema
    )


def make(config: Mapping[str, Any]) -> Deck:
    """The deck of the folder ``config["path"]``; raises what :func:`load_folder` raises."""
    if not isinstance(config.get("path"), str):
        raise GrinningFaceError("a folder deck needs its folder", where="path", hint="set it to the folder's path")
    return load_folder(Path(config["path"]))


def load_folder(path: Path, deck_id: str = "") -> TileDeck:
    """The deck of a folder; each image is trimmed to what is visible and fitted into a 128 × 128 px tile.

    Args:
        path: the folder.
        deck_id: the deck's id, for a folder inside a package; empty for :func:`folder_id`'s.

    Raises:
        GrinningFaceError: naming every problem with its line of labels.csv.
    """
    deck_id = deck_id or folder_id(path)
    table = path / LABELS
    rows, problems = parse_labels(read_table(table))
    faces: list[Images] = []
    unsound = {number for number, _ in problems}
    for row in rows:
        if row.number in unsound:
            continue
        try:
            faces.append(read_face(path, row.file))
        except Exception as error:  # decoders raise almost anything for a damaged file; every one is reported
            problems.append((row.number, f"{row.file!r}: {error or type(error).__name__}"))
    if problems:
        raise GrinningFaceError(describe(problems), where=str(table), hint="correct these lines; nothing was loaded")
    return tile_deck(deck_id, [row.item for row in rows], np.stack(faces))


def describe(problems: list[tuple[int, str]]) -> str:
    """Every problem on a line of its own, in the order of the table."""
    shown = [f"\n  line {number}: {text}" for number, text in sorted(problems)[:MAX_PROBLEMS_SHOWN]]
    more = len(problems) - len(shown)
    return (
        f"{len(problems)} problem{'s' if len(problems) > 1 else ''}" + "".join(shown) + (f"\n  and {more} more" if more else "")
    )


def read_table(table: Path) -> str:
    """The text of labels.csv.

    Raises:
        GrinningFaceError: it is missing, too big or not UTF-8.
    """
    try:
        with table.open("rb") as file:
            data = file.read(MAX_CSV_BYTES + 1)
    except OSError as error:
        raise GrinningFaceError(
            f"can't be read: {error.strerror}", where=str(table), hint="it needs columns file,label"
        ) from error
    if len(data) > MAX_CSV_BYTES:
        raise GrinningFaceError(f"more than {MAX_CSV_BYTES // 2**20} MiB", where=str(table), hint="split the deck")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise GrinningFaceError(f"line {line} isn't UTF-8", where=str(table), hint="save the table as UTF-8") from error


def parse_labels(text: str) -> tuple[list[Row], list[tuple[int, str]]]:
    """The sound rows of a labels.csv, and every problem as (line number, text)."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    problems: list[tuple[int, str]] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                problems += [(reader.line_num, problem) for problem in header_problems(header)]
                if problems:
                    return [], problems
            elif len(cells) != len(header):
                problems.append((reader.line_num, f"{len(cells)} cells, the header has {len(header)}"))
            elif len(rows) == MAX_ITEMS:
                return rows, [*problems, (reader.line_num, f"more than {MAX_ITEMS} cards")]
            else:
                row, found = parse_row(reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
                rows.append(row)
                problems += [(reader.line_num, problem) for problem in found]
    except csv.Error as error:
        problems.append((reader.line_num, str(error)))
    if not rows and not problems:
        problems.append((1, "no card"))
    return rows, problems + duplicates(rows)


def header_problems(header: list[str]) -> list[str]:
    """What is wrong with the columns."""
    problems = [
        f"no column {name!r}; {did_you_mean(name, header)}".rstrip("; ") for name in ("file", "label") if name not in header
    ]
    problems += [f"column {name!r} twice" for name in dict.fromkeys(header) if name and header.count(name) > 1]
    return problems + [f"column {index} has no name" for index, name in enumerate(header, 1) if not name]


def parse_row(number: int, cells: Mapping[str, str]) -> tuple[Row, list[str]]:
    """One card, and what is wrong with it."""
    file, label = cells["file"], cells["label"]
    item_id = cells.get("id") or slug(PurePosixPath(file).stem)
    item = DeckItem(
        id=item_id,
        label=label,
        split=cells.get("split") or DEFAULT_SPLIT,
        names={name: text for name, text in cells.items() if name not in KNOWN_COLUMNS and text},
        tags=tuple(tag.strip() for tag in cells.get("tags", "").split(";") if tag.strip()),
    )
    problems = [f"no {name}" for name in ("file", "label") if not cells[name]]
    if file and not is_inside(file):
        problems.append(f"{file!r} must lie in the folder: no absolute path, drive or '..'")
    if not ITEM_ID.fullmatch(item_id):
        problems.append(f"id {item_id!r} must be at most 100 of a-z 0-9 . _ - and begin with a letter or digit")
    if not SPLIT.fullmatch(item.split):
        problems.append(f"split {item.split!r} must be at most 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit")
    problems += [f"{name} is longer than {MAX_TEXT} characters" for name, text in cells.items() if len(text) > MAX_TEXT]
    problems += [f"{name} has control characters" for name, text in cells.items() if not is_plain(text)]
    return Row(number, file, item), problems


def is_inside(file: str) -> bool:
    """Whether a path stays in the folder by its spelling, on any system."""
    posix, windows = PurePosixPath(file), PureWindowsPath(file)
    return not (posix.is_absolute() or windows.anchor or ".." in posix.parts or ".." in windows.parts)


def is_plain(text: str) -> bool:
    """Whether a text has no control or direction-changing character; joiners are needed by emojis and scripts."""
    return all(character.isprintable() or character in "\u200c\u200d" for character in text)


def duplicates(rows: list[Row]) -> list[tuple[int, str]]:
    """Ids and labels that an earlier row has already."""
    problems: list[tuple[int, str]] = []
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        for kind, text in (("id", row.item.id), ("label", row.item.label)):
            first = seen.setdefault((kind, text.casefold()), row.number)
            if first != row.number and text:
                problems.append((row.number, f"{kind} {text!r} is that of line {first} too"))
    return problems


def read_face(folder: Path, file: str) -> Images:
    """The tile of an image file.

    Raises:
        ValueError: it is missing, outside of the folder (also through a link), or too big.
        Exception: whatever the decoder raises for a file that isn't a sound image.
    """
    from PIL import Image, ImageOps

    path = folder / file
    if not is_inside(file) or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("lies outside of the folder")
    if not path.is_file():
        raise ValueError("no such file")
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise ValueError(f"more than {MAX_IMAGE_BYTES // 2**20} MiB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and about sizes beyond the limit below
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ValueError(f"{image.width} × {image.height} px, more than {MAX_IMAGE_PIXELS // 10**6} million pixels")
            return tiles.fit_tile(ImageOps.exif_transpose(image))
