"""What checking a submission came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gf_core.canonical import JSON
from gf_core.evaluation.driver import By
from gf_core.leaderboard.rules import RULES
from gf_core.leaderboard.sheet import Finding
from gf_core.statistics import Rate
from gf_core.summary import SplitSummary

Badge = Literal["consistent", "replayed", "disputed"]
MEANS: Mapping[Badge, str] = {
    "consistent": "complete and consistent; physics unverified, policy unverified",
    "replayed": "physics verified, policy unverified",
    "disputed": "a rule is broken",
}


@dataclass(frozen=True, kw_only=True)
class CheckedRun:
    """A run whose records are consistent, recomputed.

    Attributes:
        path: its folder in the submission.
        suite, suite_sha256, ranked: what it is of, and whether that may enter a ranking.
        policy: id of the policy.
        episodes, env_errors: how many.
        replayed_by: what was driven through the environment again; ``None`` if nothing was.
        splits: the suite's rates, by split.
    """

    path: str
    suite: str
    suite_sha256: str
    ranked: bool
    policy: str
    episodes: int
    env_errors: int
    replayed_by: By | None
    splits: tuple[SplitSummary, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What checking one file came to.

    Attributes:
        file: its name.
        sha256: hash of its bytes; ``None`` where it can't be read.
        name: the entry's name; ``None`` where the card can't be read.
        badge: how far its numbers can be trusted.
        findings: one for every rule, in order.
        runs: recomputed; empty where a rule before GF418 is broken.
        prints: for comparing files: run key to episode to hash of its actions.
    """

    file: str
    sha256: str | None
    name: str | None
    badge: Badge
    findings: tuple[Finding, ...]
    runs: tuple[CheckedRun, ...]
    prints: Mapping[str, Mapping[str, str]]

    @property
    def first_failed(self) -> str | None:
        """Code of the first rule that is broken."""
        return next((finding.code for finding in self.findings if finding.status == "fail"), None)


def to_document(verdicts: Sequence[Verdict]) -> dict[str, JSON]:
    """The content of a document of kind ``verdict`` (verdict-1.schema.json)."""
    return {"submissions": [submission_json(verdict) for verdict in verdicts]}


def submission_json(verdict: Verdict) -> dict[str, JSON]:
    """One file's part of it."""
    rules: list[JSON] = [
        {"code": f.code, "title": RULES[f.code].title, "status": f.status, "detail": f.detail} for f in verdict.findings
    ]
    return {
        "file": verdict.file,
        "sha256": verdict.sha256,
        "name": verdict.name,
        "badge": verdict.badge,
        "means": MEANS[verdict.badge],
        "first_failed": verdict.first_failed,
        "rules": rules,
        "runs": [_run(run) for run in verdict.runs],
    }


def _run(run: CheckedRun) -> JSON:
    return {
        "path": run.path,
        "suite": run.suite,
        "suite_sha256": run.suite_sha256,
        "ranked": run.ranked,
        "policy": run.policy,
        "episodes": run.episodes,
        "env_errors": run.env_errors,
        "replayed_by": run.replayed_by,
        "splits": [{"split": split.split, "rates": rates_json(split)} for split in run.splits],
    }


def rates_json(split: SplitSummary) -> list[JSON]:
    """A split's rates, as a verdict tells them."""
    return [_rate(metric.decl.name, metric.rate) for metric in split.metrics]


def _rate(name: str, rate: Rate) -> JSON:
    interval: JSON = [rate.interval.low, rate.interval.high] if rate.interval else None
    return {"name": name, "k": rate.k, "n": rate.n, "estimate": rate.estimate, "interval": interval}
