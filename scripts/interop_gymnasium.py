"""A third party's gymnasium package is an environment here by a file, in an environment that has both (`make interop`).

The package is gym-pusht, the file examples/gymnasium/pusht.json. A suite is written and run; gymnasium itself, given the same
seeds and the recorded actions, has to come to the same ends; the run has to replay, and the kit to pass. Exit code 0: so it is.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parent.parent / "examples" / "gymnasium" / "pusht.json"
EPISODES = 8
DECIMALS: int = json.loads(FILE.read_text())["decimals"]
"""Its rewards vary in their last bits: gym-pusht sums areas in the order of a Python set, which is that of memory addresses."""
SOLVED = [100.0, 400.0, 224.18, 242.82, math.pi / 4]
"""Agent and block [px], angle [rad]. Its goal_pose is (256, 256, pi / 4), and setting the angle after the position, as its
_set_state does, moves the block by (31.82, 13.18)."""


def main() -> int:
    """Everything, in a folder of its own."""
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("gym-pusht", "gymnasium", "grinningface", "numpy")))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        gf("gym", "suite", str(FILE), "--episodes", str(EPISODES), "--out", "suite.json")
        solve_the_last("suite.json")
        gf("run", "suite.json", "--plugin", str(FILE), "--policy", "gf/random-v1", "--out", "run")
        agree("suite.json", Path("run"))
        told = gf("replay", "run", "--suite", "suite.json", "--plugin", str(FILE))
        print(next(line for line in told.splitlines() if "replayed exactly" in line))
        print(gf("plugins", "check", str(FILE), "--suite", "suite.json").splitlines()[-1])
    return 0


def gf(*arguments: str) -> str:
    """What the program says."""
    command = [sys.executable, "-m", "gf_core.cli.main", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def solve_the_last(suite: str) -> None:
    """An episode that begins where it should end, since nothing here can solve the task."""
    document = json.loads(Path(suite).read_text())
    document["episodes"][-1]["scene"] = {"options": {"reset_to_state": SOLVED}}
    Path(suite).write_text(json.dumps(document))


def agree(suite: str, run: Path) -> None:
    """The recorded actions, given to gymnasium itself."""
    import gym_pusht  # noqa: F401  it registers itself
    import gymnasium

    from gf_core.runs import read_run

    described = json.loads(FILE.read_text())["make"]
    played = read_run(run)
    episodes = {row["id"]: row for row in json.loads(Path(suite).read_text())["episodes"]}
    env = gymnasium.make(described["id"], max_episode_steps=-1, **described["kwargs"])
    for row in played.records:
        episode = episodes[row["episode"]]
        env.reset(seed=episode["seed"], options=episode["scene"].get("options"))
        ended: dict[str, Any] = {}
        total = 0.0
        actions = np.clip(played.trajectory(row["episode"]).actions, 0, 512)
        for step, action in enumerate(actions, start=1):
            _, reward, terminated, _, info = env.step(action)
            total += round(float(reward), DECIMALS)
            coverage = round(float(info["coverage"]), DECIMALS)
            ended = {"success": bool(info["is_success"]), "steps": step, "coverage": coverage, "total": total}
            if terminated:
                break
        recorded = {"success": row["success"], "steps": row["steps"]}
        recorded |= {"coverage": row["metrics"]["coverage"], "total": row["metrics"]["total_reward"]}
        if recorded != ended:
            raise SystemExit(f"{row['episode']}: {recorded} is recorded, and gymnasium comes to {ended}")
    env.close()
    right = sum(row["success"] for row in played.records)
    if right != 1:
        raise SystemExit(f"{right} of {len(played.records)} episodes succeed, and one begins solved")
    print(
        f"gymnasium itself comes to the same ends, rewards and steps in {len(played.records)} episodes, {right} of them a success"
    )


if __name__ == "__main__":
    sys.exit(main())
