"""A probe that comes with a submission: what the policy's vision-language model answered on the runs' own episodes (GF423).

Nobody can count it again without the weights; what can be held against each other is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite
from gf_core.leaderboard.archive import Archive
from gf_core.leaderboard.bundle import PROBE, read_document
from gf_core.reporting.inheritance import WHICH

MAX_BYTES, MAX_VALUES = 8 << 20, 500_000


def check_probe(archive: Archive, suites: Sequence[Suite]) -> None:
    """Nothing, for a probe that fits the runs and itself, or for none.

    Raises:
        GrinningFaceError: it isn't a probe, is of no suite of the runs, asks about an episode that isn't there, or tells other
            rates than its answers give.
    """
    if PROBE not in archive.members:
        return
    probe = read_document(archive, PROBE, "probe", MAX_BYTES, MAX_VALUES)
    recorded = probe["suite"]
    suite = next((one for one in suites if recorded and (one.id, one.sha256) == (recorded["id"], recorded["sha256"])), None)
    if suite is None:
        raise GrinningFaceError("it is of none of the runs' suites", where=f"{PROBE}#/suite")
    episodes = {episode.id: (episode.split, episode.cluster) for episode in suite.episodes}
    asked = [entry for entry in probe["answers"] if entry["kind"] == WHICH]
    seen: set[str] = set()
    for entry in asked:
        if episodes.get(entry["key"]) != (entry["split"], entry["cluster"]) or entry["key"] in seen:
            raise GrinningFaceError(
                f"{entry['key']!r} is no episode of {suite.id}, or is asked about twice", where=f"{PROBE}#/answers"
            )
        seen.add(entry["key"])
    for row in probe["accuracy"]:
        if row["kind"] == WHICH:
            _check_counts(row, [entry for entry in asked if entry["split"] == row["split"]])


def _check_counts(row: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> None:
    for time in ("before", "after"):
        found = (sum(entry[time] == entry["right"] for entry in asked), len(asked))
        if found != (row[time]["k"], row[time]["n"]):
            told = f"{row[time]['k']} of {row[time]['n']} {time} training, and its answers give {found[0]} of {found[1]}"
            raise GrinningFaceError(f"it tells {told}", where=f"{PROBE}#/accuracy")
