"""Checks submissions against every rule, one file after the other or several at once."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._problems import printable
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.driver import By
from gf_core.evaluation.progress import Progress
from gf_core.evaluation.suites import Suite
from gf_core.evaluation.verification import verify_run
from gf_core.leaderboard import checks
from gf_core.leaderboard.archive import Archive, open_archive
from gf_core.leaderboard.bundle import CARD, MANIFEST, MAX_DOCUMENT, BundledRun, describe_run, read_document, read_manifest
from gf_core.leaderboard.card import alike, check_name
from gf_core.leaderboard.pack import file_sha256
from gf_core.leaderboard.plausibility import Traits, check_copies, check_done, left_out, read_traits, too_good
from gf_core.leaderboard.probes import check_probe
from gf_core.leaderboard.rules import RULES
from gf_core.leaderboard.sheet import Finding, Sheet
from gf_core.leaderboard.verdict import Badge, CheckedRun, Verdict
from gf_core.registry import one_line
from gf_core.summary import ENV_ERROR, SplitSummary

log = logging.getLogger(__name__)

PRINT = 16
"""Hexadecimal digits of an action sequence's hash that are compared: of a million hashes of 64 bits, two are equal by chance with
probability 3e-8."""

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


@dataclass(kw_only=True, eq=False)
class _Opened:
    """A run on its way through the rules."""

    run: BundledRun
    suite: Suite
    splits: tuple[SplitSummary, ...]
    traits: Mapping[str, Traits]
    replayed_by: By | None = None


def verify_file(path: Path, host: PluginHost, *, threads: int = 0, progress: Progress | None = None) -> Verdict:
    """Hold one file against the rules that concern it alone.

    Rules are checked in order; the recordings are replayed only where nothing before is broken.

    Args:
        path: the file.
        host: the plugins, which know suites and environments.
        threads: threads for physics; 0 for all.
        progress: a display of the replay.
    """
    sheet = Sheet()
    name: str | None = None
    digest: str | None = None
    opened: list[_Opened] = []
    try:
        with open_archive(path) as archive:
            sheet.note("GF401", "pass")
            digest = file_sha256(path)
            card = sheet.check("GF403", partial(_read_card, archive)) if CARD in archive.members else None
            name = card["name"] if card else None
            manifest = sheet.check("GF402", lambda: read_manifest(archive))
            if manifest is not None and card is not None:
                opened = _check_runs(archive, manifest, card, host, sheet)
            elif card is None:
                sheet.note("GF403", "fail", f"{CARD} is missing")
            if opened and sheet.first_failed is None:
                _replay(opened, host, sheet, threads, progress)
    except GrinningFaceError as error:
        sheet.note("GF401", "fail", error.what)
    except Exception as error:  # whatever a stranger thought of, it ends neither the other checks nor in a badge
        log.exception("checking %s broke", path)
        sheet.note("GF401", "fail", f"checking it broke: {one_line(error)}")
    return _verdict(printable(path.name), digest, name, sheet, opened)


def _read_card(archive: Archive) -> dict[str, Any]:
    card = read_document(archive, CARD, "card", MAX_DOCUMENT)
    check_name(card["name"], CARD)
    return card


def _check_runs(
    archive: Archive, manifest: Mapping[str, Any], card: Mapping[str, Any], host: PluginHost, sheet: Sheet
) -> list[_Opened]:
    identities: dict[str, Mapping[str, Any]] = {}
    opened: list[_Opened] = []
    for described in manifest["runs"]:
        path = described["path"]
        identity = sheet.check("GF404", partial(checks.read_identity, archive, path))
        suite = sheet.check("GF405", partial(checks.known_suite, identity, path, host)) if identity else None
        if identity is None or suite is None:
            continue
        identities[path] = identity
        sheet.check("GF406", partial(checks.check_as_in_suite, identity, path, suite, host))
        sheet.check("GF413", partial(checks.check_versions, identity, path))
        sheet.check("GF414", partial(checks.check_unprivileged, identity, path, host))
        run = sheet.check(("GF404", "GF407", "GF408"), partial(checks.check_rows, archive, path, identity, suite))
        if run is None:
            continue
        sheet.check("GF402", partial(_check_description, described, run, suite))
        sheet.check("GF412", partial(checks.check_faults, run))
        splits = sheet.check("GF411", partial(checks.recompute, run, suite))
        traits = sheet.check(("GF409", "GF410"), partial(read_traits, run, suite, host))
        if splits is not None and traits is not None:
            opened.append(_Opened(run=run, suite=suite, splits=tuple(splits), traits=traits))
    if identities:
        sheet.check("GF415", partial(checks.check_one_policy, identities))
        sheet.check("GF416", partial(checks.check_training, card, [entry.suite for entry in opened], host))
    sheet.check("GF417", partial(checks.check_selection, card))
    if opened:
        sheet.check("GF423", partial(check_probe, archive, [entry.suite for entry in opened]))
        sheet.check("GF418", partial(check_copies, [(entry.run, entry.suite, entry.traits) for entry in opened], host))
    for entry in opened:
        sheet.check("GF419", partial(check_done, entry.run, entry.traits))
        sheet.note("GF450", "flag" if (why := too_good(entry.run)) else "pass", why)
        sheet.note("GF452", "flag" if (why := left_out(entry.run)) else "pass", why)
    return opened


def _check_description(described: Mapping[str, Any], run: BundledRun, suite: Suite) -> None:
    for key, value in describe_run(run.path, run.identity, run.records, suite).items():
        if described[key] != value:
            raise GrinningFaceError(f"is {described[key]!r} and should be {value!r}", where=f"{MANIFEST}#/runs/{run.path}/{key}")


def _replay(opened: Sequence[_Opened], host: PluginHost, sheet: Sheet, threads: int, progress: Progress | None) -> None:
    for entry in opened:
        run, suite = entry.run, entry.suite
        if not host.envs.get(suite.env).replayable:
            sheet.note("GF420", "unchecked", f"recordings of {suite.env} can't be replayed")
            continue
        check = partial(verify_run, run, suite, host, threads=threads, first_only=True, progress=progress)
        found = sheet.check("GF420", check)
        if found is None:
            return
        entry.replayed_by = found.by
        if not found.equal:
            what = found.differences[0] if found.differences else "no episode could be driven again"
            sheet.note("GF420", "fail", f"{run.path}: {what}")
        sheet.note("GF420", "pass", f"{found.compared} episodes, {found.steps} steps by {found.by}")
        sheet.note("GF451", "flag" if found.by == "controls" else "pass", f"{run.path}: {found.why}" if found.why else "")


def _verdict(file: str, digest: str | None, name: str | None, sheet: Sheet, opened: Sequence[_Opened]) -> Verdict:
    consistent = sheet.first_failed is None
    replayed = bool(opened) and all(entry.replayed_by is not None for entry in opened)
    badge: Badge = "disputed" if not consistent else "replayed" if replayed else "consistent"
    runs = tuple(
        CheckedRun(
            path=entry.run.path,
            suite=entry.suite.id,
            suite_sha256=entry.suite.sha256,
            ranked=entry.suite.ranked,
            policy=entry.run.identity["policy"]["id"],
            episodes=len(entry.run.records),
            env_errors=sum(row["ending"] == ENV_ERROR for row in entry.run.records),
            replayed_by=entry.replayed_by,
            splits=entry.splits,
        )
        for entry in opened
    )
    prints = {
        checks.run_key(entry.run.identity): {episode: one.actions for episode, one in entry.traits.items() if one.actions}
        for entry in opened
    }
    return Verdict(
        file=file,
        sha256=digest,
        name=name,
        badge=badge,
        findings=tuple(sheet),
        runs=runs if consistent else (),
        prints=prints,
    )


def verify_files(
    paths: Sequence[Path],
    make_host: Callable[[], PluginHost],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Verdict]:
    """Hold several files against the rules, also against each other, in the order of their names: earlier ones stand.

    Args:
        paths: the files.
        make_host: makes the plugin host, in every process; picklable.
        jobs: files at once, each in a process of its own.
        progress: a display, for ``jobs = 1``.

    Raises:
        GrinningFaceError: a process died.
    """
    ordered = sorted(paths, key=lambda path: (path.name, str(path)))
    return compare_files(list(verify_each(ordered, make_host, jobs=jobs, progress=progress)))


def verify_each(
    paths: Sequence[Path], make_host: Callable[[], PluginHost], *, jobs: int = 1, progress: Progress | None = None
) -> Iterator[Verdict]:
    """The verdicts on several files one after the other, in the given order, without holding them against each other.

    Arguments and errors as of :func:`verify_files`.
    """
    if jobs == 1 or len(paths) == 1:
        host = make_host()
        for path in paths:
            yield verify_file(path, host, progress=progress)
        return
    try:
        with ProcessPoolExecutor(min(jobs, len(paths)), multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(partial(_verify_alone, make_host), paths)
    except BrokenProcessPool as error:
        raise GrinningFaceError("a process that was checking died", hint="--jobs 1 shows with which file") from error


def _verify_alone(make_host: Callable[[], PluginHost], path: Path) -> Verdict:
    return verify_file(path, make_host(), threads=1)


class Known:
    """What was submitted so far: whose runs and recordings another file can't have, too."""

    def __init__(self, *, names: bool = False) -> None:
        """``names``: whether two may not have the same name."""
        self._runs: dict[str, str] = {}
        self._recordings: dict[tuple[str, str], str] = {}
        self._broken: dict[str, str] = {}
        self._names: dict[str, str] | None = {} if names else None

    def learn_broken(self, start: str, what: str) -> None:
        """Remember a file whose runs can't be read any more: what its hash begins with, and where it is and what is wrong."""
        self._broken[start] = what

    def learn(self, name: str, prints: Mapping[str, Mapping[str, str]], title: str | None = None) -> None:
        """Remember a file's runs.

        Args:
            name: what findings call it.
            prints: run key to episode to hash of its actions, of which the first digits are enough (:data:`PRINT`).
            title: its name in tables, for one that is in them.
        """
        if self._names is not None and title is not None:
            self._names.setdefault(alike(title), name)
        for key, episodes in prints.items():
            self._runs.setdefault(key, name)
            for episode, digest in episodes.items():
                self._recordings.setdefault((episode, digest[:PRINT]), name)

    def hold_against(self, verdict: Verdict) -> Verdict:
        """The verdict, with GF421 and GF422 checked, and GF424 where names are compared."""
        if not verdict.prints:
            return verdict
        found = {finding.code: finding for finding in verdict.findings}
        same = next((f"{self._runs[key]} has it too" for key in verdict.prints if key in self._runs), "")
        broken_there = next((what for start, what in self._broken.items() if (verdict.sha256 or "").startswith(start)), "")
        pairs = ((episode, digest[:PRINT]) for prints in verdict.prints.values() for episode, digest in prints.items())
        copied = next((pair for pair in pairs if pair in self._recordings), None)
        found["GF421"] = _compared("GF421", broken_there or same)
        found["GF422"] = _compared("GF422", f"{copied[0]} is as in {self._recordings[copied]}" if copied else "")
        if self._names is not None:
            other = self._names.get(alike(verdict.name or ""))
            found["GF424"] = _compared("GF424", f"{other} has its name" if other else "")
        broken = any(finding.status == "fail" for finding in found.values())
        return dataclasses.replace(
            verdict,
            findings=tuple(found[code] for code in RULES),
            badge="disputed" if broken else verdict.badge,
            runs=() if broken else verdict.runs,
        )


def compare_files(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, in order, with GF421 and GF422 checked where there is anything to compare with; of two alike, the later one
    breaks the rule."""
    if len(verdicts) < 2:
        return list(verdicts)
    known = Known()
    compared: list[Verdict] = []
    for verdict in verdicts:
        compared.append(known.hold_against(verdict))
        known.learn(verdict.file, verdict.prints)
    return compared


def _compared(code: str, what: str) -> Finding:
    return Finding(code=code, status="fail" if what else "pass", detail=what)
