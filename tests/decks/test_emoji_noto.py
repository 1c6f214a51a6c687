"""The emoji deck: complete, pinned, licensed, and refused when anything in it changes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from gf_core._spec_checks import problems as spec_problems
from gf_core.canonical import sha256
from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_core.schemas import validate
from gf_envs.decks import EMOJI_NOTO, MANIFEST, deck_specs, locked_sha256, make_emoji_noto, render_noto, tiles
from gf_envs.decks.atlas import manifest_text
from gf_envs.decks.tile_deck import TileDeck, deck_hash, load_manifest_deck, manifest_items, read_manifest

FOLDER = files("gf_envs.decks")


@pytest.fixture(scope="module")
def deck() -> Deck:
    return make_emoji_noto({})


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in (MANIFEST, "emoji_noto.png"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    return tmp_path


def faces(deck: Deck) -> np.ndarray:
    return np.stack([deck.image(item) for item in deck.items])


def test_splits_and_hard_list_are_the_published_ones(deck: Deck) -> None:
    items = list(deck.items.values())
    assert Counter(item.split for item in items) == {"train": 100, "val": 100, "rest": 128}
    assert [item.split for item in items[:4]] == ["train", "val", "train", "val"]
    assert sum("hard" in item.tags for item in items) == 213
    assert all("hard" in item.tags for item in items if item.split == "rest")


def test_items_are_named_by_code_point_and_labels_are_distinct(deck: Deck) -> None:
    assert deck.items["u1f47b"].label == "ghost"
    assert deck.items["u1f47b"].names == {"cldr": "ghost", "glyph": "👻"}
    assert all(item.id == f"u{ord(item.names['glyph']):x}" for item in deck.items.values())
    assert len({item.label for item in deck.items.values()}) == 328


def test_manifest_fits_its_schema_and_comes_from_the_committed_table() -> None:
    manifest = read_manifest(FOLDER / MANIFEST)
    validate(manifest, "deck", source=MANIFEST)
    assert manifest["items"] == render_noto.manifest_rows(render_noto.SOURCE.read_text(encoding="utf-8"))
    assert (FOLDER / MANIFEST).read_text(encoding="utf-8") == manifest_text(manifest)
    assert render_noto.FONT_SHA256 in manifest["source"]
    assert render_noto.DEBIAN_VERSION in manifest["source"]


def test_every_face_is_in_colour_or_shaded_and_fills_the_card(deck: Deck) -> None:
    side = round(tiles.FILL * tiles.TILE)
    for item in deck.items:
        face = deck.image(item)
        assert face.shape == (tiles.TILE, tiles.TILE, 4)
        visible = face[..., 3] > 0
        extent = [np.ptp(np.flatnonzero(visible.any(axis=axis))) + 1 for axis in (0, 1)]
        assert side - 2 <= max(extent) <= side, item
        colours = face.view("<u4")[..., 0][visible] & 0xFFFFFF
        assert len(np.unique(colours)) > 8, item  # a missing glyph or a mask has one
        assert not face[~visible].any(), item
    assert len({face.tobytes() for face in faces(deck)}) == 328


def test_faces_are_upright_and_edges_are_not_darkened(deck: Deck) -> None:
    thumb = deck.image("u1f44d")[..., 3].sum(axis=1)  # thumbs up: narrow thumb above a wide fist
    assert thumb[: tiles.TILE // 3].sum() < thumb[-tiles.TILE // 3 :].sum()
    tooth = deck.image("u1f9b7")
    edge = (tooth[..., 3] > 60) & (tooth[..., 3] < 200)
    assert tooth[edge][:, :3].mean() > 180  # a white tooth; premultiplied colours would be dark here


def test_images_are_read_only_and_unknown_items_get_a_suggestion(deck: Deck) -> None:
    assert not deck.image("u1f47b").flags.writeable
    with pytest.raises(UnknownIdError, match="did you mean 'u1f47b'"):
        deck.image("U1F47b")


def test_the_hash_covers_labels_splits_and_pixels(deck: Deck) -> None:
    items, pixels = list(deck.items.values()), faces(deck)
    assert deck.sha256 == locked_sha256(EMOJI_NOTO) == deck_hash(EMOJI_NOTO, items, pixels)
    brighter = pixels.copy()
    brighter[100, 64, 64, 0] ^= 1
    changed = [
        deck_hash("gf/emoji-noto@2", items, pixels),
        deck_hash(EMOJI_NOTO, items, brighter),
        deck_hash(EMOJI_NOTO, items, pixels[::-1]),
        *(
            deck_hash(EMOJI_NOTO, [dataclasses.replace(items[0], **change), *items[1:]], pixels)
            for change in ({"label": "face"}, {"split": "val"}, {"names": {}}, {"tags": ("hard",)})
        ),
    ]
    assert len({deck.sha256, *changed}) == 8


def test_a_changed_atlas_is_refused(copied: Path) -> None:
    atlas = copied / "emoji_noto.png"
    atlas.write_bytes(atlas.read_bytes()[:-1] + b"\0")
    with pytest.raises(GrinningFaceError, match="the atlas has SHA-256") as error:
        load_manifest_deck(copied, MANIFEST, locked_sha256(EMOJI_NOTO))
    assert read_manifest(FOLDER / MANIFEST)["atlas"]["sha256"] in str(error.value)


def test_a_changed_label_is_refused_naming_both_hashes(copied: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    manifest["items"][0]["label"] = "frowning face"
    (copied / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(GrinningFaceError, match="a label or a pixel differs") as error:
        load_manifest_deck(copied, MANIFEST, locked_sha256(EMOJI_NOTO))
    pixels = tiles.split(decoded(copied / "emoji_noto.png"), (tiles.TILE, tiles.TILE), 328)
    assert deck_hash(EMOJI_NOTO, manifest_items(manifest), pixels) in str(error.value)
    assert locked_sha256(EMOJI_NOTO) in str(error.value)


def decoded(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGBA"))


def test_licence_travels_with_the_artwork_and_the_atlas_is_small() -> None:
    assert "SIL OPEN FONT LICENSE Version 1.1" in (FOLDER / "OFL.txt").read_text(encoding="utf-8")
    (spec,) = (spec for spec in deck_specs() if spec.id == EMOJI_NOTO)
    assert spec_problems("decks", spec) == []
    assert (spec.id, spec.license, spec.sha256) == (EMOJI_NOTO, "OFL-1.1", locked_sha256(EMOJI_NOTO))
    assert len((FOLDER / "emoji_noto.png").read_bytes()) < 5_000_000


def test_listing_decks_and_suites_loads_no_artwork_and_no_imaging_library() -> None:
    code = """
import sys
from gf_envs.decks import deck_specs
from gf_envs.suites import suite_specs
assert deck_specs() and suite_specs()
loaded = {"PIL", "mujoco", "gf_envs.decks.tile_deck", "gf_envs.suites.catalogue"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_table_of_the_published_environment_is_untouched() -> None:
    text = (FOLDER / "emoji_noto.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert [int(row["index"]) for row in rows] == list(range(328))
    assert sha256(text) == "dee9b75c987ad9788ce71c2cf4cc433740a423ef068b49404b86b34ae302442d"


def test_the_font_must_be_the_pinned_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.ttf"
    other.write_bytes(b"not a font")
    monkeypatch.setattr(render_noto, "FONT", other)
    with pytest.raises(GrinningFaceError, match="isn't the font of fonts-noto-color-emoji"):
        render_noto.render(["👻"])


@pytest.mark.skipif(not render_noto.FONT.is_file(), reason="needs Debian's fonts-noto-color-emoji")
def test_the_script_renders_the_committed_pixels(deck: TileDeck) -> None:
    if sha256(render_noto.FONT.read_bytes()) != render_noto.FONT_SHA256:
        pytest.skip("another version of the font is installed")
    chosen = list(deck.items.values())[::40]
    rendered = render_noto.render([item.names["glyph"] for item in chosen])
    committed = np.stack([deck.image(item.id) for item in chosen])
    # Another Pillow or FreeType may round differently; visible differences may not occur.
    assert np.abs(tiles.on_white(rendered[0]).astype(int) - tiles.on_white(committed[0])).max() <= 2
    assert np.abs(rendered[..., 3].astype(int) - committed[..., 3]).max() <= 2
