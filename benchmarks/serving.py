"""Observations per second through a served policy that does nothing, by this program's two ends and by vla-eval's beside them.

One session, a raw 224 x 224 image and a state each way over loopback, answered by 16 x 7 actions. Rounds of the two alternate, so
that what else the machine does meets both. ``--peer PYTHON`` is an interpreter with vla-eval 0.8.

``python benchmarks/serving.py --peer ../vla-eval/bin/python``
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

IMAGE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
STATE = np.zeros(7, np.float32)
ACTIONS = np.zeros((16, 7), np.float32)
TEXT = "pick the block and place it on grinning face"


def main() -> None:
    """Print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--asks", type=int, default=1000, help="observations of a round")
    given = parser.parse_args()
    ends: dict[str, Ours | Peer] = {"gf": Ours(given.asks)}
    if given.peer:
        ends["vla-eval"] = Peer(given.peer, given.asks)
    rates: dict[str, list[float]] = {name: [] for name in ends}
    for _ in range(given.rounds):
        for name, end in ends.items():
            rates[name].append(end.round())
    for end in ends.values():
        end.close()
    for name, found in rates.items():
        low, high = min(found), max(found)
        print(f"{name}: {statistics.median(found):,.0f} observations/s, of {len(found)} rounds {low:,.0f} to {high:,.0f}")
    if given.peer:
        ratios = [ours / theirs for ours, theirs in zip(rates["gf"], rates["vla-eval"], strict=True)]
        print(f"ratio of rounds side by side: {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


class Ours:
    """A server in a process of its own, and a client here."""

    def __init__(self, asks: int) -> None:
        from gf_core.serving.server import OURS
        from gf_core.serving.wire import Picture
        from gf_policies.remote import Client

        self._asks = asks
        self._process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._client = Client(f"ws://127.0.0.1:{int(self._process.stdout.readline())}", 30)
        self._client.begin({"name": TEXT}, 0)
        whole = {OURS: {"together": ["benchmark", 1]}}  # a chunk, as `gf run` asks for one
        self._payload = {"images": {"third": Picture(IMAGE)}, "task_description": TEXT, "state": STATE, **whole}

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._process.kill()

    def round(self) -> float:
        """Observations per second."""
        begun = time.perf_counter()
        for _ in range(self._asks):
            assert self._client.answer(self._client.show(self._payload))["actions"].shape == ACTIONS.shape
        return self._asks / (time.perf_counter() - begun)


class Peer:
    """vla-eval's server and client, each in a process of its own; the client plays a round when it is told to."""

    def __init__(self, python: str, asks: int) -> None:
        self._server = subprocess.Popen([python, __file__, "peer-serve"], stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        port = self._server.stdout.readline().strip()
        command = [python, __file__, "peer-ask", port, str(asks)]
        self._client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self) -> float:
        """Observations per second."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write("\n")
        self._client.stdin.flush()
        return float(self._client.stdout.readline())

    def close(self) -> None:
        """End both."""
        self._client.kill()
        self._server.kill()


def serve() -> None:
    """Serve a policy that holds still, and print the port."""
    from gf_core.contracts import ActionChunk, Observation
    from gf_core.plugins import load_plugins
    from gf_core.serving.host import PolicyHost
    from gf_core.serving.server import OURS, Offer, PolicyServer
    from gf_core.specs import Observes, PolicyInterface, to_json

    class Still:
        def reset(self, slots: Any, seeds: Any) -> None:
            pass

        def act(self, observation: Observation) -> ActionChunk:
            assert observation.images["third"].shape == (1, *IMAGE.shape)
            return ActionChunk(actions=ACTIONS[None])

        def close(self) -> None:
            pass

    env = load_plugins().envs.get("gf/tabletop-v1")
    seen = PolicyInterface(observes=Observes(cameras=("third",)), action=None)
    hello = {"protocol_version": 1, OURS: {"action": to_json(env.action)}}
    offer = Offer(hello=hello, interface=seen, proprio=env.proprio, cameras={})
    server = PolicyServer(PolicyHost(Still, slots=4, width=7, max_batch=0, wait=0.02), offer, address=("127.0.0.1", 0))
    print(server.port, flush=True)
    server.serve()


def peer_serve() -> None:
    """The same with vla-eval."""
    import anyio
    import vla_eval.protocol.numpy_codec as codec
    from vla_eval.model_servers.base import ModelServer
    from vla_eval.model_servers.serve import serve_async

    codec.set_image_format("raw")

    class Still(ModelServer):
        async def on_observation(self, obs: Any, ctx: Any) -> None:
            await ctx.send_action({"actions": ACTIONS})

        async def on_episode_start(self, config: Any, ctx: Any) -> None:
            pass

        async def on_episode_end(self, result: Any, ctx: Any) -> None:
            pass

        def get_action_spec(self) -> Any:
            return {}

        def get_observation_spec(self) -> Any:
            return {}

    async def run() -> None:
        async with anyio.create_task_group() as group:
            port = await group.start(lambda task_status: serve_async(Still(), "127.0.0.1", 0, task_status=task_status))
            print(port, flush=True)

    anyio.run(run)


def peer_ask(port: str, asks: str) -> None:
    """vla-eval's client: a round for each line of input."""
    import anyio
    import vla_eval.protocol.numpy_codec as codec
    from vla_eval.connection import Connection

    codec.set_image_format("raw")

    async def run() -> None:
        async with Connection(f"ws://127.0.0.1:{port}") as connection:
            await connection.start_episode({"task": {"name": TEXT}})
            while sys.stdin.readline():
                begun = time.perf_counter()
                for _ in range(int(asks)):
                    answer = await connection.act({"images": {"third": IMAGE}, "task_description": TEXT, "state": STATE})
                    assert answer["actions"].shape == ACTIONS.shape
                print(int(asks) / (time.perf_counter() - begun), flush=True)

    anyio.run(run)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {"serve": serve, "peer-serve": peer_serve, "peer-ask": peer_ask}
    if len(sys.argv) > 1 and sys.argv[1] in roles:
        roles[sys.argv[1]](*sys.argv[2:])
    else:
        main()
