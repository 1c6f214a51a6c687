"""Tiles: fitting, blending, atlases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gf_envs.decks import tiles


@given(st.integers(1, 12), st.integers(1, 5), st.sampled_from([(2, 3), (4, 4), (1, 1)]))
def test_an_atlas_splits_into_the_tiles_that_it_was_made_of(count: int, columns: int, tile: tuple[int, int]) -> None:
    faces = np.random.default_rng(count).integers(0, 256, (count, *tile, 4), dtype=np.uint8)
    assert np.array_equal(tiles.split(tiles.join(faces, columns), tile, count), faces)


@pytest.mark.parametrize(("shape", "count"), [((8, 9, 4), 1), ((8, 8, 4), 5)])
def test_an_atlas_of_the_wrong_size_is_refused(shape: tuple[int, int, int], count: int) -> None:
    with pytest.raises(ValueError, match="doesn't hold"):
        tiles.split(np.zeros(shape, np.uint8), (4, 4), count)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 30))
def test_an_image_fills_the_tile_centred_with_its_aspect_ratio(width: int, height: int, margin: int) -> None:
    image = Image.new("RGBA", (width + 2 * margin, height + margin))
    image.paste((200, 100, 50, 255), (margin, 0, margin + width, height))
    visible = tiles.fit_tile(image)[..., 3] > 0
    columns, rows = (np.flatnonzero(visible.any(axis=axis)) for axis in (0, 1))
    side = round(tiles.FILL * tiles.TILE)
    assert max(len(columns), len(rows)) == side
    assert abs(min(len(columns), len(rows)) - max(1, side * min(width, height) / max(width, height))) <= 1
    for index in (columns, rows):
        assert abs(index[0] + index[-1] - (tiles.TILE - 1)) <= 1


def test_resampling_keeps_the_colour_of_edges() -> None:
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    image.paste((250, 250, 250, 255), (40, 40, 260, 200))
    tile = tiles.fit_tile(image)
    assert tile[tile[..., 3] > 0][:, :3].min() >= 248


def test_an_invisible_image_is_refused() -> None:
    with pytest.raises(ValueError, match="transparent"):
        tiles.fit_tile(Image.new("RGBA", (10, 10)))


def test_white_shows_through_where_a_tile_is_transparent() -> None:
    tile = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [0, 0, 0, 127]]], np.uint8)
    assert tiles.on_white(tile).tolist() == [[[255] * 3, [10, 20, 30], [128] * 3]]
