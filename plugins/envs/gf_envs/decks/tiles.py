"""Square card faces: how an image becomes a tile, and how tiles lie in one atlas image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gf_core.contracts import Images

if TYPE_CHECKING:
    import PIL.Image

TILE = 128
"""Height and width of a tile [px]: the size of the font's bitmaps; a card is about 30 px wide in a 224 × 224 image."""

FILL = 0.94
"""Share of the tile's side that the longer side of an image's bounding box fills: glyphs fill almost the whole card."""


def fit_tile(image: PIL.Image.Image) -> Images:
    """``(TILE, TILE, 4) uint8`` sRGB with straight alpha: the image trimmed to what is visible, scaled to fill, centred.

    The aspect ratio is kept. Colours are resampled premultiplied, so that transparent pixels don't bleed into edges;
    fully transparent pixels are black, so that equal looks are equal bytes.

    Raises:
        ValueError: nothing in the image is visible.
    """
    from PIL import Image

    rgba = image.convert("RGBA")
    box = rgba.getchannel("A").getbbox()
    if box is None:
        raise ValueError("every pixel is transparent")
    width, height = box[2] - box[0], box[3] - box[1]
    scale = FILL * TILE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    glyph = rgba.crop(box).convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(glyph, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    pixels = np.array(tile)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def on_white(tile: Images) -> Images:
    """``(H, W, 3) uint8``: a tile ``(H, W, 4)`` on a white card, blended in sRGB as drawing programs do."""
    alpha = tile[..., 3:].astype(np.float32) / 255
    return np.rint(tile[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def join(tiles: Images, columns: int) -> Images:
    """An atlas ``(rows · H, columns · W, C)`` of tiles ``(N, H, W, C)``, row by row; unused cells are zero."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.uint8)
    grid[:count] = tiles
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


def split(atlas: Images, tile: tuple[int, int], count: int) -> Images:
    """Tiles ``(count, H, W, C)`` of an atlas made by :func:`join`.

    Raises:
        ValueError: the atlas isn't a whole number of tiles, or holds fewer than ``count``.
    """
    height, width = tile
    rows, columns = atlas.shape[0] // height, atlas.shape[1] // width
    if atlas.shape[:2] != (rows * height, columns * width) or rows * columns < count:
        raise ValueError(
            f"an image of {atlas.shape[1]} × {atlas.shape[0]} px doesn't hold {count} tiles of {width} × {height} px"
        )
    grid = atlas.reshape(rows, height, columns, width, -1).swapaxes(1, 2)
    return grid.reshape(rows * columns, height, width, -1)[:count]
