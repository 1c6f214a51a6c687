"""The site's page of techniques: which entries are training seeds of one technique, and how it does over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gf_core._problems import shorten
from gf_core.canonical import JSON, canonical_json
from gf_core.errors import GrinningFaceError
from gf_core.leaderboard.board.outcomes import marks_of
from gf_core.leaderboard.board.ranking import Measured, Place, Played, Table, outcomes
from gf_core.leaderboard.site.model import NAME, Shown, shown, text
from gf_core.schemas import parse_json
from gf_core.statistics import FEWEST_SEEDS, Interval, two_level_interval

_SAME: Mapping[str, str] = {
    "trainable_parameters": "trainable parameters",
    "total_parameters": "parameters",
    "robot_data": "robot data",
    "vision_language_data": "vision-language data",
    "trained_items": "cards trained on",
    "selected_by": "selected by",
    "recipe": "recipe",
    "policy": "policy",
    "execute_steps": "steps played of a chunk",
    "control_hz": "control rate",
    "timing": "timing",
    "latency_steps": "steps of latency",
}
"""What the training seeds of a technique have in common beside technique, head and backbone: fields of cards and of runs."""
_APART = 60
_UNKNOWN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A technique on a backbone, over its training seeds.

    Attributes:
        entries: ids, one for each policy.
        repeated: ids of entries whose policy is that of one of them.
        rate: over all of ``entries``.
        enough: whether there are seeds enough for a claim.
        apart: what sets it apart from others of the same technique, head and backbone; empty where there is none.
    """

    entries: tuple[str, ...]
    repeated: tuple[str, ...]
    rate: Shown
    enough: bool
    apart: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Techniques × backbones, in one table's division and tier; several cells where cards or runs differ in something else."""

    title: str
    techniques: tuple[str, ...]
    backbones: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Cell, ...]]


def make_matrix(table: Table, policies: Mapping[str, str] = _UNKNOWN) -> Matrix:
    """Entries that differ in nothing but the training seed are one cell, by what their cards and runs say (:data:`_SAME`).

    Args:
        table: the table.
        policies: entry to the hash of its policy, where that is known.
    """
    groups: dict[tuple[str, str], dict[tuple[str, ...], list[Place]]] = defaultdict(lambda: defaultdict(list))
    for place in table.places:
        card = place.played.entry.card
        technique = text(f"{card['technique']} · {card['head']}")
        groups[(technique, text(card["backbone"], NAME))][_traits(place.played)].append(place)
    cells = {key: _cells(table, found, policies) for key, found in groups.items()}
    order = sorted(cells, key=lambda key: -cells[key][0].rate.order)
    return Matrix(
        title=f"{table.division} division, {table.tier}",
        techniques=tuple(dict.fromkeys(technique for technique, _ in order)),
        backbones=tuple(dict.fromkeys(backbone for _, backbone in order)),
        cells=cells,
    )


def _traits(played: Played) -> tuple[str, ...]:
    """All that entries of one technique have in common, in the order of :data:`_SAME`."""
    known = {**played.document["described"], **played.entry.card}
    known["recipe"] = _recipe(known["recipe"])
    return tuple(_told(known.get(name)) for name in _SAME)


def _told(value: JSON) -> str:
    return value if isinstance(value, str) else canonical_json(sorted(value, key=str) if isinstance(value, list) else value)


def _recipe(written: str) -> str:
    """A recipe without its seeds, if it is a document; the card of a trained policy holds it as one."""
    try:
        return canonical_json(_seedless(parse_json(written.encode(), source="recipe")))
    except GrinningFaceError:
        return written


def _seedless(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _seedless(inner) for key, inner in value.items() if key != "seed"}
    return [_seedless(inner) for inner in value] if isinstance(value, list) else value


def _cells(table: Table, found: Mapping[tuple[str, ...], Sequence[Place]], policies: Mapping[str, str]) -> tuple[Cell, ...]:
    """A cell for each group, best first, with what it has that another of them hasn't."""
    differing = [n for n in range(len(_SAME)) if len({traits[n] for traits in found}) > 1]
    names = list(_SAME.values())
    cells = []
    for traits, places in found.items():
        apart = "; ".join(f"{names[n]} {shorten(text(traits[n]), _APART)}" for n in differing)
        cells.append(_cell(table, places, policies, apart))
    return tuple(sorted(cells, key=lambda cell: -cell.rate.order))


def _cell(table: Table, places: Sequence[Place], policies: Mapping[str, str], apart: str) -> Cell:
    several, repeated = _policies(places, policies)
    seeds = {place.played.entry.card.get("training_seed") for place in several} - {None}
    k, n = sum(place.success.k for place in several), sum(place.success.n for place in several)
    interval: Interval | None = None
    enough = len(seeds) >= FEWEST_SEEDS and len(seeds) == len(several)
    if enough:
        interval = two_level_interval(_by_seed(table, several)).interval
    elif len(several) == 1:
        interval = several[0].success.interval
    estimate = k / n if n else None
    drawn = shown(Measured(k=k, n=n, estimate=estimate, interval=interval or (Interval(0.0, 1.0) if n else None)))
    entries, others = (tuple(place.played.entry.id for place in found) for found in (several, repeated))
    return Cell(entries=entries, repeated=others, rate=drawn, enough=enough, apart=apart)


def _policies(places: Sequence[Place], policies: Mapping[str, str]) -> tuple[list[Place], list[Place]]:
    """The first entry of each policy, and the others: a policy that is submitted under several names is one seed."""
    several: list[Place] = []
    repeated: list[Place] = []
    seen: set[object] = set()
    for place in sorted(places, key=lambda place: place.played.entry.id):
        told = _tells(place.played, policies)
        (repeated if told & seen else several).append(place)
        seen |= told
    return several, repeated


def _tells(played: Played, policies: Mapping[str, str]) -> set[object]:
    """What two entries share only if one policy made both: its hash, a run, a recording, or else all rows."""
    run = played.document
    told: set[object] = {run["key"]}
    if played.entry.id in policies:
        told.add(policies[played.entry.id])
    prints: set[object] = {*marks_of(run)}
    rows = [run[name] for name in ("endings", "ending", "steps", "clipped_steps", "metrics")]
    return told | (prints or {canonical_json(rows)})


def _by_seed(table: Table, places: Sequence[Place]) -> list[dict[str, tuple[int, int]]]:
    right, known, member = outcomes([place.played for place in places], table.suite, table.split)
    found = []
    for hits, there in zip(right, known, strict=True):
        counts: dict[str, tuple[int, int]] = {}
        for hit, is_there, cluster in zip(hits.tolist(), there.tolist(), member.tolist(), strict=True):
            k, n = counts.get(str(cluster), (0, 0))
            counts[str(cluster)] = (k + bool(hit), n + bool(is_there))
        found.append(counts)
    return found
