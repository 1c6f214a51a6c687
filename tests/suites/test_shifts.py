"""The shifts: the standard val scenes with one factor changed, balanced, and with one right card each."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import jsonschema
import numpy as np
import pytest

from gf_core._spec_checks import problems as spec_problems
from gf_core.canonical import content_hash
from gf_core.schemas import check_suite_metrics, validate
from gf_envs.decks import EMOJI_NOTO, EMOJI_TWEMOJI, locked_sha256
from gf_envs.suites import file_name, shifts, suite_specs
from gf_envs.suites.design import Draws
from gf_envs.suites.episodes import split_items
from gf_envs.tabletop.scene import SCENE_SCHEMA, parse_scene
from gf_envs.tabletop.spec import TABLETOP

SUITE = "gf/shifts@1"
SPLITS = ["paraphrase", "synonym", "artwork", "similar", "hard"]
PUBLISHED = "pick the block and place it on"

Episode = dict[str, Any]


@cache
def document(suite: str = SUITE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("gf_envs.suites") / file_name(suite)).read_text(encoding="utf-8"))
    return found


def split(name: str) -> list[Episode]:
    return [episode for episode in document()["episodes"] if episode["split"] == name]


@cache
def standard() -> dict[str, Episode]:
    return {episode["id"]: episode for episode in document("gf/standard@1")["episodes"] if episode["split"] == "val"}


def items(episode: Episode) -> list[str]:
    return [card["item"] for card in episode["scene"]["cards"]]


def layout(scene: dict[str, Any]) -> dict[str, Any]:
    """A scene without what its cards show."""
    return scene | {"cards": [{"x": card["x"], "y": card["y"]} for card in scene["cards"]]}


def decks(episode: Episode) -> set[str]:
    return {card["deck"] for card in episode["scene"]["cards"]}


def test_it_fits_its_schema_its_environment_and_its_spec() -> None:
    found = document()
    validate(found, "suite", source=SUITE)
    check_suite_metrics(found, [metric.name for metric in TABLETOP.metrics], SUITE)
    validator = jsonschema.Draft202012Validator(SCENE_SCHEMA)
    for episode in found["episodes"]:
        validator.validate(episode["scene"])
        parse_scene(episode["scene"])
    assert found["decks"] == {deck: locked_sha256(deck) for deck in (EMOJI_NOTO, EMOJI_TWEMOJI)}
    (spec,) = (spec for spec in suite_specs() if spec.id == SUITE)
    assert spec_problems("suites", spec) == []
    assert spec.sha256 == content_hash(found)
    assert not spec.ranked
    assert list(found["splits"]) == SPLITS
    assert Counter(episode["split"] for episode in found["episodes"]) == dict.fromkeys(SPLITS, 400)


@pytest.mark.parametrize("name", SPLITS)
def test_only_the_named_factor_differs_from_the_standard_episode(name: str) -> None:
    assert [episode["factors"]["scene"] for episode in split(name)] == list(standard())
    for episode in split(name):
        source = standard()[episode["factors"]["scene"]]
        assert layout(episode["scene"]) == layout(source["scene"])
        assert episode["cluster"] == source["cluster"] == items(episode)[episode["scene"]["target"]]
        assert set(items(episode)) <= set(split_items("val"))
        assert (items(episode) == items(source)) == (name not in ("similar", "hard"))
        assert decks(episode) == ({EMOJI_TWEMOJI} if name in ("artwork", "hard") else {EMOJI_NOTO})
        assert (episode["instruction"] == source["instruction"]) == (name in ("artwork", "similar"))
        for factor in ("target", "target_position", "layout", "hard"):
            assert episode["factors"][factor] == source["factors"][factor]


def test_other_sentences_name_the_label_and_never_hold_the_published_one() -> None:
    assert len(shifts.TEMPLATES) >= 8
    used = defaultdict(set)
    for episode in split("paraphrase"):
        sentence, label = episode["instruction"], shifts.words()[episode["cluster"]].label
        assert sentence == shifts.TEMPLATES[episode["factors"]["template"]].format(label=label)
        assert PUBLISHED not in sentence
        used[episode["cluster"]].add(episode["factors"]["template"])
    assert all(len(some) == 4 for some in used.values())
    assert Counter(e["factors"]["template"] for e in split("paraphrase")) == dict.fromkeys(shifts.TEMPLATES, 40)


def test_no_sentence_names_a_val_emoji_beside_the_one_it_is_filled_with() -> None:
    for sentence in shifts.TEMPLATES.values():
        rest = f" {sentence.replace('{label}', '').replace(',', '').replace('?', '')} "
        named = [name for item in split_items("val") for name in shifts.names_of(item) if f" {name} " in rest]
        assert named == [], sentence


@pytest.mark.parametrize("name", ["synonym", "hard"])
def test_the_synonym_is_said_and_the_label_is_not(name: str) -> None:
    for episode in split(name):
        found = shifts.words()[episode["cluster"]]
        assert episode["instruction"] == f"{PUBLISHED} {found.names['synonym']}"
        said = set(found.names["synonym"].lower().split())
        assert not said & {*found.label.lower().split(), *found.names["cldr"].lower().split()}


def test_a_synonym_names_no_other_card_on_its_table() -> None:
    for episode in split("synonym"):
        synonym = shifts.words()[episode["cluster"]].names["synonym"]
        for other in set(items(episode)) - {episode["cluster"]}:
            assert not any(name in synonym or synonym in name for name in shifts.names_of(other)), episode["id"]


def test_similar_cards_share_no_description_and_hard_shows_the_same_ones() -> None:
    for episode, hard in zip(split("similar"), split("hard"), strict=True):
        assert items(episode) == items(hard)
        for one, other in combinations(items(episode), 2):
            assert not shifts.is_ambiguous(one, other), episode["id"]
    assert shifts.is_ambiguous("u1f36f", "u1f3fa")
    assert shifts.is_ambiguous("u1f3fa", "u1f36f")
    assert shifts.is_ambiguous("u1f692", "u1f69b")  # "fire truck" and "truck"
    assert not shifts.is_ambiguous("u1f98a", "u1f42f")


def test_similar_distractors_resemble_the_target_more_than_the_standard_ones() -> None:
    position = {item: index for index, item in enumerate(split_items("val"))}
    apart = shifts.distances(list(position))

    def looks(episodes: list[Episode]) -> float:
        """How unlike the target those distractors look that are of another subgroup."""
        pairs = [(position[e["cluster"]], position[item]) for e in episodes for item in items(e)]
        found = [apart[pair] - shifts.OTHER_SUBGROUP for pair in pairs if shifts.OTHER_SUBGROUP <= apart[pair] < shifts.NEVER]
        return float(np.mean(found))

    def kin(name: str) -> int:
        return sum(episode["factors"]["same_subgroup"] for episode in split(name))

    assert kin("artwork") < 40
    assert kin("similar") == kin("hard") > 450
    assert looks(split("similar")) < 0.8 * looks(list(standard().values()))


def test_no_preference_for_an_emoji_beats_chance_and_distractors_vary() -> None:
    for name in SPLITS:
        shown = Counter(item for episode in split(name) for item in items(episode))
        assert shown == dict.fromkeys(split_items("val"), 12)
    met = Counter((e["cluster"], item) for e in split("similar") for item in items(e) if item != e["cluster"])
    assert max(met.values()) == shifts.MAX_SHARED
    sets = Counter((e["cluster"], frozenset(items(e))) for e in split("similar"))
    assert set(sets.values()) == {1}


def test_distractors_depend_on_no_solver() -> None:
    """Costs in another order of rows and columns give the same assignment: there is only one best."""
    rng = np.random.default_rng(0)
    costs = rng.integers(0, 5, (30, 30))
    ties = np.array([[draws.below(1000) for _ in range(30)] for draws in [Draws("ties")] for _ in range(30)])
    found = shifts.assignment(costs, Draws("ties"))

    from scipy.optimize import linear_sum_assignment

    order = rng.permutation(30)
    rows, columns = linear_sum_assignment((costs * 1000 + ties)[order][:, order])
    assert {int(order[row]): int(order[column]) for row, column in zip(rows, columns, strict=True)} == dict(enumerate(found))


def test_too_few_emojis_are_reported() -> None:
    with pytest.raises(ValueError, match="too few emojis"):
        shifts.assignment(np.full((2, 2), shifts.NEVER), Draws("few"))
