"""A ranking as a document of kind ``ranking``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.canonical import JSON
from gf_core.leaderboard.board.ranking import Measured, Place, Played, Ranking, Table
from gf_core.leaderboard.board.repository import Board, Entry


def to_document(board: Board, ranking: Ranking, claims: Sequence[Mapping[str, Any]] = ()) -> dict[str, JSON]:
    """The content of a document of kind ``ranking`` (ranking-1.schema.json)."""
    unranked: list[JSON] = [{**_run(one.played), "why": one.why} for one in ranking.unranked]
    return {
        "title": board.document["title"],
        "tables": [_table(table) for table in ranking.tables],
        "unranked": unranked,
        "claims": [dict(claim) for claim in claims],
        "withdrawn": [_entry(entry) for entry in board.entries if not entry.listed],
        "problems": [{"where": problem.where, "what": problem.what} for problem in board.problems],
    }


def _entry(entry: Entry) -> dict[str, JSON]:
    return {
        "id": entry.id,
        "name": entry.name,
        "added": entry.document["added"],
        "badge": entry.badge,
        "division": entry.division,
        "reason": entry.reason,
    }


def _run(played: Played) -> dict[str, JSON]:
    rates: dict[str, JSON] = {
        split: {name: measured_json(one) for name, one in found.items()} for split, found in played.rates.items()
    }
    return {
        "entry": _entry(played.entry),
        "suite": played.suite,
        "suite_sha256": played.suite_sha256,
        "policy": played.document["described"]["policy"],
        "seed": played.seed,
        "rates": rates,
    }


def measured_json(one: Measured) -> dict[str, JSON]:
    """A rate: k of n, its estimate and its interval in 0..1."""
    interval: JSON = [one.interval.low, one.interval.high] if one.interval else None
    return {"k": one.k, "n": one.n, "estimate": one.estimate, "interval": interval}


def _table(table: Table) -> JSON:
    return {
        "suite": table.suite.id,
        "suite_sha256": table.suite.sha256,
        "track": table.track,
        "division": table.division,
        "tier": table.tier,
        "split": table.split,
        "places": [_place(place) for place in table.places],
    }


def _place(place: Place) -> JSON:
    return {"best": place.best, "worst": place.worst, "letters": place.letters, **_run(place.played)}
