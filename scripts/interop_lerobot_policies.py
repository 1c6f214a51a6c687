"""Policies and suites pass between this program and the real lerobot, in an environment that has both (`make interop`).

A small ACT is trained by `lerobot-train` on a demonstration of ours. `gf run` with gf/lerobot-v1 and `lerobot-eval` with
lerobot_env_grinningface play it on the same episodes, and must agree in every success, step, metric and hash of the simulator's
last state: once by chunks, and once with its temporal ensembling, which is asked at every step. A diffusion policy, which sees
the step before and draws noise, must give the same bytes in one slot as in two. Exit code 0: all of that holds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

SUITE, EDGE, EPISODES = "gf/robot-pretrain@1", 48, 6
DATA = ("--dataset.repo_id=local/ours", "--dataset.root=demos", "--policy.device=cpu", "--policy.push_to_hub=false")
PLAIN = ("--num_workers=0", "--policy.pretrained_backbone_weights=null")
ACT = {
    "type": "act",
    "dim_model": 64,
    "n_heads": 2,
    "dim_feedforward": 128,
    "n_encoder_layers": 1,
    "chunk_size": 10,
    "n_action_steps": 5,
    "use_vae": "false",
    "dropout": 0,
    "optimizer_lr": 1e-3,
    "optimizer_lr_backbone": 1e-4,
}
DIFFUSION = {
    "type": "diffusion",
    "down_dims": "[32,64]",
    "horizon": 8,
    "n_action_steps": 4,
    "crop_shape": "[40,40]",
    "spatial_softmax_num_keypoints": 8,
    "diffusion_step_embed_dim": 16,
    "num_inference_steps": 2,
}


def main() -> int:
    """Run every check in a folder of its own."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("lerobot", "lerobot_env_grinningface", "torch")))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        call(
            "gf",
            "demos",
            "record",
            SUITE,
            "--policy",
            "gf/tasks-expert-v1",
            "--out",
            "demos",
            "--limit",
            "1",
            "--size",
            str(EDGE),
        )
        chunks = train("act", ACT, steps=150, batch=8)
        agree("chunks", chunks, episodes=EPISODES)
        stepwise(chunks)
        agree("ensembled", ensembled(chunks), episodes=2)
        slots(train("diffusion", DIFFUSION, steps=2, batch=2))
        isolated(chunks)
        refused(chunks)
    return 0


def call(program: str, *arguments: str, code: int = 0) -> str:
    """Standard error of a program of this environment, which has to end with the code."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != code:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stderr


def train(name: str, settings: Mapping[str, object], *, steps: int, batch: int) -> str:
    """Train a policy with LeRobot; returns its checkpoint's folder."""
    options = [f"--policy.{key}={value}" for key, value in settings.items()]
    schedule = [f"--steps={steps}", f"--save_freq={steps}", f"--batch_size={batch}", "--seed=0", f"--output_dir={name}"]
    call("lerobot-train", *DATA, *PLAIN, *options, *schedule)
    return f"{name}/checkpoints/{steps:06}/pretrained_model"


def ensembled(checkpoint: str) -> str:
    """The same weights with temporal ensembling: ACT then gives one action a step, made of all chunks so far."""
    shutil.copytree(checkpoint, "ensembled-checkpoint")
    path = Path("ensembled-checkpoint/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "temporal_ensemble_coeff": 0.01, "n_action_steps": 1}))
    return str(path.parent)


def run(checkpoint: str, out: str, episodes: int, *options: str) -> dict[str, dict[str, Any]]:
    """Play it with `gf run`; returns episode to its row."""
    what = ["--policy", "gf/lerobot-v1", "--set", f"checkpoint={checkpoint}", "--limit", str(episodes), "--out", out]
    call("gf", "run", SUITE, *what, *options)
    rows = map(json.loads, Path(out, "episodes.jsonl").read_text().splitlines())
    return {row["episode"]: row for row in rows if "episode" in row}


def agree(name: str, checkpoint: str, *, episodes: int) -> None:
    """Both programs, the same episodes, the same end of each."""
    ours = run(checkpoint, name, episodes)
    environment = ["--env.type=grinningface", "--env.discover_packages_path=lerobot_env_grinningface", f"--env.task={SUITE}"]
    shown = [f"--env.size={EDGE}", f"--env.limit={episodes}", f"--env.results={name}.jsonl"]
    amount = [f"--eval.n_episodes={episodes}", "--eval.batch_size=1", f"--output_dir={name}-eval"]
    call("lerobot-eval", f"--policy.path={checkpoint}", "--policy.device=cpu", *environment, *shown, *amount)
    rows = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
    told = json.loads(Path(f"{name}-eval/eval_info.json").read_text())["per_task"][0]["metrics"]
    check(len(rows) == len(ours) == episodes, f"{len(rows)} and {len(ours)} episodes")
    for row, success, total in zip(rows, told["successes"], told["sum_rewards"], strict=True):
        mine = ours[row["episode"]]
        check(row["success"] == success == mine["success"], f"{row['episode']}: success")
        check(total == float(success), f"{row['episode']}: return {total}")
        for key in ("steps", "ending", "metrics"):
            check(row[key] == mine[key], f"{row['episode']}: {key} {row[key]} and {mine[key]}")
    right, steps = sum(row["success"] for row in rows), [row["steps"] for row in rows]
    print(f"ACT, {name}: lerobot-eval and gf run agree on {episodes} episodes to the bit, {right} successes, steps {steps}")


def stepwise(checkpoint: str) -> None:
    """Asked at every step, it acts as when it is asked for chunks."""
    import numpy as np

    run(checkpoint, "steps", 2, "--set", "play=steps")
    for path in Path("steps/trajectories").iterdir():
        with np.load(path) as mine, np.load(Path("chunks/trajectories", path.name)) as other:
            check(np.array_equal(mine["actions"], other["actions"]), f"{path.name}: actions differ")
    print("ACT, chunks and play=steps: the same actions")


def trajectories(out: str) -> dict[str, bytes]:
    """Every episode's recorded actions and controls."""
    return {file.name: file.read_bytes() for file in Path(out, "trajectories").iterdir()}


def slots(checkpoint: str) -> None:
    """A policy with a history and noise of its own in every slot."""
    run(checkpoint, "one", 2, "--slots", "1")
    run(checkpoint, "two", 2, "--slots", "2")
    check(trajectories("one") == trajectories("two"), "a diffusion policy acts otherwise beside others")
    print("diffusion: the same bytes in 1 slot and in 2")


def isolated(checkpoint: str) -> None:
    """Served from an environment: this one, whose directory is given."""
    run(checkpoint, "away", 2, "--isolate", sys.prefix)
    home = trajectories("chunks")
    away = trajectories("away")
    check(len(away) == 2 and all(home[name] == content for name, content in away.items()), "isolation changes actions")
    print("gf run --isolate: the same bytes as at home")


def refused(checkpoint: str) -> None:
    """A checkpoint that lacks a weight, which LeRobot itself only logs."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, "lacking")
    weights = load_file("lacking/model.safetensors")
    weights.pop("model.action_head.bias")
    save_file(weights, "lacking/model.safetensors")
    told = call(
        "gf", "run", SUITE, "--policy", "gf/lerobot-v1", "--set", "checkpoint=lacking", "--limit", "1", "--out", "no", code=2
    )
    check("1 of its weights aren't in the file, such as 'model.action_head.bias'" in told, told)
    print("a checkpoint that lacks a weight is refused")


def check(holds: bool, what: str) -> None:
    """Raise AssertionError unless it holds, also under ``python -O``."""
    if not holds:
        raise AssertionError(what)


if __name__ == "__main__":
    sys.exit(main())
