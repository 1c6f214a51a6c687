"""Pictures as text, and short animations."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from gf_core.contracts import Images

_STILL_QUALITY, _MOVING_QUALITY = 78, 60
LAST_FRAME_MS = 1600


def data_uri(webp: bytes) -> str:
    """A WebP file as a ``data:`` URI."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def still(image: Images) -> str:
    """An image ``(H, W, 3) uint8`` RGB as a ``data:`` URI."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=_STILL_QUALITY, method=4)
    return data_uri(file.getvalue())


def strip(images: Sequence[Images]) -> bytes:
    """Images ``(H, W, 3) uint8`` RGB of one size side by side, as a WebP file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.concatenate(images, axis=1)).save(file, "WEBP", quality=_MOVING_QUALITY, method=4)
    return file.getvalue()


def animation(images: Sequence[Images], seconds: float) -> str:
    """Images ``(H, W, 3) uint8`` RGB as an endless animation, as a ``data:`` URI; its last frame stays beyond ``seconds``."""
    from PIL import Image

    first, *rest = [Image.fromarray(image) for image in images]
    step = round(1000 * seconds / max(1, len(rest)))
    durations = [step] * len(rest) + [LAST_FRAME_MS]
    file = io.BytesIO()
    options = {"quality": _MOVING_QUALITY, "method": 3, "duration": durations, "loop": 0}
    first.save(file, "WEBP", save_all=True, append_images=rest, **options)
    return data_uri(file.getvalue())
