"""What must come out for policies whose success and recognition are known."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from .conftest import Gf, rows

ODDS = 1e-3
"""A right program fails such a check once in a thousand suites; a suite is frozen, so it fails always or never."""


def play(gf: Gf, folder: Path, suite: str, policy: str, *more: object) -> list[dict[str, Any]]:
    done = gf("run", suite, "--policy", policy, "--out", policy, *more)
    assert done.returncode == 0, done.stderr
    return rows(folder / policy)


def sample(gf: Gf, every: int) -> str:
    """Ids of every so many episodes of gf/standard@1, for ``--episodes``."""
    listed = gf("show", "gf/standard@1", "--json")
    module, _, path = json.loads(listed.stdout)["spec"]["entry_point"].partition(":")
    document = json.loads(importlib.resources.files(module).joinpath(path).read_text())
    return ",".join(row["id"] for row in document["episodes"][::every])


def share(episodes: Sequence[dict[str, Any]], metric: str, given: str = "") -> tuple[int, int]:
    """How many episodes have a metric, and how many count: those that have ``given``."""
    counted = [row["metrics"] for row in episodes if not given or row["metrics"][given]]
    return sum(bool(metrics[metric]) for metrics in counted), len(counted)


def test_the_expert_succeeds_and_doing_nothing_does_not(gf: Gf, tmp_path: Path) -> None:
    expert = play(gf, tmp_path, "gf/smoke@1", "gf/expert-v1")
    assert all(row["success"] and row["metrics"]["recognized"] and row["metrics"]["intent_correct"] for row in expert)
    assert max(row["metrics"]["slip"] for row in expert) < 1e-3
    idle = play(gf, tmp_path, "gf/smoke@1", "gf/null-v1")
    assert not any(row["success"] or row["metrics"]["executed"] for row in idle)
    assert {row["metrics"]["recognized"] for row in idle} == {None}
    assert {row["ending"] for row in idle} == {"horizon"}


@pytest.mark.parametrize("policy", ["gf/random-card-v1", "gf/touring-v1"])
def test_who_does_not_look_recognises_one_in_three(gf: Gf, tmp_path: Path, policy: str) -> None:
    check_blind(play(gf, tmp_path, "gf/standard@1", policy, "--episodes", sample(gf, 20)))


def check_blind(episodes: Sequence[dict[str, Any]]) -> None:
    executed, n = share(episodes, "executed")
    assert executed >= 0.95 * n  # arms that work
    assert binomtest(*share(episodes, "recognized", given="executed"), 1 / 3).pvalue > ODDS
    assert binomtest(sum(row["success"] for row in episodes), n, 1 / 3).pvalue > ODDS


@pytest.mark.full
def test_the_whole_standard_suite(gf: Gf, tmp_path: Path) -> None:
    expert = play(gf, tmp_path, "gf/standard@1", "gf/expert-v1")
    assert sum(row["success"] for row in expert) >= 0.99 * len(expert)
    assert max(row["steps"] for row in expert if row["success"]) <= 200
    assert max(row["metrics"]["slip"] for row in expert) < 1e-3
    assert not any(row["success"] for row in play(gf, tmp_path, "gf/standard@1", "gf/null-v1"))
    for policy in ("gf/random-card-v1", "gf/touring-v1"):
        check_blind(play(gf, tmp_path, "gf/standard@1", policy))
        report = gf("report", policy, "--json")
        (run,) = json.loads(report.stdout)["runs"]
        assert len(run["splits"]) == 3
