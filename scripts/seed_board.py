"""The project's own entries: every finished cell of a study on the whole of gf/standard@1, and a control, as submissions.

``python scripts/seed_board.py STUDY BOARD`` plays, packs and adds them through the same commands that everybody uses. It may be
stopped and given again. STUDY is a directory of `gf study run`, BOARD one of `gf leaderboard init`; runs and submissions lie
beside the board, in BOARD-work. `--only ARM/SEED` takes fewer cells, `--open ARM/SEED` names those whose weights anybody can get;
`--slots N` plays more episodes at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SUITE = "gf/standard@1"
CONTROL = {"name": "random actions", "description": "Draws every action from the whole range: a control that looks at nothing."}
NOTHING = {"backbone": "none", "technique": "none", "head": "none", "trainable_parameters": 0, "recipe": "none"}
NO_DATA: dict[str, Any] = {"robot_data": [], "vision_language_data": [], "trained_items": [], "selected_by": []}


def main() -> int:
    """Add what isn't there yet. Exit code 0: all of it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("board", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="ARM/SEED")
    parser.add_argument("--open", action="append", default=[], metavar="ARM/SEED")
    parser.add_argument("--slots", default="16")
    given = parser.parse_args()
    work = given.board.with_name(f"{given.board.name}-work")
    work.mkdir(parents=True, exist_ok=True)
    submit(work, given, "random", {**CONTROL, **NOTHING, **NO_DATA, "weights": "open"}, ["--policy", "gf/random-v1"])
    arms = json.loads((given.study / "study.json").read_bytes())["arms"]
    for path in sorted((given.study / "cells").glob("*/*/*/*/cell.json")):
        cell = json.loads(path.read_bytes())
        arm, seed = cell["cell"]["arm"], cell["cell"]["seed"]
        if cell["status"] != "done" or (given.only and f"{arm}/{seed}" not in given.only):
            continue
        name = f"nano {arm}, seed {seed}"
        weights = "open" if f"{arm}/{seed}" in given.open else "closed"
        card = {"name": name, "description": arms[arm]["description"], "selected_by": ["gf/dev@1"], "training_seed": seed}
        card["weights"] = weights
        checkpoint = path.parent / cell["checkpoint"]["path"]
        policy = ["--policy", "gf/vla-v1", "--set", f"checkpoint={checkpoint}", "--set", "batch_size=16"]
        submit(work, given, f"{arm}-{seed}", card, policy, probe=path.parent / cell["probe"])
    return 0


def submit(
    work: Path, given: argparse.Namespace, name: str, card: dict[str, Any], policy: list[str], probe: Path | None = None
) -> None:
    """Play, pack and add one policy; each step once."""
    run, file, written = work / name, work / f"{name}.zip", work / f"{name}.json"
    gf("run", SUITE, *policy, "--slots", given.slots, "--out", run)
    if not file.exists():
        head = {"schema_version": "1.0", "kind": "card", "license": "Apache-2.0"}
        written.write_text(json.dumps({**head, **card}))
        gf("submit", "pack", run, "--card", written, "--out", file, *(["--probe", probe] if probe else []))
    gf("leaderboard", "add", given.board, file)


def gf(*arguments: object) -> None:
    """The program; ends this one with its exit code where it fails."""
    done = subprocess.run([sys.executable, "-m", "gf_core.cli.main", *map(str, arguments)], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
