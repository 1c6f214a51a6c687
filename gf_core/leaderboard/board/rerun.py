"""Runs an entry's policy on challenge episodes, asks it again what it was recorded to do, and says whether that agrees."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gf_core._problems import printable
from gf_core.canonical import canonical_json, content_hash, derive_seed
from gf_core.contracts import PolicyContext
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.asking import Answers, ask_again
from gf_core.evaluation.plan import Plan, Request, make_plan
from gf_core.evaluation.policy_child import LoadPolicy
from gf_core.evaluation.policy_process import Deadlines, PolicyProcess
from gf_core.evaluation.progress import Progress
from gf_core.evaluation.run import Resources, run_suite
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.leaderboard import checks
from gf_core.leaderboard.archive import open_archive, write_archive
from gf_core.leaderboard.board.epochs import (
    RERUNS,
    Epoch,
    challenge_seed,
    commitment_hash,
    read_epoch,
    read_secret,
)
from gf_core.leaderboard.board.ranking import SUCCESS, main_split, runs_of
from gf_core.leaderboard.board.repository import Board, Entry, change, changing, read_board, today, write_json
from gf_core.leaderboard.bundle import BundledRun, read_manifest
from gf_core.leaderboard.pack import file_sha256
from gf_core.leaderboard.verdict import rates_json
from gf_core.registry import load_object
from gf_core.runs import EPISODES, POLICY_LOG, RUN, TRAJECTORIES, Run
from gf_core.schemas import apply_settings, validate
from gf_core.statistics import boschloo
from gf_core.summary import summarize

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

ALPHA = 0.001
"""An honest entry is disputed by chance once in so many re-runs. The test takes the two sets of episodes as independent, which is
cautious: they share their targets, and what is shared drops out of the difference."""
ANSWERS = 0.9
"""The least share of questions that must be answered as recorded, to :data:`gf_core.evaluation.asking.CLOSE`."""
ASKED = 8
"""Episodes that a policy is asked about again."""


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """What running a policy again came to.

    Attributes:
        document: as written.
        agrees: whether it agrees with the submission.
        why: what doesn't; empty if it agrees.
        was_there: whether the challenge had been answered before; nothing was done then.
    """

    document: Mapping[str, Any]
    agrees: bool
    why: str
    was_there: bool = False


def rerun(
    path: Path,
    entry_name: str,
    epoch_name: str,
    secret_file: Path,
    host: PluginHost,
    work: Path,
    *,
    suite_id: str = "",
    settings: Sequence[str] = (),
    ask: int = ASKED,
    date: str | None = None,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> Rerun:
    """Run an entry's policy on the challenge of its commitment, and dispute the entry if that contradicts its submission.

    May be stopped and called again with the same folder: the challenge's run goes on.

    Args:
        path: the repository.
        entry_name: the entry, or a beginning of its id.
        epoch_name: an open epoch in which it is committed.
        secret_file: the epoch's secret.
        host: the plugins.
        work: a folder for the challenge and its run.
        suite_id: which of the entry's suites; by default its only one that has challenges.
        settings: settings of the policy as ``KEY=VALUE``, on top of the recorded ones: where its checkpoint lies here.
        ask: recorded episodes that the policy is asked about again.
        date: the day; by default today's, UTC.
        resources: how to carry out the run.
        progress: a display of it.

    Raises:
        GrinningFaceError: nothing to run, a late challenge, another checkpoint than the one that was committed, or what a run
            raises.
    """
    board, epoch = read_board(path, host), read_epoch(path, epoch_name)
    entry = board.entry(entry_name)
    secret = read_secret(secret_file, epoch)
    commitment = epoch.commitments.get(entry.id)
    if commitment is None:
        raise GrinningFaceError(
            f"it isn't committed in epoch {epoch.name!r}",
            where=entry.id,
            hint=f"`gf leaderboard commit {path} {entry.id} --epoch {epoch.name}`",
        )
    suite = _challenged(entry, suite_id, host)
    if found := epoch.reruns.get((entry.id, suite.id)):
        if all(event["event"] != "disputed" for event in entry.document["events"]):
            _dispute(path, entry, found, date)  # an interruption may have come between the answer and the dispute
        return Rerun(document=found, agrees=found["agrees"], why=found["why"], was_there=True)
    if epoch.closed is not None:
        what = f"epoch {epoch.name!r} was closed on {epoch.closed['date']}: its secret is known, and a run would be late"
        raise GrinningFaceError(what, where=entry.id, hint="commit and run it in the next one")
    committed = commitment["policy"]
    seed = challenge_seed(secret, commitment_hash(commitment), suite.id, epoch.name)
    work.mkdir(parents=True, exist_ok=True)
    document = make_challenge(suite, seed, epoch.document["layers"], host)
    file = work / "challenge.json"
    file.write_text(canonical_json(document), encoding="utf-8")
    _check_settings(committed["config"], settings, entry)
    schema = host.policies.get(committed["id"]).config_schema
    config = apply_settings(tuple(settings), schema, base=committed["config"], source="--set")
    request = Request(suite=str(file), policy=committed["id"], policy_config=config, execute_steps=committed["execute_steps"])
    _check_policy(make_plan(request, host), commitment, entry)
    result = run_suite(request, host=host, out=work / "run", resources=resources, progress=progress)
    with _submitted(board, entry, suite, work) as recorded:
        again = dataclasses.replace(request, suite=suite.id, policy_seed=recorded.identity["policy"]["seed"])
        plan = make_plan(again, host)
        answers = _ask(recorded, plan, _some(recorded, ask, seed), host, work)
    content = _document(epoch, entry, commitment, suite, document, result.run, answers, work, date or today())
    target = epoch.path / RERUNS / entry.id / f"{suite.id.replace('/', '.')}.json"
    validate(content, "rerun", source=str(target))
    with changing(path) as now:
        if (there := read_epoch(path, epoch_name)).closed is not None or (entry.id, suite.id) in there.reruns:
            raise GrinningFaceError("the epoch was closed, or the challenge answered, meanwhile", where=entry.id)
        digest = content["run"]["sha256"]
        if not now.storage.has(digest):
            now.storage.put(work / "run.zip", digest)
        write_json(target, content)
    if "disputed" not in entry.against:
        _dispute(path, entry, content, date)
    return Rerun(document=content, agrees=content["agrees"], why=content["why"])


def _dispute(path: Path, entry: Entry, found: Mapping[str, Any], date: str | None) -> None:
    if not found["agrees"]:
        change(path, entry.id, "disputed", f"re-run in epoch {found['epoch']}: {found['why']}", date=date)


def make_challenge(suite: Suite, seed: int, layers: int, host: PluginHost) -> dict[str, Any]:
    """New episodes of a suite's kind. Raises GrinningFaceError: the suite's package makes none, or nothing that is a suite."""
    spec = host.suites.get(suite.id)
    if not spec.challenge:
        raise GrinningFaceError(f"{suite.id} has no challenges", hint="its SuiteSpec names none")
    document = cast("dict[str, Any]", json.loads(json.dumps(load_object(spec, spec.challenge)(seed, layers))))
    validate(document, "suite", source=f"the challenge of {suite.id}")
    return document


def _challenged(entry: Entry, wanted: str, host: PluginHost) -> Suite:
    played = list(dict.fromkeys(one.suite for one in runs_of(entry)))
    if wanted and wanted not in played:
        raise GrinningFaceError(f"it has no run on {wanted}", where=entry.id, hint=f"it has {', '.join(played)}")
    known = {spec.id: spec for spec in host.suites}
    able = [name for name in ([wanted] if wanted else played) if name in known and known[name].challenge]
    if not able:
        raise GrinningFaceError("none of its suites has challenges", where=entry.id, hint=f"it has {', '.join(played)}")
    return load_suite(able[0], host)


_LEADING_ELSEWHERE = ("url", "requirements", "plugins", "downloads", "trust_remote_code")
"""Settings that make this machine talk to another, or run what somebody wrote: what a submission says there isn't followed."""
_OF_A_HUB = re.compile(r"[\w.-]+/[\w.-]+@\w+")
"""A checkpoint that would be fetched."""


def _leading_elsewhere(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Settings and their values; those of a policy inside another (gf/isolated-v1) as the other's setting that holds them."""
    for name in _LEADING_ELSEWHERE:
        if config.get(name):
            yield name, config[name]
    if _OF_A_HUB.fullmatch(str(config.get("checkpoint", ""))):
        yield "checkpoint", config["checkpoint"]
    for text in config.get("settings") or ():
        name, _, value = str(text).partition("=")
        if value not in ("false", "") and any(_leading_elsewhere({name.strip(): value.strip()})):
            yield "settings", text


def _check_settings(committed: Mapping[str, Any], given: Sequence[str], entry: Entry) -> None:
    named = {text.partition("=")[0].strip() for text in given}
    for name, value in _leading_elsewhere(committed):
        if name not in named:
            raise GrinningFaceError(
                f"the submission's {name} is {printable(str(value))[:200]}, and isn't followed unseen",
                where=entry.id,
                hint=f"--set {name}=…, after looking at it: where you serve it, or what you are ready to fetch, install or run",
            )


def _check_policy(plan: Plan, commitment: Mapping[str, Any], entry: Entry) -> None:
    here, there = plan.identity["policy"]["spec_sha256"], commitment["policy"]["spec_sha256"]
    if here != there:
        raise GrinningFaceError(
            f"another checkpoint, or another version of {plan.policy.id}, than was committed ({here[:12]}…, not {there[:12]}…)",
            where=entry.id,
            hint="--set checkpoint=DIR names the committed one; its package must have the recorded version",
        )


@contextmanager
def _submitted(board: Board, entry: Entry, suite: Suite, work: Path) -> Iterator[BundledRun]:
    """The recorded run on a suite, of the smallest seed."""
    digest = entry.document["submission"]["sha256"]
    file = work / f"{digest}.zip"
    if not file.is_file():
        board.storage.fetch(digest, file)
    chosen = next(one for one in runs_of(entry) if one.suite == suite.id)
    with open_archive(file) as archive:
        read_manifest(archive)
        yield checks.check_rows(archive, chosen.path, checks.read_identity(archive, chosen.path), suite)


def _some(recorded: BundledRun, count: int, seed: int) -> list[str]:
    """Episodes that nobody could guess, of those in which the policy was asked."""
    names = [row["episode"] for row in recorded.records if row["chunks"]]
    return sorted(random.Random(derive_seed(seed, "asked")).sample(names, min(count, len(names))))


def _ask(recorded: BundledRun, plan: Plan, names: Sequence[str], host: PluginHost, work: Path) -> Answers:
    context = PolicyContext(env=plan.env, action=plan.env.action, slots=1, plugin_files=host.files)
    load = LoadPolicy(spec=plan.policy, config=plan.policy_config, context=context, files=host.files)
    policy = PolicyProcess(load, plan.interface.observes, log=work / POLICY_LOG, deadlines=Deadlines())
    with contextlib.closing(policy):
        policy.load()
        return ask_again(recorded, plan, policy, names, host)


def _document(
    epoch: Epoch,
    entry: Entry,
    commitment: Mapping[str, Any],
    suite: Suite,
    challenge: Mapping[str, Any],
    run: Run,
    answers: Answers,
    work: Path,
    date: str,
) -> dict[str, Any]:
    split = main_split(suite)
    measured = next(one for one in runs_of(entry) if one.suite == suite.id).success(split)
    summary = next(s for s in summarize(run.records, suite.metrics) if s.split == split)
    found = next(m.rate for m in summary.metrics if m.decl.name == SUCCESS)
    recorded = (measured.k, measured.n) if measured else (0, 0)
    p = boschloo(recorded[0], recorded[1], found.k, found.n)
    why = _why_not(recorded, (found.k, found.n), p, answers)
    write_archive(work / "run.zip", _files(run))
    return {
        "schema_version": "1.0",
        "kind": "rerun",
        "epoch": epoch.name,
        "entry": entry.id,
        "commitment": commitment_hash(commitment),
        "policy_spec_sha256": run.identity["policy"]["spec_sha256"],
        "suite": suite.id,
        "challenge_sha256": content_hash(challenge),
        "date": date,
        "split": split,
        "recorded": {"k": recorded[0], "n": recorded[1]},
        "found": {"k": found.k, "n": found.n},
        "rates": rates_json(summary),
        "p": p,
        "asked": {**dataclasses.asdict(answers), "episodes": list(answers.episodes), "largest": min(answers.largest, 1e9)},
        "agrees": not why,
        "why": why,
        "run": {"sha256": file_sha256(work / "run.zip"), "bytes": (work / "run.zip").stat().st_size},
        "versions": run.identity["versions"],
        "platform": run.identity["platform"],
    }


def _why_not(recorded: tuple[int, int], found: tuple[int, int], p: float, answers: Answers) -> str:
    reasons = []
    if p <= ALPHA:
        more = "of the challenge, and {} of {} of the submission".format(*recorded)
        reasons.append(f"success in {found[0]} of {found[1]} episodes {more} (p = {p:.2g})")
    if answers.chunks and answers.close < ANSWERS * answers.chunks:
        told = f"{answers.close} of {answers.chunks} recorded observations are answered with the recorded actions"
        reasons.append(f"{told}; the first that isn't: {answers.first}")
    return "; ".join(reasons)


def _files(run: Run) -> Iterator[tuple[str, bytes]]:
    yield f"runs/1/{EPISODES}", (run.path / EPISODES).read_bytes()
    yield f"runs/1/{RUN}", (run.path / RUN).read_bytes()
    for name in sorted(row["episode"] for row in run.records):
        yield f"runs/1/{TRAJECTORIES}/{name}.npz", (run.path / TRAJECTORIES / f"{name}.npz").read_bytes()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gf-rerun-") as folder:
        yield Path(folder)
