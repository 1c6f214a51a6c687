"""The decks for robot pretraining: what the script draws, told apart, and free of what the benchmark asks for."""

from __future__ import annotations

from importlib.resources import files
from itertools import permutations

import numpy as np
import pytest

from gf_core._spec_checks import problems as spec_problems
from gf_core.schemas import validate
from gf_envs.decks import (
    COLOURS,
    DIGITS,
    EMOJI_NOTO,
    EMOJI_TWEMOJI,
    MANIFESTS,
    SHAPES,
    contact_sheet,
    deck_specs,
    draw_plain,
    load_deck,
    tiles,
)
from gf_envs.decks.atlas import manifest_text
from gf_envs.decks.tile_deck import read_manifest
from gf_envs.suites.episodes import emojis

FOLDER = files("gf_envs.decks")
DECKS = {COLOURS: 10, SHAPES: 54, DIGITS: 10}
DRAWN = {COLOURS: draw_plain.colour_face, DIGITS: draw_plain.digit_face}


@pytest.mark.parametrize("name", DECKS)
def test_a_manifest_fits_its_schema_and_is_what_the_script_writes(name: str) -> None:
    manifest = read_manifest(FOLDER / MANIFESTS[name])
    validate(manifest, "deck", source=name)
    assert manifest["items"] == draw_plain.deck_rows()[name]
    assert (FOLDER / MANIFESTS[name]).read_text(encoding="utf-8") == manifest_text(manifest)
    assert manifest["license"] == "Apache-2.0"
    assert len(manifest["items"]) == DECKS[name]


@pytest.mark.parametrize("name", DECKS)
def test_the_script_draws_the_committed_pixels(name: str) -> None:
    deck = load_deck(name)
    for item in list(deck.items)[::5]:
        face = draw_plain.shape_face(*item.split("-")) if name == SHAPES else DRAWN[name](item)
        # Another Pillow may round differently; visible differences may not occur.
        assert np.abs(tiles.on_white(face).astype(int) - tiles.on_white(deck.image(item))).max() <= 4, item


@pytest.mark.parametrize("name", DECKS)
def test_no_two_faces_look_alike_and_no_label_contains_another(name: str) -> None:
    deck = load_deck(name)
    small = {item: tiles.on_white(deck.image(item)).reshape(32, 4, 32, 4, 3).mean((1, 3)) for item in deck.items}
    for one, other in permutations(small, 2):
        assert (np.abs(small[one] - small[other]).max(axis=-1) > 40).mean() > 0.04, (one, other)
        assert deck.items[one].label not in deck.items[other].label


def test_no_word_of_theirs_is_an_emojis_name() -> None:
    taken = {text.lower() for emoji in emojis().values() for text in (emoji.label, emoji.names["cldr"])}
    assert {"orange", "circle", "ring", "rectangle"} <= taken, "why these aren't in the decks"
    for name in DECKS:
        for item in load_deck(name).items.values():
            assert not taken & {item.label, *item.label.split(), *item.names.values()}, item


def test_specs_are_sound_and_a_contact_sheet_knows_every_deck() -> None:
    specs = {spec.id: spec for spec in deck_specs()}
    assert set(specs) == {EMOJI_NOTO, EMOJI_TWEMOJI, *DECKS}
    for name in DECKS:
        assert spec_problems("decks", specs[name]) == []
        assert contact_sheet.find_deck(name).sha256 == specs[name].sha256
