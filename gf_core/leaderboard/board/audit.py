"""Works out again what a results repository says: of its epochs, every seed and challenge; of its entries, every rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._problems import printable
from gf_core.canonical import content_hash, sha256
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard.archive import open_archive
from gf_core.leaderboard.board.epochs import EPOCHS, Epoch, challenge_seed, commitment_hash, read_epochs
from gf_core.leaderboard.board.outcomes import suite_of, suites_here, unpack_run
from gf_core.leaderboard.board.ranking import SUCCESS
from gf_core.leaderboard.board.repository import ENTRIES, Board, Entry, Problem
from gf_core.leaderboard.board.rerun import make_challenge
from gf_core.leaderboard.bundle import read_rows
from gf_core.leaderboard.verdict import rates_json
from gf_core.summary import summarize

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit came to.

    Attributes:
        problems: what isn't as the repository says.
        unseen: why runs couldn't be looked at, to how many.
    """

    problems: tuple[Problem, ...]
    unseen: Mapping[str, int]


def audit(board: Board, host: PluginHost, scratch: Path, tell: Tell = lambda _: None) -> Audit:
    """Everything in a repository that isn't what it should be, and what can't be looked at here.

    Of an entry: its rates, counted again from its outcomes. Of a closed epoch: its secret, and of every challenge its seed, its
    episodes and its result. Of an open one nothing can be worked out yet but what its files say.

    Args:
        board: the repository, held against the suites.
        host: the plugins, which know the suites.
        scratch: a folder for the runs of challenges.
        tell: told what is being looked at.
    """
    find = suites_here(host)
    found = list(board.problems)
    unseen: Counter[str] = Counter()
    for entry in board.entries:
        tell(entry.id)
        found += _entry(entry, find)
        unseen.update(filter(None, (_unseen(run, find) for run in entry.outcomes["runs"])))
    epochs, broken = read_epochs(board.path)
    found += broken
    for epoch in epochs:
        tell(f"epoch {epoch.name}")
        found += _epoch(epoch, board, host, scratch)
    return Audit(problems=tuple(found), unseen=unseen)


def _unseen(run: Mapping[str, Any], find: Callable[[str], Suite | None]) -> str:
    """Why a run can't be looked at here; empty for one that can."""
    name = printable(run["described"]["suite"])
    if find(run["described"]["suite"]) is None:
        return f"{name} isn't here"
    return "" if suite_of(run, find) else f"{name} here has another content than what was run"


def _entry(entry: Entry, find: Callable[[str], Suite | None]) -> Iterator[Problem]:
    checked = {run["path"]: run for run in entry.verdict["runs"]}
    for run in entry.outcomes["runs"]:
        suite = suite_of(run, find)
        if suite is None:
            continue
        path = run["described"]["path"]
        try:
            expected = [{"split": s.split, "rates": rates_json(s)} for s in summarize(unpack_run(run, suite), suite.metrics)]
            wrong = checked.get(path, {}).get("splits") != expected
            what = f"the rates of {path} in verdict.json aren't those that outcomes.json leads to" if wrong else ""
        except GrinningFaceError as error:
            what = f"the rates of {path} can't be counted: {error.line}"
        if what:
            yield Problem(where=f"{ENTRIES}/{entry.id}", what=what)


def _epoch(epoch: Epoch, board: Board, host: PluginHost, scratch: Path) -> Iterator[Problem]:
    if epoch.closed is None:
        return
    secret = bytes.fromhex(epoch.closed["secret"])
    if sha256(secret) != epoch.document["secret_sha256"]:
        yield Problem(where=f"{EPOCHS}/{epoch.name}", what="the secret isn't the one whose hash was published")
        return
    for (entry, suite_id), rerun in epoch.reruns.items():
        where = f"{EPOCHS}/{epoch.name}/reruns/{entry}/{suite_id.replace('/', '.')}.json"
        try:
            suite = load_suite(suite_id, host)
            seed = challenge_seed(secret, commitment_hash(epoch.commitments[entry]), suite_id, epoch.name)
            challenge = make_challenge(suite, seed, epoch.document["layers"], host)
            if content_hash(challenge) != rerun["challenge_sha256"]:
                raise GrinningFaceError("the challenge isn't the one that its seed leads to")
            _same_results(rerun, challenge, suite, board, scratch)
        except GrinningFaceError as error:
            yield Problem(where=where, what=error.line)


def _same_results(rerun: Mapping[str, Any], challenge: Mapping[str, Any], suite: Suite, board: Board, scratch: Path) -> None:
    """Nothing, if the run in the storage is of the challenge and gives the rates that are told. Raises GrinningFaceError."""
    digest = rerun["run"]["sha256"]
    file = scratch / f"{digest}.zip"
    if not file.is_file():
        board.storage.fetch(digest, file)
    with open_archive(file) as archive:
        rows = [row for _, _, row in read_rows(archive, "runs/1")]
    expected = [(episode["id"], episode["split"], episode["cluster"]) for episode in challenge["episodes"]]
    if [(row["episode"], row["split"], row["cluster"]) for row in rows] != expected:
        raise GrinningFaceError("the run in the storage isn't of the challenge's episodes")
    summary = next((s for s in summarize(rows, suite.metrics) if s.split == rerun["split"]), None)
    if summary is None:
        raise GrinningFaceError(f"the challenge has no split {rerun['split']!r}")
    rate = next(m.rate for m in summary.metrics if m.decl.name == SUCCESS)
    if (rate.k, rate.n) != (rerun["found"]["k"], rerun["found"]["n"]):
        what = f"the run in the storage has {rate.k} successes in {rate.n}, and {rerun['found']['k']} are told"
        raise GrinningFaceError(what)
