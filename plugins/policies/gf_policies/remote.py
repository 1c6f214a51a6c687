"""`gf/remote-v1`: a policy behind a server that speaks vla-eval's protocol, of this program (`gf serve`) or of others."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gf_core.canonical import content_hash
from gf_core.contracts import ActionChunk, Floats, Observation, PolicyContext, Slots
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.serving.link import TOKEN, Link, LinkError, connect
from gf_core.serving.server import OURS
from gf_core.serving.wire import ACTION, END, ERROR, HELLO, OBSERVATION, PROTOCOL_VERSION, START, Message, Picture, pack, unpack
from gf_core.specs import ActionSpec, Observes, PolicyInterface
from gf_core.training.conventions import action_from_json

_PATIENCE_SECONDS = 0.2
_STRAYS = 64
"""Messages that are dropped while an answer is awaited: those of an error that came late, and no more."""


class RemoteError(Exception):
    """The server broke a call; the text is the server's."""


class Client:
    """One session with a server.

    Args:
        url: of the server.
        timeout: for connecting, and for an answer [s].
        token: what the server asks for; by default what the environment variable GF_TOKEN says.

    Raises:
        GrinningFaceError: nobody is there, it asks for a token, or speaks another version.
    """

    def __init__(self, url: str, timeout: float, token: str | None = None) -> None:
        self._url, self._timeout = url, timeout
        self._numbers = itertools.count(1)
        deadline = time.monotonic() + timeout
        self._link: Link = self._connect(os.environ.get(TOKEN, "") if token is None else token, deadline)
        try:
            self.hello = self._greet(deadline)
        except BaseException:
            self._link.close()
            raise

    def _connect(self, token: str, deadline: float) -> Link:
        while True:
            try:
                return connect(self._url, token=token, deadline=deadline)
            except TimeoutError as error:
                raise LinkError("nobody answers in time", where=self._url) from error
            except LinkError as error:
                if "(401" in error.what:
                    hint = f"put it into the environment variable {TOKEN}"
                    raise LinkError("it asks for a token", where=self._url, hint=hint) from error
                # Sessions of a client that was just ended may still be there.
                if "(503" not in error.what or time.monotonic() + _PATIENCE_SECONDS > deadline:
                    raise
                time.sleep(_PATIENCE_SECONDS)

    def _greet(self, deadline: float) -> Mapping[str, Any]:
        number = next(self._numbers)
        payload = {"harness_version": "grinningface", "protocol_version": PROTOCOL_VERSION}
        try:
            self._link.send(pack(Message(type=HELLO, payload=payload, seq=number)), deadline=deadline)
            reply = unpack(self._link.receive(deadline=deadline))
        except TimeoutError as error:
            raise LinkError("it doesn't say hello in time", where=self._url) from error
        if reply.type != HELLO:
            said = reply.payload.get("error") if reply.type == ERROR else reply.type
            raise LinkError(f"it answers hello with {said!s:.300}", where=self._url)
        version = reply.payload.get("protocol_version")
        if not isinstance(version, int) or version != PROTOCOL_VERSION:
            raise LinkError(f"it speaks version {version!r:.40} of the protocol, and this is {PROTOCOL_VERSION}", where=self._url)
        return reply.payload

    def begin(self, task: Mapping[str, Any], seed: int) -> None:
        """An episode begins; the protocol has no acknowledgement."""
        payload = {"task": dict(task), "mode": "sync", OURS: {"seed": seed}}
        self._send(Message(type=START, payload=payload, seq=next(self._numbers)))

    def end(self) -> None:
        """The episode is over."""
        self._send(Message(type=END, payload={}, seq=next(self._numbers)))

    def show(self, payload: Mapping[str, Any]) -> int:
        """Send an observation; says by which number it is answered."""
        number = next(self._numbers)
        self._send(Message(type=OBSERVATION, payload=payload, seq=number))
        return number

    def answer(self, number: int) -> Mapping[str, Any]:
        """The answer to an observation. What belongs to earlier messages is dropped: no action is ever taken for another's.

        Raises:
            RemoteError: the server couldn't, or doesn't keep to the protocol.
        """
        deadline = time.monotonic() + self._timeout
        for _ in range(_STRAYS):
            try:
                message = unpack(self._link.receive(deadline=deadline))
            except TimeoutError as error:
                raise RemoteError("no answer in time") from error
            except GrinningFaceError as error:
                raise RemoteError(error.what) from error
            if message.type == ERROR:
                raise RemoteError(f"the server says: {message.payload.get('error')!s:.500}")
            if message.type == ACTION and message.seq == number:
                return message.payload
            if message.seq >= number:
                raise RemoteError(f"an answer ({message.type}) with number {message.seq} to question {number}")
        raise RemoteError(f"{_STRAYS} messages that answer nothing")

    def close(self) -> None:
        """Say goodbye."""
        self._link.close()

    def _send(self, message: Message) -> None:
        try:
            self._link.send(pack(message), deadline=time.monotonic() + self._timeout)
        except TimeoutError as error:
            raise RemoteError("the server takes nothing any more") from error
        except LinkError as error:
            raise RemoteError(error.what) from error


def interface(config: Mapping[str, Any]) -> PolicyInterface:
    """What the server says of its policy; of other programs' servers, what the settings say."""
    client = Client(config["url"], config["timeout"])
    client.close()
    mine = client.hello.get(OURS)
    if not isinstance(mine, Mapping):
        said = {key: value for key, value in client.hello.items() if key != "harness_version"}
        seen = Observes(cameras=tuple(config["cameras"]), size=(config["size"], config["size"]), proprio=config["state"])
        return PolicyInterface(observes=seen, action=None, fingerprint=content_hash(said))
    return interface_from(client.hello, where=config["url"])


def interface_from(hello: Mapping[str, Any], *, where: str) -> PolicyInterface:
    """What a hello of this program says. Raises LinkError: it isn't one."""
    mine = hello[OURS]
    try:
        observes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in mine["observes"].items()
        }
        return PolicyInterface(
            observes=Observes(**observes),
            action=action_from_json(mine["action"]),
            max_batch=mine["max_batch"],
            fingerprint=mine["fingerprint"],
            packaged=mine["provenance"] is not None and not mine["policy"].startswith("local/"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise LinkError("its hello isn't one of this program", where=where, hint="is its version another one?") from error


def make_remote(config: Mapping[str, Any], context: PolicyContext) -> RemotePolicy:
    """The policy, connected; see :func:`connected`."""
    return connected(config, context)


def connected(config: Mapping[str, Any], context: PolicyContext, *, token: str | None = None) -> RemotePolicy:
    """The policy, connected.

    Args:
        config: settings of gf/remote-v1.
        context: as a policy's factory is told.
        token: as of :class:`Client`.

    Raises:
        GrinningFaceError: nobody is there; the server's state or actions aren't the environment's, naming the field.
    """
    client = Client(config["url"], config["timeout"], token)
    mine = client.hello.get(OURS)
    if not isinstance(mine, Mapping):
        read = foreign_actions(client.hello.get("action_spec"), config, context.action)
        return RemotePolicy(client, config, read, names=config["cameras"], token=token)
    theirs = mine["proprio"]
    ours = {
        "shape": list(context.env.proprio.shape),
        "names": list(context.env.proprio.names),
        "unit": list(context.env.proprio.unit),
    }
    for name, value in ours.items():
        if mine["observes"]["proprio"] and theirs.get(name) != value:
            raise MismatchError(
                f"proprio {name} is {theirs.get(name)} at the server and {value} in {context.env.id}", where=config["url"]
            )
    return RemotePolicy(
        client, config, lambda actions: actions, names={name: name for name in mine["observes"]["cameras"]}, token=token
    )


Read = Callable[[Floats], Floats]


def foreign_actions(declared: object, config: Mapping[str, Any], action: ActionSpec) -> Read:
    """Reads another program's actions ``(T, 7)`` as the environment's, by what its server declares or the settings say.

    Raises:
        MismatchError: what an element means isn't known, or can't be converted.
    """
    told = declared if isinstance(declared, Mapping) else {}

    def format_of(part: str) -> str:
        one = told.get(part)
        chosen = str(config[part]) if part in config else "declared"
        return chosen if chosen != "declared" else str(one.get("format", "")) if isinstance(one, Mapping) else ""

    if action.representation != "ee_delta" or action.field.shape != (7,) or action.rotation != "rotvec":
        raise MismatchError(
            f"the environment takes {action.representation} with {action.field.shape[0]} elements, and actions of other "
            "programs' servers are read as end-effector deltas with 7",
            where="action",
        )
    position, rotation, gripper = format_of("position"), format_of("rotation"), format_of("gripper")
    if position not in ("", "delta_xyz"):
        raise MismatchError(
            f"the server emits positions as {position}, and the environment takes delta_xyz", where="action.position"
        )
    if rotation not in ("axis_angle", "euler_xyz"):
        raise MismatchError(
            f"the server emits rotations as {rotation or 'it does not say what'}, and axis_angle and euler_xyz can be read",
            where="action.rotation",
            hint="--set rotation=axis_angle",
        )
    if gripper not in _OPENING:
        raise MismatchError(
            f"the server's gripper is {gripper or 'it does not say what'}, and {', '.join(_OPENING)} can be read",
            where="action.gripper",
            hint="--set gripper=binary_close_positive",
        )
    metres, radians = _scale(config, "position", "metres"), _scale(config, "rotation", "radians")

    def read(actions: Floats) -> Floats:
        if actions.shape[-1] != 7:
            raise RemoteError(f"the server's actions have {actions.shape[-1]} elements, not 7")
        turns = actions[:, 3:6].astype(np.float64) * radians
        if rotation == "euler_xyz":
            from scipy.spatial.transform import Rotation

            turns = Rotation.from_euler("xyz", turns).as_rotvec()
        moves = actions[:, :3].astype(np.float64) * metres
        return np.concatenate([moves, turns, _OPENING[gripper](actions[:, 6:])], axis=1).astype(np.float32)

    return read


def _scale(config: Mapping[str, Any], part: str, unit: str) -> float:
    if (scale := config.get(f"{part}_scale")) is None:
        raise MismatchError(
            f"nothing says how many {unit} a {part} element of 1 is", where=f"action.{part}", hint=f"--set {part}_scale=…"
        )
    return float(scale)


_OPENING: Mapping[str, Read] = {
    "continuous_01": lambda g: g,
    "binary_close_positive": lambda g: (g <= 0).astype(np.float32),
    "binary_close_negative": lambda g: (g > 0).astype(np.float32),
    "binary_close_01": lambda g: (g < 0.5).astype(np.float32),
}
"""What vla-eval calls a gripper's convention (its specs module) to the opening: 0 closed, 1 open."""


class RemotePolicy:
    """A session for each slot. All that is asked at once is sent before any answer is awaited, and is one call over there."""

    def __init__(
        self, first: Client, config: Mapping[str, Any], read: Read, *, names: Mapping[str, str], token: str | None = None
    ) -> None:
        self._config, self._read, self._names, self._token = config, read, names, token
        self._spare: list[Client] = [first]
        self._clients: dict[int, Client] = {}
        self._new: dict[int, int] = {}
        self._calls = itertools.count(1)
        self._name = f"{os.getpid()}-{time.monotonic_ns()}"

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """End the slots' episodes. New ones begin when their instruction is known."""
        for slot, seed in zip(slots.tolist(), seeds, strict=True):
            if slot in self._clients:
                self._clients[slot].end()
            else:
                self._clients[slot] = self._spare.pop() if self._spare else self._client()
            self._new[slot] = seed

    def _client(self) -> Client:
        return Client(self._config["url"], self._config["timeout"], self._token)

    def act(self, observation: Observation) -> ActionChunk:
        """The server's actions for every slot."""
        slots = observation.slots.tolist()
        together = [f"{self._name}-{next(self._calls)}", len(slots)]
        for row, slot in enumerate(slots):
            if slot in self._new:
                self._clients[slot].begin({"name": observation.instruction[row]}, self._new.pop(slot))
        numbers = [self._clients[slot].show(self._payload(observation, row, together)) for row, slot in enumerate(slots)]
        answers = [self._clients[slot].answer(number) for slot, number in zip(slots, numbers, strict=True)]
        chunks = [self._read(actions_of(answer)) for answer in answers]
        if len({len(chunk) for chunk in chunks}) > 1:
            raise RemoteError(f"the server's chunks have {sorted({len(chunk) for chunk in chunks})} steps in one call")
        mine = answers[0].get(OURS)
        return ActionChunk(
            actions=np.stack(chunks), execute_steps=mine.get("execute_steps") if isinstance(mine, Mapping) else None
        )

    def close(self) -> None:
        """Say goodbye."""
        for client in (*self._clients.values(), *self._spare):
            with contextlib.suppress(RemoteError):
                client.end()
            client.close()

    def _payload(self, observation: Observation, row: int, together: list[Any]) -> dict[str, Any]:
        images = {
            theirs: self._picture(observation.images[ours][row])
            for ours, theirs in self._names.items()
            if ours in observation.images
        }
        payload: dict[str, Any] = {
            "images": images,
            "task_description": observation.instruction[row],
            OURS: {"together": together},
        }
        if observation.proprio is not None:
            payload["state"] = observation.proprio[row]
        if observation.unplayed:
            payload[OURS]["unplayed"] = observation.unplayed[row]
        return payload

    def _picture(self, image: np.ndarray) -> Any:
        return Picture(image, self._config["images"]) if image.ndim == 3 else image


def actions_of(answer: Mapping[str, Any]) -> Floats:
    """The actions in an answer, ``(T, D) float32``; one step may come without its axis. Raises RemoteError: there are none."""
    if "actions" not in answer:
        raise RemoteError(f"the server's answer has no actions; it has {', '.join(map(str, answer)) or 'nothing'}"[:300])
    actions = answer["actions"]
    try:
        array = np.asarray(actions, np.float32)
    except (TypeError, ValueError) as error:
        raise RemoteError("the server's actions aren't numbers") from error
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or not len(array):
        raise RemoteError(f"the server's actions have the shape {array.shape}, not (T, D)")
    return array
