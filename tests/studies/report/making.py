"""Studies of made-up policies, in the layout that `gf study run` writes; runs come from the real writer.

No policy here was trained: each arm is a pair of probabilities, to execute and to know the right card.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gf_core.canonical import content_hash, sha256
from gf_core.contracts import Episode
from gf_core.evaluation.suites import Suite
from gf_core.runs import open_run
from gf_core.studies.document import Cell, Study, complete_study
from gf_core.studies.folder import CHOICES, RECORD, STUDY, StudyFolder, write_document
from gf_core.summary import MetricDecl
from gf_core.trajectories import Trajectory

METRICS = (
    MetricDecl(name="success", metric="success", description="The block ends up on the right card."),
    MetricDecl(name="execution", metric="executed", description="The block ends up on a card."),
    MetricDecl(name="recognition", metric="recognized", given="executed", chance=1 / 3, description="It is the right card."),
    MetricDecl(name="intent", metric="intent_correct", chance=1 / 3, description="The block was carried to the right card."),
)
SUITE_SHA = "5" * 64
NOTHING = Trajectory(
    actions=np.zeros((0, 7), np.float32), chunk_starts=np.zeros(0, np.int32), controls=np.zeros((0, 7), np.float64)
)


@dataclass(frozen=True)
class Skill:
    """How often a made-up policy places the block, and on the right card then."""

    executes: float
    knows: float


def suite(targets: int = 30, layouts: int = 2) -> Suite:
    """Splits val and id of so many clusters × episodes."""
    episodes = [
        Episode(
            id=f"{split}-{target:02d}-{layout}",
            split=split,
            cluster=f"{split}-emoji-{target}",
            env="demo/env-v1",
            seed=0,
            instruction="pick the block and place it on it",
            horizon=200,
            control_hz=20.0,
            factors={},
            scene={},
        )
        for split in ("val", "id")
        for target in range(targets)
        for layout in range(layouts)
    ]
    return Suite(
        id="demo/suite@1",
        sha256=SUITE_SHA,
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


def study_document(**changes: Any) -> dict[str, Any]:
    """A study of three arms with one contrast between the first two."""
    recipe = json.loads((Path(__file__).parents[2] / "schemas/golden/recipe-1/valid-one.json").read_text(encoding="utf-8"))
    return {
        "schema_version": "1.0",
        "kind": "study",
        "name": "demo",
        "question": "Which technique keeps what the model knew?",
        "data": {"robot": {"demos": {}}},
        "backbones": {"nano": {"id": "gf/nano-v1"}},
        "heads": {"act": {"id": "gf/regression-v1"}},
        "protocol": {"recipe": recipe},
        "arms": {name: {"description": f"{name} of all."} for name in ("full", "lora", "scratch")},
        "seeds": [0, 1, 2],
        "evaluate": [{"suite": "demo/suite@1"}],
        "contrasts": [
            {"first": "lora", "second": "full", "question": "Do adapters keep more?"},
            {"first": "full", "second": "scratch", "question": "Does anything carry over?"},
        ],
        **changes,
    }


def make_study(**changes: Any) -> Study:
    """The same, completed."""
    return complete_study(study_document(**changes), source="demo")


def play(skill: Skill, episode: Episode, seed: object) -> dict[str, Any]:
    """A row that depends on these alone; seeds differ, and targets are of different difficulty for all."""
    ease = random.Random(episode.cluster).gauss(0, 0.08)
    luck = random.Random(f"{episode.id} {seed}")
    executed, right = luck.random() < skill.executes + ease, luck.random() < skill.knows + ease
    success = executed and right
    return {
        "success": success,
        "ending": "success" if success else "placed" if executed else "horizon",
        "steps": 70,
        "clipped_steps": 0,
        "metrics": {"executed": executed, "recognized": right if executed else None, "intent_correct": right},
    }


def run_identity(policy: str = "gf/vla-v1", sha: str = SUITE_SHA, **more: Any) -> dict[str, Any]:
    """run.json."""
    return {
        "schema_version": "1.0",
        "kind": "run",
        "suite": {"id": "demo/suite@1", "sha256": sha, "provenance": None},
        "policy": {
            "id": policy,
            "config": {},
            "spec_sha256": SUITE_SHA,
            "provenance": None,
            "privileged": False,
            "seed": 0,
            "execute_steps": None,
        },
        "environment": {"id": "demo/env-v1", "config": {}, "spec_sha256": SUITE_SHA, "provenance": None, "runtime": {}},
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
        **more,
    }


def write_run(path: Path, skill: Skill, seed: object, plan: Sequence[Episode], policy: str = "gf/vla-v1") -> Path:
    """A finished run."""
    with open_run(path, run_identity(policy), [episode.id for episode in plan]) as writer:
        writer.session(slots=1, threads=1, in_process=True)
        for episode in plan:
            where = {"episode": episode.id, "split": episode.split, "cluster": episode.cluster, "factors": {}, "chunks": 1}
            row = {**where, **play(skill, episode, seed)}
            writer.episode(row, NOTHING, slot=0, attempts=1, seconds=0.1, ask_seconds=0.0)
        writer.finish()
    return path


def write_study(root: Path, study: Study, choices: Sequence[Mapping[str, Any]] = ()) -> StudyFolder:
    """The directory, without a cell."""
    root.mkdir(parents=True)
    write_document(root / STUDY, study.document)
    if choices:
        head = {"schema_version": "1.0", "kind": "study_choices", "study_sha256": study.sha256}
        write_document(root / CHOICES, {**head, "choices": list(choices)})
    return StudyFolder(root)


def write_cell(
    folder: StudyFolder,
    study: Study,
    cell: Cell,
    runs: Mapping[str, Path],
    *,
    probe: Mapping[str, Any] | None = None,
    failed: tuple[str, str] | None = None,
    losses: Sequence[float] = (),
    value: float | None = None,
) -> None:
    """A cell's record over runs that lie in its directory; ``failed`` are phase and reason."""
    place = folder.cell(cell)
    (place / "training").mkdir(parents=True, exist_ok=True)
    rows = [
        {"stage": "robot", "step": s, "done": s, "losses": {"act/l1": loss}, "rates": {}, "norm": 1.0}
        for s, loss in enumerate(losses, start=1)
    ]
    (place / "training" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if probe is not None:
        write_document(place / "probe.json", probe)
    write_document(
        place / RECORD,
        {
            "schema_version": "1.0",
            "kind": "study_cell",
            "study_sha256": study.sha256,
            "cell": {"backbone": cell.backbone, "arm": cell.arm, "head": cell.head, "seed": cell.seed},
            "status": "failed" if failed else "done",
            "phase": failed[0] if failed else None,
            "reason": failed[1] if failed else None,
            "seconds": {"train": 100.0, "evaluate": 20.0},
            "value": value,
            "front": None,
            "recipe_sha256": "1" * 64,
            "checkpoint": {"path": "training/checkpoint", "sha256": content_hash(cell.id), "kept": False},
            "data": {},
            "probe": None if probe is None else "probe.json",
            "runs": [
                {
                    "suite": name,
                    "path": path.relative_to(place).as_posix(),
                    "sha256": sha256((path / "episodes.jsonl").read_bytes()),
                }
                for name, path in runs.items()
            ],
            "versions": {},
        },
    )


def probe_document(checkpoint: str, before: float, after: float, plan: Sequence[Episode], seed: object) -> dict[str, Any]:
    """A probe whose model knew this share of the cards before and after; only what the report reads is filled in."""
    from gf_core.statistics import clustered_rate

    answers = []
    for episode in plan:
        luck = random.Random(f"{episode.id} {seed} probe")
        at = luck.random()
        known = {"before": 0 if at < before else 1, "after": 0 if at < after else 1}
        answers.append(
            {
                "key": episode.id,
                "kind": "which-card",
                "split": episode.split,
                "cluster": episode.cluster,
                "right": 0,
                **known,
                "words": ["left", "left", "left"],
            }
        )

    def rate(split: str, time: str) -> dict[str, Any]:
        own = [a for a in answers if a["split"] == split]
        found = clustered_rate([a[time] == 0 for a in own], [1 for _ in own])
        interval = [found.interval.low, found.interval.high] if found.interval else None
        return {"k": found.k, "n": found.n, "clusters": found.clusters, "estimate": found.estimate, "interval": interval}

    accuracy = []
    for split in dict.fromkeys(episode.split for episode in plan):
        pair = {time: rate(split, time) for time in ("before", "after")}
        compared = {**pair, "difference": {"estimate": after - before, "interval": None, "p": 1.0}}
        n = pair["before"]["n"]
        accuracy.append(
            {
                **{"kind": "which-card", "split": split, "questions": n, "chance": 1 / 3, **compared},
                **{"blind": compared, "normalizations": {"token": compared}, "wordings": [], "answered": None},
            }
        )
    settings = {
        **{"limit": None, "camera": "third", "size": [64, 64], "naming": [], "which": ["which?"], "candidates": 16},
        **{"normalization": "token", "batch_size": 16, "precision": "fp32"},
    }
    return {
        "schema_version": "1.0",
        "kind": "probe",
        "checkpoint": {
            "path": checkpoint,
            "sha256": "2" * 64,
            "finished": True,
            "recipes": [{"name": "demo", "sha256": "3" * 64}],
        },
        "backbone": {"id": "gf/nano-v1", "fingerprint": "4" * 64, "layers": [2, 2], "added_rows": 0},
        "suite": {"id": "demo/suite@1", "sha256": SUITE_SHA},
        "data": [],
        "settings": settings,
        "level": 0.95,
        "accuracy": accuracy,
        "divergence": [{"kind": "which-card", "answer": 0.2, "prompt": 0.1, "added": 0.0}],
        "weights": {"roles": {"language": {"numbers": 10, "relative": 0.25, "missing": 0}}, "layers": {}},
        "cka": {"scenes": 0, "vision": [], "image": [], "answer": []},
        "linear_probe": None,
        "answers": answers,
        "versions": {"trained": {}, "measured": {}},
    }


SKILLS = {"full": Skill(0.8, 0.75), "lora": Skill(0.8, 0.97), "scratch": Skill(0.2, 1 / 3)}


def write_whole_study(
    root: Path, study: Study, plan: Sequence[Episode], skills: Mapping[str, Skill] = SKILLS, **options: Any
) -> StudyFolder:
    """A study whose every cell is done."""
    folder = write_study(root, study, **options)
    for cell in study.cells:
        place = folder.cell(cell)
        run = write_run(place / "runs" / "demo.suite@1", skills[cell.arm], f"{cell.arm} {cell.seed}", plan)
        probe = probe_document(str(place), 0.98, skills[cell.arm].knows, plan, cell.seed)
        losses = [1 / (1 + step / 10) for step in range(40)]
        write_cell(folder, study, cell, {"demo/suite@1": run}, probe=probe, losses=losses)
    return folder
