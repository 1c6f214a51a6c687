"""Which episodes a page shows, and what it says of each; failures first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from gf_core._problems import printable, shorten
from gf_core.canonical import canonical_json, sha256
from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite, at_rate
from gf_core.reporting.faces import Face, Faces
from gf_core.reporting.film import Filmed, Take, Watch, film
from gf_core.reporting.model import Evidence
from gf_core.reporting.outcomes import Kind, conditional, kind_of
from gf_core.runs import Row

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

ITEMS = 12
"""Most episodes of a run."""

SUCCESSES = 3
"""How many of them show a success, where there are failures enough."""

MOST = 96
"""Most episodes of a page; with more runs than eight, each has fewer."""

MEDIA_BYTES = 4_000_000
"""Most bytes of pictures; beyond, animations are left out from the last run on."""

_FAILURES = (Kind.WRONG, Kind.NEITHER, Kind.MISSED, Kind.FAILED, Kind.POLICY_ERROR)
_TEXT = 240


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An episode on the page.

    Attributes:
        kind: what became of it.
        success: by the suite's rule.
        id: the episode's, as recorded.
        episode: the same, as shown.
        instruction: what the policy was told at first.
        ending: with the steps that it took.
        reason: what went wrong, if something broke.
        chosen, wanted: the card that was chosen and the right one; ``None`` where there is none.
        film: pictures; ``None`` where there are none.
    """

    kind: Kind
    success: bool
    id: str
    episode: str
    instruction: str
    ending: str
    reason: str
    chosen: Face | None
    wanted: Face | None
    film: Filmed | None


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A run's episodes; ``note`` says why there are no pictures, if there are none."""

    tiles: tuple[Tile, ...]
    note: str = ""


def make_gallery(
    evidence: Sequence[Evidence],
    faces: Faces,
    host: PluginHost,
    watch: Watch = lambda done, of: None,
    *,
    items: int = ITEMS,
) -> list[Strip]:
    """A strip for each run, of at most so many ``items``.

    Episodes are drawn by a hash of their ids, so the same for every policy and chosen by nobody. Runs of one suite under the same
    settings of the environment are filmed side by side. Where something stands in the way, a missing OpenGL or trajectory, a
    strip has no pictures and says why. ``watch`` is told how far the drawing is, suite by suite.
    """
    limit = max(1, min(items, MOST // max(1, len(evidence))))
    strips = [_strip(one, limit, faces) for one in evidence]
    films = _films(evidence, strips, host, watch)
    return _within_budget([_with_pictures(strip, films[number]) for number, strip in enumerate(strips)])


def choose(rows: Sequence[Row], limit: int, kinds: Sequence[Kind]) -> list[int]:
    """Indices of at most ``limit`` rows: kinds of failure in turn, then successes; infrastructure faults are nobody's."""
    order = sorted(range(len(rows)), key=lambda i: sha256(rows[i]["episode"]))
    failed = {kind: [i for i in order if kinds[i] is kind and not rows[i]["success"]] for kind in _FAILURES}
    successes = [i for i in order if rows[i]["success"]]
    turns = [i for turn in zip_longest(*failed.values()) for i in turn if i is not None]
    room = limit - min(SUCCESSES, limit // 4, len(successes))
    chosen = set(turns[:room])
    listed = [i for kind in _FAILURES for i in failed[kind] if i in chosen]
    return listed + successes[: limit - len(listed)]


def _strip(one: Evidence, limit: int, faces: Faces) -> Strip:
    if one.suite is None:
        return Strip(tiles=(), note="The suite isn't known here, so episodes can't be shown.")
    rows = one.run.records
    decl = conditional(one.suite.metrics)
    kinds = [kind_of(row, decl) for row in rows]
    hz = float(one.run.identity["control_hz"])
    episodes = {episode.id: at_rate(episode, hz) for episode in one.suite.episodes}
    chosen = choose(rows, limit, kinds)
    return Strip(tiles=tuple(_tile(rows[i], kinds[i], episodes[rows[i]["episode"]], faces) for i in chosen))


def _tile(row: Row, kind: Kind, episode: Episode, faces: Faces) -> Tile:
    seconds = row["steps"] / episode.control_hz
    return Tile(
        kind=kind,
        success=row["success"],
        id=row["episode"],
        episode=_text(row["episode"]),
        instruction=_text(episode.instruction_at(0)),
        ending=f"{_text(row['ending'])} after {row['steps']} steps ({seconds:.1f} s)",
        reason=_text(str(row.get("reason", ""))),
        chosen=_card(episode, row["metrics"].get("chosen"), faces),
        wanted=_card(episode, episode.scene.get("target"), faces),
        film=None,
    )


def _card(episode: Episode, index: object, faces: Faces) -> Face | None:
    """The face of a card of the scene; ``None`` for environments whose scenes have no cards, and for no card."""
    cards = episode.scene.get("cards")
    if not isinstance(cards, list) or isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(cards):
        return None
    card = cards[index]
    return faces.find(str(card.get("item")), str(card.get("deck", ""))) if isinstance(card, Mapping) else None


def _text(text: str) -> str:
    return shorten(printable(text), _TEXT)


_Films = dict[int, dict[str, Filmed] | str]
"""Number of a run to its films by episode, or to why there are none."""


def _films(evidence: Sequence[Evidence], strips: Sequence[Strip], host: PluginHost, watch: Watch) -> _Films:
    def stage(number: int) -> str:
        identity = evidence[number].run.identity
        return canonical_json([identity["suite"]["sha256"], identity["environment"]["config"], identity["control_hz"]])

    found: _Films = {number: strip.note for number, strip in enumerate(strips)}
    wanted = sorted((number for number, strip in enumerate(strips) if strip.tiles), key=stage)
    for _, group in groupby(wanted, key=stage):
        found |= _film_together(list(group), evidence, strips, host, watch)
    return found


def _film_together(
    numbers: list[int], evidence: Sequence[Evidence], strips: Sequence[Strip], host: PluginHost, watch: Watch
) -> _Films:
    """Film the runs with these numbers, which share suite and settings."""
    takes: dict[tuple[int, str], Take] = {}
    found: _Films = {}
    for number in numbers:
        try:
            takes |= {(number, take.record["episode"]): take for take in _takes(evidence[number], strips[number])}
        except GrinningFaceError as error:
            found[number] = f"No pictures: {printable(str(error))}."
    if not takes:
        return found
    first = evidence[next(iter(takes))[0]]
    identity, suite = first.run.identity, first.suite
    assert suite is not None
    try:
        hz = float(identity["control_hz"])
        filmed = film(suite, identity["environment"]["config"], hz, list(takes.values()), host, watch)
    except GrinningFaceError as error:
        return found | dict.fromkeys([number for number, _ in takes], f"No pictures: {printable(str(error))}.")
    for (number, episode), pictures in zip(takes, filmed, strict=True):
        films = found.setdefault(number, {})
        assert isinstance(films, dict)
        films[episode] = pictures
    return found


def _takes(one: Evidence, strip: Strip) -> list[Take]:
    suite: Suite | None = one.suite
    assert suite is not None
    episodes = {episode.id: episode for episode in suite.episodes}
    records = {row["episode"]: row for row in one.run.records}
    hz = float(one.run.identity["control_hz"])
    names = [tile.id for tile in strip.tiles]
    return [
        Take(episode=at_rate(episodes[name], hz), record=records[name], controls=one.run.trajectory(name).controls)
        for name in names
    ]


def _with_pictures(strip: Strip, films: dict[str, Filmed] | str) -> Strip:
    if isinstance(films, str):
        return replace(strip, note=films)
    return replace(strip, tiles=tuple(replace(tile, film=films.get(tile.id)) for tile in strip.tiles))


def _within_budget(strips: list[Strip]) -> list[Strip]:
    spent = sum(len(t.film.still) for strip in strips for t in strip.tiles if t.film)
    result = []
    for strip in strips:
        tiles = []
        for tile in strip.tiles:
            if tile.film and tile.film.moving and spent + len(tile.film.moving) > MEDIA_BYTES:
                tile = replace(tile, film=replace(tile.film, moving=""))
            spent += len(tile.film.moving) if tile.film else 0
            tiles.append(tile)
        result.append(replace(strip, tiles=tuple(tiles)))
    return result
