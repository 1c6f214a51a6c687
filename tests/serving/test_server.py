"""A served policy: what clients are told, what is one call, and that no client harms another."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from gf_core.cli.main import main
from gf_core.contracts import ActionChunk
from gf_core.errors import GrinningFaceError
from gf_core.serving.host import PolicyBrokeError, PolicyHost, Seen
from gf_core.serving.link import LinkError, connect
from gf_core.serving.server import PolicyServer
from gf_policies.remote import Client, RemoteError

from .conftest import Serve, url

STATE = np.zeros(5, np.float32)


def show(client: Client, **payload: Any) -> Any:
    ours = {"grinningface": {"together": ["me", 1]}}
    return client.answer(client.show({"task_description": "go", "state": STATE, **ours, **payload}))


def client_of(server: PolicyServer, seed: int = 0) -> Client:
    client = Client(url(server), 5.0)
    client.begin({"name": "go"}, seed)
    return client


def test_hello_says_what_is_served(serve: Serve) -> None:
    hello = Client(url(serve("local/looker-v1", "history=[-1,0]")), 5.0).hello
    assert hello["protocol_version"] == 1
    assert hello["model_server"] == "local/looker-v1"
    ours = hello["grinningface"]
    assert ours["observes"]["history"] == [-1, 0]
    assert ours["action"]["hz"] == 20
    assert ours["action"]["field"]["names"] == ["dx", "dy", "grip"]


def test_other_settings_are_another_policy(serve: Serve) -> None:
    prints = {Client(url(serve("local/reacher-v1", f"chunk={n}")), 5.0).hello["grinningface"]["fingerprint"] for n in (1, 1, 2)}
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"task_description": None}, "task_description has to be a text"),
        ({"task_description": "x" * 5000}, "task_description has to be a text of at most 4000"),
        ({"state": None}, "state has to be"),
        ({"state": np.zeros(4, np.float32)}, "state has to be (5,) finite numbers, and is of shape (4,)"),
        ({"state": [0, 0, 0, 0, float("nan")]}, "state has to be (5,) finite numbers"),
        ({"state": "far away"}, "state has to be numbers"),
        ({"images": None}, "images has to be a map with top"),
        ({"images": {"left": np.zeros((8, 6, 3), np.uint8), "right": 1}}, "images are of left, right"),
        ({"images": {"top": np.zeros((8, 8, 3), np.uint8)}}, "is uint8 (8, 8, 3), and the policy is shown uint8 (8, 6, 3)"),
        ({"images": {"top": np.zeros((8, 6, 3), np.float32)}}, "is float32 (8, 6, 3)"),
        ({"images": {"top": "a picture"}}, "is str"),
        ({"grinningface": {"together": ["", 1]}}, "together has to be a name and a number"),
        ({"grinningface": {"together": "all"}}, "together has to be a name and a number"),
        ({"grinningface": {"unplayed": np.zeros((2, 4), np.float32)}}, "unplayed has to be"),
    ],
)
def test_an_unfit_observation_is_told_and_harms_nothing(serve: Serve, payload: dict[str, Any], told: str) -> None:
    client = client_of(serve("local/looker-v1"))
    sound = {"images": {"whatever": np.zeros((8, 6, 3), np.uint8)}}
    with pytest.raises(RemoteError) as caught:
        show(client, **{**sound, **payload})
    assert told in str(caught.value)
    assert show(client, **sound)["actions"].shape == (1, 3)


def test_without_an_episode_nothing_is_answered(serve: Serve) -> None:
    client = Client(url(serve()), 5.0)
    with pytest.raises(RemoteError, match="no episode is running"):
        show(client)
    client.begin({"name": "go"}, 3)
    assert show(client)["actions"].shape == (1, 3)
    client.end()
    with pytest.raises(RemoteError, match="no episode is running"):
        show(client)


def test_clients_of_other_programs_are_given_one_step_at_a_time(serve: Serve) -> None:
    server = serve("local/late-v1", "chunk=4", "execute_steps=3")
    client = client_of(server)

    def ask(step: int) -> list[float]:
        state = np.array([0, 0, 0, 0, step], np.float32)
        answer = client.answer(client.show({"task_description": "go", "state": state}))["actions"]
        assert answer.shape == (3,)
        return [round(float(value), 6) for value in answer[:1]]

    assert [ask(step) for step in range(4)] == [[0.0], [1e-5], [2e-5], [0.003]]
    client.begin({"name": "go"}, 1)  # the rest of the chunk was for the other episode
    assert ask(7) == [0.007]


def test_cameras_may_have_other_names(serve: Serve) -> None:
    server = serve("local/looker-v1", "camera=side", cameras={"left": "side"})
    images = {"left": np.zeros((8, 6, 3), np.uint8), "right": np.zeros((8, 6, 3), np.uint8)}
    assert show(client_of(server), images=images)["actions"].shape == (1, 3)
    with pytest.raises(GrinningFaceError, match="has no camera 'top'"):
        serve("local/looker-v1", "camera=side", cameras={"left": "top"})


HEAD = b"\x82\xfe"  # a final, masked binary frame with a length of two bytes
HOSTILE: dict[str, bytes] = {
    "one byte": b"\x00",
    "a frame of a gigabyte": b"\x82\xff" + struct.pack(">Q", 1 << 30) + b"\0\0\0\0",
    "not masked": b"\x82\x05hello",
    "text": b"\x81\x85\0\0\0\0hello",
    "no opcode": b"\x8f\x80\0\0\0\0",
    "not a message": HEAD + struct.pack(">H", 300) + b"\0\0\0\0" + bytes(300),
    "half a message": HEAD + struct.pack(">H", 300) + b"\0\0\0\0" + bytes(20),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_client_harms_nobody(serve: Serve, data: bytes) -> None:
    server = serve()
    good = client_of(server)
    bad = connect(url(server))
    bad._end.sendall(data)
    assert show(good)["actions"].shape == (1, 3)
    bad._end.close()
    assert show(client_of(server))["actions"].shape == (1, 3)


def test_somebody_who_says_nothing_holds_nothing_up(serve: Serve) -> None:
    server = serve()
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    assert show(client_of(server))["actions"].shape == (1, 3)
    for end in silent:
        end.close()


def get(server: PolicyServer, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_over_http_and_nothing_else(serve: Serve) -> None:
    server = serve(token="secret")
    status, body = get(server, "/health")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert get(server, "/")[0] == 401
    assert get(server, "/", Authorization="Bearer secret")[0] == 426  # an upgrade is required
    assert get(server, "/", Authorization="Bearer guess")[0] == 401
    with socket.create_connection(("127.0.0.1", server.port)) as end:
        twice = "Authorization: Bearer secret\r\n" * 2
        end.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{twice}\r\n".encode())
        assert end.recv(100).startswith(b"HTTP/1.1 401")


def test_a_token_lets_in(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(token="secret")
    with pytest.raises(LinkError, match="it asks for a token") as caught:
        Client(url(server), 5.0)
    assert "GF_TOKEN" in str(caught.value)
    monkeypatch.setenv("GF_TOKEN", "secret")
    assert Client(url(server), 5.0).hello["protocol_version"] == 1


def test_web_pages_are_not_let_in(serve: Serve) -> None:
    server = serve()
    end = socket.create_connection(("127.0.0.1", server.port))
    head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    end.sendall(f"{head}{key}Origin: https://example.org\r\n\r\n".encode())
    assert end.recv(100).startswith(b"HTTP/1.1 403")
    end.close()


def test_no_more_sessions_than_asked_for(serve: Serve) -> None:
    server = serve(sessions=2)
    first, _ = client_of(server), client_of(server)
    with pytest.raises(LinkError, match="all sessions are taken"):
        Client(url(server), 0.5)
    threading.Timer(0.3, first.close).start()
    assert show(client_of(server))["actions"].shape == (1, 3)  # it waits for a place


class Counting:
    """A policy that remembers its calls."""

    def __init__(self, pause: float = 0.0) -> None:
        self.calls: list[list[int]] = []
        self.seeds: dict[int, int] = {}
        self._pause = pause

    def reset(self, slots: Any, seeds: Any) -> None:
        self.seeds |= dict(zip(slots.tolist(), seeds, strict=True))

    def act(self, observation: Any) -> ActionChunk:
        self.calls.append(observation.slots.tolist())
        time.sleep(self._pause)
        if "boom" in observation.instruction:
            raise ValueError("boom")
        return ActionChunk(actions=np.zeros((len(observation.slots), 1, 3), np.float32))

    def close(self) -> None:
        pass


def seen(instruction: str = "go", **options: Any) -> Seen:
    return Seen(instruction=instruction, images={}, proprio=None, **options)


def test_those_who_ask_at_once_are_one_call() -> None:
    policy = Counting()
    host = PolicyHost(lambda: policy, slots=8, width=3, max_batch=0, wait=30.0)
    slots = [host.enter() for _ in range(4)]
    for slot in slots:
        host.begin(slot, 100 + slot)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):  # nobody waits: all who are in an episode have asked
            assert len(list(pool.map(lambda slot: host.ask(slot, seen()), slots))) == 4
    assert policy.calls == [[0, 1, 2, 3]] * 20
    assert policy.seeds == {slot: 100 + slot for slot in slots}


def test_those_who_ask_under_one_name_do_not_wait_for_others() -> None:
    policy = Counting()
    host = PolicyHost(lambda: policy, slots=8, width=3, max_batch=0, wait=30.0)
    for slot in [host.enter() for _ in range(3)]:
        host.begin(slot, slot)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda slot: host.ask(slot, seen(together=("mine", 2))), [0, 2]))
    assert policy.calls == [[0, 2]]


def test_who_does_not_ask_holds_others_up_for_a_moment_only() -> None:
    policy = Counting()
    host = PolicyHost(lambda: policy, slots=8, width=3, max_batch=0, wait=0.2)
    for slot in [host.enter() for _ in range(2)]:
        host.begin(slot, slot)
    begun = time.monotonic()
    host.ask(0, seen())
    assert time.monotonic() - begun >= 0.2
    host.end(1)
    host.ask(0, seen())
    host.leave(1)
    assert policy.calls == [[0], [0]]


def test_a_group_is_no_larger_than_the_policy_takes() -> None:
    host = PolicyHost(Counting, slots=8, width=3, max_batch=2, wait=30.0)
    host.begin(host.enter() or 0, 0)
    with pytest.raises(PolicyBrokeError, match="3 sessions ask at once, and the policy takes 2"):
        host.ask(0, seen(together=("mine", 3)))


def test_nobody_starves_where_calls_are_small() -> None:
    policy = Counting(pause=0.01)
    host = PolicyHost(lambda: policy, slots=8, width=3, max_batch=1, wait=0.0)
    slots = [host.enter() for _ in range(4)]
    for slot in slots:
        host.begin(slot, slot)
    stop = time.monotonic() + 1.0

    def ask(slot: int) -> int:
        asked = 0
        while time.monotonic() < stop:
            host.ask(slot, seen())
            asked += 1
        return asked

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, slots))
    assert min(found) > max(found) / 3


def test_an_episode_that_begins_while_another_breaks_the_policy_is_played() -> None:
    host = PolicyHost(lambda: Counting(pause=0.3), slots=8, width=3, max_batch=0, wait=0.0)
    for slot in [host.enter() for _ in range(2)]:
        host.begin(slot, slot)
    host.end(1)
    with ThreadPoolExecutor(1) as pool:
        broken = pool.submit(host.ask, 0, seen("boom"))
        time.sleep(0.1)
        host.begin(1, 5)
        with pytest.raises(PolicyBrokeError):
            broken.result()
    assert host.ask(1, seen())[0].shape == (1, 3)


def test_sessions_get_the_smallest_free_slot() -> None:
    host = PolicyHost(Counting, slots=4, width=3, max_batch=0, wait=0.0)
    assert [host.enter() for _ in range(4)] == [0, 1, 2, 3]
    for slot in (0, 1, 3):
        host.leave(slot)
    assert [host.enter() for _ in range(4)] == [0, 1, 3, None]


def test_calls_are_no_larger_than_the_policy_takes() -> None:
    policy = Counting(pause=0.01)
    host = PolicyHost(lambda: policy, slots=8, width=3, max_batch=2, wait=30.0)
    slots = [host.enter() for _ in range(5)]
    for slot in slots:
        host.begin(slot, slot)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda slot: (host.ask(slot, seen()), host.end(slot)), slots))
    assert sorted(slot for call in policy.calls for slot in call) == slots
    assert max(map(len, policy.calls)) == 2


def test_a_call_that_breaks_ends_every_episode_and_the_policy_is_made_anew() -> None:
    made: list[Counting] = []

    def make() -> Counting:
        made.append(Counting())
        return made[-1]

    host = PolicyHost(make, slots=8, width=3, max_batch=0, wait=30.0)
    for slot in [host.enter() for _ in range(2)]:
        host.begin(slot, slot)

    def ask(slot: int) -> str:
        try:
            host.ask(slot, seen("boom" if slot else "go"))
        except PolicyBrokeError as error:
            return error.what
        return ""

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, [0, 1])) == ["ValueError: boom"] * 2
    assert ask(0) == "no episode is running"
    host.begin(0, 7)
    assert ask(0) == ""
    assert len(made) == 2
    assert made[1].seeds == {0: 7}


def test_some_who_were_to_ask_together_never_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gf_core.serving.host._TOGETHER_SECONDS", 0.2)
    host = PolicyHost(Counting, slots=8, width=3, max_batch=0, wait=30.0)
    host.begin(host.enter() or 0, 0)
    with pytest.raises(PolicyBrokeError, match="2 sessions were to ask at once"):
        host.ask(0, seen(together=("ours", 2)))


def test_closing_ends_sessions(serve: Serve) -> None:
    server = serve()
    client = client_of(server)
    show(client)
    server.close()
    with pytest.raises(RemoteError, match="the other end"):
        show(client)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["gf/expert-v1"], "sees the simulator's state"),
        (["gf/nobody-v1"], "gf/nobody-v1"),
        (["gf/random-v1", "--set", "speed=3"], "speed"),
        (["gf/random-v1", "--env", "gf/table-v1"], "gf/table-v1"),
        (["gf/random-v1", "--hz", "7"], "7 Hz"),
        (["gf/random-v1", "--camera", "left"], "isn't THEIRS=OURS"),
        (["gf/random-v1", "--camera", "left=third"], "has no camera 'third'"),
        (["gf/random-v1", "--host", "256.1.1.1"], "can't be used"),
    ],
)
def test_mistakes_are_told_before_anything_listens(arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *arguments, "--port", "0"]) == 2
    error = capfd.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_through_the_command_line(write_suite: Callable[..., str], tmp_path: Any, capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "gf_core.cli.main", "serve", "gf/random-v1", "--port", "0", "--hz", "10"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "GF_TOKEN": "t"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ws://127.0.0.1:")
        address = line.split()[0]
        arguments = [
            "run",
            "gf/smoke@1",
            "--policy",
            "gf/remote-v1",
            "--set",
            f"url={address}",
            "--limit",
            "2",
            "--out",
            str(tmp_path / "r"),
        ]
        assert main(arguments) == 2
        assert "it asks for a token" in capfd.readouterr().err
        os.environ["GF_TOKEN"] = "t"
        assert main(arguments) == 2
        assert "action.hz" in capfd.readouterr().err
        assert main([*arguments, "--hz", "10"]) == 0
    finally:
        os.environ.pop("GF_TOKEN", None)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=20)
    assert "2 episodes, " in error
    assert process.returncode == 0
