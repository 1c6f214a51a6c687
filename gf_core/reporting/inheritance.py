"""The inheritance gap: episodes whose card the vision-language model knew, beside those where the policy chose it.

The model is asked on each episode's first frame which card is meant, before and after it was trained (`gf probe`); the policy
acts on the same episodes. What it knew and the policy doesn't choose wasn't inherited.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core._json import load_json
from gf_core._shipped import known_folder
from gf_core.canonical import JSON, content_hash
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.reporting.model import Evidence
from gf_core.reporting.outcomes import chosen_card
from gf_core.reporting.tables import points
from gf_core.runs import Row
from gf_core.schemas import load_document
from gf_core.statistics import Interval, paired_difference_interval, paired_permutation
from gf_core.summary import ENV_ERROR

WHICH = "which-card"
TIMES = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The model's answers beside the policy's choices, on the same episodes.

    Attributes:
        both, only_knew, only_chose, neither: numbers of episodes.
        gap: share known minus share chosen.
        interval: of the gap, with whole clusters taken as independent.
        p: of no gap; sign-flip permutation test over clusters.
    """

    both: int
    only_knew: int
    only_chose: int
    neither: int
    gap: float
    interval: Interval | None
    p: float

    @property
    def n(self) -> int:
        """Episodes."""
        return self.both + self.only_knew + self.only_chose + self.neither

    @property
    def knew(self) -> float:
        """Share of episodes whose card the model knew."""
        return (self.both + self.only_knew) / self.n

    @property
    def chose(self) -> float:
        """Share of episodes where the policy chose it."""
        return (self.both + self.only_chose) / self.n


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """Of a run on a split.

    Attributes:
        everywhere: ``before`` and ``after`` training, over all episodes that were asked about: an episode without a choice is one
            where the card wasn't chosen.
        decided: the same over episodes where some card was chosen; empty where none was. What is lost by clumsiness is left out,
            and with it whatever else these episodes have in common.
    """

    everywhere: Mapping[str, Paired]
    decided: Mapping[str, Paired]


def probe_file(suite: str) -> str:
    """The file of a probe with a suite, beside checkpoint.json."""
    return f"probe-{suite.replace('/', '.')}.json"


def attach_probes(evidence: Sequence[Evidence], files: Sequence[Path]) -> list[Evidence]:
    """The runs with the probes of their checkpoints: from these files, else from the checkpoint's directory.

    Raises:
        GrinningFaceError: a file isn't a probe.
        MismatchError: a file is no run's: of another suite or checkpoint.
    """
    given = {file: load_document(file, "probe") for file in files}
    used: set[Path] = set()
    found = []
    for one in evidence:
        mine = [file for file, document in given.items() if _belongs(document, one)]
        used.update(mine)
        probe = given[mine[0]] if mine else _beside(one)
        found.append(dataclasses.replace(one, probe=probe))
    for file in files:
        if file not in used:
            raise MismatchError(
                "is of none of these runs: the suite or the checkpoint is another",
                where=str(file),
                hint="probe the checkpoint that was run: gf probe CHECKPOINT --suite SUITE",
            )
    return found


def _checkpoint(one: Evidence) -> Path | None:
    """The checkpoint that a run's policy was made from; ``None`` for other policies."""
    place = one.run.identity["policy"]["config"].get("checkpoint")
    return known_folder(place) if isinstance(place, str) else None


def _belongs(probe: Mapping[str, Any], one: Evidence) -> bool:
    """Whether a probe is of the run's suite and checkpoint: by its hash, or by its path where it isn't here any more."""
    checkpoint, suite = _checkpoint(one), probe["suite"]
    if checkpoint is None or suite is None or suite["sha256"] != one.report.suite_sha256:
        return False
    described = checkpoint / "checkpoint.json"
    path, sha256 = str(probe["checkpoint"]["path"]), str(probe["checkpoint"]["sha256"])
    return sha256 == content_hash(load_json(described)) if described.is_file() else path == str(checkpoint)


def _beside(one: Evidence) -> Mapping[str, Any] | None:
    checkpoint = _checkpoint(one)
    if checkpoint is None or not (file := checkpoint / probe_file(one.report.suite)).is_file():
        return None
    document = load_document(file, "probe")
    if not _belongs(document, one):
        raise GrinningFaceError(
            "isn't of the checkpoint beside it or of this suite any more", where=str(file), hint="probe again, or delete it"
        )
    return document


def inheritance(one: Evidence, split: str) -> Inheritance | None:
    """The gap of a run on a split; ``None`` where none of its episodes was asked about."""
    return None if one.probe is None else inheritance_of(one.probe, one.run.records, split)


def inheritance_of(probe: Mapping[str, Any], records: Sequence[Row], split: str) -> Inheritance | None:
    """The same of a probe and a run's rows."""
    asked = {entry["key"]: entry for entry in probe["answers"] if entry["kind"] == WHICH}
    rows = [row for row in records if row["split"] == split and row["ending"] != ENV_ERROR and row["episode"] in asked]
    if not rows:
        return None
    decided = [row for row in rows if chosen_card(row) is not None]
    return Inheritance(everywhere=_pair(rows, asked), decided=_pair(decided, asked) if decided else {})


def _pair(rows: Sequence[Row], asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Paired]:
    entries = [asked[str(row["episode"])] for row in rows]
    chose = [chosen_card(row) == entry["right"] for row, entry in zip(rows, entries, strict=True)]
    clusters = [str(row["cluster"]) for row in rows]
    return {time: _paired([entry[time] == entry["right"] for entry in entries], chose, clusters) for time in TIMES}


def _paired(knew: Sequence[bool], chose: Sequence[bool], clusters: Sequence[str]) -> Paired:
    counts = {(k, c): 0 for k in (True, False) for c in (True, False)}
    for pair in zip(knew, chose, strict=True):
        counts[pair] += 1
    return Paired(
        both=counts[True, True],
        only_knew=counts[True, False],
        only_chose=counts[False, True],
        neither=counts[False, False],
        gap=(counts[True, False] - counts[False, True]) / len(knew),
        interval=paired_difference_interval(list(knew), list(chose), clusters),
        p=paired_permutation(list(knew), list(chose), clusters).p,
    )


def to_json(found: Inheritance) -> dict[str, JSON]:
    """As report documents hold it."""
    return {"everywhere": _times(found.everywhere), "decided": _times(found.decided) if found.decided else None}


def _times(pairs: Mapping[str, Paired]) -> JSON:
    return {
        time: {
            "both": paired.both,
            "only_knew": paired.only_knew,
            "only_chose": paired.only_chose,
            "neither": paired.neither,
            "gap": paired.gap,
            "interval": [paired.interval.low, paired.interval.high] if paired.interval else None,
            "p": paired.p,
        }
        for time, paired in pairs.items()
    }


def gap_rows(evidence: Sequence[Evidence]) -> list[list[str]]:
    """Rows of a table for people: see :data:`GAP_HEADERS`."""
    rows = []
    for number, one in enumerate(evidence, start=1):
        for summary in one.report.splits:
            found = inheritance(one, summary.split)
            for episodes, pairs in (("all", found.everywhere), ("card chosen", found.decided)) if found else ():
                rows += [_row(number, summary.split, episodes, time, paired) for time, paired in pairs.items()]
    return rows


GAP_HEADERS = [
    "run",
    "split",
    "episodes",
    "the VLM",
    "n",
    "knew %",
    "policy chose %",
    "gap, points",
    "knew, not chosen",
    "chosen, not known",
]


def _row(number: int, split: str, episodes: str, time: str, paired: Paired) -> list[str]:
    interval = paired.interval
    limits = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
    return [
        str(number),
        split,
        episodes,
        f"{time} training",
        str(paired.n),
        points(paired.knew),
        points(paired.chose),
        f"{100 * paired.gap:+.1f}{limits}",
        str(paired.only_knew),
        str(paired.only_chose),
    ]
