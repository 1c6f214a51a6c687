"""Ranks a results repository again, from its files alone and without any of the project's code, as an outsider would.

``python recount.py BOARD SUITE.json`` prints a table per division: ranks, hits, episodes, name.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations
from pathlib import Path

ALPHA = Fraction(5, 100)


def read(board: Path, suite: dict, split: str = "val") -> dict[str, dict[str, list]]:
    """Division to entry to (cluster, right) of the split's scored episodes; what can be ranked."""
    found: dict[str, dict[str, list]] = defaultdict(dict)
    for folder in sorted(path.parent for path in (board / "entries").glob("*/entry.json")):
        entry, card, verdict, outcomes = (
            json.loads((folder / f"{name}.json").read_bytes()) for name in ("entry", "card", "verdict", "outcomes")
        )
        if stands_against(entry["events"]) or verdict["submissions"][0]["badge"] != "replayed":
            continue
        data = card["robot_data"]
        controlled = data and card["backbone"] != "none" and all(line.split(" ")[0] == "gf/demos@1" for line in data)
        run = min(
            (r for r in outcomes["runs"] if r["described"]["suite"] == suite["id"]), key=lambda r: r["described"]["policy_seed"]
        )
        scored = []
        for number, episode in enumerate(suite["episodes"]):
            ending = run["endings"][int(run["ending"][number], 36)]
            if episode["split"] == split and ending != "env_error":
                scored.append((episode["id"], episode["cluster"], run["metrics"]["success"][number] == "1"))
        if len(scored) >= 400:
            found["controlled" if controlled else "open"][card["name"]] = scored
    return found


def stands_against(events: list) -> bool:
    """Whether an entry is disputed or withdrawn: restored ends a withdrawal, and a dispute where there is none."""
    disputed = withdrawn = False
    for event in (one["event"] for one in events):
        if event == "restored":
            withdrawn, disputed = False, disputed and withdrawn
        disputed, withdrawn = disputed or event == "disputed", withdrawn or event == "withdrawn"
    return disputed or withdrawn


def sign_flip(first: list, second: list) -> Fraction:
    """Exact two-sided p: every cluster's lead counts plus or minus."""
    other = {episode: right for episode, _, right in second}
    leads: Counter = Counter()
    for episode, cluster, right in first:
        if episode in other:
            leads[cluster] += right - other[episode]
    observed = abs(sum(leads.values()))
    ways = {0: 1}
    for lead in leads.values():
        step: Counter = Counter()
        for total, count in ways.items():
            step[total + lead] += count
            step[total - lead] += count
        ways = step
    return Fraction(sum(count for total, count in ways.items() if abs(total) >= observed), 2 ** len(leads))


def ahead(first: list, second: list) -> int:
    """By how many of the episodes that both have the first is better."""
    other = {episode: right for episode, _, right in second}
    return sum(right - other[episode] for episode, _, right in first if episode in other)


def ranks(entries: dict[str, list]) -> list[tuple[int, int, int, int, str]]:
    """Best rank, worst rank, hits, episodes, name; best first."""
    hits = {name: sum(right for _, _, right in scored) for name, scored in entries.items()}
    rate = {name: Fraction(hits[name], len(entries[name])) for name in entries}
    lead = {pair: ahead(entries[pair[0]], entries[pair[1]]) for pair in combinations(sorted(entries), 2)}
    p = {pair: sign_flip(entries[pair[0]], entries[pair[1]]) for pair in combinations(sorted(entries), 2)}
    separable = set()
    for step, pair in enumerate(sorted(p, key=lambda pair: p[pair])):
        if p[pair] * (len(p) - step) > ALPHA:
            break
        separable.add(frozenset(pair))
    told = []
    for name in sorted(entries, key=lambda name: -rate[name]):
        apart = [other for other in entries if frozenset((name, other)) in separable]
        above = sum(lead[name, other] < 0 if name < other else lead[other, name] > 0 for other in apart)
        told.append((1 + above, len(entries) - (len(apart) - above), hits[name], len(entries[name]), name))
    return told


if __name__ == "__main__":
    board, suite = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_bytes())
    for division, entries in read(board, suite).items():
        print(division)
        for best, worst, k, n, name in ranks(entries):
            print(f"  {best}-{worst}  {k}/{n}  {name}")
