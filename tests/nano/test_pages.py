"""Pages: the same for the same seed, true in what they say, and nothing of a simulator in them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import load_deck
from gf_core.plugins import load_plugins
from gf_policies.nano.command import DECKS
from gf_policies.nano.drawing import SIDE
from gf_policies.nano.measuring import is_right, kind_of, point_of
from gf_policies.nano.pages import Page, draw_page
from gf_policies.nano.places import CELL, FINE, GRID, LOCATIONS, location, spot
from gf_policies.nano.questions import EVERYTHING, PLACES, all_texts
from gf_policies.nano.things import Thing, things_of
from gf_policies.nano.vocabulary import UNKNOWN, make_tokenizer


@pytest.fixture(scope="module")
def decks() -> list[Deck]:
    host = load_plugins()
    return [load_deck(name, host) for name in DECKS]


@pytest.fixture(scope="module")
def things(decks: list[Deck]) -> tuple[Thing, ...]:
    return things_of(decks)


@pytest.fixture(scope="module")
def pages(things: tuple[Thing, ...]) -> list[Page]:
    return [draw_page(things, 0, index, 8) for index in range(80)]


def test_every_thing_has_both_artworks_and_more_than_one_name(things: tuple[Thing, ...]) -> None:
    assert len(things) == 328
    assert all(len(thing.faces) == 2 and len(thing.kinds) >= 2 for thing in things)
    fox = next(thing for thing in things if thing.label == "fox")
    assert "vixen" in fox.names
    assert "fox" not in fox.names
    names = [name for thing in things for name in (thing.label, *thing.names)]
    assert len(names) == len(set(names))  # no name means two things
    assert np.abs(np.asarray(fox.faces[0][0], int) - np.asarray(fox.faces[1][0], int)).mean() > 5


def test_a_page_depends_on_seed_and_number_alone(things: tuple[Thing, ...], pages: list[Page]) -> None:
    again, other, elsewhere = draw_page(things, 0, 3, 8), draw_page(things, 0, 4, 8), draw_page(things, 1, 3, 8)
    assert np.array_equal(again.image, pages[3].image)
    assert again.turns == pages[3].turns
    assert not np.array_equal(again.image, other.image)
    assert not np.array_equal(again.image, elsewhere.image)


def test_answers_agree_with_the_cells(things: tuple[Thing, ...], pages: list[Page]) -> None:
    """A place that a question about a name is answered with is the middle of a thing that has this name."""
    numbers = {name: number for number, thing in enumerate(things) for name in (thing.label, *thing.names)}
    checked = 0
    for page in pages:
        for question, answer in page.turns:
            if kind_of(question, answer) != "where" or "belongs to" in question:
                continue
            point = point_of(answer)
            assert point is not None
            cell, within = spot(*point)
            if page.centres[cell] != within:
                continue  # two middles in one cell
            said = f" {question.strip('?.')} "
            meant = {number for name, number in numbers.items() if f" {name} " in said or said.endswith(f" {name} ")}
            assert page.cells[cell] in meant, (question, answer)
            checked += 1
    assert checked > 100


def test_names_at_places_are_those_of_what_lies_there(things: tuple[Thing, ...], pages: list[Page]) -> None:
    checked = 0
    for page in pages:
        for question, answer in page.turns:
            if not question.startswith(("what is at", "name ")):
                continue
            point = point_of(question[question.index("<loc") :].strip("?"))
            assert point is not None
            cell, within = spot(*point)
            if page.centres[cell] != within:
                continue  # two middles in one cell
            assert things[int(page.cells[cell])].label == answer
            checked += 1
    assert checked > 30


def test_names_and_everything_said_about_a_page_look_at_the_cells_that_show_them(
    things: tuple[Thing, ...], pages: list[Page]
) -> None:
    numbers = {name: number for number, thing in enumerate(things) for name in (thing.label, *thing.names)}
    checked = {"everything": 0, "where": 0, "which": 0, "yes-no": 0, "block": 0}
    for page in pages:
        for turn, looks in zip(page.turns, page.looks, strict=True):
            for text, found in zip(turn, looks, strict=True):
                assert not set(text) & set("\x02\x03\x1f")
                for start, end, cell in found:
                    name = text[start:end]
                    if page.centres[cell] >= 0 and name in numbers and page.cells[cell] < len(things):
                        checked[kind_of(*turn)] += int(page.cells[cell]) == numbers[name]
                    elif name not in numbers:
                        assert name.split()[-1] in ("block", "cube"), name
                        checked["block"] += 1
        said = {turn[0]: turn[1] for turn in page.turns}
        for question, pattern in EVERYTHING.items():
            if question in said:
                places = re.findall("<loc[0-9]+> <sub[0-9]+>", said[question])
                assert len(places) == len(set(places)) == said[question].count("<loc")
                assert said[question].startswith("<loc") == pattern.startswith("{place}")
    assert all(count > 10 for count in checked.values()), checked


def test_every_kind_of_question_occurs_with_more_than_one_answer(pages: list[Page]) -> None:
    answers: dict[str, set[str]] = {}
    for page in pages:
        for question, answer in page.turns:
            answers.setdefault(kind_of(question, answer), set()).add(answer)
    assert answers.keys() == {"everything", "where", "block", "name", "which", "yes-no"}
    assert answers["which"] >= {"left", "middle", "right", "first", "second"}
    assert answers["yes-no"] == {"yes", "no"}


def test_left_and_right_are_those_of_the_row_or_of_the_page(things: tuple[Thing, ...], pages: list[Page]) -> None:
    checked = {True: 0, False: 0}
    for page in pages:
        pictures = [cell for cell in range(GRID * GRID) if page.centres[cell] >= 0 and page.cells[cell] < len(things)]
        columns = {cell: (cell % GRID) * CELL + (page.centres[cell] % FINE + 0.5) * CELL / FINE for cell in pictures}
        for (question, answer), (named, _) in zip(page.turns, page.looks, strict=True):
            if kind_of(question, answer) != "which" or not (options := re.search("left(, middle)? or right", question)):
                continue
            words = PLACES[3 if options[1] else 2]
            cell = named[-1][2]
            in_a_row = len(pictures) <= 4
            if in_a_row:
                place = sorted(pictures, key=columns.__getitem__).index(cell) if len(pictures) == len(words) else None
            else:
                place = int(columns[cell] * len(words) / SIDE)
            if place is not None:
                assert words[place] == answer, (question, answer)
                checked[in_a_row] += 1
    assert min(checked.values()) > 10, checked


def test_places_are_spread_over_the_page(pages: list[Page]) -> None:
    counts = sum((page.cells >= 0).astype(int) for page in pages).reshape(GRID, GRID)
    inner = counts[1:-1, 1:-1]
    assert inner.min() > 0.3 * inner.mean()


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (8.0, 8.0), (79.9, 120.3), (SIDE - 0.01, SIDE - 0.01), (SIDE, -3.0)])
def test_a_place_is_told_within_two_pixels(x: float, y: float) -> None:
    found = point_of(location(x, y))
    assert found is not None
    assert abs(found[0] - min(max(x, 0), SIDE)) <= CELL / 8
    assert abs(found[1] - min(max(y, 0), SIDE)) <= CELL / 8


def test_what_counts_as_right() -> None:
    assert is_right(location(50, 50), location(56, 54))
    assert not is_right(location(50, 50), location(60, 50))
    assert not is_right("fox", location(50, 50))
    assert is_right(" fox", "fox")
    assert not is_right("foxes", "fox")


def test_the_tokenizer_knows_every_word_as_one_token(things: tuple[Thing, ...]) -> None:
    texts = all_texts(things)
    tokenizer = make_tokenizer(texts, LOCATIONS)
    pieces = [piece for text in texts for piece in tokenizer.tokenize(text.lower())]
    assert UNKNOWN not in pieces
    assert not any(piece.startswith("##") for piece in pieces)
    assert tokenizer.tokenize("Pick the block and place it on Hatching chick") == (
        ["pick", "the", "block", "and", "place", "it", "on", "hatching", "chick"]
    )
    numbers = tokenizer("-12 7 0.5", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(numbers) == "-12 7 0.5"


def test_sentences_of_the_shifts_are_made_of_words_it_knows(things: tuple[Thing, ...]) -> None:
    """Else that suite would measure spelling."""
    from gf_envs.suites.shifts import TEMPLATES

    tokenizer = make_tokenizer(all_texts(things), LOCATIONS)
    for template in TEMPLATES.values():
        pieces = tokenizer.tokenize(template.replace("{label}", "fox").lower())
        assert not any(piece.startswith("##") or piece == UNKNOWN for piece in pieces), pieces


def test_decks_must_show_the_same() -> None:
    host = load_plugins()
    with pytest.raises(GrinningFaceError, match="don't show the same items"):
        things_of([load_deck("gf/emoji-noto@1", host), load_deck("gf/digits@1", host)])


def test_no_simulator_has_a_part_in_pages() -> None:
    """Pages are drawn in a process of their own; no simulator, renderer or environment is even imported in it."""
    program = """
import sys
from gf_core.evaluation.environment import load_deck
from gf_core.plugins import load_plugins
from gf_policies.nano.pages import draw_page
from gf_policies.nano.things import things_of
host = load_plugins()
draw_page(things_of([load_deck("gf/emoji-noto@1", host)]), 0, 0, 8)
print([name for name in sys.modules if name.partition(".")[0] in ("mujoco", "OpenGL", "glfw") or "tabletop.physics" in name
       or "tabletop.render" in name])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_pages_become_vision_language_data(decks: list[Deck], things: tuple[Thing, ...], tmp_path: Path) -> None:
    from gf_core.training.conversations import Conversations
    from gf_core.training.samples import Wanted
    from gf_policies.nano.exporting import EXPORT_SEED, write_pages

    manifest = write_pages(things, decks, tmp_path / "web", count=4, turns=3, seed=0, progress=lambda done, total: None)
    source = Conversations(tmp_path / "web")
    assert len(source) == manifest["records"] == sum(manifest["domains"].values())
    sample = source.sample(0, Wanted())
    page = draw_page(things, EXPORT_SEED, 0, 3)
    assert np.array_equal(sample.frames[0].image, page.image)
    assert (sample.prompt, sample.answer) == page.turns[0]
    assert sample.domain.startswith("web/")
    assert set(manifest["items"]) == set(DECKS)
    before = (tmp_path / "web" / "conversations.jsonl").stat().st_mtime_ns
    write_pages(things, decks, tmp_path / "web", count=4, turns=3, seed=0, progress=lambda done, total: None)
    assert (tmp_path / "web" / "conversations.jsonl").stat().st_mtime_ns == before
    with pytest.raises(GrinningFaceError, match="made otherwise"):
        write_pages(things, decks, tmp_path / "web", count=5, turns=3, seed=0, progress=lambda done, total: None)
    assert json.loads((tmp_path / "web" / "manifest.json").read_text())["records"] == manifest["records"]
