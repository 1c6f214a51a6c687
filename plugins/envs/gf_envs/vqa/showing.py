"""A data set at a glance: images with their boxes, questions and answers, as one picture or one page."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gf_core._problems import printable
from gf_core.contracts import Images
from gf_core.errors import GrinningFaceError
from gf_core.training.conversations import Conversations
from gf_core.training.conversations_records import Record
from gf_envs.vqa import GRID

if TYPE_CHECKING:
    from PIL import Image as Pictures

SIDE = 300
"""Height and width of an image on the sheet [px]."""
_MARGIN, _TEXT, _LINE, _COLUMNS = 8, 96, 15, 4
_GROUND, _INK, _MARK = (250, 250, 250), (20, 20, 20), (220, 0, 120)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One question-answer pair: its images as drawn on, and its texts."""

    images: tuple[Images, ...]
    domain: str
    title: str
    question: str
    answer: str


def pick(data: Conversations, domains: Sequence[str], count: int, seed: int) -> list[Shown]:
    """``count`` question-answer pairs of each domain, drawn at random, domain by domain.

    Raises:
        GrinningFaceError: there is no such domain in the data.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row in range(data.records):
        rows[data.record(row).domain].append(row)
    if missing := sorted(set(domains) - set(rows)):
        raise GrinningFaceError(
            f"it has no domain {missing[0]!r}", where=str(data.path), hint=f"it has {', '.join(sorted(rows))}"
        )
    rng = np.random.default_rng(seed)
    found = []
    for domain in domains or sorted(rows):
        drawn = rng.permutation(len(rows[domain]))[:count]
        found += [_shown(data, rows[domain][i]) for i in sorted(drawn.tolist())]
    return found


def _shown(data: Conversations, row: int) -> Shown:
    record, where = data.record(row), data.where(row)
    turn = record.turns[0]
    images = [_mark(data.image(path, where), _regions(record, number)) for number, path in enumerate(turn.images)]
    title = str(record.content.get("id", where))
    return Shown(images=tuple(images), domain=record.domain, title=title, question=turn.prompt, answer=turn.answer)


def _regions(record: Record, image: int) -> list[list[int]]:
    """Boxes and points of an image, if the record says any."""
    metadata = record.content.get("metadata")
    regions = metadata.get("regions") if isinstance(metadata, Mapping) else None
    found = []
    for region in regions if isinstance(regions, list) else []:
        at = region.get("at") if isinstance(region, dict) and region.get("image") == image else None
        if isinstance(at, list):
            found.append([value for value in at if isinstance(value, int)])
    return found


def _mark(pixels: Images, regions: Sequence[Sequence[int]]) -> Images:
    """An image fitted into SIDE, with boxes and points drawn on it."""
    from PIL import Image, ImageDraw

    scale = SIDE / max(pixels.shape[:2])
    width, height = (max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    for region in regions:
        x = [value * width / GRID for value in region[0::2]]
        y = [value * height / GRID for value in region[1::2]]
        if len(region) == 4:
            draw.rectangle((min(x), min(y), max(x), max(y)), outline=_MARK, width=2)
        elif len(region) == 2:
            draw.ellipse((x[0] - 4, y[0] - 4, x[0] + 4, y[0] + 4), outline=_MARK, width=2)
    return np.asarray(image)


def write(shown: Sequence[Shown], path: Path, title: str) -> None:
    """Write a page (``.html``) or a picture (``.png``).

    Raises:
        GrinningFaceError: another kind of file.
    """
    if path.suffix == ".html":
        path.write_text(page(shown, title), encoding="utf-8")
    elif path.suffix == ".png":
        sheet(shown).save(path)
    else:
        raise GrinningFaceError(
            f"{path.suffix or 'a file without an ending'!r} can't be written", where="--out", hint=".html or .png"
        )


def sheet(shown: Sequence[Shown]) -> Pictures.Image:
    """All pairs in a grid; pairs of images take two places."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(12)
    places: list[tuple[int, int, Shown]] = []
    row = column = 0
    for pair in shown:
        width = max(1, min(len(pair.images), _COLUMNS))
        if column + width > _COLUMNS:
            row, column = row + 1, 0
        places.append((row, column, pair))
        column += width
    step_x, step_y = SIDE + _MARGIN, SIDE + _TEXT + _MARGIN
    canvas = Image.new("RGB", (_COLUMNS * step_x + _MARGIN, (row + 1) * step_y + _MARGIN), _GROUND)
    draw = ImageDraw.Draw(canvas)
    for row, column, pair in places:
        left, top = _MARGIN + column * step_x, _MARGIN + row * step_y
        for number, pixels in enumerate(pair.images[:_COLUMNS]):
            canvas.paste(Image.fromarray(pixels), (left + number * step_x, top))
        characters = 48 * max(1, min(len(pair.images), _COLUMNS))
        lines = [
            f"{pair.domain}  {pair.title}",
            *textwrap.wrap(f"Q {pair.question}", characters),
            *textwrap.wrap(f"A {pair.answer}", characters),
        ]
        for number, line in enumerate(lines[: _TEXT // _LINE]):
            draw.text((left, top + SIDE + 2 + number * _LINE), printable(line), fill=_INK, font=font)
    return canvas


def page(shown: Sequence[Shown], title: str) -> str:
    """A self-contained page; every text in it is escaped."""
    parts, domain = [], ""
    for pair in shown:
        if pair.domain != domain:
            domain = pair.domain
            parts.append(f"<h2>{_escape(domain)}</h2>")
        pictures = "".join(f'<img alt="" src="{_uri(image)}">' for image in pair.images)
        texts = (
            f"<p class=q>{_escape(pair.question)}</p><p class=a>{_escape(pair.answer)}</p><small>{_escape(pair.title)}</small>"
        )
        parts.append(f"<figure>{pictures}<figcaption>{texts}</figcaption></figure>")
    style = (
        "body{font:15px system-ui;margin:2em;max-width:70em}figure{display:inline-block;vertical-align:top;margin:0 1em 1.5em 0}"
        f"figcaption{{max-width:{2 * SIDE}px}}img{{margin-right:4px}}p{{margin:.2em 0}}.a{{font-weight:600}}"
    )
    head = f'<meta charset="utf-8"><title>{_escape(title)}</title><style>{style}</style>'
    body = "\n".join([f"<h1>{_escape(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en">{head}\n{body}\n</html>\n'


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _uri(pixels: Images) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
