"""What a model is asked: questions with a closed set of answers, one of them right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import DeckItem
from gf_core.errors import GrinningFaceError
from gf_core.training.samples import Frame

NAMING, WHICH = "naming", "which-card"
"""Kinds of questions about a suite; questions of vision-language data have their domain as kind."""

LABEL, PLACES, ORDINALS = "{label}", "{places}", "{ordinals}"
ORDINAL_WORDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
GREY = 127
"""Of the image that stands for none. Some families (PaliGemma) can't be asked without an image."""


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """How questions are put; each wording is asked, and all count alike.

    Attributes:
        naming: about the picture of one card.
        which: about a scene; ``{label}`` is what the card shows, ``{places}`` stands for "left, middle or right" and
            ``{ordinals}`` for "first, second or third", which are then the answers.
    """

    naming: tuple[str, ...] = ("What does the card show?", "Name the picture on the card.")
    which: tuple[str, ...] = (
        "Which card shows the {label}? Answer {places}.",
        "Counted from the left, which card shows the {label}: {ordinals}?",
    )

    def __post_init__(self) -> None:
        for text in self.which:
            if LABEL not in text or (PLACES in text) == (ORDINALS in text):
                raise GrinningFaceError(
                    f"{text!r} must hold {LABEL} and one of {PLACES} and {ORDINALS}",
                    where="--which",
                    hint=f"e.g. {Wordings.which[0]!r}",
                )


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question in one or more wordings.

    Attributes:
        key: unique among those of its kind: an episode's id, a card, a sample's key.
        kind: :data:`NAMING`, :data:`WHICH`, or a domain of vision-language data.
        split: the group in which it is counted.
        cluster: questions with the same cluster aren't independent.
        image: place of its images in :attr:`Material.images`.
        prompts: its wordings.
        answers: for each wording, the candidates, as many for each wording.
        right: which one is right.
    """

    key: str
    kind: str
    split: str
    cluster: str
    image: int
    prompts: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    right: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What representations are taken of: images with a prompt.

    Attributes:
        image: place of its images in :attr:`Material.images`.
        prompt: an episode's instruction, or a question.
        cluster: scenes with the same cluster aren't independent.
        target: the target card's place from the left; -1 for none.
        cards: number of cards; 0 for vision-language data.
    """

    image: int
    prompt: str
    cluster: str
    target: int = -1
    cards: int = 0


@dataclass
class Material:
    """Everything that both models are shown.

    Attributes:
        images: what questions and scenes point to; each entry is a sample's images.
        questions: what is asked.
        scenes: what representations are taken of.
        blind: place of a question's images to that of grey ones of the same sizes; not for questions without images.
    """

    images: list[tuple[Frame, ...]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    blind: dict[int, int] = field(default_factory=dict)
    _grey: dict[tuple[tuple[int, ...], ...], int] = field(default_factory=dict)

    def show(self, frames: tuple[Frame, ...]) -> int:
        """Add a sample's images, and grey ones in their place. Returns their place."""
        self.images.append(frames)
        place = len(self.images) - 1
        if frames:
            sizes = tuple(frame.image.shape for frame in frames)
            if sizes not in self._grey:
                self._grey[sizes] = len(self.images)
                grey = (np.full(size, GREY, np.uint8) for size in sizes)
                self.images.append(tuple(Frame(camera="none", offset=0, image=image) for image in grey))
            self.blind[place] = self._grey[sizes]
        return place


def place_words(count: int) -> tuple[str, ...]:
    """Words for the places of ``count`` cards, from the left.

    Raises:
        GrinningFaceError: there are more cards than words.
    """
    words = {2: ("left", "right"), 3: ("left", "middle", "right")}
    return words.get(count) or ordinal_words(count)


def ordinal_words(count: int) -> tuple[str, ...]:
    """``first``, ``second``, …

    Raises:
        GrinningFaceError: there are more cards than words.
    """
    if count > len(ORDINAL_WORDS):
        raise GrinningFaceError(f"there are no words for the places of {count} cards", hint="choose another suite")
    return ORDINAL_WORDS[:count]


def which_card(
    wordings: Sequence[str], label: str, cards: int, right: int, *, key: str, split: str, cluster: str, image: int
) -> Question:
    """Which of ``cards`` cards, counted from the left, shows ``label``; ``right`` is the place."""
    prompts, answers = [], []
    for text in wordings:
        words = place_words(cards) if PLACES in text else ordinal_words(cards)
        prompt = text.replace(PLACES, any_of(words)).replace(ORDINALS, any_of(words))
        prompts.append(prompt.replace(LABEL, label))
        answers.append(words)
    return Question(
        key=key,
        kind=WHICH,
        split=split,
        cluster=cluster,
        image=image,
        prompts=tuple(prompts),
        answers=tuple(answers),
        right=right,
    )


def naming(
    wordings: Sequence[str], item: DeckItem, items: Mapping[str, DeckItem], candidates: int, *, deck: str, image: int
) -> Question:
    """What a card shows: its own label among ``candidates`` of the deck's, drawn by the card's id; 0 for all of them."""
    others = sorted({other.label for other in items.values()} - {item.label})
    offered = draw(others, candidates - 1 if candidates else len(others), "naming", deck, item.id)
    labels = tuple(sorted([item.label, *offered]))
    return Question(
        key=f"{deck}#{item.id}",
        kind=NAMING,
        split=item.split,
        cluster=item.id,
        image=image,
        prompts=tuple(wordings),
        answers=(labels,) * len(wordings),
        right=labels.index(item.label),
    )


def draw(values: Sequence[str], count: int, *seed: object) -> list[str]:
    """``count`` of the values, or all where there are fewer; the same for the same seed."""
    order = np.random.default_rng(derive_seed("probe", *seed)).permutation(len(values))
    return [values[index] for index in order[:count]]


def closed_set(answer: str, others: Iterable[str], candidates: int, key: str) -> tuple[tuple[str, ...], int]:
    """A right answer among other answers to questions of its domain; returns the candidates, sorted, and its place."""
    pool = sorted(set(others) - {answer})
    offered = tuple(sorted([answer, *draw(pool, candidates - 1 if candidates else len(pool), "domain", key)]))
    return offered, offered.index(answer)


def any_of(words: Sequence[str]) -> str:
    """``left, middle or right``."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
