"""Observations and actions pass between this program and the real openpi-client (`make interop`).

Run with the Python that has this program, and told one that has openpi-client, whose NumPy is another:

    python scripts/interop_openpi.py .venv-openpi/bin/python

- `gf run` with gf/openpi-v1 plays against a server that packs and unpacks with openpi-client's ``msgpack_numpy``: instructions,
  images and states arrive there in shape, what is played here was sent there, and its ``image_tools`` fit images as ours do.
- Its ``WebsocketClientPolicy`` asks the server that stands in for openpi's in our tests: both speak the same.

openpi's own server comes with its models and isn't on PyPI; what it does around these calls is in its
``src/openpi/serving/websocket_policy_server.py``. Exit code 0: all of it holds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SUITE, EPISODES, SIZE = "gf/smoke@1", 2, 64

THEIR_SERVER = """
import json
import sys
import threading
from importlib import metadata

import numpy as np
from openpi_client import image_tools, msgpack_numpy
from websockets.sync.server import serve

packer = msgpack_numpy.Packer()
kept = []


def session(connection):
    connection.send(packer.pack({"model": "waving", "scale": np.float32(0.05), "shape": np.array([2, 7])}))
    for message in connection:
        seen = msgpack_numpy.unpackb(message)
        image = seen["observation/image"]
        wide = np.random.default_rng(len(kept)).integers(0, 256, (48, 37 + len(kept) % 40, 3), np.uint8)
        actions = np.zeros((2, 7), np.float64)
        actions[:, :3] = np.sin(40 * seen["observation/state"][:3]) * [[1], [-1]]
        actions[:, 6] = [1, -1]
        kept.append(
            {
                "prompt": seen["prompt"],
                "image": [str(image.dtype), list(image.shape), int(image.sum())],
                "state": [str(seen["observation/state"].dtype), seen["observation/state"].tolist()],
                "actions": actions.tolist(),
                "wide": wide.tolist(),
                "fitted": image_tools.resize_with_pad(wide, 32, 32).tolist(),
            }
        )
        connection.send(packer.pack({"actions": actions, "server_timing": {"infer_ms": 1.0}}))


with serve(session, "127.0.0.1", 0, compression=None, max_size=None) as server:
    print(server.socket.getsockname()[1], "openpi-client", metadata.version("openpi-client"), "numpy", np.__version__, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
print(json.dumps(kept))
"""

THEIR_CLIENT = """
import sys

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy

policy = WebsocketClientPolicy("127.0.0.1", int(sys.argv[1]), api_key="secret")
told = policy.get_server_metadata()
assert told["model"] == "peer" and told["scale"] == np.float32(0.5), told
image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
for number in range(3):
    seen = {"observation/image": image, "prompt": "go", "n": np.int64(number)}
    actions = policy.infer(seen)["actions"]
    assert actions.dtype == np.float32 and actions.tolist() == [[number] * 7] * 2, actions
try:
    policy.infer({"prompt": "break"})
except RuntimeError as error:
    assert "KeyError" in str(error), error
else:
    raise SystemExit("an error isn't one for openpi's client")
"""


def main(python: str) -> int:
    """Both directions."""
    with tempfile.TemporaryDirectory() as folder:
        our_client(python, Path(folder))
    our_double(python)
    return 0


def our_client(python: str, folder: Path) -> None:
    """`gf run` against a server with their codec."""
    from gf_policies.openpi import fitted

    server = subprocess.Popen([python, "-c", THEIR_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port, *versions = server.stdout.readline().split()
        settings = {
            "url": f"ws://127.0.0.1:{port}",
            "size": SIZE,
            "state.observation/state": "all",
            "actions": "ee_delta",
            "position_scale": 0.05,
            "rotation_scale": 0.5,
            "rotation": "axis_angle",
            "gripper": "binary_close_positive",
        }
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        command = [sys.executable, "-m", "gf_core.cli.main", "run", SUITE, "--policy", "gf/openpi-v1", *given]
        arguments = [*command, "--limit", str(EPISODES), "--slots", "2", "--out", str(folder / "run")]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        kept: list[dict[str, Any]] = json.loads(server.communicate("")[0])
    finally:
        server.kill()
    instructions, actions, steps = recorded(folder / "run")
    if {one["prompt"] for one in kept} != instructions:
        raise SystemExit(f"their server was told {sorted({one['prompt'] for one in kept})}, and the suite says {instructions}")
    for one in kept:
        if one["image"][:2] != ["uint8", [SIZE, SIZE, 3]] or one["state"][0] != "float32" or len(one["state"][1]) != 7:
            raise SystemExit(f"their server saw {one['image']} and {one['state']}")
        wide = np.array(one["wide"], np.uint8)
        if not np.array_equal(fitted(wide, 32), np.array(one["fitted"], np.uint8)):
            raise SystemExit(f"an image of {wide.shape} is fitted otherwise than by their image_tools")
    sent = [np.array(one["actions"]) for one in kept]
    scale = np.array([0.05] * 3 + [0.5] * 3)
    expected = {np.concatenate([row[:6] * scale, [row[6] <= 0]]).astype(np.float32).tobytes() for chunk in sent for row in chunk}
    strange = [action for action in actions if action.tobytes() not in expected]
    if strange or not actions:
        raise SystemExit(f"of {len(actions)} actions played, {len(strange)} weren't sent, such as {strange[:1]}")
    print(
        f"{' '.join(versions)}: {len(kept)} observations were understood there, and each of the {steps} actions played was sent"
    )


def recorded(run: Path) -> tuple[set[str], list[np.ndarray], int]:
    """The instructions of a run's episodes, the actions that were played, and their number."""
    from gf_core.evaluation.suites import load_suite
    from gf_core.plugins import load_plugins
    from gf_core.runs import read_run

    opened = read_run(run)
    told = {episode.id: episode.instruction_at(0) for episode in load_suite(SUITE, load_plugins()).episodes}
    names = [row["episode"] for row in opened.records]
    actions = [action for name in names for action in opened.trajectory(name).actions]
    return {told[name] for name in names}, actions, len(actions)


def our_double(python: str) -> None:
    """Their client against the server of our tests."""
    sys.path.insert(0, str(ROOT / "tests" / "serving"))
    from openpi_peer import OpenpiPeer

    from gf_policies.openpi_wire import pack

    def answer(connection: Any, observation: dict[str, Any]) -> None:
        if observation["prompt"] == "break":
            connection.send("Traceback (most recent call last):\nKeyError: 'observation/image'\n")
            connection.close(1011, "Internal server error. Traceback included in previous frame.")
            return
        connection.send(pack({"actions": np.full((2, 7), observation["n"], np.float32)}))

    peer = OpenpiPeer(answer, {"model": "peer", "scale": np.float32(0.5)}, key="secret")
    subprocess.run([python, "-c", THEIR_CLIENT, str(peer.port)], check=True, timeout=60)
    seen = [one for one in peer.seen if "n" in one]
    if [one["n"] for one in seen] != [0, 1, 2] or seen[0]["observation/image"].tolist()[1][1] != [9, 10, 11]:
        raise SystemExit(f"their client's observations arrived as {seen}")
    peer.close()
    print("openpi-client's WebsocketClientPolicy understands the server that stands in for openpi's in the tests")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
