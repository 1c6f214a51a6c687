"""Ranks a repository's entries: per suite, track, division and tier, by what they reached on one split.

Only entries whose physics was verified are ranked, in two tiers that never mix: policies that the maintainers ran themselves, and
policies of which only the recordings are verified. Everything else is listed with the reason why it isn't ranked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard.board.outcomes import PLACES, suites_here
from gf_core.leaderboard.board.repository import Board, Division, Entry
from gf_core.statistics import Interval, letters, standings
from gf_core.summary import ENV_ERROR, RANKABLE_EPISODES

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

MAIN_SPLIT = "val"
"""What ranks: cards that no policy was trained to act on."""
LETTERED = 100
"""The most entries of a table that get letters: more can't be read, and take long to find. Ranges of ranks have no such limit."""
SUCCESS = "success"

Tier = Literal["re-run", "replayed"]
Track = Literal["simulation", "real"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A rate as it was recomputed when the entry was added: k of n, in 0..1; ``None`` without an episode."""

    k: int
    n: int
    estimate: float | None
    interval: Interval | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """An entry's run on a suite.

    Attributes:
        entry: whose.
        path: its folder in the submission.
        suite, suite_sha256: id and hash of the suite that it is of.
        seed: the run's seed.
        rates: split to name of a rate to what was measured.
        document: the run in outcomes.json.
    """

    entry: Entry
    path: str
    suite: str
    suite_sha256: str
    seed: int
    rates: Mapping[str, Mapping[str, Measured]]
    document: Mapping[str, Any]

    def success(self, split: str) -> Measured | None:
        """Success on a split."""
        return self.rates.get(split, {}).get(SUCCESS)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run's place in a table.

    Attributes:
        played: the run.
        success: on the split that ranks.
        best, worst: the ranks that it could have, with 95 % for all of the table at once.
        letters: two runs share one exactly if they are not separable; empty in a table that is too long for it.
    """

    played: Played
    success: Measured
    best: int
    worst: int
    letters: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Runs that are ranked against each other, best first.

    Attributes:
        suite: what they are of.
        track, division, tier: what they have in common.
        split: by what they are ranked.
        places: one each.
        separable: ``(N, N)``, in the order of places.
    """

    suite: Suite
    track: Track
    division: Division
    tier: Tier
    split: str
    places: tuple[Place, ...]
    separable: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Unranked:
    """A run that is listed and not ranked, and why."""

    played: Played
    why: str


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All tables of a repository, and what is in none."""

    tables: tuple[Table, ...]
    unranked: tuple[Unranked, ...]


def rank(board: Board, host: PluginHost, *, rerun: Iterable[tuple[str, str]] = ()) -> Ranking:
    """Rank what can be ranked.

    Args:
        board: the repository.
        host: the plugins, which know the suites.
        rerun: entry and suite of policies that the maintainers ran, with results that agree with the submission's; see
            :func:`gf_core.leaderboard.board.epochs.agreeing`.
    """
    suites: dict[str, Suite | str] = {}
    groups: dict[tuple[str, Track, Division, Tier], list[Played]] = defaultdict(list)
    unranked: list[Unranked] = []
    verified = set(rerun)
    for entry in board.entries:
        if not entry.listed:
            continue
        seen: set[str] = set()
        for played in runs_of(entry):
            if played.suite not in suites:
                suites[played.suite] = _suite(played.suite, host)
            suite = suites[played.suite]
            why = _why_not(played, suite)
            if not why and played.suite in seen:
                why = "another run of the entry, with a smaller seed, is ranked"
            if why or isinstance(suite, str):
                unranked.append(Unranked(played=played, why=why))
                continue
            seen.add(played.suite)
            track: Track = "real" if host.envs.get(suite.env).real else "simulation"
            tier: Tier = "re-run" if (entry.id, suite.id) in verified else "replayed"
            groups[(suite.id, track, entry.division, tier)].append(played)
    tables = [
        _table(known, track, division, tier, group)
        for (suite_id, track, division, tier), group in sorted(groups.items())
        if not isinstance(known := suites[suite_id], str)
    ]
    return Ranking(tables=tuple(tables), unranked=tuple(unranked))


def runs_of(entry: Entry) -> list[Played]:
    """An entry's runs, by suite and seed. An entry that is disputed has those that it was added with."""
    described = {run["path"]: run for run in entry.verdict["runs"]}
    found = []
    for document in entry.outcomes["runs"]:
        about = document["described"]
        checked = described.get(about["path"], {"splits": []})
        found.append(
            Played(
                entry=entry,
                path=about["path"],
                suite=about["suite"],
                suite_sha256=about["suite_sha256"],
                seed=about["policy_seed"],
                rates={s["split"]: {r["name"]: _measured(r) for r in s["rates"]} for s in checked["splits"]},
                document=document,
            )
        )
    return sorted(found, key=lambda played: (played.suite, played.seed, played.path))


def _measured(rate: Mapping[str, Any]) -> Measured:
    limits = rate["interval"]
    return Measured(k=rate["k"], n=rate["n"], estimate=rate["estimate"], interval=Interval(*limits) if limits else None)


def _suite(name: str, host: PluginHost) -> Suite | str:
    """The suite, or why there is none."""
    try:
        return suites_here(host)(name) or load_suite(name, host)
    except GrinningFaceError as error:
        return f"{name} isn't known here any more ({error.what})"


def main_split(suite: Suite) -> str:
    """The split by which a suite ranks: ``val``, or its first."""
    return MAIN_SPLIT if MAIN_SPLIT in suite.splits else next(iter(suite.splits))


def _why_not(played: Played, suite: Suite | str) -> str:
    if isinstance(suite, str):
        return suite
    if "disputed" in played.entry.against:
        return f"disputed: {played.entry.against['disputed']['reason']}"
    if suite.sha256 != played.suite_sha256:
        return f"{suite.id} here isn't the one that was run"
    if not suite.ranked:
        return f"{suite.id} isn't for ranking"
    if played.entry.badge != "replayed":
        return f"only {played.entry.badge}: its physics isn't verified"
    success = played.success(main_split(suite))
    scored = success.n if success else 0
    return f"provisional: {scored} scored episodes, and {RANKABLE_EPISODES} are needed" if scored < RANKABLE_EPISODES else ""


def outcomes(
    played: Sequence[Played], suite: Suite, split: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Success and whether it counts, of each run in each episode of a split ``(N, E)``, and the number of each episode's cluster
    ``(E,)``."""
    chosen = [number for number, episode in enumerate(suite.episodes) if episode.split == split]
    numbers: dict[str, int] = {}
    member = np.array([numbers.setdefault(suite.episodes[n].cluster, len(numbers)) for n in chosen], np.int64)
    known = np.stack([_scored(one.document) for one in played])[:, chosen]
    right = np.stack([_true(one.document["metrics"][SUCCESS]) for one in played])[:, chosen]
    return right & known, known, member


def _true(text: str) -> NDArray[np.bool_]:
    return np.equal(np.frombuffer(text.encode(), np.uint8), ord("1"))


def _scored(run: Mapping[str, Any]) -> NDArray[np.bool_]:
    places = np.frombuffer(run["ending"].encode(), np.uint8)
    if ENV_ERROR not in run["endings"]:
        return np.ones(len(places), np.bool_)
    place = run["endings"].index(ENV_ERROR)
    return np.not_equal(places, ord(PLACES[place]))


def _table(suite: Suite, track: Track, division: Division, tier: Tier, group: Sequence[Played]) -> Table:
    split = main_split(suite)
    rated = [(success, one) for one in group if (success := one.success(split)) is not None and success.estimate is not None]
    rated.sort(key=lambda pair: (-(pair[0].estimate or 0.0), pair[1].entry.id))
    found = standings(*outcomes([one for _, one in rated], suite, split))
    names = [one.entry.id for _, one in rated]
    lettered: Mapping[str, str] = {}
    if len(names) <= LETTERED:
        rows, columns = np.nonzero(np.triu(found.separable, 1))
        lettered = letters(names, {frozenset((names[a], names[b])) for a, b in zip(rows, columns, strict=True)})
    places = tuple(
        Place(
            played=one,
            success=success,
            best=int(found.best[number]),
            worst=int(found.worst[number]),
            letters=lettered.get(one.entry.id, ""),
        )
        for number, (success, one) in enumerate(rated)
    )
    return Table(suite=suite, track=track, division=division, tier=tier, split=split, places=places, separable=found.separable)
