"""From a run of recorded successes to a folder of questions, answers and images."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from gf_core.canonical import JSON, canonical_json, content_hash, derive_seed, sha256
from gf_core.contracts import Deck, DeckItem, Episode, Images
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.matching import check_loaded_deck
from gf_core.evaluation.suites import Suite, at_rate
from gf_core.runs import Row, Run
from gf_envs.tabletop.faces import Face
from gf_envs.tabletop.render import Renderer
from gf_envs.tabletop.render import Shot as Frame
from gf_envs.vqa import DOMAINS, GENERATOR, PREFIX
from gf_envs.vqa.asking import Candidate, Desk, Shot
from gf_envs.vqa.choosing import Chooser
from gf_envs.vqa.folder import FILE, IMAGES, MANIFEST, Document
from gf_envs.vqa.phrases import PHRASES
from gf_envs.vqa.projection import Projector
from gf_envs.vqa.replays import Replay, moments, replay

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

TRAIN = "train"
_TOGETHER = 32
"""Episodes that are replayed, asked about and drawn in one go."""
_NAME = 24
"""Characters of an image's name, which is the beginning of its pixels' SHA-256."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a data set is made with; the same settings and the same run give the same bytes.

    Attributes:
        domains: whose questions are asked.
        per_episode: questions of each domain about an episode, where it has as many.
        seed: draws questions, cameras and wordings.
        size: height and width of the images [px].
        splits: of the decks: cards of any other split are neither shown nor named.
        limit: most episodes; 0 for all.
    """

    domains: tuple[str, ...] = tuple(DOMAINS)
    per_episode: int = 1
    seed: int = 0
    size: int = 224
    splits: tuple[str, ...] = (TRAIN,)
    limit: int = 0


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was written: the manifest, and ids of episodes that went otherwise than recorded, which are left out."""

    manifest: Document
    different: tuple[str, ...]


class Decks:
    """A suite's decks, checked against its hashes.

    Args:
        suite: the suite.
        host: the plugins.
        splits: those whose items may be used.
    """

    def __init__(self, suite: Suite, host: PluginHost, splits: Sequence[str]) -> None:
        self.decks: dict[str, Deck] = {}
        for name, digest in suite.decks.items():
            self.decks[name] = load_deck(name, host)
            check_loaded_deck(self.decks[name], digest, source=suite.source)
        self.items: dict[Face, DeckItem] = {(d, i): item for d, deck in self.decks.items() for i, item in deck.items.items()}
        self.allowed = frozenset(face for face, item in self.items.items() if item.split in splits)
        known = {item.split for item in self.items.values()}
        if missing := sorted(set(splits) - known - {TRAIN}):
            raise GrinningFaceError(
                f"no deck of {suite.id} has a split {missing[0]!r}", where="--include-split", hint=_listed(known)
            )

    def usable(self, episode: Episode) -> bool:
        """Whether every card of an episode may be shown."""
        return all((card["deck"], card["item"]) in self.allowed for card in episode.scene["cards"])


def _listed(words: Sequence[str] | set[str]) -> str:
    return f"there are {', '.join(sorted(words))}"


def usable_episodes(suite: Suite, decks: Decks, limit: int) -> list[Episode]:
    """The first ``limit`` episodes (0: all) whose cards may all be shown.

    Raises:
        GrinningFaceError: there is none.
    """
    found = [episode for episode in suite.episodes if decks.usable(episode)]
    if not found:
        cards = (card for episode in suite.episodes for card in episode.scene["cards"])
        splits = sorted({decks.items[card["deck"], card["item"]].split for card in cards} - {TRAIN})
        raise GrinningFaceError(
            f"every episode of {suite.id} shows a card that is held out (split {', '.join(splits)})",
            hint=f"take gf/demos@1, or allow them on purpose with --include-split {splits[0]}",
        )
    return found[:limit] if limit else found


def make(
    run: Run,
    suite: Suite,
    decks: Decks,
    episodes: Sequence[Episode],
    out: Path,
    settings: Settings,
    request: Mapping[str, JSON],
    step: Callable[[int, int], None],
) -> Made:
    """Write a data set.

    Args:
        run: has the recordings.
        suite: the run's suite.
        decks: its decks.
        episodes: those to use, as in the suite; what isn't recorded, or failed, is left out.
        out: the folder; it exists.
        settings: what to make.
        request: goes into the manifest, to be compared with by the next call.
        step: is told how many episodes are done, and of how many.

    Raises:
        GrinningFaceError: no episode can be used, or a recording is damaged.
    """
    hz = float(run.identity["control_hz"])
    by_id = {episode.id: at_rate(episode, hz) for episode in episodes}
    rows = _usable(run, by_id)
    writer = _Writer(out, settings)
    maker = _Maker(decks, settings)
    different: list[str] = []
    chunks = [rows[i : i + _TOGETHER] for i in range(0, len(rows), _TOGETHER)]
    with contextlib.closing(Renderer(0, decks.decks.__getitem__)) as renderer, writer.begun():
        for number, chunk in enumerate(chunks, start=1):
            asked = []
            for found in replay(run, chunk, by_id):
                if isinstance(found, str):
                    different.append(found)
                else:
                    asked.append((found, maker.ask(found)))
            writer.images(_draw(renderer, asked, settings.size), asked)
            writer.records(asked, maker)
            step(min(len(rows), _TOGETHER * number), len(rows))
    left_out = {
        "a held-out card": sum(not decks.usable(episode) for episode in suite.episodes),
        "not recorded, or no success": len(episodes) - len(rows),
        "went otherwise than recorded": len(different),
    }
    document: Document = {
        **writer.document(decks),
        **_origin(run, suite, settings),
        "episodes": {"used": len(rows) - len(different), "left_out": {why: n for why, n in left_out.items() if n}},
        "request": dict(request),
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    _write(out / MANIFEST, f"{text}\n".encode())
    return Made(manifest=document, different=tuple(different))


def _usable(run: Run, episodes: Mapping[str, Episode]) -> list[Row]:
    """The run's successes among these episodes; there is one."""
    rows = [row for row in run.records if row["episode"] in episodes and row["success"] and row["metrics"]["success_on_card"]]
    if not rows:
        raise GrinningFaceError(
            "no episode of the run can be used", where=str(run.path), hint="it takes successes: --policy gf/expert-v1"
        )
    return rows


def _origin(run: Run, suite: Suite, settings: Settings) -> Document:
    """The manifest's part that says what it was made from."""
    return {
        "suite": {"id": suite.id, "sha256": suite.sha256},
        "run": {"policy": str(run.identity["policy"]["id"]), "sha256": content_hash(dict(run.identity))},
        "generator": GENERATOR,
        "seed": settings.seed,
        "splits": list(settings.splits),
    }


Asked = list[tuple[str, Candidate]]
"""Domains and questions of an episode."""


class _Maker:
    """Asks about one episode after another."""

    def __init__(self, decks: Decks, settings: Settings) -> None:
        self._decks, self._settings = decks, settings
        self._absent = sorted(decks.allowed)
        self._projector, self._chooser = Projector(), Chooser()

    def ask(self, found: Replay) -> Asked:
        """Questions about an episode, domain by domain."""
        rng = np.random.default_rng(derive_seed(self._settings.seed, found.episode.id))
        desk = Desk(found, moments(found), self._decks.items, self._absent, self._projector, rng)
        chosen = (
            (domain, self._chooser.choose(desk, domain, self._settings.per_episode, rng)) for domain in self._settings.domains
        )
        return [(domain, candidate) for domain, candidates in chosen for candidate in candidates]

    def wording(self, candidate: Candidate, name: str) -> str:
        """The question; which of its kind's wordings depends on the seed and the record's name."""
        wordings = PHRASES[candidate.kind]
        return wordings[derive_seed(self._settings.seed, name) % len(wordings)].format(**candidate.fields)


def _draw(renderer: Renderer, asked: Sequence[tuple[Replay, Asked]], size: int) -> dict[tuple[str, Shot], Images]:
    """Every image that the questions need, by episode and shot."""
    wanted: dict[tuple[str, Shot], Frame] = {}
    for found, questions in asked:
        faces = tuple((card.deck, card.item) for card in found.scene.cards)
        for shot in itertools.chain.from_iterable(candidate.shots for _, candidate in questions):
            wanted[found.episode.id, shot] = Frame(found.qpos[shot.step], found.mocap, faces, found.scene.render)
    drawn: dict[tuple[str, Shot], Images] = {}
    for camera in sorted({shot.camera for _, shot in wanted}):
        keys = [key for key in wanted if key[1].camera == camera]
        drawn.update(zip(keys, renderer.render([wanted[key] for key in keys], camera, (size, size)), strict=True))
    return drawn


class _Writer:
    """Writes images and records, and counts what they hold."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self._out, self._settings = out, settings
        self._names: dict[tuple[str, Shot], str] = {}
        self._written: set[str] = set()
        self._domains: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._shown: set[Face] = set()
        self._named: set[Face] = set()
        self._file: IO[bytes] | None = None
        (out / IMAGES).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """While it lasts records are written beside the file, which appears when all of them are there."""
        beside = self._out / f".{FILE}.tmp"
        with beside.open("wb") as self._file:
            yield
        beside.replace(self._out / FILE)

    def images(self, drawn: Mapping[tuple[str, Shot], Images], asked: Sequence[tuple[Replay, Asked]]) -> None:
        """Write images, each once, under a name made from its pixels."""
        self._names = {key: image_name(image) for key, image in drawn.items()}
        new = {name: drawn[key] for key, name in self._names.items() if name not in self._written}
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda item: _save(self._out / item[0], item[1]), new.items()))
        self._written |= set(new)
        self._shown |= {(card.deck, card.item) for found, questions in asked if questions for card in found.scene.cards}

    def records(self, asked: Sequence[tuple[Replay, Asked]], maker: _Maker) -> None:
        """Write one line a question."""
        assert self._file is not None
        for found, questions in asked:
            for number, (domain, candidate) in enumerate(questions):
                name = f"{found.episode.id}/{number}"
                row = self._row(name, found, domain, candidate, maker.wording(candidate, name))
                self._file.write(f"{canonical_json(row)}\n".encode())
                self._domains[domain] += 1
                self._kinds[candidate.kind] += 1
                self._named |= set(candidate.cards)

    def _row(self, name: str, found: Replay, domain: str, candidate: Candidate, question: str) -> dict[str, object]:
        files = [self._names[found.episode.id, shot] for shot in candidate.shots]
        tags = "<image>\n" * len(files)
        return {
            "id": name,
            "image": files if len(files) > 1 else files[0],
            "conversations": [{"from": "human", "value": f"{tags}{question}"}, {"from": "gpt", "value": candidate.answer}],
            "domain": f"{PREFIX}{domain}",
            "metadata": {
                "kind": candidate.kind,
                "given": candidate.given,
                "side": candidate.side or candidate.answer,
                "episode": found.episode.id,
                "shots": [{"camera": shot.camera, "step": shot.step} for shot in candidate.shots],
                "shown": [f"{card.deck}#{card.item}" for card in found.scene.cards],
                "named": [f"{deck}#{item}" for deck, item in candidate.cards],
                "regions": [{"image": region.image, "at": list(region.at)} for region in candidate.regions],
            },
        }

    def document(self, decks: Decks) -> Document:
        """The manifest's part that says what was written."""
        items = {
            name: {
                "sha256": deck.sha256,
                "shown": sorted(item for d, item in self._shown if d == name),
                "named": sorted(item for d, item in self._named if d == name),
            }
            for name, deck in decks.decks.items()
        }
        return {
            "schema_version": "1.0",
            "kind": "conversations",
            "sha256": sha256((self._out / FILE).read_bytes()),
            "records": sum(self._domains.values()),
            "images": len(self._written),
            "domains": {f"{PREFIX}{domain}": n for domain, n in sorted(self._domains.items())},
            "kinds": dict(sorted(self._kinds.items())),
            "items": items,
        }


def image_name(image: Images) -> str:
    """``images/<hash>.png``; the hash is over shape and pixels, so that it is the same for every way of compressing them."""
    shape = "x".join(str(side) for side in image.shape)
    return f"{IMAGES}/{sha256(shape.encode() + image.tobytes())[:_NAME]}.png"


def _save(path: Path, image: Images) -> None:
    from PIL import Image

    beside = path.with_name(f".{path.name}.tmp")
    Image.fromarray(image).save(beside, "PNG", compress_level=6)
    beside.replace(path)


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(data)
    beside.replace(path)
