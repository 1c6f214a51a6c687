"""What is asked about a page, and answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from gf_policies.nano.drawing import COLOURS, SIDE, Placed
from gf_policies.nano.places import location, spot
from gf_policies.nano.things import Thing

_FILLERS = """
the a an on it is at of and to for with that this one now please just then there here me my look see go take get put place
pick move set drop hold lift block cube card picture image emoji sticker thing object where which what over near by up down
under beside onto in top front can you could i want need like bring lay grab release leave rest carry let give find choose
select use push pull reach turn open close show shows tell ask say know think left right middle first second third next last
same other another each every all any some none not no yes if when so but or as from into off out back again only very small
big blue red green table hand arm robot gripper area spot square paper print drawing shown showing printed marked called
named carefully gently slowly quickly exactly directly straight its your his her their be are was do does did have has had
will would should may must above
below between behind end ends start until together already ready
"""
FILLERS = tuple(_FILLERS.split())
"""Words put around a name, so that a name is found in any sentence."""
PLACES = {2: ("left", "right"), 3: ("left", "middle", "right")}
ORDINALS = ("first", "second", "third", "fourth", "fifth")


Turn = tuple[str, str]
"""A question and its answer, names of what is seen marked by :func:`shown`."""
Look = tuple[int, int, int]
"""First character of a name, the one behind it, and the cell in whose middle lies what it names."""
_MARKED = re.compile("\x02([0-9]+)\x1f([^\x03]*)\x03")


def shown(name: str, placed: Placed) -> str:
    """A name, marked with the cell of what it names."""
    return f"\x02{spot(placed.x, placed.y)[0]}\x1f{name}\x03"


def unmarked(text: str) -> tuple[str, tuple[Look, ...]]:
    """A text without its marks, and what they said."""
    plain, looks, end = "", [], 0
    for found in _MARKED.finditer(text):
        plain += text[end : found.start()]
        looks.append((len(plain), len(plain) + len(found[2]), int(found[1])))
        plain, end = plain + found[2], found.end()
    return plain + text[end:], tuple(looks)


def ask(
    rng: np.random.Generator, things: Sequence[Thing], placed: Sequence[Placed], turns: int, *, ordered: bool
) -> tuple[Turn, ...]:
    """Up to ``turns`` questions and maybe one about everything, with answers; ``ordered``: the pictures lie in a row."""
    pictures = [p for p in placed if p.number >= 0 and p.seen > 0.5]
    blocks = [p for p in placed if p.number < 0 and p.seen > 0.6]
    everything = [p for p in placed if p.number >= 0]
    kinds: list[tuple[float, Callable[[], Turn | None]]] = []
    if pictures:
        kinds += [
            (4.0, lambda: _where(rng, things, pictures)),
            (2.0, lambda: _what(rng, things, pictures)),
            (0.7, lambda: _kind(rng, things, pictures, everything)),
            (0.6, lambda: _is_there(rng, things, pictures, everything)),
        ]
    if ordered and len(pictures) == len(everything):
        kinds.append((8.0, lambda: _which(rng, things, pictures)))
    if not ordered and pictures:
        kinds.append((1.5, lambda: _side(rng, things, pictures)))
    if blocks:
        kinds.append((1.6, lambda: _block(rng, blocks)))
    if not kinds:
        return (("is there a picture?", "no"),) if not everything else ()
    weights = np.array([weight for weight, _ in kinds])
    asked: dict[str, str] = {}
    if turns and pictures and rng.random() < 0.75:
        question, answer = _everything(rng, things, pictures)
        asked[question] = answer
    for pick in rng.choice(len(kinds), turns, p=weights / weights.sum()):
        if (turn := kinds[pick][1]()) is not None and turn[0] not in asked:
            asked[turn[0]] = turn[1]
    return tuple(asked.items())


def _choice(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _called(rng: np.random.Generator, thing: Thing) -> str:
    """A name: half of the time its label."""
    return thing.label if not thing.names or rng.random() < 0.5 else _choice(rng, thing.names)


def _filled(rng: np.random.Generator, text: str) -> str:
    before = [_choice(rng, FILLERS) for _ in range(rng.integers(0, 9) if rng.random() < 0.5 else rng.integers(0, 4))]
    after = [_choice(rng, FILLERS) for _ in range(rng.integers(0, 4) if rng.random() < 0.5 else 0)]
    return " ".join([*before, text, *after])


EVERYTHING = {"what is where?": "{name} {place}", "where is what?": "{place} {name}"}


def _everything(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    """Every picture in any order, each name beside its place, as in grounded captions (Kosmos-2, arXiv 2306.14824): one look for
    each answer, where a question takes two, from its name to the picture and from its end to its name."""
    question = _choice(rng, tuple(EVERYTHING))
    said = []
    for number in rng.permutation(len(pictures)):
        picture = pictures[number]
        name, place = shown(_called(rng, things[picture.number]), picture), location(picture.x, picture.y)
        said.append(EVERYTHING[question].format(name=name, place=place))
    return question, " ".join(said)


WHERE = ("where is the {}?", "find {}", "point at the {}", "detect {}", "locate the {}.", "show me the {}")


def _where(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    chosen = pictures[int(rng.integers(len(pictures)))]
    name = shown(_called(rng, things[chosen.number]), chosen)
    question = _filled(rng, name) if rng.random() < 0.7 else _choice(rng, WHERE).format(name)
    return question, location(chosen.x, chosen.y)


WHAT = ("what is at {}?", "name {}", "what does the card at {} show?", "name the picture at {}")


def _what(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    chosen = pictures[int(rng.integers(len(pictures)))]
    place = location(chosen.x, chosen.y)
    return _choice(rng, WHAT).format(place), things[chosen.number].label


def _kind(
    rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed], everything: Sequence[Placed]
) -> Turn | None:
    chosen = pictures[int(rng.integers(len(pictures)))]
    if not (kinds := things[chosen.number].kinds):
        return None
    kind = _choice(rng, kinds)
    if rng.random() < 0.5:
        return f"what kind of thing is at {location(chosen.x, chosen.y)}?", kinds[0]
    alike = sum(kind in things[other.number].kinds for other in everything)
    return (f"which picture belongs to {kind}?", location(chosen.x, chosen.y)) if alike == 1 else None


def _is_there(
    rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed], everything: Sequence[Placed]
) -> Turn:
    there = {placed.number for placed in everything}
    if rng.random() < 0.5:
        chosen = pictures[int(rng.integers(len(pictures)))]
        return f"is there a {shown(_called(rng, things[chosen.number]), chosen)}?", "yes"
    absent = int(rng.choice([number for number in range(len(things)) if number not in there]))
    return f"is there a {_called(rng, things[absent])}?", "no"


WHICH_LEADS = (
    "which card shows the {}",
    "which picture is the {}",
    "which one is {}",
    "from the left, which is the {}",
    "counted from the left, which card shows the {}",
    "where is the {}",
)


COUNTED = "from the left"
"""In a lead that only a row can answer."""


def _which(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    order = sorted(pictures, key=lambda placed: placed.x)
    right = int(rng.integers(len(order)))
    words = PLACES.get(len(order), ORDINALS[: len(order)]) if rng.random() < 0.6 else ORDINALS[: len(order)]
    name = shown(_called(rng, things[order[right].number]), order[right])
    return _choose(rng, WHICH_LEADS, name, words), words[right]


def _side(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn | None:
    """Which part of the page something lies in: what left and right mean, before it takes the others of a row to tell."""
    chosen = pictures[int(rng.integers(len(pictures)))]
    words = PLACES[int(rng.integers(2, 4))]
    part, within = divmod(chosen.x / SIDE * len(words), 1.0)
    if not 0.1 < within < 0.9:
        return None  # too close to tell
    leads = [lead for lead in WHICH_LEADS if COUNTED not in lead]
    name = shown(_called(rng, things[chosen.number]), chosen)
    return _choose(rng, leads, name, words), words[int(part)]


def _choose(rng: np.random.Generator, leads: Sequence[str], name: str, words: Sequence[str]) -> str:
    """A question for the place of ``name`` among ``words``."""
    options = ", ".join(words[:-1]) + f" or {words[-1]}"
    return _choice(rng, leads).format(name) + _choice(rng, ("? answer {}.", ": {}?", ", {}?")).format(options)


def _block(rng: np.random.Generator, blocks: Sequence[Placed]) -> Turn:
    chosen = blocks[int(rng.integers(len(blocks)))]
    if rng.random() < 0.2:
        return f"what color is the block at {location(chosen.x, chosen.y)}?", chosen.colour
    alone = len(blocks) == 1 and rng.random() < 0.5
    name = _choice(rng, ("block", "cube")) if alone else f"{chosen.colour} {_choice(rng, ('block', 'cube'))}"
    marked = shown(name, chosen)
    return _filled(rng, marked) if rng.random() < 0.5 else f"where is the {marked}?", location(chosen.x, chosen.y)


def all_texts(things: Sequence[Thing]) -> list[str]:
    """Every name, kind and sentence that pages hold, for the vocabulary."""
    texts = [text for thing in things for text in (thing.label, *thing.names, *thing.kinds)]
    sentences = [*FILLERS, *WHERE, *WHICH_LEADS, *COLOURS, *ORDINALS, *PLACES[3], *_SENTENCES]
    return [*texts, *(sentence.replace("{}", " ") for sentence in sentences)]


_SENTENCES = (
    "what is at ? name what does the card at show? name the picture at what kind of thing is at ?",
    "which picture belongs to is there a ? yes no answer or . , : what color is the block at ? what is where?",
)
