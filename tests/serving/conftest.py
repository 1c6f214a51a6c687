from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reach_suites import FAKES, suite_document

from gf_core.evaluation import Deadlines, Request, Resources, RunResult, run_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.serving.link import Link, accept
from gf_core.serving.opening import open_server
from gf_core.serving.server import PolicyServer
from gf_core.serving.wire import Message, pack, unpack

FAST = Deadlines(call=5.0, load=30.0)


@pytest.fixture(scope="session")
def host() -> PluginHost:
    host = load_plugins([FAKES])
    host.require("reach")
    return host


Serve = Callable[..., PolicyServer]
Play = Callable[..., RunResult]


@pytest.fixture
def serve(host: PluginHost) -> Iterator[Serve]:
    """Serve a policy of the fakes in a thread."""
    with contextlib.ExitStack() as stack:

        def start(policy: str = "local/reacher-v1", *settings: str, **options: Any) -> PolicyServer:
            server = open_server(policy, host, settings=settings, **{"env_id": "local/reach-v1", **options})
            stack.callback(server.close)
            threading.Thread(target=server.serve, daemon=True).start()
            return server

        yield start


def url(server: PolicyServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


@pytest.fixture
def play(host: PluginHost, tmp_path: Path) -> Play:
    numbers = itertools.count()

    def run(suite: str, policy: str, *settings: str, slots: int = 4, in_process: bool = True, **request: Any) -> RunResult:
        resources = Resources(slots=slots, in_process=in_process, deadlines=FAST)
        asked = Request(suite=suite, policy=policy, policy_config=settings, **request)
        return run_suite(asked, host=host, out=tmp_path / f"run-{next(numbers)}", resources=resources)

    return run


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., str]:
    def write(*args: Any, **kwargs: Any) -> str:
        path = tmp_path / "suite.json"
        path.write_text(json.dumps(suite_document(*args, **kwargs)))
        return str(path)

    return write


class Peer:
    """A server of another program, which does with each message what the test says."""

    def __init__(self, answer: Callable[[Peer, Link, Message], object], hello: dict[str, Any] | None = None) -> None:
        self.hello = hello or {"harness_version": "0.8.0", "protocol_version": 1, "model_server": "Peer"}
        self.seen: list[Message] = []
        self._answer = answer
        self._end = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._end.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._end.accept()
                threading.Thread(target=self._session, args=(end,), daemon=True).start()

    def _session(self, end: socket.socket) -> None:
        link = accept(end, lambda asked: None, deadline=time.monotonic() + 10)
        if link is None:
            return
        with contextlib.suppress(Exception):
            while True:
                message = unpack(link.receive())
                self.seen.append(message)
                if message.type == "hello":
                    link.send(pack(Message(type="hello", payload=self.hello, seq=message.seq)))
                else:
                    self._answer(self, link, message)
        link.close()

    def close(self) -> None:
        self._end.close()
