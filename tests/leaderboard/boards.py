"""Makes entries without playing anything: outcomes are drawn, and everything after that is the real code."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from gf_core.canonical import sha256
from gf_core.evaluation import Suite, load_suite
from gf_core.leaderboard.board.outcomes import pack_run
from gf_core.leaderboard.board.repository import write_json
from gf_core.leaderboard.bundle import BundledRun
from gf_core.leaderboard.rules import RULES
from gf_core.leaderboard.sheet import Finding
from gf_core.leaderboard.verdict import CheckedRun, Verdict, to_document
from gf_core.plugins import load_plugins
from gf_core.summary import summarize

from .forging import CARD, POLICY

Row = dict[str, Any]
Play = Callable[[str], float]
"""From a cluster to the probability of success."""


@cache
def suite(name: str = "gf/standard@1") -> Suite:
    return load_suite(name, load_plugins())


def draw_rows(of: Suite, success: float | Play, seed: int) -> list[Row]:
    """An episode is executed with probability √success, and then right with the same."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for episode in of.episodes:
        share = (success(episode.cluster) if callable(success) else success) ** 0.5
        executed, right = rng.random() < share, rng.random() < share
        won = executed and right
        metrics = {
            "executed": executed,
            "success_on_card": won if executed else False,
            "success_paper": won,
            "intended": 1,
            "intent_correct": right,
            "recognized": right if executed else None,
            "chosen": 1 if executed else None,
            "slip": 0.0001,
            "state_sha256": "0" * 64,
        }
        rows.append(
            {
                "episode": episode.id,
                "split": episode.split,
                "cluster": episode.cluster,
                "factors": dict(episode.factors),
                "success": won,
                "ending": "success" if won else "placed" if executed else "horizon",
                "steps": rng.randrange(60, 200),
                "clipped_steps": rng.randrange(3),
                "chunks": 10,
                "metrics": metrics,
            }
        )
    return rows


def identity(of: Suite, **policy: Any) -> Row:
    return {
        "suite": {"id": of.id, "sha256": of.sha256, "provenance": None},
        "environment": {"id": of.env},
        "policy": {**POLICY, **policy},
        "control_hz": 20.0,
        "timing": {"mode": "paused", "latency_steps": None},
        "versions": {},
        "platform": {"system": "Linux"},
    }


def write_entry(
    board: Path,
    name: str,
    success: float | Play = 0.5,
    *,
    of: Suite | None = None,
    badge: str = "replayed",
    date: str = "2026-01-31",
    seed: int = 0,
    lost: int = 0,
    **card: Any,
) -> str:
    """An entry whose first ``lost`` episodes ended in infrastructure faults. Returns its id."""
    of = of or suite()
    rows = draw_rows(of, success, seed)
    for row in rows[:lost]:
        row.update(ending="env_error", success=False)
    run = BundledRun(
        archive=None,  # type: ignore[arg-type]
        path="runs/1",
        identity=identity(of, spec_sha256=sha256(name)),
        records=tuple(rows),
        hashes={},
    )
    digest = sha256(f"{name} {seed}")
    checked = CheckedRun(
        path="runs/1",
        suite=of.id,
        suite_sha256=of.sha256,
        ranked=of.ranked,
        policy="acme-vla/open-v1",
        episodes=len(rows),
        env_errors=lost,
        replayed_by="actions",
        splits=tuple(summarize(rows, of.metrics)),
    )
    verdict = Verdict(
        file=f"{name}.zip"[:100],
        sha256=digest,
        name=name,
        badge=badge,  # type: ignore[arg-type]
        findings=tuple(Finding(code=code, status="pass", detail="") for code in RULES),
        runs=(checked,),
        prints={},
    )
    entry_id = f"{date}-{'e' + sha256(name)[:6]}-{digest[:8]}"
    folder = board / "entries" / entry_id
    head = {"schema_version": "1.0"}
    submission = {"file": verdict.file, "sha256": digest, "bytes": 1}
    events = [{"date": date, "event": "added", "reason": ""}]
    write_json(
        folder / "entry.json",
        {**head, "kind": "entry", "id": entry_id, "added": date, "submission": submission, "events": events},
    )
    write_json(folder / "card.json", {**CARD, "name": name, **card})
    write_json(folder / "verdict.json", {**head, "kind": "verdict", **to_document([verdict])})
    write_json(folder / "outcomes.json", {**head, "kind": "outcomes", "runs": [pack_run(run, of, {})]})
    return entry_id


def edit(path: Path, change: Callable[[Row], object]) -> None:
    """Edit a JSON file in place."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
