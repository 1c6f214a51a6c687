"""Policies and suites pass between this program and the real vla-eval, in an environment that has both (`make interop`).

Its harness (`vla-eval run`) plays our benchmark against `gf serve`, and must count what our runner counts, episode by episode.
Its model server plays our suite through gf/remote-v1, and must give the bytes of the policy at home. Exit code 0: both do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import yaml

SUITE, LIMIT = "gf/smoke@1", 6
HOME = '''"""A policy that both sides know: it moves as the measured state says."""

import numpy as np
from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec


def act(state):
    state = np.asarray(state, np.float32)
    return np.concatenate([0.02 * np.sin(40 * state[:6]), [np.float32(state[0] > 0.25)]]).astype(np.float32)


class Waving:
    def __init__(self, config, context):
        pass

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        return ActionChunk(actions=np.stack([act(row)[None] for row in observation.proprio]))

    def close(self):
        pass


@hookimpl
def gf_register_policies(register):
    spec = {"summary": "waves", "entry_point": "waving:Waving", "observes": Observes(cameras=("third",))}
    register(PolicySpec(id="local/waving-v1", **spec))
'''
AWAY = '''"""The same policy behind vla-eval's server."""

import sys

import vla_eval.specs as specs
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve
from waving import act


class Server(PredictModelServer):
    def predict(self, obs, ctx):
        return {"actions": act(obs["state"])}

    def get_action_spec(self):
        return {"position": specs.POSITION_DELTA, "rotation": specs.ROTATION_AA, "gripper": specs.GRIPPER_01}

    def get_observation_spec(self):
        return {"image": specs.IMAGE_RGB, "language": specs.LANGUAGE}


serve(Server(), "127.0.0.1", int(sys.argv[1]))
'''
PORT = 8765


def main() -> int:
    """Run both directions in a folder of its own."""
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("vla-eval", "grinningface", "websockets", "msgpack")))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        their_harness("gf/nano-vla-v1")
        their_server()
    return 0


def gf(*arguments: str) -> list[str]:
    """The program's command line."""
    return [sys.executable, "-m", "gf_core.cli.main", *arguments]


def outcomes(run: str) -> dict[str, tuple[bool, int]]:
    """Episode to success and steps, as recorded."""
    rows = map(json.loads, Path(run, "episodes.jsonl").read_text().splitlines())
    return {row["episode"]: (row["success"], row["steps"]) for row in rows if "episode" in row}


def their_harness(policy: str) -> None:
    """`vla-eval run` against `gf serve`."""
    name = policy.partition("/")[2]
    subprocess.run(
        gf("run", SUITE, "--policy", policy, "--limit", str(LIMIT), "--out", name), check=True, stdout=subprocess.DEVNULL
    )
    server = subprocess.Popen(gf("serve", policy, "--port", "0"), stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        config = {
            "server": {"url": server.stdout.readline().split()[0]},
            "output_dir": f"{name}-vla-eval",
            "benchmarks": [
                {
                    "benchmark": "gf_core.serving.vla_eval:GrinningFaceBenchmark",
                    "episodes_per_task": 1,
                    "params": {"suite": SUITE, "limit": LIMIT},
                }
            ],
        }
        Path("config.yaml").write_text(yaml.safe_dump(config))
        command = [
            str(Path(sys.executable).with_name("vla-eval")),
            "run",
            "--no-docker",
            "-y",
            "--render",
            "cpu",
            "-c",
            "config.yaml",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    aggregate = json.loads(next(Path(f"{name}-vla-eval").glob("*_aggregate.json")).read_text())
    played = {task["task"]: task["episodes"][0] for task in aggregate["tasks"]}
    theirs = {name: (bool(one["metrics"]["success"]), one["steps"]) for name, one in played.items()}
    ours = outcomes(name)
    if theirs != ours:
        raise SystemExit(f"{policy}: vla-eval counts {theirs}, and gf run {ours}")
    right = sum(success for success, _ in ours.values())
    print(f"{policy}: vla-eval's harness and gf run agree on {len(ours)} episodes and their steps, {right} successes")


def their_server() -> None:
    """`gf run` against a model server of vla-eval."""
    Path("waving.py").write_text(HOME)
    Path("server.py").write_text(AWAY)
    base = [SUITE, "--limit", str(LIMIT)]
    home = gf("run", *base, "--policy", "local/waving-v1", "--plugin", "waving.py", "--out", "home")
    subprocess.run(home, check=True, stdout=subprocess.DEVNULL)
    server = subprocess.Popen([sys.executable, "server.py", str(PORT)])
    try:
        settings = [
            "--set",
            f"url=ws://127.0.0.1:{PORT}",
            "--set",
            "state=true",
            "--set",
            "position_scale=1",
            "--set",
            "rotation_scale=1",
        ]
        away = gf("run", *base, "--policy", "gf/remote-v1", *settings, "--out", "away")
        for _attempt in range(20):  # until it listens
            done = subprocess.run(away, check=False, capture_output=True, text=True)
            if "nobody answers" not in done.stderr:
                break
        done.check_returncode()
    finally:
        server.kill()
    for file in sorted(Path("home/trajectories").iterdir()):
        if file.read_bytes() != Path("away/trajectories", file.name).read_bytes():
            raise SystemExit(f"{file.name} isn't what it is at home")
    print(f"vla-eval's model server gives the same bytes as the policy at home in {len(outcomes('away'))} episodes")


if __name__ == "__main__":
    sys.exit(main())
