"""A WebSocket over a blocking socket, for both ends: one thread sends, waits and receives, so that nothing is handed over.

The protocol is that of the package websockets, without its input and output (RFC 6455). Messages are binary, without compression.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gf_core.errors import GrinningFaceError

TOKEN = "GF_TOKEN"
"""Environment variable with what clients say, and what a server asks for."""
MAX_MESSAGE = 64 << 20
"""Bytes of a message; eight cameras of 1024 x 1024 pixels, twice."""
_CHUNK = 1 << 18
_FAREWELL_SECONDS = 2.0


class LinkError(GrinningFaceError):
    """The other end is gone, or isn't what it should be."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a client asked for when it came.

    Attributes:
        path: of the address.
        token: what it said to be let in; empty for none.
    """

    path: str
    token: str


Plain = tuple[int, Mapping[str, object]]
"""An answer that is no WebSocket: status and JSON."""


class Link:
    """One end of an open connection. Made by :func:`connect` and :func:`accept`."""

    def __init__(self, end: socket.socket, protocol: ClientProtocol | ServerProtocol, where: str) -> None:
        self._end, self._protocol, self._where = end, protocol, where
        self._events: list[object] = []

    def send(self, data: bytes, *, deadline: float | None = None) -> None:
        """Send a message.

        Args:
            data: its bytes.
            deadline: of :func:`time.monotonic`.

        Raises:
            TimeoutError: the other end didn't take it in time.
            LinkError: it is gone.
        """
        try:
            self._protocol.send_binary(data)
        except WebSocketException as error:
            raise self._gone() from error
        self._flush(deadline)

    def receive(self, *, deadline: float | None = None) -> bytes:
        """The next message.

        Args:
            deadline: of :func:`time.monotonic`.

        Raises:
            TimeoutError: it didn't come as a whole in time.
            LinkError: the other end is gone, or sent something else, or too much.
        """
        message = self.receive_either(deadline=deadline)
        if isinstance(message, str):
            raise LinkError("it sent text, and messages are binary", where=self._where)
        return message

    def receive_either(self, *, deadline: float | None = None) -> bytes | str:
        """As :meth:`receive`, for protocols in which text means something, too."""
        parts: list[bytes] = []
        text = False
        while True:
            frame = self._next(deadline)
            if not isinstance(frame, Frame) or frame.opcode in (Opcode.PING, Opcode.PONG):
                continue
            if frame.opcode is Opcode.CLOSE:
                raise self._gone()
            text = text or frame.opcode is Opcode.TEXT
            parts.append(bytes(frame.data))
            if frame.fin:
                whole = parts[0] if len(parts) == 1 else b"".join(parts)
                return whole.decode(errors="replace") if text else whole

    def idle(self) -> bool:
        """Whether no message has come. Doesn't wait, and answers what pings have come.

        Raises:
            LinkError: the other end is gone.
        """
        while True:
            while self._events:
                frame = self._events[0]
                if isinstance(frame, Frame) and frame.opcode not in (Opcode.PING, Opcode.PONG):
                    if frame.opcode is Opcode.CLOSE:
                        raise self._gone()
                    return False
                self._events.pop(0)
            try:
                self._read(0.0)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True

    def close(self) -> None:
        """Say goodbye, if anybody still listens, and close."""
        with contextlib.suppress(OSError, LinkError, WebSocketException):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(1000)
                self._flush(time.monotonic() + _FAREWELL_SECONDS)
        self._end.close()

    def shut(self) -> None:
        """End the connection from another thread; whoever waits for a message is told that it is over."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _next(self, deadline: float | None) -> object:
        while not self._events:
            self._read(_left(deadline), deadline)
        return self._events.pop(0)

    def _read(self, wait: float | None, deadline: float | None = None) -> None:
        if self._protocol.parser_exc is not None:
            raise self._gone()
        self._end.settimeout(wait)
        try:
            data = self._end.recv(_CHUNK)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise
        except OSError as error:
            raise LinkError(f"the other end is gone ({error})", where=self._where) from error
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        # What the protocol answers by itself: pongs, closing.
        self._flush(time.monotonic() + _FAREWELL_SECONDS if wait == 0 else deadline)
        self._events.extend(self._protocol.events_received())
        if not self._events and not data:
            raise self._gone()

    def _flush(self, deadline: float | None) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                continue  # the end of what this end sends; the socket is closed later
            self._end.settimeout(_left(deadline))
            try:
                self._end.sendall(data)
            except TimeoutError:
                raise
            except OSError as error:
                raise LinkError(f"the other end is gone ({error})", where=self._where) from error

    def _gone(self) -> LinkError:
        received = self._protocol.close_rcvd
        if received is not None and received.reason:
            return LinkError(f"the other end closed: {received.reason}", where=self._where)
        broken = self._protocol.parser_exc
        why = f" ({broken})" if broken is not None and not isinstance(broken, EOFError) else ""
        return LinkError(f"the other end is gone{why}", where=self._where)


def _left(deadline: float | None) -> float | None:
    if deadline is None or math.isinf(deadline):
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left


def connect(
    url: str, *, token: str = "", scheme: str = "Bearer", deadline: float | None = None, max_bytes: int = MAX_MESSAGE
) -> Link:
    """Connect to a server.

    Args:
        url: ``ws://HOST:PORT``, or ``wss://``.
        token: what the server asks for.
        scheme: the word before it in the header.
        deadline: of :func:`time.monotonic`.
        max_bytes: of a message that it may send.

    Raises:
        GrinningFaceError: no such address.
        LinkError: nobody is there, or refuses.
        TimeoutError: not in time.
    """
    try:
        parsed = parse_uri(url)
    except WebSocketException as error:
        raise GrinningFaceError(f"{url!r} is no address of a server", where="url", hint="ws://HOST:PORT") from error
    try:
        end = socket.create_connection((parsed.host, parsed.port), timeout=_left(deadline))
        _tune(end)
        if parsed.secure:
            end = ssl.create_default_context().wrap_socket(end, server_hostname=parsed.host)
    except TimeoutError:
        raise
    except OSError as error:
        hint = "is `gf serve` or another model server running there?"
        raise LinkError(f"nobody answers ({error.strerror or error})", where=url, hint=hint) from error
    protocol = ClientProtocol(parsed, max_size=max_bytes)
    link = Link(end, protocol, url)
    try:
        request = protocol.connect()
        if token:
            request.headers["Authorization"] = f"{scheme} {token}"
        protocol.send_request(request)
        link._flush(deadline)
        response = link._next(deadline)
        if protocol.handshake_exc is not None:
            raise LinkError(f"it refuses{_said(response)}", where=url)
    except BaseException:
        end.close()
        raise
    return link


def _tune(end: socket.socket) -> None:
    """Send at once, and find out within minutes if the other machine is gone without a word."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # not everywhere
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _said(response: object) -> str:
    if not isinstance(response, Response):
        return ""
    body = (response.body or b"")[:300].decode(errors="replace").strip()
    return f" ({response.status_code}{': ' + body if body else ''})"


def accept(
    end: socket.socket, plain: Callable[[Asked], Plain | None], *, deadline: float, max_bytes: int = MAX_MESSAGE
) -> Link | None:
    """Take a connection as its server. Requests of web pages (with an Origin) are refused: they aren't the user's doing.

    Args:
        end: the connection, which the link then owns.
        plain: says what is answered instead of a WebSocket; ``None`` for letting it in.
        deadline: for the handshake, of :func:`time.monotonic`.
        max_bytes: of a message that the client may send.

    Returns:
        The link; ``None`` for a connection that is over.
    """
    protocol = ServerProtocol(origins=[None], max_size=max_bytes)
    link = Link(end, protocol, "a client")
    try:
        _tune(end)
        request = link._next(deadline)
        if not isinstance(request, Request):
            raise LinkError("no request")
        words = ", ".join(request.headers.get_all("Authorization")).partition(" ")  # two of them are no token
        answer = plain(Asked(path=urlsplit(request.path).path, token=words[2] if words[0] == "Bearer" else ""))
        if answer is None:
            response = protocol.accept(request)
        else:
            status, content = answer
            response = protocol.reject(status, json.dumps(content) + "\n")
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
        protocol.send_response(response)
        link._flush(deadline)
    except (OSError, GrinningFaceError, WebSocketException, ValueError):
        end.close()
        return None
    if protocol.state is not State.OPEN:
        end.close()
        return None
    return link
