"""What all kinds of questions are made from: an episode's moments, what each camera sees, and how cards are called."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gf_core.contracts import DeckItem, Doubles
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.faces import Face
from gf_envs.vqa.names import named_by
from gf_envs.vqa.projection import BLOCK, Projector, View
from gf_envs.vqa.replays import Replay

READABLE = 0.7
"""A card is asked about from this visible share of its face on."""
RECOGNIZABLE = 0.35
"""The block is asked about from this visible share on."""
APART = 0.05
"""Cards count as left and right of each other from this horizontal distance on [shares of the image]."""
CLEARLY = 0.03
"""A distance counts as smaller than another from this difference on [m]."""

OUTSIDE_CAMERAS = ("third", "demo")
GRIPPER_CAMERA = "wrist"


@dataclass(frozen=True)
class Shot:
    """An image: the control step, and who takes it."""

    step: int
    camera: str


@dataclass(frozen=True, kw_only=True)
class Region:
    """A box or point in the question or answer: which of its images it is in, and two or four thousandths."""

    image: int
    at: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A question that could be asked.

    Attributes:
        kind: a key of PHRASES.
        answer: the answer, exact by construction.
        shots: its images.
        fields: what its wording is filled in with.
        cards: faces that question or answer name.
        given: what the question tells, by which somebody without the images could guess.
        side: what kind of answer it is; questions are chosen so that all sides are as frequent for the same ``given``. Empty for
            the answer itself.
        regions: boxes and points in it, for drawing.
    """

    kind: str
    answer: str
    shots: tuple[Shot, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    cards: tuple[Face, ...] = ()
    given: str = ""
    side: str = ""
    regions: tuple[Region, ...] = ()


class Desk:
    """One episode, ready to be asked about.

    Args:
        replay: the episode.
        moments: its moments and their steps.
        items: the faces on its cards and those that may be asked for in vain.
        absent: faces that may be named where no card shows them, or something that is called the same.
        projector: for what cameras see.
        rng: draws cameras and pairs.
    """

    def __init__(
        self,
        replay: Replay,
        moments: Mapping[str, int],
        items: Mapping[Face, DeckItem],
        absent: Sequence[Face],
        projector: Projector,
        rng: np.random.Generator,
    ) -> None:
        self.replay, self.moments, self.rng = replay, moments, rng
        self.faces: tuple[Face, ...] = tuple((card.deck, card.item) for card in replay.scene.cards)
        self._items, self._projector = items, projector
        shown = [items[face] for face in self.faces]
        # Two artworks of a thing are asked for by one label.
        self.absent = list({self.name(face): face for face in absent if not named_by(items[face], shown)}.values())
        self._views: dict[Shot, View] = {}

    @property
    def cards(self) -> range:
        """The cards' indices."""
        return range(len(self.faces))

    def label(self, index: int) -> str:
        """What a card shows."""
        return self.name(self.faces[index])

    def name(self, face: Face) -> str:
        """A face's label."""
        return self._items[face].label

    def shot(self, moment: str, camera: str) -> Shot:
        """The image of a moment."""
        return Shot(self.moments[moment], camera)

    def view(self, shot: Shot) -> View:
        """What is seen in an image."""
        if shot not in self._views:
            qpos = self.replay.qpos[shot.step]
            self._views[shot] = self._projector.view(qpos, self.replay.mocap, len(self.faces), shot.camera)
        return self._views[shot]

    def outside(self) -> str:
        """A camera that stands beside the arm: twice as often the one that policies look through."""
        return OUTSIDE_CAMERAS[int(self.rng.integers(3) == 2)]

    def shots(self, *moments: str) -> Iterator[tuple[str, Shot]]:
        """Images of these moments, or of all that the episode has, by one camera beside the arm."""
        camera = self.outside()
        for moment in moments or tuple(self.moments):
            if moment in self.moments:
                yield moment, self.shot(moment, camera)

    def positions(self, view: View) -> dict[int, str]:
        """A card's index to its place in the image: ``left``, ``middle``, ``right``; empty where that isn't clear."""
        order = view.order(len(self.faces))
        across = [view.card(index).center[0] for index in order]
        if any(right - left < APART for left, right in itertools.pairwise(across)):
            return {}
        return dict(zip(order, position_words(len(order)), strict=True))

    def readable(self, view: View) -> list[int]:
        """Indices of the cards whose faces can be recognised."""
        return [index for index in self.cards if view.card(index).visible >= READABLE]

    def shows_block(self, shot: Shot) -> bool:
        """Whether the block can be recognised in an image."""
        return self.view(shot).things[BLOCK].visible >= RECOGNIZABLE

    def center(self, index: int) -> Doubles:
        """``(2,)``, a card's centre [m, world]."""
        card = self.replay.scene.cards[index]
        return np.array([card.x, card.y])

    def distances(self, step: int) -> list[float]:
        """Horizontal distance of the block from each card's centre [m]."""
        block = self.replay.block[step, :2]
        return [float(np.linalg.norm(block - self.center(index))) for index in self.cards]

    def instruction(self, index: int) -> str:
        """What a policy is told to place the block on a card."""
        return g.INSTRUCTION.format(label=self.label(index))

    def is_held(self, step: int) -> bool:
        """Whether both fingers touch the block."""
        return bool(self.replay.held[step])


Kind = Callable[[Desk], Iterator[Candidate]]
"""Finds the questions of a kind that can be asked about an episode."""


def position_words(count: int) -> tuple[str, ...]:
    """Words for the places of ``count`` cards from left to right."""
    words: dict[int, tuple[str, ...]] = {1: ("only",), 2: ("left", "right"), 3: ("left", "middle", "right")}
    ordinals = ("leftmost", "second from the left", "third from the left", "fourth from the left", "fifth from the left")
    return words.get(count, (*ordinals[: count - 1], "rightmost"))


def any_of(words: Sequence[str]) -> str:
    """``left, middle or right``."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def yes(truth: bool) -> str:
    """The answer to a question of yes or no."""
    return "yes" if truth else "no"
