"""Gathers what is asked: a suite's first frames, its cards' pictures, and samples of vision-language data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gf_core.contracts import Deck, Episode, Images
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.evaluation.environment import load_deck, make_env
from gf_core.evaluation.matching import check_decks, check_loaded_deck, check_observes
from gf_core.evaluation.suites import Suite, check_splits
from gf_core.registry import brought_by, one_line
from gf_core.schemas import validate_config
from gf_core.specs import Observes, PolicyInterface
from gf_core.training.probe.questions import Material, Question, Scene, Wordings, closed_set, naming, which_card
from gf_core.training.samples import Frame, Source, Wanted

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Watch = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""

SLOTS = 16
"""Scenes that are laid out side by side."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An episode that has a right card.

    Attributes:
        episode: the episode.
        faces: (deck, item) of its cards, in the scene's order: from the robot's left.
        target: which one is meant.
    """

    episode: Episode
    faces: tuple[tuple[str, str], ...]
    target: int


def choose(suite: Suite, limit: int | None, splits: Collection[str] = ()) -> list[Asked]:
    """The suite's episodes that have a right card, in its order; of ``limit`` of them, as many with each place as can be.

    Args:
        suite: the suite.
        limit: most of them; ``None`` for all.
        splits: only those of these splits; none for all.

    Raises:
        GrinningFaceError: no episode says where its target is, or the suite has no such split.
    """
    check_splits(suite, splits, where="probe")
    within = (episode for episode in suite.episodes if not splits or episode.split in splits)
    found = [asked for episode in within if (asked := _asked(episode)) is not None]
    if not found:
        raise GrinningFaceError(
            "no episode says which card is its target", where=suite.source, hint="the probe reads factors.target_position"
        )
    if limit is None or limit >= len(found):
        return found
    by_place: dict[int, list[int]] = defaultdict(list)
    for number, asked in enumerate(found):
        by_place[asked.target].append(number)
    turns = sorted((turn, number) for numbers in by_place.values() for turn, number in enumerate(numbers))
    return [found[number] for number in sorted(number for _, number in turns[:limit])]


def _asked(episode: Episode) -> Asked | None:
    faces, target = tuple(_faces(episode.scene)), episode.factors.get("target_position")
    if not isinstance(target, int) or isinstance(target, bool) or not 0 <= target < len(faces) or len(faces) < 2:
        return None
    return Asked(episode=episode, faces=faces, target=target)


def _faces(scene: object) -> Iterator[tuple[str, str]]:
    """Whatever in a scene has a ``deck`` and an ``item`` is a face, in any environment (gf_core.contracts.Episode)."""
    if isinstance(scene, Mapping):
        deck, item = scene.get("deck"), scene.get("item")
        if isinstance(deck, str) and isinstance(item, str):
            yield deck, item
        for value in scene.values():
            yield from _faces(value)
    elif isinstance(scene, list | tuple):
        for value in scene:
            yield from _faces(value)


def add_suite(
    material: Material,
    suite: Suite,
    host: PluginHost,
    *,
    limit: int | None,
    splits: Collection[str],
    camera: str,
    size: tuple[int, int],
    wordings: Wordings,
    candidates: int,
    watch: Watch,
) -> None:
    """Add a suite's questions: which card, on every chosen episode's first frame, and the name of every target's picture.

    ``limit`` and ``splits`` choose episodes as in :func:`choose`; ``size`` is height and width [px].

    Raises:
        GrinningFaceError: the suite can't be shown to the policy: no such camera or split, a missing deck, no targets.
    """
    chosen = choose(suite, limit, splits)
    check_decks(suite.decks, host, source=suite.source)
    decks = {name: load_deck(name, host) for name in sorted({deck for asked in chosen for deck, _ in asked.faces})}
    for name, loaded in decks.items():
        check_loaded_deck(loaded, suite.decks.get(name, ""), source=suite.source)
    named: dict[tuple[str, str], None] = {}
    frames = first_frames(suite, [asked.episode for asked in chosen], host, camera=camera, size=size, watch=watch)
    for asked, image in zip(chosen, frames, strict=True):
        episode, (deck, item) = asked.episode, asked.faces[asked.target]
        place = material.show((Frame(camera=camera, offset=0, image=image),))
        label = decks[deck].items[item].label
        material.questions.append(
            which_card(
                wordings.which,
                label,
                len(asked.faces),
                asked.target,
                key=episode.id,
                split=episode.split,
                cluster=episode.cluster,
                image=place,
            )
        )
        material.scenes.append(
            Scene(
                image=place,
                prompt=episode.instruction_at(0),
                cluster=episode.cluster,
                target=asked.target,
                cards=len(asked.faces),
            )
        )
        named.setdefault((deck, item))
    for deck, item in named:
        place = material.show((Frame(camera="card", offset=0, image=card_picture(decks[deck], item, size)),))
        items = decks[deck].items
        material.questions.append(naming(wordings.naming, items[item], items, candidates, deck=deck, image=place))


def first_frames(
    suite: Suite, episodes: Sequence[Episode], host: PluginHost, *, camera: str, size: tuple[int, int], watch: Watch
) -> list[Images]:
    """Each episode's first frame ``(H, W, 3) uint8``, as the runner shows it to a policy.

    Raises:
        GrinningFaceError: the environment hasn't got the camera, or can't lay a scene out.
    """
    spec = host.envs.get(suite.env)
    wanted = Observes(cameras=(camera,), size=size, proprio=False)
    check_observes("the checkpoint's policy", PolicyInterface(observes=wanted, action=None), spec)
    config = validate_config(suite.env_config, spec.config_schema, source=suite.source, at=("env", "config"))
    env = make_env(suite, config, suite.control_hz, host, slots=min(SLOTS, len(episodes)), threads=0)
    found: list[Images] = []
    try:
        for start in range(0, len(episodes), SLOTS):
            watch("drawing first frames", start, len(episodes))
            part = episodes[start : start + SLOTS]
            slots = np.arange(len(part), dtype=np.int32)
            env.reset(slots, part)
            found += list(env.observe(slots, wanted).images[camera].copy())
    except GrinningFaceError:
        raise
    except Exception as error:
        raise PluginError(f"{spec.id} can't show its scenes ({one_line(error)})", where=brought_by(spec)) from error
    finally:
        env.close()
    return found


def card_picture(deck: Deck, item: str, size: tuple[int, int]) -> Images:
    """A card from above: the face on white, as large as it fits, ``(H, W, 3) uint8``."""
    side = min(size)
    face = Image.fromarray(deck.image(item), "RGBA").resize((side, side), Image.Resampling.LANCZOS)
    card = Image.new("RGB", (size[1], size[0]), "white")
    card.paste(face, ((size[1] - side) // 2, (size[0] - side) // 2), face)
    return np.asarray(card)


def add_data(material: Material, source: Source, *, limit: int, candidates: int, watch: Watch) -> None:
    """Add samples with an answer, evenly from the whole source; the answers of a domain are each other's alternatives.

    Raises:
        GrinningFaceError: it is robot data, or no domain has two different answers.
    """
    if source.conventions is not None:
        raise GrinningFaceError(
            f"{source.name!r} is robot data, which asks no questions", where="--data", hint="give a .jsonl file"
        )
    picked = np.unique(np.linspace(0, len(source) - 1, min(limit, len(source))).astype(int)).tolist()
    samples = []
    for number, index in enumerate(picked):
        watch(f"reading {source.name}", number, len(picked))
        sample = source.sample(index, Wanted())
        if sample.answer is not None:
            samples.append(sample)
    pool: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        pool[sample.domain].add(sample.answer or "")
    if not any(len(answers) > 1 for answers in pool.values()):
        raise GrinningFaceError("no domain has two different answers to choose from", where=source.name)
    for sample in samples:
        answer = sample.answer or ""
        if len(pool[sample.domain]) < 2:
            continue
        place = material.show(tuple(frame for frame in sample.frames if frame.offset == 0))
        offered, right = closed_set(answer, pool[sample.domain], candidates, sample.key)
        cluster = sample.key.rpartition("/")[0] or sample.key
        question = Question(
            key=sample.key,
            kind=sample.domain,
            split=source.name,
            cluster=cluster,
            image=place,
            prompts=(sample.prompt,),
            answers=(offered,),
            right=right,
        )
        material.questions.append(question)
        material.scenes.append(Scene(image=place, prompt=sample.prompt, cluster=cluster))
