"""Answers are right, can't be guessed without the images, and no question names a card by accident."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.evaluation import Suite
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.bindings import mujoco
from gf_envs.tabletop.model import scene_xml
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.scene import parse_scene
from gf_envs.vqa import DOMAINS
from gf_envs.vqa.asking import Candidate, Desk, any_of, position_words
from gf_envs.vqa.checking import Phrases
from gf_envs.vqa.choosing import KINDS, Chooser
from gf_envs.vqa.making import Decks
from gf_envs.vqa.phrases import PHRASES
from gf_envs.vqa.projection import Projector
from gf_envs.vqa.questions_motion import following
from gf_envs.vqa.replays import Replay, moments

LEFT_TO_RIGHT = ("left", "middle", "right")


def by_kind(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [record for record in records if record["metadata"]["kind"] == kind]
    assert found, kind
    return found


def texts(record: dict[str, Any]) -> tuple[str, str]:
    question, answer = (turn["value"] for turn in record["conversations"])
    return question.replace("<image>\n", ""), answer


class Truth:
    """What an episode's scene says, read without any of the generator's code: cards lie from the arm's left (+y) to its right."""

    def __init__(self, episode: Episode, decks: Decks) -> None:
        cards = sorted(episode.scene["cards"], key=lambda card: -card["y"])
        self.labels = [decks.items[card["deck"], card["item"]].label for card in cards]
        self.y = [card["y"] for card in cards]
        target = episode.scene["cards"][episode.scene["target"]]
        self.target = decks.items[target["deck"], target["item"]].label

    def place(self, label: str) -> str:
        return LEFT_TO_RIGHT[self.labels.index(label)]

    def named_in(self, text: str) -> list[str]:
        """Labels in the order in which a text names them."""
        found = {label: re.search(rf"\b{re.escape(label)}\b", text) for label in self.labels}
        return sorted((label for label in found if found[label]), key=lambda label: found[label].start())


@pytest.fixture(scope="module")
def truth(suite: Suite, decks: Decks) -> dict[str, Truth]:
    return {episode.id: Truth(episode, decks) for episode in suite.episodes}


def test_every_domain_and_kind_is_asked(records: list[dict[str, Any]]) -> None:
    assert {record["domain"] for record in records} == {f"vqa/{domain}" for domain in DOMAINS}
    assert {record["metadata"]["kind"] for record in records} == set(PHRASES)
    assert set(KINDS) == set(DOMAINS)


def test_places_and_orders(records: list[dict[str, Any]], truth: dict[str, Truth]) -> None:
    for record in by_kind(records, "which"):
        question, answer = texts(record)
        true = truth[record["metadata"]["episode"]]
        assert [true.place(label) for label in true.named_in(question)] == [answer]
    for record in by_kind(records, "name-at"):
        question, answer = texts(record)
        (place,) = (word for word in LEFT_TO_RIGHT if word in question)
        assert truth[record["metadata"]["episode"]].place(answer) == place
    for record in by_kind(records, "name-all"):
        assert texts(record)[1].split(", ") == truth[record["metadata"]["episode"]].labels


def test_left_and_right(records: list[dict[str, Any]], truth: dict[str, Truth]) -> None:
    for record in by_kind(records, "order"):
        question, answer = texts(record)
        true = truth[record["metadata"]["episode"]]
        named = true.named_in(question)
        label = record["metadata"]["given"]
        (other,) = (name for name in named if name != label)
        assert answer == ("left" if true.labels.index(label) < true.labels.index(other) else "right")
    for record in by_kind(records, "side"):
        if (label := record["metadata"]["given"]) != "block":
            true = truth[record["metadata"]["episode"]]
            assert texts(record)[1] == ("left" if true.y[true.labels.index(label)] > 0 else "right")


def test_presence(records: list[dict[str, Any]], truth: dict[str, Truth]) -> None:
    for record in by_kind(records, "present"):
        true = truth[record["metadata"]["episode"]]
        assert texts(record)[1] == ("yes" if record["metadata"]["given"] in true.labels else "no")


def test_the_task(records: list[dict[str, Any]], truth: dict[str, Truth], replays: list[Replay]) -> None:
    steps = {one.episode.id: (moments(one), one) for one in replays}
    for record in by_kind(records, "done"):
        known, one = steps[record["metadata"]["episode"]]
        told = record["metadata"]["given"] == truth[one.episode.id].target
        at_end = record["metadata"]["shots"][0]["step"] == known["placed"]
        assert texts(record)[1] == ("yes" if told and at_end else "no")
    for record in by_kind(records, "holding"):
        _, one = steps[record["metadata"]["episode"]]
        assert texts(record)[1] == ("yes" if one.held[record["metadata"]["shots"][0]["step"]] else "no")
    for record in by_kind(records, "below"):
        assert texts(record)[1] == truth[record["metadata"]["episode"]].target
    for record in by_kind(records, "next"):
        if (found := re.search(r"the (\w+) card$", texts(record)[1])) is not None:
            assert truth[record["metadata"]["episode"]].place(record["metadata"]["given"]) == found[1]


def test_the_gripper_is_sent_to_the_block_only_from_beside_it(replays: list[Replay], decks: Decks) -> None:
    one, projector = replays[0], Projector()
    for offset, said in ((0.0, False), (0.02, False), (0.04, True)):
        tool = one.tool.copy()
        tool[0, :2] = one.block[0, :2] + (0.0, offset)
        there = dataclasses.replace(one, tool=tool)
        desk = Desk(there, moments(one), decks.items, [], projector, np.random.default_rng(0))
        answers = {candidate.answer for candidate in following(desk)}
        assert ("move the gripper over the block" in answers) == said
        assert "close the gripper" in answers


def test_time(records: list[dict[str, Any]]) -> None:
    for record in by_kind(records, "first"):
        first, second = (shot["step"] for shot in record["metadata"]["shots"])
        assert texts(record)[1] == ("first" if first < second else "second")
    for record in by_kind(records, "same-time"):
        first, second = record["metadata"]["shots"]
        assert first["camera"] != second["camera"]
        assert texts(record)[1] == ("yes" if first["step"] == second["step"] else "no")


def test_motions_in_words(records: list[dict[str, Any]], replays: list[Replay]) -> None:
    signs = {"ahead": (0, 1), "back": (0, -1), "to the left": (1, 1), "to the right": (1, -1), "up": (2, 1), "down": (2, -1)}
    ones = {one.episode.id: one for one in replays}
    for record in by_kind(records, "motion-between") + by_kind(records, "next-motion"):
        one = ones[record["metadata"]["episode"]]
        first, *rest = (shot["step"] for shot in record["metadata"]["shots"])
        moved = one.tool[rest[0] if rest else first + 10] - one.tool[first]
        said = np.zeros(3)
        words, _, fingers = texts(record)[1].partition("; the gripper ")
        for part in words.split(", ") if words != "no motion" else []:
            number, direction = re.fullmatch(r"(\d+) cm (.+)", part).groups()
            axis, sign = signs[direction]
            said[axis] = sign * int(number) / 100
        assert np.abs(said - moved).max() <= 0.005 + 1e-9
        closed = one.opening[rest[0] if rest else first + 10] < 0.65
        assert fingers in (("closes", "stays closed") if closed else ("opens", "stays open"))


def test_places_in_the_arm_frame(records: list[dict[str, Any]], replays: list[Replay]) -> None:
    ones = {one.episode.id: one for one in replays}
    for record in by_kind(records, "where"):
        one, step = ones[record["metadata"]["episode"]], record["metadata"]["shots"][0]["step"]
        x, y, _ = one.block[step] - np.array(g.BASE_POSITION)
        ahead, *side = texts(record)[1].split(", ")
        assert ahead == f"{round(100 * x)} cm ahead"
        assert side == ([f"{round(100 * abs(y))} cm to the {'left' if y > 0 else 'right'}"] if round(100 * abs(y)) else [])


def test_heights_are_those_of_the_pads_ends(records: list[dict[str, Any]], replays: list[Replay]) -> None:
    ones = {one.episode.id: one for one in replays}
    model = mujoco.MjModel.from_xml_string(scene_xml())
    data, pads = mujoco.MjData(model), [model.geom(f"{side}_pad").id for side in ("left", "right")]
    for record in by_kind(records, "height"):
        data.qpos[:] = ones[record["metadata"]["episode"]].qpos[record["metadata"]["shots"][0]["step"]]
        mujoco.mj_kinematics(model, data)
        ends = [data.geom_xpos[pad] + data.geom_xmat[pad].reshape(3, 3)[:, 0] * model.geom_size[pad, 0] for pad in pads]
        assert texts(record)[1] == f"{round(100 * np.mean(ends, axis=0)[2])} cm"


def test_boxes_lie_in_the_image_and_are_in_the_text(records: list[dict[str, Any]]) -> None:
    for record in by_kind(records, "box-card") + by_kind(records, "box-block") + by_kind(records, "match"):
        numbers = [[int(n) for n in found.split(", ")] for found in re.findall(r"\[([\d, ]+)\]", " ".join(texts(record)))]
        assert numbers == [region["at"] for region in record["metadata"]["regions"]]
        for x1, y1, x2, y2 in numbers:
            assert 0 <= x1 < x2 <= 1000
            assert 0 <= y1 < y2 <= 1000


def test_no_wording_names_a_card(decks: Decks) -> None:
    phrases = Phrases(decks.decks.values())
    words = [re.sub(r"\{.*?\}", "#", wording) for wordings in PHRASES.values() for wording in wordings]
    words += ["yes", "no", "first", "second", any_of(LEFT_TO_RIGHT), *itertools.chain(*(position_words(n) for n in range(1, 7)))]
    assert {text: found for text in words if (found := phrases.find(text))} == {}
    assert len(phrases.find("Where is the fire truck?")) == 1


def start_desks(suite: Suite, decks: Decks, count: int) -> list[tuple[str, Desk]]:
    """Desks over the first frames of many episodes, without anybody having moved."""
    episodes = suite.episodes[:count]
    scenes = [parse_scene(episode.scene) for episode in episodes]
    physics = Physics(count, 1, 20.0)
    slots = np.arange(count, dtype=np.int32)
    physics.reset(slots, scenes)
    projector, absent, found = Projector(), sorted(decks.allowed), []
    for slot, (episode, scene) in enumerate(zip(episodes, scenes, strict=True)):
        one = Replay(
            episode=episode,
            scene=scene,
            qpos=physics.qpos[slot : slot + 1].copy(),
            mocap=physics.mocap[slot].copy(),
            tool=np.zeros((1, 3)),
            opening=np.ones(1),
            held=np.zeros(1, bool),
        )
        found.append((episode.id, Desk(one, {"start": 0}, decks.items, absent, projector, np.random.default_rng(slot))))
    return found


def test_whoever_does_not_see_the_images_guesses_at_chance(suite: Suite, decks: Decks) -> None:
    """A guesser that has read one half of the data answers the other by what was most frequent for the same words."""
    chooser, asked = Chooser(), defaultdict[str, list[tuple[int, Candidate]]](list)
    for number, (_, desk) in enumerate(start_desks(suite, decks, 120)):
        for domain in ("which-card", "spatial", "grounding"):
            for candidate in chooser.choose(desk, domain, 3, desk.rng):
                asked[candidate.kind].append((number % 2, candidate))
    chances = {"which": 1 / 3, "present": 1 / 2, "order": 1 / 2, "nearer-base": 1 / 2, "box-card": 1 / 3}
    for kind, chance in chances.items():
        assert len(asked[kind]) > 40
        assert guessed(asked[kind]) < chance + 0.1, kind
        overall = Counter(candidate.side or candidate.answer for _, candidate in asked[kind])
        assert max(overall.values()) / sum(overall.values()) < chance + 0.03, kind


def guessed(asked: list[tuple[int, Candidate]]) -> float:
    right = 0
    for half in (0, 1):
        by_words: dict[str, Counter[str]] = defaultdict(Counter)
        overall: Counter[str] = Counter()
        for _, candidate in (pair for pair in asked if pair[0] != half):
            by_words[candidate.given][candidate.side or candidate.answer] += 1
            overall[candidate.side or candidate.answer] += 1
        for _, candidate in (pair for pair in asked if pair[0] == half):
            counts = by_words.get(candidate.given) or overall
            right += counts.most_common(1)[0][0] == (candidate.side or candidate.answer)
    return right / len(asked)


def test_nothing_that_is_called_like_a_card_is_asked_for_in_vain(replays: list[Replay], decks: Decks) -> None:
    one, rng = replays[0], np.random.default_rng(0)
    other_artwork = {("another", name): item for (_, name), item in decks.items.items()}
    absent = sorted([*decks.allowed, *(face for face in other_artwork if other_artwork[face].split == "train")])
    meat = [dataclasses.replace(card, item="u1f356") for card in one.scene.cards]
    for cards in (one.scene.cards, tuple(meat)):
        there = dataclasses.replace(one, scene=dataclasses.replace(one.scene, cards=cards))
        desk = Desk(there, {"start": 0}, {**decks.items, **other_artwork}, absent, Projector(), rng)
        labels = [desk.name(face) for face in desk.absent]
        assert len(labels) == len(set(labels)) > 90
        assert not {card.item for card in cards} & {item for _, item in desk.absent}
        assert ("bone" in labels) == (cards is one.scene.cards), "meat is also called meat on bone"


def test_no_question_can_be_asked_twice(suite: Suite, decks: Decks) -> None:
    for _, desk in start_desks(suite, decks, 60):
        asked = [candidate for kind in (*KINDS["which-card"], *KINDS["naming"]) for candidate in kind(desk)]
        assert max(Counter((one.kind, one.shots, tuple(one.fields.items())) for one in asked).values()) == 1


def test_questions_are_not_repeated(records: list[dict[str, Any]]) -> None:
    seen = Counter(
        (
            record["metadata"]["episode"],
            record["metadata"]["kind"],
            str(record["image"]),
            record["metadata"]["given"],
            texts(record)[1],
        )
        for record in records
    )
    assert max(seen.values()) == 1


@pytest.mark.parametrize(("count", "first", "last"), [(1, "only", "only"), (2, "left", "right"), (6, "leftmost", "rightmost")])
def test_words_for_places(count: int, first: str, last: str) -> None:
    words = position_words(count)
    assert (len(set(words)), words[0], words[-1]) == (count, first, last)
