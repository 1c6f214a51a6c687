"""What the site's pages show of a repository, before it is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gf_core._problems import printable, shorten
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.board.ranking import Measured, Place, Played, Ranking, Table, main_split, outcomes
from gf_core.reporting.controls import COUNTERFACTUAL, controls_of
from gf_core.reporting.inheritance import inheritance_of
from gf_core.reporting.tables import NONE, percent, points
from gf_core.runs import Row as EpisodeRow
from gf_core.statistics import Rate
from gf_core.summary import summarize

EXECUTION, RECOGNITION = "execution", "recognition"
NAME, _TEXT = 80, 200
HEAT_ROWS = 40
"""Entries that the page of targets shows; more can't be read side by side."""

TIERS: Mapping[str, str] = {
    "re-run": "the maintainers ran the policy themselves, on episodes that neither side could choose, and it agrees",
    "replayed": "physics verified, policy unverified: the recordings lead to the results; who chose the actions isn't shown",
    "consistent": "complete and consistent; the environment can't replay recordings",
    "disputed": "a check or a person found something wrong; not ranked",
}
"""Badges, best first."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A rate as it is drawn: positions in per cent of the width; ``None`` where there is nothing.

    Attributes:
        text: ``71.2``.
        spoken: with its interval.
        at, low, high: for a whisker.
        order: what columns are sorted by.
    """

    text: str
    spoken: str
    at: float | None
    low: float | None
    high: float | None
    order: float


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Of all scored episodes, in per cent: right, on a wrong card, on none; and where guessing would leave the first two."""

    right: float
    wrong: float
    missed: float
    chance: float | None
    spoken: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table.

    Attributes:
        id, name: the entry's.
        badge: a key of :data:`TIERS`.
        ranks: ``3–7``; a dash for what isn't ranked.
        best: what ranks are sorted by.
        letters: of its table.
        group: division and tier: what it is ranked against.
        why: why it isn't ranked; empty if it is.
        rates: name to rate, in the table's columns.
        stack: where the suite has execution and recognition.
    """

    id: str
    name: str
    badge: str
    ranks: str
    best: int
    letters: str
    division: str
    track: str
    backbone: str
    technique: str
    head: str
    added: str
    why: str
    rates: tuple[Shown, ...]
    stack: Stack | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A suite's split as a page of its own."""

    suite: str
    split: str
    file: str
    main: bool
    note: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: float | None


def slug(*parts: str) -> str:
    """Part of a file's name: a-z, 0-9, dots and hyphens."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else "-" for c in part.lower()) for part in parts)


def text(value: object, most: int = _TEXT) -> str:
    """Text of a stranger, without control characters and not too long; templates escape it."""
    return shorten(printable(str(value)), most)


def shown(measured: Measured | None) -> Shown:
    """A rate, drawn."""
    if measured is None or measured.estimate is None or measured.interval is None:
        return Shown(text=NONE, spoken="no episode", at=None, low=None, high=None, order=-1.0)
    interval = measured.interval
    return Shown(
        text=points(measured.estimate),
        spoken=f"{percent(measured.estimate, interval)}, {measured.k} of {measured.n}",
        at=_cent(measured.estimate),
        low=_cent(interval.low),
        high=_cent(interval.high),
        order=measured.estimate,
    )


def _cent(share: float) -> float:
    return round(100 * share, 1)


def stacked(rates: Mapping[str, Measured], chance: float | None) -> Stack | None:
    """Execution × recognition: what became of the episodes."""
    execution, recognition = rates.get(EXECUTION), rates.get(RECOGNITION)
    if execution is None or recognition is None or not execution.n:
        return None
    right, placed, of = recognition.k, execution.k, execution.n
    spoken = f"{right} of {of} on the right card, {placed - right} on another, {of - placed} on none"
    return Stack(
        right=_cent(right / of),
        wrong=_cent((placed - right) / of),
        missed=_cent((of - placed) / of),
        chance=None if chance is None else _cent(chance * placed / of),
        spoken=spoken,
    )


def make_pages(ranking: Ranking, suites: Mapping[str, Suite]) -> list[Page]:
    """A page for each suite and split that anybody played: suites that rank come first, and their main splits before others."""
    places: dict[tuple[str, str], tuple[Table, Place]] = {}
    for table in ranking.tables:
        for place in table.places:
            places[(place.played.entry.id, place.played.path)] = (table, place)
    played: dict[str, list[tuple[Played, str]]] = defaultdict(list)
    for (_, _), (table, place) in places.items():
        played[table.suite.id].append((place.played, ""))
    for one in ranking.unranked:
        played[one.played.suite].append((one.played, one.why))
    pages = []
    ranked = {table.suite.id for table in ranking.tables}
    for suite_id in sorted(played, key=lambda name: (name not in ranked, name)):
        suite = suites.get(suite_id)
        splits = list(suite.splits) if suite else sorted({split for run, _ in played[suite_id] for split in run.rates})
        main = main_split(suite) if suite else (splits or [""])[0]
        for split in sorted(splits, key=lambda name: (name != main, splits.index(name))):
            pages.append(_page(suite_id, suite, split, split == main, played[suite_id], places))
    return pages


def _page(
    suite_id: str,
    suite: Suite | None,
    split: str,
    main: bool,
    played: Sequence[tuple[Played, str]],
    places: Mapping[tuple[str, str], tuple[Table, Place]],
) -> Page:
    names = list(dict.fromkeys(name for run, _ in played for name in run.rates.get(split, {})))
    chances = {metric.name: metric.chance for metric in suite.metrics} if suite else {}
    chance = chances.get(RECOGNITION)
    rows = [_row(run, why, split, main, names, chance, places.get((run.entry.id, run.path))) for run, why in played]
    rows.sort(key=_order)
    note = suite.splits[split] if suite else f"{suite_id} isn't installed where this site was built."
    return Page(
        suite=suite_id,
        split=split,
        file=f"{slug(suite_id, split)}.html",
        main=main,
        note=note,
        columns=tuple(names),
        rows=tuple(rows),
        chance=None if chance is None else _cent(chance),
    )


def _order(row: Row) -> tuple[object, ...]:
    """What is ranked first, table by table; then by success."""
    badges = list(TIERS)
    place = (badges.index(row.badge), row.division) if not row.why else (len(badges), "")
    return (*place, row.best, -(row.rates[0].order if row.rates else 0.0), row.name)


def _row(
    run: Played,
    why: str,
    split: str,
    main: bool,
    names: Sequence[str],
    chance: float | None,
    placed: tuple[Table, Place] | None,
) -> Row:
    rates, entry = run.rates.get(split, {}), run.entry
    table, place = placed or (None, None)
    badge = table.tier if table else entry.badge
    ranks = NONE
    if place is not None and main:
        ranks = str(place.best) if place.best == place.worst else f"{place.best}–{place.worst}"
    return Row(
        id=entry.id,
        name=text(entry.name, NAME),
        badge=badge,
        ranks=ranks,
        best=place.best if place is not None and main else 0,
        letters=place.letters if place is not None and main else "",
        division=entry.division,
        track=table.track if table else "",
        backbone=text(entry.card["backbone"], NAME),
        technique=text(entry.card["technique"], NAME),
        head=text(entry.card["head"], NAME),
        added=entry.document["added"],
        why=text(why),
        rates=tuple(shown(rates.get(name)) for name in names),
        stack=stacked(rates, chance),
    )


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Hits by target: a line for each target, a column for each entry, both from easy to hard and from good to bad."""

    title: str
    entries: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str, tuple[tuple[int, int, int], ...]], ...]
    left_out: int


def make_heat(table: Table) -> Heat:
    """``(hits, episodes, shade 0..4)`` of each target and each of the best entries."""
    places = table.places[:HEAT_ROWS]
    right, known, member = outcomes([place.played for place in places], table.suite, table.split)
    names: dict[int, str] = {}
    episodes = [episode for episode in table.suite.episodes if episode.split == table.split]
    for number, episode in zip(member.tolist(), episodes, strict=True):
        names.setdefault(number, episode.cluster)
    lines = []
    for number, name in names.items():
        inside = member == number
        hits, of = right[:, inside].sum(axis=1).tolist(), known[:, inside].sum(axis=1).tolist()
        cells = tuple((k, n, round(4 * k / n) if n else 0) for k, n in zip(hits, of, strict=True))
        lines.append((sum(hits), name, cells))
    lines.sort(key=lambda line: (-line[0], line[1]))
    return Heat(
        title=f"{table.division} division, {table.tier}",
        entries=tuple((place.played.entry.id, text(place.played.entry.name, 30)) for place in places),
        lines=tuple((name, cells) for _, name, cells in lines),
        left_out=len(table.places) - len(places),
    )


def comparison_data(suite: Suite, split: str, runs: Iterable[Played]) -> dict[str, Any]:
    """What the page of comparisons reads: of each run (at least one), success in every episode of a split, as text."""
    chosen = [number for number, episode in enumerate(suite.episodes) if episode.split == split]
    numbers: dict[str, int] = {}
    clusters = [numbers.setdefault(suite.episodes[n].cluster, len(numbers)) for n in chosen]
    found = list(runs)
    right, known, _ = outcomes(found, suite, split)
    entries = [
        {
            "id": run.entry.id,
            "name": text(run.entry.name, NAME),
            "success": "".join("1" if hit else "0" if there else "-" for hit, there in zip(hits, knows, strict=True)),
        }
        for run, hits, knows in zip(found, right, known, strict=True)
    ]
    return {"suite": suite.id, "split": split, "clusters": clusters, "entries": entries}


def control_lines(suite: Suite, rows: Sequence[EpisodeRow]) -> list[tuple[str, Shown, str]]:
    """What the control splits say: a question, the rate, and what guessing gives; empty for a suite without them."""
    if COUNTERFACTUAL not in suite.splits:  # before anything is counted: most suites have none
        return []
    found = controls_of(suite, [(summarize(rows, suite.metrics), rows)])
    if found is None:
        return []
    (one,) = found.rows
    guess = "" if found.chance is None else f"guessing gives {points(found.chance)}"
    lines = [(f"right card with a {name} instruction", _rate(rate), guess) for name, rate in one.blind.items()]
    if one.acts is not None:
        lines.append(("places the cube although no card is right", _rate(one.acts), ""))
    if one.consistency is not None:
        lines.append(("follows every card's instruction in a scene", _rate(one.consistency), _guess(found.guessing_consistency)))
    if one.switches is not None and one.guessing_switches is not None:
        lines.append(("chooses otherwise when told otherwise", _rate(one.switches), _guess(one.guessing_switches)))
    return lines


def _guess(share: float) -> str:
    return f"guessing gives {points(share)}"


def _rate(rate: Rate) -> Shown:
    return shown(Measured(k=rate.k, n=rate.n, estimate=rate.estimate, interval=rate.interval))


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Cards that the vision-language model knew, beside those that the policy chose, on the same episodes of a split."""

    split: str
    time: str
    episodes: int
    knew: str
    chose: str
    gap: str


def gap_lines(probe: Mapping[str, Any], suite: Suite, rows: Sequence[EpisodeRow]) -> list[Gap]:
    """The inheritance gap of a run, for each split that its probe asked about; empty for a probe of another suite."""
    if not probe["suite"] or probe["suite"]["sha256"] != suite.sha256:
        return []
    lines = []
    for split in suite.splits:
        found = inheritance_of(probe, rows, split)
        for time, paired in found.everywhere.items() if found else ():
            limits = f" [{100 * paired.interval.low:+.1f}, {100 * paired.interval.high:+.1f}]" if paired.interval else ""
            lines.append(
                Gap(
                    split=split,
                    time=time,
                    episodes=paired.n,
                    knew=points(paired.knew),
                    chose=points(paired.chose),
                    gap=f"{100 * paired.gap:+.1f}{limits}",
                )
            )
    return lines


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An episode that failed.

    Attributes:
        episode: its id.
        target: its target.
        told: the instruction.
        ending, steps: how it ended and after how many steps.
        picture: a file of the site; empty where there is none.
    """

    episode: str
    target: str
    told: str
    ending: str
    steps: int
    picture: str


def failures(
    rows: Iterable[Mapping[str, Any]], suite: Suite, pictures: Mapping[str, str], most: int
) -> tuple[list[Failure], list[Failure], int]:
    """Failures with a picture (by episode); the first of the others, rare endings before common ones; how many more there are."""
    failed = [row for row in rows if not row["success"]]
    counts: dict[str, int] = defaultdict(int)
    for row in failed:
        counts[row["ending"]] += 1
    failed.sort(key=lambda row: (counts[row["ending"]], row["episode"]))
    told = {episode.id: episode.instruction_at(0) for episode in suite.episodes}

    def make(row: Mapping[str, Any]) -> Failure:
        return Failure(
            episode=text(row["episode"]),
            target=text(row["cluster"]),
            told=text(told[row["episode"]]),
            ending=text(row["ending"]),
            steps=row["steps"],
            picture=pictures.get(row["episode"], ""),
        )

    seen = [make(row) for row in failed if row["episode"] in pictures]
    others = [row for row in failed if row["episode"] not in pictures]
    return seen, [make(row) for row in others[:most]], max(0, len(others) - most)
