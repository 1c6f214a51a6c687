"""A contact sheet of a data set: episodes from top to bottom, each with frames from left to right and its actions as curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gf_core._problems import shorten
from gf_core.contracts import Floats
from gf_core.specs import FieldSpec
from gf_core.training.lerobot.dataset import RobotDataset
from gf_core.training.samples import Wanted

SIDE, CURVES, GAP, TEXT = 160, 300, 8, 15
"""Of a frame's edge, of the curves' width, between things, and of a line of text [px]."""
_PAPER, _INK, _FAINT, _MASKED = (250, 250, 248), (32, 32, 36), (150, 150, 156), (255, 226, 214)
_WRONG = (214, 84, 40)
_COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (140, 86, 75), (227, 119, 194), (60, 60, 60))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What is drawn.

    Attributes:
        episodes: places in the data set's episodes.
        frames: of each episode, evenly spaced, the first and the last among them.
        camera: whose; empty for the first.
    """

    episodes: Sequence[int]
    frames: int = 6
    camera: str = ""


def spread(total: int, count: int) -> list[int]:
    """At most ``count`` places among ``total``, evenly spaced, the first and the last among them."""
    return list(dict.fromkeys(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()))


def draw(data: RobotDataset, sheet: Sheet) -> Image.Image:
    """The sheet. Frames whose action isn't to be imitated have an orange edge, and the curves an orange ground there.

    Raises:
        GrinningFaceError: no such camera, or an image that can't be read.
    """
    width = GAP + sheet.frames * (SIDE + GAP) + CURVES + GAP
    height = GAP + TEXT + GAP + len(sheet.episodes) * (2 * TEXT + SIDE + 2 * GAP + 3)
    page = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(page)
    assert data.conventions is not None
    field = data.conventions.action.field
    _legend(pen, field, (width - CURVES - GAP, GAP))
    font = ImageFont.load_default(TEXT - 2)
    title = f"{data.name}: {len(data.episodes)} episodes, {len(data)} frames to imitate"
    pen.text((GAP, GAP), shorten(title, 120), _INK, font=font)
    y = GAP + TEXT + GAP
    for owner in sheet.episodes:
        _row(page, pen, data, sheet, owner, y)
        y += 2 * TEXT + SIDE + 2 * GAP + 3
    return page


def _row(page: Image.Image, pen: ImageDraw.ImageDraw, data: RobotDataset, sheet: Sheet, owner: int, y: int) -> None:
    episode = data.episodes[owner]
    wanted = Wanted(cameras=(sheet.camera or data.cameras[0],), horizon=1)
    font, small = ImageFont.load_default(TEXT - 2), ImageFont.load_default(TEXT - 4)
    samples = {frame: data.at(owner, frame, wanted) for frame in spread(episode.length, sheet.frames)}
    head = f"{episode.id} · {samples[0].prompt}"
    pen.text((GAP, y), shorten(head, 150), _INK, font=font)
    x, top = GAP, y + TEXT + 3
    for frame, sample in samples.items():
        picture = Image.fromarray(sample.frames[0].image)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        page.paste(picture, (x, top))
        assert sample.action_mask is not None
        if not sample.action_mask[0]:
            pen.rectangle((x, top, x + picture.width - 1, top + picture.height - 1), outline=_WRONG, width=3)
        pen.text((x, top + SIDE + 1), f"{frame}", _FAINT, font=small)
        x += SIDE + GAP
    actions, imitate = data.chunk(owner, 0, episode.length)
    box = (page.width - CURVES - GAP, top, page.width - GAP, top + SIDE)
    assert data.conventions is not None
    _curves(pen, actions, imitate.tolist(), data.conventions.action_statistics.max, data.conventions.action_statistics.min, box)


def _curves(
    pen: ImageDraw.ImageDraw,
    actions: Floats,
    imitate: Sequence[bool],
    high: Sequence[float],
    low: Sequence[float],
    box: tuple[int, int, int, int],
) -> None:
    """Each element of the actions ``(T, A)``, scaled to its range over the data set, about its own zero where it has one."""
    left, top, right, bottom = box
    steps = left + (right - left) * (np.arange(len(actions)) + 0.5) / len(actions)
    half = (right - left) / len(actions) / 2
    for x, good in zip(steps, imitate, strict=True):
        if not good:
            pen.rectangle((x - half, top, x + half, bottom), fill=_MASKED)
    pen.rectangle(box, outline=_FAINT)
    for element in range(actions.shape[1]):
        reach = max(high[element] - low[element], 1e-9)
        share = np.clip((actions[:, element] - low[element]) / reach, -0.05, 1.05)
        points = list(zip(steps.tolist(), (bottom - 4 - share * (bottom - top - 8)).tolist(), strict=True))
        pen.line(points, fill=_COLOURS[element % len(_COLOURS)], width=2)


def _legend(pen: ImageDraw.ImageDraw, field: FieldSpec, at: tuple[int, int]) -> None:
    font = ImageFont.load_default(TEXT - 3)
    x, y = at
    for element in range(field.shape[0]):
        name = field.names[element] if field.names else str(element)
        pen.text((x, y), name, _COLOURS[element % len(_COLOURS)], font=font)
        x += round(font.getlength(name)) + 10
