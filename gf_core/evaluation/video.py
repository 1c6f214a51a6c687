"""Animated WebP and GIF of an episode, with a strip below the picture that says what is to be done and how it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.contracts import Episode, Images
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from PIL import Image, ImageFont

SUFFIXES = (".webp", ".gif")
_LAST_FRAME_MS = 1500
_GIF_LEAST_MS = 20
"""Browsers show a GIF's shorter frames for 100 ms."""
_PAPER, _INK, _GOOD, _BAD = (24, 24, 28), (236, 236, 240), (120, 214, 140), (240, 130, 120)


class Video:
    """Collects captioned frames and writes them.

    Args:
        path: ``.webp`` or ``.gif``.
        fps: frames per second of the video.
        every: keep every so many steps only; the last one is always kept.

    Raises:
        GrinningFaceError: another kind of file.
    """

    def __init__(self, path: Path, *, fps: float, every: int = 1) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise GrinningFaceError(
                f"{path.suffix or 'no suffix'} isn't a kind of video", where=str(path), hint="use .webp or .gif"
            )
        if not path.parent.is_dir():
            raise GrinningFaceError("there is no such folder", where=str(path.parent), hint="make it first")
        self._path, self._fps, self._every = path, fps, every
        self._frames: list[Image.Image] = []

    def shoot(self, episode: Episode, record: Mapping[str, Any], step: int, image: Images) -> None:
        """Add the image ``(H, W, 3) uint8`` after a step; the ending is told on the last one."""
        last = step == record["steps"]
        if step % self._every == 0 or last:
            ending = f"{record['ending']} after {step} steps" if last else f"step {step}"
            colour = _INK if not last else _GOOD if record["success"] else _BAD
            self._frames.append(_captioned(image, episode.instruction_at(max(0, step - 1)), ending, colour))

    def write(self) -> None:
        """Write the file, whole or not at all. Raises GrinningFaceError if it can't be written."""
        first, *rest = self._frames
        webp = self._path.suffix.lower() == ".webp"
        step = round(1000 / self._fps) if webp else max(_GIF_LEAST_MS, round(1000 / self._fps))
        options: dict[str, Any] = {"format": "WEBP", "quality": 80, "method": 4} if webp else {"format": "GIF", "optimize": False}
        duration = [step] * len(rest) + [_LAST_FRAME_MS]
        beside = self._path.with_name(f".{self._path.name}.tmp")
        try:
            first.save(beside, save_all=True, append_images=rest, duration=duration, loop=0, **options)
            beside.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise GrinningFaceError(f"can't be written ({error.strerror or error})", where=str(self._path)) from error


def _captioned(image: Images, instruction: str, ending: str, colour: tuple[int, int, int]) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    height, width = image.shape[:2]
    size = max(9, width // 26)
    font = ImageFont.load_default(size)
    lines = _wrapped(instruction, font, width - size)
    frame = Image.new("RGB", (width, height + round(size * 1.35 * (len(lines) + 1)) + size), _PAPER)
    frame.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(frame)
    for number, (line, ink) in enumerate([*((line, _INK) for line in lines), (ending, colour)]):
        draw.text((size // 2, height + size // 2 + round(size * 1.35 * number)), line, ink, font=font)
    return frame


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> list[str]:
    """``text`` in at most two lines of so many pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) < 2:
            lines.append(word)
        else:
            lines[-1] += " …"
            break
    return lines
