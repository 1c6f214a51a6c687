"""Whether held-out cards occur in vision-language data: by what its records say of themselves, and by what their texts name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from gf_core.canonical import JSON
from gf_core.contracts import Deck
from gf_core.training.conversations import Conversations
from gf_envs.tabletop.faces import Face
from gf_envs.vqa.folder import IMAGES, Document
from gf_envs.vqa.making import image_name
from gf_envs.vqa.names import folded, names_of

_HASHED = re.compile(r"[0-9a-f]{24}\.png")


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """A held-out card in a record: where, which card, and how (``shown``, ``named``, ``in the text``, or by a shared name)."""

    where: str
    deck: str
    item: str
    label: str
    split: str
    how: str

    def __str__(self) -> str:
        return f"{self.where}: {self.label!r} ({self.deck} {self.item}, split {self.split}) {self.how}"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found.

    Attributes:
        records: lines read.
        images: different images read.
        occurring: (deck, split, how) to number of different cards.
        held_out: cards of other splits than the allowed ones, each at the first place where it occurs in each way.
        shared: cards of other splits with a name in the texts that an allowed card has too, each name at its first place.
        problems: where the data isn't what its manifest or its records say.
    """

    records: int
    images: int
    occurring: Mapping[tuple[str, str, str], int]
    held_out: tuple[Occurrence, ...]
    shared: tuple[Occurrence, ...]
    problems: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.held_out and not self.problems


class Phrases:
    """Finds names of cards in texts: whole phrases, upper and lower case alike, at each place the longest that fits.

    Args:
        decks: whose items' labels and other names are looked for.
    """

    def __init__(self, decks: Iterable[Deck]) -> None:
        self._owners: dict[str, set[Face]] = {}
        for deck in decks:
            for item in deck.items.values():
                for name in names_of(item):
                    self._owners.setdefault(name, set()).add((deck.id, item.id))
        longest_first = sorted((re.escape(name) for name in self._owners), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)") if longest_first else None

    def find(self, text: str) -> list[tuple[str, frozenset[Face]]]:
        """Each phrase found, with the cards that are called so (several, where decks or labels overlap)."""
        if self._pattern is None:
            return []
        return [(match[0], frozenset(self._owners[match[0]])) for match in self._pattern.finditer(folded(text))]


def check(data: Conversations, decks: Mapping[str, Deck], splits: Sequence[str], manifest: Document | None) -> Checked:
    """Look at every record, text and image.

    Args:
        data: the data.
        decks: by id.
        splits: whose items may occur.
        manifest: what is said to be in it; ``None`` where nothing is.

    Raises:
        GrinningFaceError: an image can't be read.
    """
    seen = _Seen(decks, splits)
    names: dict[str, str] = {}
    for row in range(data.records):
        record, where = data.record(row), data.where(row)
        for path in record.images:
            names.setdefault(path, where)
        text = "\n".join(part for turn in record.turns for part in (turn.prompt, turn.answer))
        seen.record(record.content.get("metadata"), text, where)
    problems = [*seen.problems, *_images(data, names)]
    if manifest is not None:
        problems += _against(manifest, data, seen)
    return Checked(
        records=data.records,
        images=len(names),
        occurring=seen.occurring(),
        held_out=tuple(seen.held_out.values()),
        shared=tuple(seen.shared.values()),
        problems=tuple(problems),
    )


class _Seen:
    """What occurs, record by record."""

    def __init__(self, decks: Mapping[str, Deck], splits: Sequence[str]) -> None:
        self._items = {(name, item.id): item for name, deck in decks.items() for item in deck.items.values()}
        self._allowed = {face for face, item in self._items.items() if item.split in splits}
        self._phrases = Phrases(decks.values())
        self.found: dict[str, set[Face]] = {"shown": set(), "named": set(), "in the text": set()}
        self.held_out: dict[tuple[Face, str], Occurrence] = {}
        self.shared: dict[tuple[Face, str], Occurrence] = {}
        self.problems: list[str] = []

    def record(self, metadata: JSON, text: str, where: str) -> None:
        """Take in one record."""
        said: dict[str, set[Face]] = {}
        for how in ("shown", "named"):
            faces = metadata.get(how) if isinstance(metadata, dict) else None
            said[how] = {face for name in faces if (face := self._face(name, where))} if isinstance(faces, list) else set()
            for face in sorted(said[how]):
                self._occurs(face, how, where)
        for phrase, owners in self._phrases.find(text):
            allowed = owners & self._allowed
            for face in sorted(allowed or owners):
                self._occurs(face, "in the text", where)
            for face in sorted(owners - allowed if allowed else ()):
                self.shared.setdefault((face, phrase), self._occurrence(face, f"is also called {phrase!r}, in the text", where))
            if isinstance(metadata, dict) and not owners & said["named"]:
                self.problems.append(f"{where}: the text names {phrase!r}, and the record's metadata doesn't")

    def _face(self, name: JSON, where: str) -> Face | None:
        deck, _, item = str(name).partition("#")
        if (deck, item) in self._items:
            return deck, item
        self.problems.append(f"{where}: no deck has {name!r}")
        return None

    def _occurs(self, face: Face, how: str, where: str) -> None:
        self.found[how].add(face)
        if face not in self._allowed and (face, how) not in self.held_out:
            self.held_out[face, how] = self._occurrence(face, how, where)

    def _occurrence(self, face: Face, how: str, where: str) -> Occurrence:
        item = self._items[face]
        return Occurrence(where=where, deck=face[0], item=face[1], label=item.label, split=item.split, how=how)

    def occurring(self) -> Counter[tuple[str, str, str]]:
        """(deck, split, how) to number of different cards."""
        return Counter((face[0], self._items[face].split, how) for how, faces in self.found.items() for face in faces)


def _images(data: Conversations, names: Mapping[str, str]) -> list[str]:
    """Images that aren't the ones that their names stand for; reads them all."""

    def wrong(pair: tuple[str, str]) -> str:
        path, where = pair
        pixels = data.image(path, where)
        hashed = PurePosixPath(path).parent.name == IMAGES and _HASHED.fullmatch(PurePosixPath(path).name)
        if hashed and not path.endswith(image_name(pixels)):
            return f"{where}: the image {path!r} isn't the one that was made: its pixels differ"
        return ""

    with ThreadPoolExecutor() as pool:
        return [problem for problem in pool.map(wrong, names.items()) if problem]


def _against(manifest: Document, data: Conversations, seen: _Seen) -> list[str]:
    """Where the manifest says otherwise than the records."""
    problems = []
    if manifest["sha256"] != data.sha256:
        problems.append(f"{data.path}: it isn't the file that its manifest describes")
    for how in ("shown", "named"):
        said = {(deck, item) for deck, entry in manifest["items"].items() for item in entry[how]}
        for word, faces in (("records", seen.found[how] - said), ("manifest", said - seen.found[how])):
            if faces:
                deck, item = min(faces)
                more = f" and {len(faces) - 1} more" if len(faces) > 1 else ""
                problems.append(f"{data.path}: only its {word} say{'s' * (word == 'manifest')} that {deck} {item}{more} is {how}")
    return problems
