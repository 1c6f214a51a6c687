"""Runs of a made-up suite, written by the real writer."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gf_core.contracts import Episode
from gf_core.evaluation.suites import Suite
from gf_core.runs import open_run
from gf_core.summary import MetricDecl
from gf_core.trajectories import Trajectory

METRICS = (
    MetricDecl(name="success", metric="success", description="The block ends up on the right card."),
    MetricDecl(name="execution", metric="executed", description="The block ends up on a card."),
    MetricDecl(name="recognition", metric="success_on_card", given="executed", chance=1 / 3, description="It is the right card."),
    MetricDecl(name="intent", metric="intended", chance=1 / 3, description="The block was carried to the right card."),
)
SHA = "5" * 64

Play = Callable[[Episode], dict[str, Any]]


def suite(sha256: str = SHA) -> Suite:
    """Two splits of 20 clusters × 3 episodes."""
    episodes = [
        Episode(
            id=f"{split}-{c:02d}-{i}",
            split=split,
            cluster=f"{split}/{c}",
            env="demo/env-v1",
            seed=0,
            instruction="go",
            horizon=200,
            control_hz=20.0,
            factors={},
            scene={},
        )
        for split in ("val", "id")
        for c in range(20)
        for i in range(3)
    ]
    return Suite(
        id="demo/suite@1",
        sha256=sha256,
        source="demo/suite@1",
        summary="A demo.",
        env="demo/env-v1",
        env_config={},
        control_hz=20.0,
        decks={},
        splits={"val": "Emojis never trained on.", "id": "Emojis trained on."},
        metrics=METRICS,
        episodes=tuple(episodes),
        ranked=False,
        document={},
        provenance=None,
    )


def identity(**changes: Any) -> dict[str, Any]:
    """run.json; ``policy`` is merged, all else replaced."""
    policy = {
        "id": "demo/policy-v1",
        "config": {},
        "spec_sha256": SHA,
        "provenance": None,
        "privileged": False,
        "seed": 0,
        "execute_steps": None,
    }
    document: dict[str, Any] = {
        "schema_version": "1.0",
        "kind": "run",
        "suite": {"id": "demo/suite@1", "sha256": SHA, "provenance": None},
        "environment": {"id": "demo/env-v1", "config": {}, "spec_sha256": SHA, "provenance": None, "runtime": {}},
        "decks": {},
        "timing": {"mode": "paused", "latency_steps": 0},
        "control_hz": 20.0,
        "horizon_scale": 1,
        "episodes": None,
        "files": {},
        "versions": {},
        "platform": {"system": "Linux", "machine": "x86_64", "python": "3.11"},
        "unpackaged": False,
        "partial": False,
        "variant": False,
    }
    return {**document, **changes, "policy": {**policy, **changes.get("policy", {})}}


def outcome(chosen: bool | None, *, intended: bool = True, ending: str = "", reason: str = "") -> dict[str, Any]:
    """What a row says: ``chosen`` is whether the right card was chosen, or ``None`` for no placement at all."""
    success = bool(chosen)
    row: dict[str, Any] = {
        "success": success,
        "ending": ending or ("success" if success else "horizon" if chosen is None else "placed"),
        "steps": 70,
        "clipped_steps": 1,
        "metrics": {"executed": chosen is not None, "success_on_card": success, "intended": intended, "slip": 0.0004},
    }
    return {**row, "reason": reason} if reason else row


def guess(episode: Episode) -> dict[str, Any]:
    """Executes nine times in ten, on a card at random."""
    rng = random.Random(episode.id)
    right = rng.random() < 1 / 3
    return outcome(right if rng.random() < 0.9 else None, intended=right)


@pytest.fixture(autouse=True)
def nothing_here_outlives_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk, twice an episode, would take most of the tests' time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """``make_run(name, play=guess, only=None, run={...})`` -> directory.

    ``only`` limits how many episodes are recorded; ``plan`` are another suite's.
    """

    def make(
        name: str = "run",
        *,
        play: Play = guess,
        only: int | None = None,
        run: Mapping[str, Any] | None = None,
        plan: tuple[Episode, ...] = suite().episodes,
    ) -> Path:
        document = identity(**(run or {}))
        if document["episodes"] is not None:
            plan = tuple(e for e in plan if e.id in document["episodes"])
        nothing = Trajectory(
            actions=np.zeros((0, 7), np.float32), chunk_starts=np.zeros(0, np.int32), controls=np.zeros((0, 7), np.float64)
        )
        with open_run(tmp_path / name, document, [e.id for e in plan]) as writer:
            writer.session(slots=1, threads=1, in_process=True)
            for episode in plan[:only]:
                where = {"episode": episode.id, "split": episode.split, "cluster": episode.cluster, "factors": {}, "chunks": 1}
                writer.episode({**where, **play(episode)}, nothing, slot=0, attempts=1, seconds=0.1, ask_seconds=0.0)
            if only is None:
                writer.finish()
        return tmp_path / name

    return make


@pytest.fixture
def demo() -> Any:
    """The made-up suite (``demo.suite()``) and rows of it (``demo.outcome(...)``)."""
    return SimpleNamespace(suite=suite, outcome=outcome)
