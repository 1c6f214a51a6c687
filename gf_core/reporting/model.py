"""What a report says about a run, before it is written in one form or another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._problems import printable
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.runs import RUN, Run, read_run
from gf_core.summary import SplitSummary, Tally, summarize, tally

if TYPE_CHECKING:
    from gf_core.evaluation.suites import Suite

SuiteLoader = Callable[[str], "Suite"]
"""From a suite's id to the suite; raises a GrinningFaceError where it can't."""

DefaultsLoader = Callable[[str], Mapping[str, Any]]
"""From a policy's id to the settings that it has unless told otherwise; empty where it isn't known here."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """A run, summarised.

    Attributes:
        path: the run directory, as given.
        suite, suite_sha256: what was run.
        split_notes: split to what it holds; empty where the suite isn't known here.
        policy: id of the policy.
        settings: the policy's configuration, complete, and seed and chunk length unless they are the defaults.
        defaults: what the policy's settings are here unless somebody says otherwise; empty where the policy isn't known.
        privileged: whether the policy sees the simulator's state.
        marks: what a reader must know before comparing: ``privileged``, ``unpackaged``, ``partial ...``, ``variant ...``,
            ``INCOMPLETE ...``, ``INVALID ...``.
        recorded: episodes recorded.
        planned: episodes that the run should have; ``None`` for an unfinished one whose suite isn't known here.
        complete: whether all are recorded.
        valid: whether infrastructure faults are few enough.
        splits: one summary each, in the suite's order.
        tally: what happened, all splits together.
        problem: why only success is shown; empty if the suite's rates are known.
    """

    path: str
    suite: str
    suite_sha256: str
    split_notes: Mapping[str, str]
    policy: str
    settings: Mapping[str, Any]
    privileged: bool
    marks: tuple[str, ...]
    recorded: int
    planned: int | None
    complete: bool
    valid: bool
    splits: tuple[SplitSummary, ...]
    tally: Tally
    problem: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chosen_settings(self) -> dict[str, Any]:
        """What tells this run of the policy from others: its settings, less those that have their default."""
        return {key: value for key, value in self.settings.items() if key not in self.defaults or self.defaults[key] != value}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A run's report with what it was made from, for pages that show single episodes.

    Attributes:
        report: the summary.
        run: the run directory, as read.
        suite: what was run; ``None`` where it can't be loaded here, or isn't the one that was run.
        probe: what the policy's vision-language model answered on the same episodes (probe-1.schema.json); ``None`` where
            nobody asked.
    """

    report: RunReport
    run: Run
    suite: Suite | None
    probe: Mapping[str, Any] | None = None


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Run directories: each path that is one, and the run directories right inside a path that isn't, sorted by name; each once.

    Raises:
        RunDirectoryError: a path is neither.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [path] if (path / RUN).is_file() else sorted(p.parent for p in path.glob(f"*/{RUN}"))
        if not inside:
            what = "no run directory, and none is inside" if path.is_dir() else "there is no such directory"
            raise RunDirectoryError(
                what, where=printable(str(path)), hint="give a directory that `gf run --out` wrote, or one that holds several"
            )
        found.update(dict.fromkeys(inside))
    return list(found)


def read_report(path: Path, load_suite: SuiteLoader, load_defaults: DefaultsLoader = lambda _: {}) -> RunReport:
    """The summary alone; see :func:`read_evidence`."""
    return read_evidence(path, load_suite, load_defaults).report


def read_evidence(path: Path, load_suite: SuiteLoader, load_defaults: DefaultsLoader = lambda _: {}) -> Evidence:
    """Read a run directory, finished or not, and summarise it.

    Where the suite can't be loaded here, or isn't the one that was run, only success is reported, and ``problem`` says why.

    Args:
        path: the run directory.
        load_suite: suites by id.
        load_defaults: a policy's defaults by its id. Where they are known, the run's name leaves out what has its default.

    Raises:
        RunDirectoryError: not a run directory, or a damaged or edited one.
        SchemaError: run.json isn't what its schema says.
    """
    run = read_run(path)
    identity = run.identity
    suite, problem = _suite(identity["suite"], load_suite)
    planned = identity["episodes"]
    if suite is not None:
        planned = planned or [e.id for e in suite.episodes]
        _check_plan(run, suite, planned)
    try:
        splits = summarize(run.records, suite.metrics if suite else ())
    except GrinningFaceError as error:
        raise RunDirectoryError(error.what, where=f"{path} ({identity['suite']['id']})", hint=error.hint) from error
    order = list(suite.splits) if suite else sorted(s.split for s in splits)
    report = RunReport(
        path=str(path),
        suite=identity["suite"]["id"],
        suite_sha256=identity["suite"]["sha256"],
        split_notes=suite.splits if suite else {},
        policy=identity["policy"]["id"],
        settings=_settings(identity),
        privileged=identity["policy"]["privileged"],
        marks=_marks(run, None if planned is None else len(planned), len(suite.episodes) if suite else None),
        recorded=len(run.records),
        planned=len(run.records) if planned is None and run.complete else None if planned is None else len(planned),
        complete=run.complete and (planned is None or len(planned) == len(run.records)),
        valid=run.valid,
        splits=tuple(sorted(splits, key=lambda s: order.index(s.split))),
        tally=tally(run.records),
        problem=problem,
        defaults=load_defaults(identity["policy"]["id"]),
    )
    return Evidence(report=report, run=run, suite=suite)


def _suite(identity: Mapping[str, Any], load_suite: SuiteLoader) -> tuple[Suite | None, str]:
    try:
        suite = load_suite(identity["id"])
    except GrinningFaceError as error:
        return None, f"the suite can't be loaded here, so only success is shown ({error})"
    if suite.sha256 != identity["sha256"]:
        return None, f"the {suite.id} here isn't the one that was run ({identity['sha256'][:12]}…), so only success is shown"
    return suite, ""


def _check_plan(run: Run, suite: Suite, planned: Sequence[str]) -> None:
    episodes = {e.id: e for e in suite.episodes}
    expected = {name: (episodes[name].split, episodes[name].cluster) for name in planned if name in episodes}
    for row in run.records:
        if expected.get(row["episode"]) != (row["split"], row["cluster"]):
            place = f"split {row['split']!r} and cluster {row['cluster']!r}"
            what = f"the episode {row['episode']!r} of {place} isn't one that the run should have"
            raise RunDirectoryError(what, where=str(run.path), hint="the file was edited")


def _settings(identity: Mapping[str, Any]) -> dict[str, Any]:
    policy = identity["policy"]
    settings = dict(policy["config"])
    if policy["seed"]:
        settings["seed"] = policy["seed"]
    if policy["execute_steps"] is not None:
        settings["execute_steps"] = policy["execute_steps"]
    return settings


def _marks(run: Run, planned: int | None, whole: int | None) -> tuple[str, ...]:
    identity, recorded = run.identity, len(run.records)
    marks = [
        mark
        for mark, there in (("privileged", identity["policy"]["privileged"]), ("unpackaged", identity["unpackaged"]))
        if there
    ]
    if identity["partial"]:
        marks.append(f"partial: {planned} of {whole} episodes" if whole else "partial")
    if identity["variant"]:
        marks.append(f"variant: {identity['control_hz']:g} Hz, {identity['timing']['mode']}")
    if not run.complete or (planned is not None and recorded != planned):
        marks.append(
            f"INCOMPLETE: {recorded} of {planned} episodes" if planned is not None else f"INCOMPLETE: {recorded} episodes so far"
        )
    if not run.valid:
        marks.append("INVALID: too many infrastructure faults")
    return tuple(marks)
