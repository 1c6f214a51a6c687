"""Messages between the runner and a policy's child process, over a socket, so that neither can block the other for ever."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

MAX_MESSAGE = 1 << 30
"""Largest message [bytes]; a broken child can't make the runner allocate more."""

_COUNT, _LENGTH = struct.Struct("<I"), struct.Struct("<Q")


class Channel:
    """Sends and receives messages, each a few parts of bytes.

    Args:
        end: a connected stream socket, which the channel then owns.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, parts: Sequence[bytes], *, deadline: float | None = None) -> None:
        """Send a message.

        Raises:
            TimeoutError: the other side didn't take it before ``deadline`` (of :func:`time.monotonic`).
            OSError: the other side is gone.
        """
        head = _COUNT.pack(len(parts)) + b"".join(_LENGTH.pack(len(part)) for part in parts)
        for part in (head, *parts):
            self._end.settimeout(_remaining(deadline))
            self._end.sendall(part)

    def receive(self, *, deadline: float | None = None) -> list[bytes]:
        """The next message.

        Raises:
            TimeoutError: it didn't arrive as a whole before ``deadline`` (of :func:`time.monotonic`).
            EOFError: the other side is gone.
            ValueError: it isn't a message.
        """
        (count,) = _COUNT.unpack(self._exactly(_COUNT.size, deadline))
        if count > 64:
            raise ValueError(f"a message of {count} parts")
        lengths = [_LENGTH.unpack(self._exactly(_LENGTH.size, deadline))[0] for _ in range(count)]
        if sum(lengths) > MAX_MESSAGE:
            raise ValueError(f"a message of {sum(lengths)} bytes")
        return [self._exactly(length, deadline) for length in lengths]

    def _exactly(self, length: int, deadline: float | None) -> bytes:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        while filled < length:
            self._end.settimeout(_remaining(deadline))
            try:
                got = self._end.recv_into(view[filled:])
            except ConnectionError as error:
                raise EOFError("the other side is gone") from error
            if not got:
                raise EOFError("the other side is gone")
            filled += got
        return bytes(data)

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def _remaining(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left
