"""gf/robot-pretrain@1: within reach, in view, balanced, and without a word or a face of the benchmark."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gf_core.canonical import content_hash
from gf_core.schemas import check_suite_metrics, validate
from gf_envs.decks import COLOURS, DIGITS, EMOJI_NOTO, SHAPES, locked_sha256
from gf_envs.suites import file_name, suite_specs
from gf_envs.suites.design import Draws, K
from gf_envs.suites.episodes import emojis
from gf_envs.suites.robot_pretrain import DECKS, SETS, TEMPLATES, draw_sets, draw_view, labels
from gf_envs.suites.task_cameras import distance, is_clear, is_framed
from gf_envs.suites.task_layouts import CARD_RADII, polar
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.tasks.scene import SCENE_SCHEMA, TASKS, Task, parse_scene
from gf_envs.tabletop.tasks.spec import TABLETOP_TASKS

SUITE = "gf/robot-pretrain@1"
GRAMMAR = {"up", "on", "at", "to", "the", "and", "of", "with", "in", "down"}

Episode = dict[str, Any]


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("gf_envs.suites") / file_name(SUITE)).read_text(encoding="utf-8"))
    return found


def episodes(task: str = "", deck: str = "") -> list[Episode]:
    found: list[Episode] = document()["episodes"]
    return [e for e in found if task in ("", e["split"]) and deck in ("", e["factors"]["deck"])]


def items(episode: Episode) -> list[str]:
    return [card["item"] for card in episode["scene"]["cards"]]


def centres(episode: Episode) -> list[tuple[float, float]]:
    return [(card["x"], card["y"]) for card in episode["scene"]["cards"]]


def pose(episode: Episode, key: str) -> tuple[float, float, float]:
    found = episode["scene"][key]
    return found["x"], found["y"], found["yaw"]


def words(text: str) -> list[str]:
    return text.lower().replace("-", " ").split()


def test_it_fits_its_schema_and_its_environment() -> None:
    found = document()
    validate(found, "suite", source=SUITE)
    check_suite_metrics(found, [metric.name for metric in TABLETOP_TASKS.metrics], SUITE)
    validator = jsonschema.Draft202012Validator(SCENE_SCHEMA)
    for episode in found["episodes"]:
        validator.validate(episode["scene"])
        parse_scene(episode["scene"])
        assert episode["scene"]["task"] == episode["split"] == episode["factors"]["task"]
    assert found["env"]["id"] == TABLETOP_TASKS.id
    assert found["decks"] == {deck: locked_sha256(deck) for deck in (COLOURS, SHAPES, DIGITS)}
    (spec,) = (spec for spec in suite_specs() if spec.id == SUITE)
    assert (spec.sha256, spec.ranked) == (content_hash(found), False)
    assert spec.citation == "arXiv:2605.25802"


def test_every_task_and_deck_has_as_many_episodes() -> None:
    counts = Counter((e["split"], e["factors"]["deck"]) for e in episodes())
    assert counts == {(task, deck): SETS * K for task in TASKS for deck in DECKS}
    assert list(document()["splits"]) == list(TASKS)


def test_no_emoji_is_shown_and_none_is_named() -> None:
    assert EMOJI_NOTO not in json.dumps(document())
    names = {" ".join(words(text)) for emoji in emojis().values() for text in (emoji.label, emoji.names["cldr"])}
    held_out = {word for emoji in emojis().values() if emoji.split == "val" for word in words(emoji.label)} - GRAMMAR
    for text in {e["instruction"] for e in episodes()}:
        told = f" {' '.join(words(text))} "
        assert not [name for name in names if f" {name} " in told], text
        assert not held_out & set(told.split()), text
    assert not {label for deck in DECKS for label in labels(deck).values()} & names


@pytest.mark.parametrize("task", ["reach", "push", "place"])
def test_each_set_is_shown_with_each_card_as_target_at_each_position_and_newly_laid_out(task: str) -> None:
    for deck in DECKS:
        targets, positions, layouts = defaultdict(list), defaultdict(list), set()
        for episode in episodes(task, deck):
            assert items(episode)[episode["scene"]["target"]] == episode["factors"]["target"]
            shown = frozenset(items(episode))
            targets[shown].append(episode["factors"]["target"])
            positions[shown].append(episode["factors"]["target_position"])
            layouts.add((*centres(episode), pose(episode, "base")))
        assert len(targets) == SETS
        assert all(sorted(some) == sorted(shown) for shown, some in targets.items())
        assert all(sorted(some) == list(range(K)) for some in positions.values())
        assert len(layouts) == SETS * K


def test_a_pick_has_no_target_and_the_instruction_names_the_target_and_no_other_card() -> None:
    for episode in episodes():
        told = words(episode["instruction"])
        target = episode["scene"]["target"]
        assert (target is None) == (episode["split"] == "pick")
        for place, item in enumerate(items(episode)):
            named = all(word in told for word in words(labels(episode["factors"]["deck"])[item]))
            assert named == (place == target), episode["id"]


def test_a_shape_shares_its_shape_with_one_card_and_its_colour_with_another() -> None:
    for episode in episodes(deck=SHAPES):
        shapes, colours = zip(*(item.split("-") for item in items(episode)), strict=True)
        assert (len(set(shapes)), len(set(colours))) == (2, 2)


def test_wordings_are_used_equally_often() -> None:
    for task in TASKS:
        for deck in DECKS:
            used = Counter(e["factors"]["template"] for e in episodes(task, deck))
            assert used == dict.fromkeys(TEMPLATES[task], SETS)


@pytest.mark.parametrize("feature", ["nearest to the base", "nearest to the block", "straightest ahead", "first in the file"])
def test_where_things_lie_doesnt_tell_the_target(feature: str) -> None:
    right = 0
    asked = [e for e in episodes() if e["scene"]["target"] is not None]
    for episode in asked:
        cards, base, cube = centres(episode), pose(episode, "base"), pose(episode, "cube")[:2]
        scores = {
            "nearest to the base": [polar(base, card)[0] for card in cards],
            "nearest to the block": [math.dist(card, cube) for card in cards],
            "straightest ahead": [abs(polar(base, card)[1]) for card in cards],
            "first in the file": list(range(K)),
        }[feature]
        right += scores.index(min(scores)) == episode["scene"]["target"]
    assert scipy.stats.binomtest(right, len(asked), 1 / K).pvalue > 0.01


def test_cards_lie_from_the_robots_left_to_its_right_and_within_its_reach() -> None:
    for episode in episodes():
        places = [polar(pose(episode, "base"), card) for card in centres(episode)]
        assert [azimuth for _, azimuth in places] == sorted((azimuth for _, azimuth in places), reverse=True)
        assert all(CARD_RADII[0] <= radius <= CARD_RADII[1] for radius, _ in places)
        assert all(math.dist(pose(episode, "cube")[:2], card) > g.PAPER_RADIUS for card in centres(episode))


def test_the_camera_sees_every_corner_and_the_arm_hides_none_of_the_centres() -> None:
    for episode in episodes():
        camera, half = episode["scene"]["camera"], g.CARD_HALF_SIZE
        for x, y in centres(episode):
            assert all(is_framed(camera, (x + dx, y + dy, 0.0)) for dx in (-half, half) for dy in (-half, half))
        middles = [*((x, y, 0.0) for x, y in centres(episode)), (*pose(episode, "cube")[:2], g.CUBE_HALF_SIZE)]
        assert all(is_framed(camera, middle) for middle in middles)
        assert is_clear(camera, pose(episode, "base"), middles)


def test_cameras_and_base_poses_are_other_ones_each_time() -> None:
    eyes = np.array([e["scene"]["camera"]["eye"] for e in episodes()])
    bases = np.array([pose(e, "base") for e in episodes()])
    assert len(np.unique(eyes, axis=0)) == len(np.unique(bases, axis=0)) == len(episodes())
    assert (np.ptp(bases, axis=0) > (0.07, 0.09, 0.65)).all()
    assert np.ptp(eyes, axis=0).min() > 0.3


def test_what_is_behind_the_arm_or_out_of_the_picture_is_not_seen() -> None:
    camera = {"eye": [0.5, 0.0, 0.3], "target": [0.0, 0.0, 0.3], "fovy": 1.0}
    base = (-0.45, 0.0, 0.0)
    assert is_framed(camera, (0.0, 0.0, 0.3))
    assert is_framed(camera, (0.0, 0.25, 0.3))
    assert not is_framed(camera, (0.0, 0.28, 0.3))
    assert not is_framed(camera, (0.6, 0.0, 0.3)), "it lies behind the camera"
    assert is_clear(camera, base, [(0.2, 0.0, 0.0)])
    assert not is_clear(camera, base, [(-0.3, 0.0, 0.3)]), "the hand is between them"
    ends = np.array((0.0, 0.0, 0.0)), np.array((1.0, 0.0, 0.0))
    np.testing.assert_allclose(distance(np.array([(0.5, 2.0, 0.0), (-3.0, 4.0, 0.0), (4.0, 0.0, 4.0)]), *ends), (2, 5, 5))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(TASKS))
def test_a_view_is_found_for_any_seed(seed: int, task: Task) -> None:
    layout, camera = draw_view(Draws(seed), task)
    assert all(is_framed(camera, (x, y, 0.0)) for x, y in layout.cards)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(DECKS))
def test_sets_differ_and_use_every_item_about_equally(seed: int, deck: str) -> None:
    sets = draw_sets(Draws(seed), deck)
    assert len({frozenset(some) for some in sets}) == SETS
    assert all(len(set(some)) == K for some in sets)
    if deck != SHAPES:
        used = Counter(item for some in sets for item in some)
        assert set(used) == set(labels(deck))
        assert max(used.values()) <= 6
