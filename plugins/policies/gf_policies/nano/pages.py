"""What the nano model reads in its pretraining: drawn pages with questions and answers about the pictures on them.

A page stands for what a vision-language model finds on the internet: pictures with their names, in more than one artwork, under
several names, of several kinds; and where things are, as a place on a grid (as PaliGemma's location tokens, arXiv 2407.07726) or
in words. Page ``index`` of a seed is a pure function of both. Places are drawn uniformly: from a jittered grid, a model learns
where pictures tend to be instead of looking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gf_core.canonical import derive_seed
from gf_core.contracts import Deck, DeckItem
from gf_core.errors import GrinningFaceError
from gf_policies.nano.drawing import COLOURS, SIDE, Canvas, Pixels, Placed

GRID = 10
"""Cells of the page's grid along each side: one for each patch of the image encoder."""
CELL = SIDE // GRID
FINE = 8
"""Cells of a cell's own grid along each side."""
NAMES = ("cldr", "synonym")
"""Kinds of a deck item's other names that are names of the picture in English."""
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


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A picture that pages show.

    Attributes:
        item: its id in the decks.
        label: its name.
        names: further names.
        kinds: what it is, broadly: names of its groups.
        faces: its artworks, each in two sizes, RGBA.
    """

    item: str
    label: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    faces: tuple[tuple[Image.Image, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page with what is said about it.

    Attributes:
        image: ``(SIDE, SIDE, 3) uint8`` RGB.
        turns: questions and answers.
        cells: ``(GRID²,) int64``: the thing that fills most of each cell, -1 for none; row by row. Blocks are numbered behind
            the things, in the order of their colours in :data:`~gf_policies.nano.drawing.COLOURS`.
        centres: ``(GRID²,) int64``: place within the cell of the middle of what it holds, -1 where no middle lies in it.
    """

    image: Pixels
    turns: tuple[tuple[str, str], ...]
    cells: npt.NDArray[np.int64]
    centres: npt.NDArray[np.int64]


def things_of(decks: Sequence[Deck]) -> tuple[Thing, ...]:
    """The pictures of decks that show the same items in different artworks; names are gathered from all of them.

    Raises:
        GrinningFaceError: the decks don't hold the same items.
    """
    first, *others = decks
    for other in others:
        if other.items.keys() != first.items.keys():
            raise GrinningFaceError(f"decks {first.id!r} and {other.id!r} don't show the same items", where="decks")
    found = []
    called = {key: _names([deck.items[key] for deck in decks]) for key in first.items}
    owners = Counter(name for names in called.values() for name in names)
    labels = {item.label for item in first.items.values()}
    for key, item in first.items.items():
        entries = [deck.items[key] for deck in decks]
        found.append(
            Thing(
                item=key,
                label=item.label,
                # A published label is sometimes another emoji's CLDR name: then it means the one that it labels.
                names=tuple(name for name in called[key] if name not in labels and owners[name] == 1),
                kinds=tuple(dict.fromkeys(tag for entry in entries for tag in entry.tags if tag != "hard")),
                faces=tuple(_sizes(Image.fromarray(deck.image(key))) for deck in decks),
            )
        )
    return tuple(found)


def _names(entries: Sequence[DeckItem]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.names[kind] for entry in entries for kind in NAMES if kind in entry.names))


def _sizes(face: Image.Image) -> tuple[Image.Image, ...]:
    return face, face.resize((face.width // 2, face.height // 2), Image.Resampling.BOX)


def location(x: float, y: float) -> str:
    """A point of the page [px] as two tokens: the cell of the page, and the cell's own."""
    cell, sub = spot(x, y)
    return f"<loc{cell:02d}> <sub{sub:02d}>"


def spot(x: float, y: float) -> tuple[int, int]:
    """A point of the page [px] as its cell, and the place in that cell."""
    column, row = int(np.clip(x // CELL, 0, GRID - 1)), int(np.clip(y // CELL, 0, GRID - 1))
    across = int(np.clip((x - column * CELL) * FINE // CELL, 0, FINE - 1))
    down = int(np.clip((y - row * CELL) * FINE // CELL, 0, FINE - 1))
    return row * GRID + column, down * FINE + across


LOCATIONS = tuple(f"<loc{n:02d}>" for n in range(GRID * GRID)) + tuple(f"<sub{n:02d}>" for n in range(FINE * FINE))


def draw_page(things: Sequence[Thing], seed: int, index: int, turns: int) -> Page:
    """Page ``index`` with up to ``turns`` questions."""
    rng = np.random.default_rng(derive_seed("nano page", seed, index))
    canvas = Canvas(rng)
    in_a_row = rng.random() < 0.3
    spots = _row(rng) if in_a_row else _scattered(rng)
    chosen = rng.choice(len(things), len(spots), replace=False)
    placed = []
    for number, (x, y, size) in zip(chosen, spots, strict=True):
        faces = things[number].faces[int(rng.integers(len(things[number].faces)))]
        canvas.picture(faces[0] if size > 32 else faces[1], x, y, size)
        placed.append(Placed(int(number), "", x, y, size))
    if rng.random() < 0.6:
        for colour in rng.choice(list(COLOURS), rng.integers(1, 4), replace=False):
            x, y, size = rng.uniform(6, SIDE - 6), rng.uniform(6, SIDE - 6), rng.uniform(5, 13)
            canvas.block(str(colour), x, y, size)
            placed.append(Placed(-1, str(colour), x, y, size))
    if rng.random() < 0.5:
        canvas.clutter()
    image, owners, seen = canvas.finish()
    # What something else covers in the middle isn't asked about: there, the other one is what is seen.
    shares = [
        share if owners[min(int(p.y), SIDE - 1), min(int(p.x), SIDE - 1)] == place else 0.0
        for place, (p, share) in enumerate(zip(placed, seen, strict=True))
    ]
    placed = [Placed(p.number, p.colour, p.x, p.y, p.size, share) for p, share in zip(placed, shares, strict=True)]
    asked = _ask(rng, things, placed, turns, ordered=in_a_row)
    cells, centres = _cells(owners, placed, len(things))
    return Page(image=image, turns=asked, cells=cells, centres=centres)


def _scattered(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Places and sizes, uniform over the page, none much over another. Many: a page costs the encoder the same with three."""
    found: list[tuple[float, float, float]] = []
    for _ in range(rng.integers(10, 16)):
        for _ in range(12):
            size = float(rng.uniform(16, 36))
            x, y = rng.uniform(size * 0.4, SIDE - size * 0.4, 2)
            if all(np.hypot(x - a, y - b) > 0.52 * (size + other) for a, b, other in found):
                found.append((float(x), float(y), size))
                break
    return found


def _row(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Two to four places in a line that may slope, from the left to the right."""
    count = int(rng.integers(2, 5))
    size = float(rng.uniform(18, min(44, 140 / count)))
    gap = float(rng.uniform(size * 1.02, max(size * 1.03, min(56.0, (SIDE - size) / (count - 1)))))
    slope = float(rng.uniform(-0.6, 0.6))
    width, height = gap * (count - 1), abs(slope) * gap * (count - 1)
    left = float(rng.uniform(size / 2, max(size / 2 + 1, SIDE - size / 2 - width)))
    top = float(rng.uniform(size / 2, max(size / 2 + 1, SIDE - size / 2 - height))) + (height if slope < 0 else 0.0)
    wobble = rng.uniform(-0.1, 0.1, (count, 2)) * size
    return [
        (left + k * gap + float(wobble[k, 0]), top + slope * k * gap + float(wobble[k, 1]), size * float(rng.uniform(0.9, 1.1)))
        for k in range(count)
    ]


def _cells(
    owners: npt.NDArray[np.int64], placed: Sequence[Placed], things: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    colours = list(COLOURS)
    numbers = np.array([p.number if p.number >= 0 else things + colours.index(p.colour) for p in placed] + [-1])
    blocks = numbers[owners].reshape(GRID, CELL, GRID, CELL).swapaxes(1, 2).reshape(GRID * GRID, -1)
    cells, centres = np.full(GRID * GRID, -1), np.full(GRID * GRID, -1)
    for cell in np.flatnonzero((blocks >= 0).sum(1) > 0.3 * CELL * CELL):
        cells[cell] = np.bincount(blocks[cell][blocks[cell] >= 0]).argmax()
    for thing, number in zip(placed, numbers, strict=False):
        middle, within = spot(thing.x, thing.y)
        if thing.seen > 0.5:  # a small block doesn't fill its cell, but is what there is to name in it
            cells[middle], centres[middle] = number, within
    return cells, centres


Turn = tuple[str, str]


def _ask(
    rng: np.random.Generator, things: Sequence[Thing], placed: Sequence[Placed], turns: int, *, ordered: bool
) -> tuple[Turn, ...]:
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
        kinds.append((5.0, lambda: _which(rng, things, pictures)))
    if blocks:
        kinds.append((1.6, lambda: _block(rng, blocks)))
    if not kinds:
        return (("is there a picture?", "no"),) if not everything else ()
    weights = np.array([weight for weight, _ in kinds])
    asked: dict[str, str] = {}
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


WHERE = ("where is the {}?", "find {}", "point at the {}", "detect {}", "locate the {}.", "show me the {}")


def _where(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    chosen = pictures[int(rng.integers(len(pictures)))]
    name = _called(rng, things[chosen.number])
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
        return f"is there a {_called(rng, things[pictures[int(rng.integers(len(pictures)))].number])}?", "yes"
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


def _which(rng: np.random.Generator, things: Sequence[Thing], pictures: Sequence[Placed]) -> Turn:
    order = sorted(pictures, key=lambda placed: placed.x)
    right = int(rng.integers(len(order)))
    words = PLACES.get(len(order), ORDINALS[: len(order)]) if rng.random() < 0.6 else ORDINALS[: len(order)]
    options = ", ".join(words[:-1]) + f" or {words[-1]}"
    lead = _choice(rng, WHICH_LEADS).format(_called(rng, things[order[right].number]))
    ending = _choice(rng, ("? answer {}.", ": {}?", ", {}?"))
    return lead + ending.format(options), words[right]


def _block(rng: np.random.Generator, blocks: Sequence[Placed]) -> Turn:
    chosen = blocks[int(rng.integers(len(blocks)))]
    if rng.random() < 0.2:
        return f"what color is the block at {location(chosen.x, chosen.y)}?", chosen.colour
    alone = len(blocks) == 1 and rng.random() < 0.5
    name = _choice(rng, ("block", "cube")) if alone else f"{chosen.colour} {_choice(rng, ('block', 'cube'))}"
    return _filled(rng, name) if rng.random() < 0.5 else f"where is the {name}?", location(chosen.x, chosen.y)


def all_texts(things: Sequence[Thing]) -> list[str]:
    """Every name, kind and sentence that pages hold, for the vocabulary."""
    texts = [text for thing in things for text in (thing.label, *thing.names, *thing.kinds)]
    sentences = [*FILLERS, *WHERE, *WHICH_LEADS, *COLOURS, *ORDINALS, *PLACES[3], *_SENTENCES]
    return [*texts, *(sentence.replace("{}", " ") for sentence in sentences)]


_SENTENCES = (
    "what is at ? name what does the card at show? name the picture at what kind of thing is at ?",
    "which picture belongs to is there a ? yes no answer or . , : what color is the block at ?",
)
