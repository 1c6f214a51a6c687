"""Pictures of an entry's failures: its recordings are driven through the environment again, and some frames are kept.

They lie in the entry's folder as ``pictures/RUN-EPISODE.webp``, small enough for git, so that whoever builds the site needs
neither the submission nor a renderer.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._files import write_whole
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.leaderboard import checks
from gf_core.leaderboard.archive import open_archive
from gf_core.leaderboard.board.repository import changing
from gf_core.leaderboard.bundle import BundledRun, read_manifest
from gf_core.reporting.film import Take, shoot
from gf_core.reporting.gallery import choose
from gf_core.reporting.outcomes import conditional, kind_of
from gf_core.reporting.picture import strip
from gf_core.runs import Row

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

PICTURES = "pictures"
MOST = 6
"""Failures of a run, kinds in turn, drawn by a hash of their ids: chosen by nobody."""
FRAMES = 4
"""Of an episode, from its first state to its last."""
SIZE = (240, 240)
"""Height and width of a frame [px]."""
MAX_BYTES = 200_000
"""Of a picture; ours have about 10,000."""
_FILE = re.compile(r"([1-9][0-9]?)-([a-z0-9][a-z0-9._-]{0,99})\.webp")


def draw_failures(file: Path, verdict: Mapping[str, Any], host: PluginHost, folder: Path) -> str:
    """Draw failures of a submission that was checked, into an entry's folder. Says why there are no pictures, or nothing.

    Args:
        file: the submission.
        verdict: what checking it came to, as in verdict.json.
        host: the plugins.
        folder: the entry's.

    Raises:
        GrinningFaceError: a file that can't be written.
    """
    notes: list[str] = []
    pictures: dict[str, bytes] = {}
    with open_archive(file) as archive:
        read_manifest(archive)
        for one in verdict["runs"]:
            suite = load_suite(one["suite"], host)
            run = checks.check_rows(archive, one["path"], checks.read_identity(archive, one["path"]), suite)
            try:
                drawn = _draw(run, suite, host)
            except GrinningFaceError as error:  # no renderer here, no camera: the entry stands without pictures
                notes.append(f"no pictures of {suite.id}: {error.what}")
                continue
            pictures |= {f"{run.path.rpartition('/')[2]}-{episode}.webp": picture for episode, picture in drawn.items()}
    for name, picture in pictures.items():  # when all are there: an entry that has some isn't drawn again
        write_whole(folder / PICTURES / name, picture, kind=GrinningFaceError)
    return "; ".join(notes)


def draw_entries(path: Path, names: Sequence[str], host: PluginHost) -> Iterator[tuple[str, int, str]]:
    """Draw entries that have no pictures yet, from the submissions in the storage, one after the other.

    Args:
        path: the repository.
        names: ids, or beginnings of them; none for all that are listed.
        host: the plugins.

    Yields:
        The entry's id, how many pictures it has now, and why there are none.

    Raises:
        GrinningFaceError: no repository, or no such entry.
    """
    with changing(path) as board:
        entries = [board.entry(name) for name in names] or [entry for entry in board.entries if entry.listed]
        for entry in entries:
            note = ""
            if not pictures_of(entry.path):
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        board.storage.fetch(entry.document["submission"]["sha256"], file := Path(folder) / "submission.zip")
                        note = draw_failures(file, entry.verdict, host, entry.path)
                except GrinningFaceError as error:  # a storage that lacks it, a suite that isn't here: the others are drawn
                    note = error.what
            yield entry.id, len(pictures_of(entry.path)), note


def _draw(run: BundledRun, suite: Suite, host: PluginHost) -> dict[str, bytes]:
    if not host.envs.get(suite.env).replayable:
        raise GrinningFaceError(f"recordings of {suite.env} can't be driven again")
    hz, config = float(run.identity["control_hz"]), run.identity["environment"]["config"]
    episodes = {episode.id: episode for episode in suite.episodes}
    takes = [
        Take(episode=at_rate(episodes[row["episode"]], hz), record=row, controls=run.trajectory(row["episode"]).controls)
        for row in _failures(run.records, suite)
    ]
    shots = shoot(suite, config, hz, takes, host, frames=FRAMES, size=SIZE) if takes else []
    return {take.episode.id: strip(shot.frames) for take, shot in zip(takes, shots, strict=True)}


def _failures(rows: Sequence[Row], suite: Suite) -> list[Row]:
    failed = [row for row in rows if not row["success"]]
    decl = conditional(suite.metrics)
    return [failed[number] for number in choose(failed, MOST, [kind_of(row, decl) for row in failed])]


def pictures_of(folder: Path) -> dict[tuple[str, str], Path]:
    """The pictures in an entry's folder by run, as in the submission, and episode; files that are none of ours are left out."""
    found = {}
    for file in sorted((folder / PICTURES).glob("*.webp")):
        match = _FILE.fullmatch(file.name)
        if match and not file.is_symlink() and file.stat().st_size <= MAX_BYTES and _is_webp(file):
            found[(f"runs/{match[1]}", match[2])] = file
    return found


def _is_webp(file: Path) -> bool:
    """By the header of its container (RFC 9649, section 2.4)."""
    with file.open("rb") as opened:
        head = opened.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"
