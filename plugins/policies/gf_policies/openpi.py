"""`gf/openpi-v1`: a policy behind openpi's websocket server (its ``scripts/serve_policy.py``).

The server says what it is once, when a client comes, and then answers each observation with a chunk. An error is a text, after
which it closes. Answers carry no number, so there is one question at a time, and a connection on which anything went wrong is
never used again: what comes late on it reaches nobody.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gf_core.canonical import sha256
from gf_core.contracts import ActionChunk, Floats, Images, Observation, PolicyContext, Slots
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.serving.link import TOKEN, Link, LinkError, connect
from gf_core.serving.wire import WireError
from gf_core.specs import Observes, PolicyInterface
from gf_policies.openpi_wire import pack, unpack
from gf_policies.remote import Read, RemoteError, actions_of, foreign_actions


class Server:
    """The server, as seen from here.

    Args:
        url: its address.
        timeout: for connecting, and for an answer [s].

    Raises:
        GrinningFaceError: nobody is there, or it isn't such a server.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._link: Link | None
        self._link, self._said = self._connect()

    @property
    def fingerprint(self) -> str:
        """Hash of what the server says of itself."""
        return sha256(self._said)

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer to an observation.

        Raises:
            RemoteError: it couldn't, or doesn't keep to the protocol.
            GrinningFaceError: the connection was over, and there is no new one.
        """
        link = self._ready()
        deadline = time.monotonic() + self._timeout
        try:
            link.send(pack(observation), deadline=deadline)
            answer = link.receive_either(deadline=deadline)
            if isinstance(answer, str):
                raise RemoteError(f"the server says: {_last_line(answer)}")
            return unpack(answer)
        except TimeoutError as error:
            self.close()
            raise RemoteError("no answer in time") from error
        except (LinkError, WireError) as error:
            self.close()
            raise RemoteError(error.what) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Say goodbye."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ready(self) -> Link:
        """The connection. The server ends one that didn't answer its pings, so while nothing is asked that is no fault."""
        try:
            if self._link is not None and not self._link.idle():
                self.close()
                raise RemoteError("the server sent a message that answers nothing")
        except (LinkError, TimeoutError):
            self.close()
        if self._link is None:
            link, said = self._connect()
            if said != self._said:
                link.close()
                raise RemoteError("the server says something else of itself than before")
            self._link = link
        return self._link

    def _connect(self) -> tuple[Link, bytes]:
        deadline = time.monotonic() + self._timeout
        try:
            link = connect(self._url, token=os.environ.get(TOKEN, ""), scheme="Api-Key", deadline=deadline)
        except TimeoutError as error:
            raise LinkError("nobody answers in time", where=self._url) from error
        except LinkError as error:
            asks = "(401" in error.what
            hint = f"put its key into the environment variable {TOKEN}" if asks else "is openpi's server running there?"
            raise LinkError(error.what, where=self._url, hint=hint) from error
        try:
            said = link.receive_either(deadline=deadline)
            if isinstance(said, str):
                raise LinkError(f"the server says: {_last_line(said)}", where=self._url)
            unpack(said)
        except TimeoutError as error:
            link.close()
            hint = "openpi's servers do when a client comes; `gf serve` and vla-eval's don't: gf/remote-v1 is for those"
            raise LinkError("it doesn't say what it is in time", where=self._url, hint=hint) from error
        except WireError as error:
            link.close()
            raise LinkError(f"what it says of itself is wrong: {error.what}", where=self._url) from error
        except BaseException:
            link.close()
            raise
        return link, said


def _last_line(text: str) -> str:
    """Of a traceback, that with the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "nothing"


def interface(config: Mapping[str, Any]) -> PolicyInterface:
    """What the settings say is sent; the fingerprint is that of what the server says of itself.

    Raises:
        GrinningFaceError: nobody is there, or two things would be sent under one key.
    """
    _check_keys([*config["cameras"].values(), *config["state"], config["prompt"]])
    server = Server(config["url"], config["timeout"])
    server.close()
    height, width = config["drawn"] or (config["size"], config["size"])
    observes = Observes(cameras=tuple(config["cameras"]), size=(height, width), proprio=bool(config["state"]))
    return PolicyInterface(observes=observes, action=None, fingerprint=server.fingerprint)


def _check_keys(keys: Sequence[str]) -> None:
    for number, key in enumerate(keys):
        for other in keys[number + 1 :]:
            if f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}."):
                raise GrinningFaceError(f"two things would be sent as {key!r} and {other!r}", where="cameras, state, prompt")


def make_openpi(config: Mapping[str, Any], context: PolicyContext) -> OpenpiPolicy:
    """The policy, connected.

    Raises:
        GrinningFaceError: nobody is there; the settings name what the environment doesn't have, or don't say what actions mean.
    """
    state = {key: _elements(key, names, context) for key, names in config["state"].items()}
    read = _as_they_are(context) if config["actions"] == "environment" else foreign_actions(None, config, context.action)
    return OpenpiPolicy(Server(config["url"], config["timeout"]), config, state, read)


def _elements(key: str, names: str | Sequence[str], context: PolicyContext) -> list[int]:
    known = context.env.proprio.names or [str(number) for number in range(context.env.proprio.shape[0])]
    if isinstance(names, str):
        return list(range(len(known)))
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
            raise MismatchError(f"{context.env.id} has no element {name!r} of proprio", where=f"state.{key}", hint=hint)
    return [known.index(name) for name in names]


def _as_they_are(context: PolicyContext) -> Read:
    width = context.action.field.shape[0]

    def read(actions: Floats) -> Floats:
        if actions.shape[-1] != width:
            raise RemoteError(f"the server's actions have {actions.shape[-1]} elements, and {context.env.id} takes {width}")
        return actions

    return read


class OpenpiPolicy:
    """Asks the server about one slot after the other: it answers one at a time, too."""

    def __init__(self, server: Server, config: Mapping[str, Any], state: Mapping[str, list[int]], read: Read) -> None:
        self._server, self._config, self._state, self._read = server, config, state, read

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """Nothing: the protocol knows no episodes, and what the server draws can't be seeded."""

    def act(self, observation: Observation) -> ActionChunk:
        """The server's chunks."""
        rows = range(len(observation.slots))
        chunks = [self._read(actions_of(self._server.infer(self._question(observation, row)))) for row in rows]
        if len({len(chunk) for chunk in chunks}) > 1:
            raise RemoteError(f"the server's chunks have {sorted({len(chunk) for chunk in chunks})} steps in one call")
        return ActionChunk(actions=np.stack(chunks))

    def close(self) -> None:
        """Say goodbye."""
        self._server.close()

    def _question(self, observation: Observation, row: int) -> dict[str, Any]:
        question: dict[str, Any] = {}
        for camera, key in self._config["cameras"].items():
            image = fitted(observation.images[camera][row], self._config["size"])
            _put(question, key, image.transpose(2, 0, 1) if self._config["channels"] == "first" else image)
        for key, elements in self._state.items():
            assert observation.proprio is not None
            _put(question, key, observation.proprio[row, elements])
        _put(question, self._config["prompt"], observation.instruction[row])
        return question


def _put(question: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for name in outer:
        question = question.setdefault(name, {})
    question[last] = value


def fitted(image: Images, size: int) -> Images:
    """``image (H, W, 3)`` as ``(size, size, 3)``: scaled, bilinear, its longer side to ``size``, in the middle of black.

    Lengths are cut to whole pixels as ``resize_with_pad`` of openpi-client 0.1.2 cuts them, for the same bytes.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    from PIL import Image

    ratio = max(height, width) / size
    inner = max(1, int(height / ratio)), max(1, int(width / ratio))
    scaled = np.asarray(Image.fromarray(image).resize(inner[::-1], Image.Resampling.BILINEAR))
    top, left = ((size - length) // 2 for length in inner)
    whole = np.zeros((size, size, 3), np.uint8)
    whole[top : top + inner[0], left : left + inner[1]] = scaled
    return whole
