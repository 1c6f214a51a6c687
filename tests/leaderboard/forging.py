"""Makes run directories that lie, each consistently: hashes and chains are worked out again, as a forger would."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gf_core import trajectories
from gf_core.canonical import canonical_json, sha256
from gf_core.evaluation import Suite, load_suite
from gf_core.leaderboard.archive import write_archive
from gf_core.leaderboard.bundle import describe_run, document_bytes
from gf_core.plugins import load_plugins
from gf_core.trajectories import Trajectory

Row = dict[str, Any]
POLICY = {
    "id": "acme-vla/open-v1",
    "config": {},
    "execute_steps": None,
    "privileged": False,
    "provenance": {"distribution": "acme-vla", "version": "1.0", "plugin": "acme"},
    "seed": 0,
    "spec_sha256": "0" * 64,
}
CARD: Row = {
    "schema_version": "1.0",
    "kind": "card",
    "name": "An entry",
    "description": "A policy for tests.",
    "backbone": "none",
    "technique": "none",
    "head": "none",
    "trainable_parameters": 0,
    "robot_data": ["gf/demos@1"],
    "vision_language_data": [],
    "trained_items": ["train"],
    "selected_by": [],
    "recipe": "none",
    "license": "Apache-2.0",
    "weights": "open",
    "date": "2026-01-31",
}


@cache
def _smoke() -> Suite:
    return load_suite("gf/smoke@1", load_plugins())


class Forgery:
    """A copy of a run directory that can be changed and is made consistent again."""

    def __init__(self, original: Path, copy: Path) -> None:
        shutil.copytree(original, copy)
        for name in ("journal.jsonl", "policy.log", ".lock"):
            (copy / name).unlink(missing_ok=True)
        self.path = copy
        self.identity: Row = json.loads((copy / "run.json").read_bytes())
        self.rows: list[Row] = [json.loads(line) for line in (copy / "episodes.jsonl").read_bytes().splitlines()]

    def relabel(self, **policy: Any) -> Forgery:
        """Say that another policy did it, one that isn't privileged."""
        self.identity["policy"] = {**POLICY, **policy}
        self.identity["versions"]["acme-vla"] = "1.0"
        return self

    def trajectory(self, number: int) -> Trajectory:
        """The recording of a row, with arrays that can be written to."""
        name = self.rows[number]["episode"]
        found = trajectories.from_bytes((self.path / "trajectories" / f"{name}.npz").read_bytes(), where=name)
        return Trajectory(actions=found.actions.copy(), chunk_starts=found.chunk_starts.copy(), controls=found.controls.copy())

    def record(self, number: int, trajectory: Trajectory | bytes) -> None:
        """Put another recording in the place of a row's."""
        data = trajectory if isinstance(trajectory, bytes) else trajectories.to_bytes(trajectory)
        row = self.rows[number]
        (self.path / "trajectories" / f"{row['episode']}.npz").write_bytes(data)
        row["trajectory_sha256"] = sha256(data)

    def write(self, chain: bool = True) -> Path:
        """Write run.json and the rows, chained again unless told otherwise."""
        head = (canonical_json(self.identity) + "\n").encode()
        (self.path / "run.json").write_bytes(head)
        previous, lines = sha256(head), []
        for row in self.rows:
            lines.append(canonical_json({**row, "previous": previous} if chain else row))
            previous = sha256(lines[-1])
        (self.path / "episodes.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return self.path


def npz_with(trajectory: Trajectory, **arrays: Any) -> bytes:
    """A recording with other arrays, as NumPy writes them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in {**vars(trajectory), **arrays}.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def bundle(path: Path, *runs: Path, card: Row = CARD, manifest: Callable[[Row], None] | None = None) -> Path:
    """A submission as a forger writes it: nothing is checked, and all that follows from the runs' files is right.

    Args:
        path: the file to write.
        runs: run directories.
        card: as it is, valid or not.
        manifest: changes submission.json before it is written.
    """
    content = {"card.json": document_bytes(card)}
    described = []
    for number, run in enumerate(runs, start=1):
        files = [*run.glob("*.json*"), *run.glob("trajectories/*.npz")]
        rows = [json.loads(line) for line in (run / "episodes.jsonl").read_bytes().splitlines()]
        listed = {row["episode"] for row in rows}
        content |= {
            f"runs/{number}/{f.relative_to(run)}": f.read_bytes() for f in files if f.suffix != ".npz" or f.stem in listed
        }
        described.append(describe_run(f"runs/{number}", json.loads((run / "run.json").read_bytes()), rows, _smoke()))
    hashes = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in content.items()}
    document = {"schema_version": "1.0", "kind": "submission", "runs": described, "files": hashes}
    if manifest is not None:
        manifest(document)
    write_archive(path, sorted({**content, "submission.json": document_bytes(document)}.items()))
    return path


GOLDEN = Path(__file__).parents[1] / "schemas" / "golden"


def probe_for(suite: Suite) -> Row:
    """A probe of a suite: the model knew every second card of val before it was trained, and all after."""
    document: Row = json.loads((GOLDEN / "probe-1" / "valid-one.json").read_bytes())
    val = [episode for episode in suite.episodes if episode.split == "val"]
    document["suite"] = {"id": suite.id, "sha256": suite.sha256}
    document["answers"] = []
    for number, episode in enumerate(val):
        right = episode.scene["target"]
        before = right if number % 2 else (right + 1) % 3
        about = {"key": episode.id, "kind": "which-card", "split": "val", "cluster": episode.cluster, "words": ["left"] * 3}
        document["answers"].append({**about, "right": right, "before": before, "after": right})
    template = document["accuracy"][0]
    counts = {"before": len(val) // 2, "after": len(val)}
    rates = {time: {**template[time], "k": k, "n": len(val), "clusters": len(val)} for time, k in counts.items()}
    document["accuracy"] = [{**template, "kind": "which-card", "split": "val", "questions": len(val), **rates}]
    return document


def probe_of(path: Path, change: Callable[[Row], object] = lambda document: None) -> Path:
    """A file with a probe of gf/smoke@1, changed."""
    document = probe_for(_smoke())
    change(document)
    path.write_text(json.dumps(document))
    return path
