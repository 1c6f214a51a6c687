"""The second artwork: the same emojis, other pixels, and words that name each of them and nothing else."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from gf_core._spec_checks import problems as spec_problems
from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError
from gf_core.plugins import load_plugins
from gf_core.schemas import validate
from gf_envs.decks import EMOJI_NOTO, EMOJI_TWEMOJI, MANIFESTS, deck_specs, load_deck, locked_sha256, render_twemoji, tiles, words
from gf_envs.decks.atlas import manifest_text
from gf_envs.decks.npm_packages import EMOJIBASE, TWEMOJI, read_members
from gf_envs.decks.render_noto import SOURCE
from gf_envs.decks.tile_deck import read_manifest

FOLDER = files("gf_envs.decks")
CIRCLE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">'
    '<circle fill="#DD2E44" fill-opacity=".5" cx="20" cy="9" r="7"/></svg>'
)


@pytest.fixture(scope="module")
def deck() -> Deck:
    return load_plugins().decks.load(EMOJI_TWEMOJI)({})


@pytest.fixture(scope="module")
def noto() -> Deck:
    return load_deck(EMOJI_NOTO)


def test_ids_labels_and_splits_are_those_of_the_first_artwork(deck: Deck, noto: Deck) -> None:
    assert list(deck.items) == list(noto.items)
    for item, other in zip(deck.items.values(), noto.items.values(), strict=True):
        assert (item.label, item.split) == (other.label, other.split)
        assert {kind: item.names[kind] for kind in other.names} == other.names


def test_every_face_fills_the_card_in_colours_and_is_drawn_anew(deck: Deck, noto: Deck) -> None:
    side = round(tiles.FILL * tiles.TILE)
    for item in deck.items:
        face = deck.image(item)
        visible = face[..., 3] > 0
        extent = [np.ptp(np.flatnonzero(visible.any(axis=axis))) + 1 for axis in (0, 1)]
        assert side - 2 <= max(extent) <= side, item
        assert not face[~visible].any(), item
        change = np.abs(tiles.on_white(face).astype(int) - tiles.on_white(noto.image(item))).mean()
        assert change > 3, item  # the least, of a smooth grey square, is 4; the median is above 40
    assert len({deck.image(item).tobytes() for item in deck.items}) == 328


def test_every_emoji_has_names_a_description_and_its_groups(deck: Deck) -> None:
    fox = deck.items["u1f98a"]
    assert fox.names["synonym"] == "vixen"
    assert fox.tags == ("animals and nature", "mammals")
    for item in deck.items.values():
        assert set(item.names) == {"cldr", "glyph", "synonym", "description"}
        assert item.tags[0] in words.GROUPS.values()
        assert item.tags[1] in words.SUBGROUPS.values()
        assert 3 <= len(item.names["description"].split()) <= 13
        assert len(item.names["synonym"].split()) <= 3
    assert {item.tags[1] for item in deck.items.values()} == set(words.SUBGROUPS.values())
    assert len({item.names["description"] for item in deck.items.values()}) == 328


def test_no_synonym_names_another_emoji_or_gives_the_label_away(deck: Deck) -> None:
    names = Counter(name.lower() for item in deck.items.values() for name in (item.label, item.names["cldr"]))
    synonyms = Counter(item.names["synonym"] for item in deck.items.values())
    assert set(synonyms.values()) == {1}
    assert not set(synonyms) & set(names)
    for item in deck.items.values():
        label = set(item.label.lower().split())
        assert not label & set(item.names["synonym"].split()), item
        assert not label & set(item.names["description"].replace(",", "").split()) - words.FILLERS, item


def test_the_table_keeps_its_rules_and_broken_ones_are_named(noto: Deck) -> None:
    table = words.read_words()
    assert words.problems(noto.items, table) == []
    assert words.FILE.read_text(encoding="utf-8") == words.words_text(table.values())
    assert Counter(row.source for row in table.values()) == {"hand": 295, "cldr": 33}
    fox = table["u1f98a"]
    for change, expected in (
        ({"synonym": "tiger"}, "u1f98a (fox): 'tiger' is another's name too"),
        ({"synonym": "red fox"}, "u1f98a (fox): the synonym 'red fox' shares 'fox'"),
        ({"description": "a Fox with a tail"}, "u1f98a (fox): the description shares 'fox'"),
        ({"description": ""}, "u1f98a (fox): no description"),
        ({"subgroup": "animal"}, "u1f98a (fox): unknown group"),
    ):
        assert expected in words.problems(noto.items, table | {"u1f98a": dataclasses.replace(fox, **change)})
    assert "one row for each" in words.problems(noto.items, {"u1f98a": fox})[0]


def test_manifest_fits_its_schema_and_comes_from_the_committed_tables(deck: Deck) -> None:
    manifest = read_manifest(FOLDER / MANIFESTS[EMOJI_TWEMOJI])
    validate(manifest, "deck", source=EMOJI_TWEMOJI)
    assert manifest["items"] == render_twemoji.manifest_rows(SOURCE.read_text(encoding="utf-8"))
    assert (FOLDER / MANIFESTS[EMOJI_TWEMOJI]).read_text(encoding="utf-8") == manifest_text(manifest)
    assert str(TWEMOJI) in manifest["source"]
    assert deck.sha256 == locked_sha256(EMOJI_TWEMOJI)


def test_licences_travel_with_the_artwork_and_the_atlas_is_small() -> None:
    (spec,) = (spec for spec in deck_specs() if spec.id == EMOJI_TWEMOJI)
    assert spec_problems("decks", spec) == []
    assert spec.license == "CC-BY-4.0"
    assert "Creative Commons Attribution 4.0 International" in (FOLDER / "CC-BY-4.0.txt").read_text(encoding="utf-8")
    assert "UNICODE LICENSE V3" in (FOLDER / "UNICODE.txt").read_text(encoding="utf-8")
    assert "jdecked/twemoji" in read_manifest(FOLDER / MANIFESTS[EMOJI_TWEMOJI])["attribution"]
    assert len((FOLDER / "emoji_twemoji.png").read_bytes()) < 10_000_000


def test_only_the_pinned_packages_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GrinningFaceError, match=r"npm pack @twemoji/svg@15\.0\.0"):
        read_members(tmp_path, TWEMOJI, ["1f98a.svg"])
    (tmp_path / EMOJIBASE.archive).write_bytes(b"another version")
    with pytest.raises(SystemExit) as error:
        words.main([str(tmp_path)])
    assert error.value.code == 2
    assert f"this isn't {EMOJIBASE}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        render_twemoji.main([str(tmp_path)])
    assert error.value.code == 2


def test_drawings_are_rendered_as_tiles_or_the_missing_renderer_is_named() -> None:
    if importlib.util.find_spec("resvg_py") is None:
        with pytest.raises(GrinningFaceError, match=r"pip install resvg-py==0\.5\.0"):
            render_twemoji.render([CIRCLE])
        return
    (face,) = render_twemoji.render([CIRCLE])
    assert face.shape == (tiles.TILE, tiles.TILE, 4)
    assert face[64, 64].tolist() == pytest.approx([0xDD, 0x2E, 0x44, 128], abs=2)
