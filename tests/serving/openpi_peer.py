"""A server that speaks openpi's protocol: says what it is, then answers each observation as its owner says.

`make interop` shows that the real client of openpi-client understands it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from gf_policies.openpi_wire import pack, unpack

Answer = Callable[[ServerConnection, dict[str, Any]], object]


class OpenpiPeer:
    """Listens at once.

    Args:
        answer: gets the connection and an observation.
        hello: what is sent when a client comes: bytes, or text, as it is; a map packed.
        key: what clients have to say.
        pings: seconds between pings, and for their answer; none by default.
    """

    def __init__(self, answer: Answer, hello: Any = None, key: str = "", pings: float | None = None) -> None:
        self.hello: Any = {"model": "peer"} if hello is None else hello
        self.seen: list[dict[str, Any]] = []
        self.clients = 0
        self._answer, self._key = answer, key
        self._server = serve(
            self._session,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            process_request=self._let_in,
            ping_interval=pings,
            ping_timeout=pings,
            close_timeout=0.2,
        )
        self.port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if self._key and request.headers.get("Authorization") != f"Api-Key {self._key}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    def _session(self, connection: ServerConnection) -> None:
        self.clients += 1
        try:
            connection.send(pack(self.hello) if isinstance(self.hello, dict) else self.hello)
            for message in connection:
                assert isinstance(message, bytes)
                observation = unpack(message)
                self.seen.append(observation)
                self._answer(connection, observation)
        except (ConnectionClosed, EOFError):
            pass

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
