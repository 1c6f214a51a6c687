"""Serves a policy over WebSockets: a thread for each session, health and refusals over HTTP on the same port."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import Floats, Images
from gf_core.errors import GrinningFaceError
from gf_core.serving.host import PolicyHost, Seen
from gf_core.serving.link import MAX_MESSAGE, Asked, Link, Plain, accept
from gf_core.serving.wire import (
    ACTION,
    END,
    ERROR,
    HELLO,
    OBSERVATION,
    PROTOCOL_VERSION,
    START,
    Message,
    WireError,
    pack,
    unpack,
)
from gf_core.specs import FieldSpec, PolicyInterface

log = logging.getLogger(__name__)

OURS = "grinningface"
"""Key of what only this program says and reads, in hello, episode_start, observation and action."""
_HANDSHAKE_SECONDS = 10.0
_SEND_SECONDS = 60.0
_PAUSE_SECONDS = 0.1
_FAREWELL_SECONDS = 5.0
_MAX_TEXT = 4000
_MAX_STRANGERS = 64
"""Connections that are being let in, at most."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What is served.

    Attributes:
        hello: what its hello says.
        interface: what the policy observes and does.
        proprio: the state that it is told.
        unplayed: whether it is handed what is left of its last chunk.
        cameras: names that clients give to its cameras: theirs to the policy's.
    """

    hello: Mapping[str, Any]
    interface: PolicyInterface
    proprio: FieldSpec
    cameras: Mapping[str, str]


class PolicyServer:
    """Listens, and serves until it is closed.

    Args:
        host: the policy.
        offer: what is served.
        address: host name and port; port 0 for any that is free.
        token: what clients have to say; empty for nothing.
        max_bytes: of a message.

    Raises:
        GrinningFaceError: the address can't be used.
    """

    def __init__(
        self, host: PolicyHost, offer: Offer, *, address: tuple[str, int], token: str = "", max_bytes: int = MAX_MESSAGE
    ) -> None:
        self._host, self._offer, self._token, self._max_bytes = host, offer, token, max_bytes
        self._sessions: set[Link] = set()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._strangers = threading.Semaphore(_MAX_STRANGERS)
        self._closed = False
        self.episodes = 0
        try:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self._end = socket.create_server(address, family=family, backlog=256)
        except OSError as error:
            name, why = f"{address[0]}:{address[1]}", (error.strerror or str(error)).partition(" (while")[0]
            raise GrinningFaceError(f"{name} can't be used ({why})", hint="another --port, or 0") from error
        self.port: int = self._end.getsockname()[1]

    def serve(self) -> None:
        """Take connections until :meth:`close`."""
        while not self._closed:
            try:
                end, _ = self._end.accept()
            except OSError as error:
                if self._closed:
                    break
                log.warning("a connection can't be taken: %s", error)  # too many files are open; some will be closed
                time.sleep(_PAUSE_SECONDS)
                continue
            if not self._strangers.acquire(blocking=False):
                end.close()
                continue
            thread = threading.Thread(target=self._receive, args=(end,), daemon=True)
            with self._lock:
                self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError as error:
                log.warning("a connection can't be taken: %s", error)
                self._strangers.release()
                self._threads.discard(thread)
                end.close()

    def count(self) -> int:
        """The number of an episode that begins."""
        with self._lock:
            self.episodes += 1
            return self.episodes

    def told(self) -> str:
        """What was served so far, as a line."""
        host = self._host
        return f"{self.episodes} episodes, {host.asked} questions in {host.calls} calls"

    def close(self) -> None:
        """End all sessions, and the policy."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
        with self._lock:
            links, threads = list(self._sessions), list(self._threads)
        for link in links:
            link.shut()
        until = time.monotonic() + _FAREWELL_SECONDS
        for thread in threads:  # or they are cut off in the middle of something when the interpreter ends
            thread.join(max(0.0, until - time.monotonic()))
        self._host.close()

    def _receive(self, end: socket.socket) -> None:
        try:
            self._session(end)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _session(self, end: socket.socket) -> None:
        slot: int | None = None

        def plain(asked: Asked) -> Plain | None:
            nonlocal slot
            if asked.path == "/health":
                return 200, {"status": "ok"}
            if self._token and not hmac.compare_digest(asked.token.encode(), self._token.encode()):
                return 401, {"error": "a token is needed"}
            slot = self._host.enter()
            return (503, {"error": "all sessions are taken"}) if slot is None else None

        try:
            link = accept(end, plain, deadline=time.monotonic() + _HANDSHAKE_SECONDS, max_bytes=self._max_bytes)
        finally:
            self._strangers.release()
        if link is None or slot is None:
            if slot is not None:
                self._host.leave(slot)
            return
        with self._lock:
            self._sessions.add(link)
        try:
            _Session(self, link, slot).run()
        except (GrinningFaceError, OSError) as error:
            log.info("session %d is over: %s", slot, error)
        finally:
            self._host.leave(slot)
            with self._lock:
                self._sessions.discard(link)
            link.close()

    @staticmethod
    def _tell(link: Link, message: Message) -> None:
        link.send(pack(message), deadline=time.monotonic() + _SEND_SECONDS)


class _Session:
    def __init__(self, server: PolicyServer, link: Link, slot: int) -> None:
        self._server, self._link, self._slot = server, link, slot
        self._host, self._offer = server._host, server._offer
        self._rest: deque[Floats] = deque()

    def run(self) -> None:
        """Answer until the client is gone."""
        while True:
            try:
                message = unpack(self._link.receive())
            except WireError as error:  # which message it was can't be known
                self._say(Message(type=ERROR, payload={"error": str(error)}))
                continue
            try:
                answer = self._answer(message)
            except WireError as error:
                answer = Message(type=ERROR, payload={"error": error.what}, seq=message.seq)
            except GrinningFaceError as error:
                answer = Message(type=ERROR, payload={"error": error.what, OURS: {"broken": True}}, seq=message.seq)
            if answer is not None:
                self._say(answer)

    def _say(self, message: Message) -> None:
        self._server._tell(self._link, message)

    def _answer(self, message: Message) -> Message | None:
        ours = message.payload.get(OURS)
        extra: Mapping[str, Any] = ours if isinstance(ours, dict) else {}
        if message.type == HELLO:
            version = message.payload.get("protocol_version")
            if not isinstance(version, int) or version != PROTOCOL_VERSION:
                raise WireError(f"protocol version {version!r:.40}; this server speaks {PROTOCOL_VERSION}")
            return Message(type=HELLO, payload=self._offer.hello, seq=message.seq)
        if message.type == START:
            number = self._server.count()
            seed = extra.get("seed")
            if not isinstance(seed, int) or not 0 <= seed < 1 << 63:
                seed = derive_seed(number, "served")
            self._host.begin(self._slot, seed)
            self._rest.clear()
            return None  # the protocol has no acknowledgement
        if message.type == END:
            self._host.end(self._slot)
            return None
        if message.type == OBSERVATION:
            return Message(type=ACTION, payload=self._act(message.payload, extra), seq=message.seq)
        log.info("session %d: %s", self._slot, message.payload.get("error"))
        return None

    def _act(self, payload: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """A chunk for clients of this program; one step of it for others, which ask before every step."""
        seen = self._seen(payload, extra)
        if extra:
            actions, execute_steps = self._host.ask(self._slot, seen)
            return {"actions": actions, OURS: {"execute_steps": execute_steps}}
        if not self._rest or not self._host.running(self._slot):
            self._rest.clear()
            actions, execute_steps = self._host.ask(self._slot, seen)
            self._rest.extend(actions[:execute_steps])
        return {"actions": self._rest.popleft()}

    def _seen(self, payload: Mapping[str, Any], extra: Mapping[str, Any]) -> Seen:
        """An observation as the policy is shown it. Raises WireError: it isn't what the policy observes."""
        instruction = payload.get("task_description", payload.get("instruction"))
        if not isinstance(instruction, str) or len(instruction) > _MAX_TEXT:
            raise WireError(f"task_description has to be a text of at most {_MAX_TEXT} characters")
        wanted = self._offer.interface.observes
        images = dict(self._images(payload.get("images"))) if wanted.cameras else {}
        proprio = None
        if wanted.proprio:
            proprio = _numbers(payload.get("state", payload.get("states")), self._offer.proprio.shape, "state")
        left = extra.get("unplayed")
        unplayed = (
            None if left is None else _numbers(left, (None, *self._offer.hello[OURS]["action"]["field"]["shape"]), "unplayed")
        )
        return Seen(
            instruction=instruction, images=images, proprio=proprio, unplayed=unplayed, together=_together(extra.get("together"))
        )

    def _images(self, given: object) -> Iterator[tuple[str, Images]]:
        wanted = self._offer.interface.observes
        if not isinstance(given, dict) or not given:
            raise WireError(f"images has to be a map with {', '.join(wanted.cameras)}")
        named = {self._offer.cameras.get(str(name), str(name)): image for name, image in given.items()}
        if len(wanted.cameras) == len(named) == 1:
            named = dict.fromkeys(wanted.cameras, next(iter(named.values())))
        height, width = wanted.size
        history = len(wanted.history)
        shape = (height, width, 3) if history == 1 else (history, height, width, 3)
        for camera in wanted.cameras:
            if camera not in named:
                raise WireError(
                    f"the policy looks through {', '.join(wanted.cameras)}, and images are of {', '.join(named)}",
                    hint="start the server with --camera THEIRS=OURS",
                )
            image = named[camera]
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
                what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                raise WireError(f"the image of {camera} is {what}, and the policy is shown uint8 {shape}")
            yield camera, image


def _numbers(value: object, shape: Sequence[int | None], name: str) -> Floats:
    try:
        array = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise WireError(f"{name} has to be numbers") from error
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if not fits or not np.isfinite(array).all():
        raise WireError(f"{name} has to be {tuple(shape)} finite numbers, and is of shape {array.shape}")
    return array


def _together(value: object) -> tuple[str, int]:
    if value is None:
        return "", 1
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and 1 <= len(value[0]) <= 100
        and 1 <= value[1] <= 4096
    ):
        return value[0], value[1]
    raise WireError("together has to be a name and a number of sessions")
