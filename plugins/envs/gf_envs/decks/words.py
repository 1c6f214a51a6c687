"""Words for the emojis beyond their labels: group, subgroup, a synonym and a description.

``emoji_words.csv`` holds them. Synonyms and descriptions were chosen or written by hand and reviewed against the artwork;
Unicode's groups are filled in by ``python -m gf_envs.decks.words FOLDER``, whose folder holds what ``npm pack`` writes for the
packages of :mod:`gf_envs.decks.npm_packages`. The column ``source`` says where a synonym comes from: ``cldr`` where it is a
keyword that Unicode's CLDR gives the emoji, ``hand`` otherwise. CLDR's keywords alone don't do: for most emojis they are its own
name, or what it shares with others ("face", "fruit", "music").

Rules, which :func:`problems` checks: no synonym is another emoji's label, CLDR name or synonym; it shares no word with its own
emoji's label or CLDR name, so that who knows only those can't find it; a description has no word of the label and of the synonym.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gf_core.contracts import DeckItem
from gf_core.errors import GrinningFaceError
from gf_envs.decks.npm_packages import ANNOTATIONS, EMOJIBASE, read_members

FILE = Path(__file__).parent / "emoji_words.csv"

FILLERS = frozenset({"a", "an", "and", "in", "of", "on", "over", "the", "up", "with"})
"""Words that name nothing, which a description may share with a label."""

GROUPS = {
    "smileys-emotion": "smileys and emotion",
    "people-body": "people and body",
    "animals-nature": "animals and nature",
    "food-drink": "food and drink",
    "travel-places": "travel and places",
    "activities": "activities",
    "objects": "objects",
    "symbols": "symbols",
}
"""Unicode's groups (emoji-test.txt) as plain words."""

SUBGROUPS = {
    "face-neutral-skeptical": "neutral faces", "face-unwell": "unwell faces", "face-glasses": "faces with eyewear",
    "face-costume": "costumes", "emotion": "emotions", "hand-fingers-partial": "hand signs",
    "hand-single-finger": "pointing hands", "hand-fingers-closed": "fists", "hands": "two hands", "body-parts": "body parts",
    "person-role": "people", "person-sport": "athletes", "family": "families", "person-symbol": "people as symbols",
    "animal-mammal": "mammals", "animal-bird": "birds", "animal-amphibian": "amphibians", "animal-reptile": "reptiles",
    "animal-marine": "marine animals", "animal-bug": "bugs", "plant-flower": "flowers", "plant-other": "plants",
    "food-fruit": "fruits", "food-vegetable": "vegetables", "food-prepared": "prepared food", "food-asian": "asian food",
    "food-sweet": "sweets", "drink": "drinks", "dishware": "tableware", "place-map": "maps", "place-geographic": "landscapes",
    "place-building": "buildings", "place-other": "places", "transport-ground": "land vehicles",
    "transport-water": "boats", "transport-air": "aircraft", "time": "clocks", "sky-weather": "sky and weather",
    "event": "events", "award-medal": "awards", "sport": "sports", "game": "games", "arts-crafts": "arts and crafts",
    "clothing": "clothing", "sound": "sounds", "music": "music", "musical-instrument": "musical instruments",
    "computer": "computers", "light-video": "light and video", "book-paper": "books and paper", "money": "money",
    "writing": "writing", "office": "office supplies", "lock": "locks", "tool": "tools", "science": "science",
    "medical": "medicine", "household": "household", "other-object": "other objects", "warning": "warnings",
    "religion": "religion", "zodiac": "zodiac", "math": "mathematics", "punctuation": "punctuation",
    "other-symbol": "other symbols", "geometric": "geometric figures",
}  # fmt: skip
"""Those of Unicode's subgroups (emoji-test.txt) that the deck has, as plain words."""


@dataclass(frozen=True)
class Words:
    """What ``emoji_words.csv`` says of an emoji.

    Attributes:
        id: the deck's item id.
        group: Unicode's group.
        subgroup: Unicode's subgroup.
        synonym: another English name.
        source: ``cldr`` or ``hand``.
        description: what it is or looks like, without its names.
    """

    id: str
    group: str
    subgroup: str
    synonym: str
    source: str
    description: str

    @property
    def tags(self) -> list[str]:
        """Group and subgroup as plain words."""
        return [GROUPS[self.group], SUBGROUPS[self.subgroup]]


def read_words(file: Path = FILE) -> dict[str, Words]:
    """Item id to words, in the deck's order."""
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return {row["id"]: Words(**row) for row in rows}


def words_text(rows: Iterable[Words]) -> str:
    """The table as CSV."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(Words.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


def terms(text: str) -> set[str]:
    """The words of a name, in lower case and without fillers."""
    return set(re.findall(r"[a-z0-9]+", text.lower())) - FILLERS


def problems(items: Mapping[str, DeckItem], words: Mapping[str, Words]) -> list[str]:
    """What breaks the rules above, one sentence each.

    Args:
        items: with their labels and ``cldr`` names.
        words: by the same ids.
    """
    if list(items) != list(words):
        return [f"the table must have one row for each of the {len(items)} emojis, in the deck's order"]
    owners = defaultdict(set)
    for item in items.values():
        for name in (item.label, item.names["cldr"], words[item.id].synonym):
            owners[name.lower()].add(item.id)
    found = []
    for item in items.values():
        row, own = words[item.id], terms(item.label) | terms(item.names["cldr"])
        where = f"{item.id} ({item.label})"
        found += [f"{where}: {row.synonym!r} is another's name too"] * (len(owners[row.synonym.lower()]) > 1)
        found += [f"{where}: the synonym {row.synonym!r} shares {word!r}" for word in sorted(terms(row.synonym) & own)]
        shared = terms(row.description) & (terms(item.label) | terms(row.synonym))
        found += [f"{where}: the description shares {word!r}" for word in sorted(shared)]
        found += [f"{where}: no {name}" for name in ("synonym", "description") if not getattr(row, name)]
        found += [f"{where}: unknown group"] * (row.group not in GROUPS or row.subgroup not in SUBGROUPS)
    return found


def filled(folder: Path, rows: Mapping[str, Words]) -> list[Words]:
    """The rows with group, subgroup and source as the packages in ``folder`` say.

    Raises:
        GrinningFaceError: a package is missing or another version.
    """
    data, meta = map(json.loads, read_members(folder, EMOJIBASE, ("en/data.json", "meta/groups.json")))
    (annotations,) = map(json.loads, read_members(folder, ANNOTATIONS, ("annotations/en/annotations.json",)))
    keywords = annotations["annotations"]["annotations"]
    emojis = {row["hexcode"].removesuffix("-FE0F").lower(): row for row in data}
    found = []
    for row in rows.values():
        code = row.id.removeprefix("u")
        group, subgroup = meta["groups"][str(emojis[code]["group"])], meta["subgroups"][str(emojis[code]["subgroup"])]
        source = "cldr" if row.synonym in keywords[chr(int(code, 16))]["default"] else "hand"
        found.append(replace(row, group=group, subgroup=subgroup, source=source))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill in and check the table."""
    from gf_envs.decks import EMOJI_NOTO, load_deck

    parser = argparse.ArgumentParser(prog="python -m gf_envs.decks.words", description="Fill in emoji_words.csv and check it.")
    parser.add_argument("folder", type=Path, help="folder with the packages' tarballs")
    options = parser.parse_args(arguments)
    try:
        rows = filled(options.folder, read_words())
    except GrinningFaceError as error:
        parser.exit(2, f"{error}\n")
    FILE.write_text(words_text(rows), encoding="utf-8")
    for problem in (found := problems(load_deck(EMOJI_NOTO).items, {row.id: row for row in rows})):
        print(problem)
    print(f"{FILE.name}: {len(rows)} emojis, {sum(row.source == 'cldr' for row in rows)} synonyms from CLDR")
    if found:
        parser.exit(1)


if __name__ == "__main__":
    main()
