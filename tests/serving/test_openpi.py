"""gf/openpi-v1: observations and actions arrive as they are meant; a server that misbehaves costs episodes, nothing else."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from gf_core.contracts import Observation, PolicyContext
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.plugins import PluginHost
from gf_core.schemas import apply_settings
from gf_core.serving.link import LinkError
from gf_core.serving.wire import WireError
from gf_core.trajectories import Trajectory
from gf_policies.openpi import fitted, interface, make_openpi
from gf_policies.openpi_settings import SETTINGS
from gf_policies.openpi_wire import pack, unpack
from gf_policies.remote import RemoteError

from .conftest import Play
from .openpi_peer import OpenpiPeer

AS_THEY_ARE = ("actions=environment", "cameras={}", "state.observation/state=all")
READ = ("actions=ee_delta", "rotation=axis_angle", "gripper=continuous_01")
SLOT = np.array([0], np.int32)


def towards_the_goal(connection: Any, observation: dict[str, Any]) -> None:
    at, goal = observation["observation/state"][:2], observation["observation/state"][2:4]
    step = np.clip((goal - at) / 2, -0.1, 0.1)
    actions = np.array([[*step, 0.5], [*(0.5 * step), 0.5]], np.float32)
    connection.send(pack({"actions": actions, "server_timing": {"infer_ms": 3.0}}))


def still(connection: Any, observation: dict[str, Any]) -> None:
    connection.send(pack({"actions": np.zeros((2, 7), np.float32)}))


@pytest.fixture
def serve() -> Iterator[Callable[..., OpenpiPeer]]:
    peers: list[OpenpiPeer] = []

    def start(*args: Any, **kwargs: Any) -> OpenpiPeer:
        peers.append(OpenpiPeer(*args, **kwargs))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture
def tabletop(host: PluginHost) -> Callable[..., Any]:
    """Questions about an episode of the tabletop, which moves by 7 elements."""
    env = host.envs.get("gf/tabletop-v1")
    action = dataclasses.replace(env.action, hz=20.0)
    context = PolicyContext(env=dataclasses.replace(env, action=action), action=action, slots=1)

    def make(peer: OpenpiPeer, *settings: str) -> Callable[[], np.ndarray]:
        usual = (*READ, "position_scale=1", "rotation_scale=1", "timeout=1", f"url={peer.url}")
        given = {text.partition("=")[0]: text for text in (*usual, *settings)}
        config = apply_settings(tuple(given.values()), SETTINGS)
        policy = make_openpi(config, context)
        images = {"third": np.full((1, *interface(config).observes.size, 3), 200, np.uint8)}
        state = np.arange(7, dtype=np.float32)[None]

        def act() -> np.ndarray:
            return policy.act(Observation(slots=SLOT, instruction=["go"], images=images, proprio=state)).actions

        return act

    return make


def test_a_run(play: Play, serve: Callable[..., OpenpiPeer], write_suite: Callable[..., str]) -> None:
    peer = serve(towards_the_goal)
    run = play(write_suite(5, horizon=20), "gf/openpi-v1", f"url={peer.url}", *AS_THEY_ARE, "timeout=5").run
    assert run.complete
    assert [row["success"] for row in run.records] == [True] * 5
    assert set(peer.seen[0]) == {"observation/state", "prompt"}
    assert peer.seen[0]["observation/state"].dtype == np.float32
    trajectory: Trajectory = run.trajectory(run.records[0]["episode"])
    assert list(trajectory.chunk_starts)[:2] == [0, 2]
    asked = next(seen for seen in peer.seen if np.allclose(seen["observation/state"][4], 0))
    assert asked["prompt"] == "go"
    again = play(write_suite(5, horizon=20), "gf/openpi-v1", f"url={peer.url}", *AS_THEY_ARE, "timeout=5", slots=1).run
    assert [again.trajectory(row["episode"]).actions.tobytes() for row in again.records] == [
        run.trajectory(row["episode"]).actions.tobytes() for row in run.records
    ]


def test_what_is_sent(serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]) -> None:
    peer = serve(still)
    tabletop(
        peer,
        "cameras.third=images.cam_high",
        "channels=first",
        "drawn=[48,64]",
        "size=32",
        'state={"observation/joints": ["z", "x"], "observation/gripper": ["opening"], "state": "all"}',
        "prompt=task",
    )()
    (seen,) = peer.seen
    assert set(seen) == {"images", "observation/joints", "observation/gripper", "state", "task"}
    assert seen["task"] == "go"
    assert seen["observation/joints"].tolist() == [2, 0]
    assert seen["observation/gripper"].tolist() == [6]
    assert seen["state"].tolist() == list(range(7))
    image = seen["images"]["cam_high"]
    assert (image.shape, image.dtype) == ((3, 32, 32), np.uint8)
    assert (image[:, 4:28] == 200).all()
    assert not image[:, :4].any()
    assert not image[:, 28:].any()


def test_actions_are_read_as_the_settings_say(serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]) -> None:
    theirs = np.array([[0.5, -1, 0.25, 0.1, -0.2, 0.3, 1.0], [0, 0, 0, 0, 0, 0, -1.0]])
    peer = serve(lambda connection, _: connection.send(pack({"actions": theirs})))
    found = tabletop(peer, "position_scale=0.05", "rotation_scale=0.5", "gripper=binary_close_positive")()
    assert (found.shape, found.dtype) == ((1, 2, 7), np.float32)
    np.testing.assert_allclose(found[0, 0], [0.025, -0.05, 0.0125, 0.05, -0.1, 0.15, 0], atol=1e-7)
    assert found[0, 1, 6] == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("actions=ee_delta",), "action.rotation"),
        (("actions=ee_delta", "rotation=axis_angle"), "action.gripper"),
        ((*READ, "rotation_scale=1"), "action.position: nothing says how many metres"),
        ((*READ, "position_scale=1"), "action.rotation: nothing says how many radians"),
        ((), "actions"),
        (("actions=environment", 'state={"observation/state": ["x", "openning"]}'), "did you mean 'opening'?"),
        (("actions=environment", "prompt=observation/image"), "two things would be sent as 'observation/image'"),
        (("actions=environment", "state.a=all", "cameras.third=a.b"), "two things would be sent as 'a.b' and 'a'"),
        (("actions=environment", "cameras.thrid=observation/image"), "did you mean 'third'?"),
        (("actions=environment", "drawn=[48]"), "drawn"),
    ],
)
def test_settings_that_do_not_fit_are_told_before_the_first_step(
    play: Play, serve: Callable[..., OpenpiPeer], settings: Any, told: str
) -> None:
    peer = serve(still)
    with pytest.raises(GrinningFaceError) as caught:
        play("gf/smoke@1", "gf/openpi-v1", f"url={peer.url}", *settings, limit=1)
    assert told in str(caught.value)
    assert not peer.seen


def fails(connection: Any, observation: dict[str, Any]) -> None:
    connection.send("Traceback (most recent call last):\n  File 'x.py', line 3\nKeyError: 'observation/image'\n")
    connection.close(1011, "Internal server error. Traceback included in previous frame.")


def drops(connection: Any, observation: dict[str, Any]) -> None:
    connection.socket.close()


def closes(connection: Any, observation: dict[str, Any]) -> None:
    connection.close(1001, "bye")


def stalls(connection: Any, observation: dict[str, Any]) -> None:
    time.sleep(1.2)


def dribbles(connection: Any, observation: dict[str, Any]) -> None:
    """A frame that says that it is 1 GB."""
    connection.socket.sendall(b"\x82\x7f" + (1 << 30).to_bytes(8, "big") + b"x")
    time.sleep(0.2)


def sends(data: Any) -> Callable[..., None]:
    return lambda connection, _: connection.send(data)


def acts(actions: Any) -> Callable[..., None]:
    return sends(pack({"actions": actions}))


def forged(**fields: Any) -> bytes:
    whole = {"__ndarray__": True, "dtype": "<f4", "shape": [2, 7], "data": bytes(56), **fields}
    return bytes(msgpack.packb({"actions": {key.encode(): value for key, value in whole.items()}}))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (fails, "the server says: KeyError: 'observation/image'"),
        (sends("  \n"), "the server says: nothing"),
        (drops, "the other end is gone"),
        (closes, "the other end closed: bye"),
        (stalls, "no answer in time"),
        (dribbles, "1073741824 bytes exceeds limit of 67108864"),
        (sends(b"\xc1"), "1 bytes that aren't msgpack"),
        (sends(b""), "0 bytes that aren't msgpack"),
        (sends(b"\x00"), "a message is a map, and this is int"),
        (sends(pack({"action": 1})), "the server's answer has no actions; it has action"),
        (acts("soon"), "the server's actions aren't numbers"),
        (acts(np.zeros((2, 2, 7))), "the server's actions have the shape (2, 2, 7), not (T, D)"),
        (acts(np.zeros((0, 7))), "the server's actions have the shape (0, 7), not (T, D)"),
        (acts(np.zeros((2, 32), np.float32)), "the server's actions have 32 elements, not 7"),
        (sends(forged(dtype="|O")), "an array of dtype '|O'"),
        (sends(forged(shape=[1 << 30, 7])), "with 56 bytes"),
        (sends(forged(shape=[-2, -7])), "an array of shape [-2, -7]"),
        (sends(forged(data="text")), "with no bytes"),
        (sends(msgpack.packb({"actions": {b"__npgeneric__": True, b"data": "1", b"dtype": "<f4"}})), "a number '1'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_server_that_misbehaves_fails_the_episode_and_no_other(
    answer: Callable[..., None], told: str, serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]
) -> None:
    mood = [answer]
    peer = serve(lambda connection, observation: mood[0](connection, observation))
    act = tabletop(peer)
    with pytest.raises(RemoteError) as caught:
        act()
    assert told in str(caught.value)
    mood[0] = still
    assert act().shape == (1, 2, 7)


def test_an_answer_that_comes_late_is_never_taken_for_another(
    serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]
) -> None:
    late = threading.Event()

    def answer(connection: Any, observation: dict[str, Any]) -> None:
        first = len(peer.seen) == 1
        if first:
            late.wait(5)
        connection.send(pack({"actions": np.full((1, 7), 0.09 if first else 0.01)}))

    peer = serve(answer)
    act = tabletop(peer)
    with pytest.raises(RemoteError, match="no answer in time"):
        act()
    late.set()
    np.testing.assert_allclose(act(), 0.01, atol=1e-6)


def test_two_answers_to_one_question(serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]) -> None:
    def twice(connection: Any, observation: dict[str, Any]) -> None:
        for _ in range(2):
            still(connection, observation)
        peer.done.set()

    peer = serve(twice)
    peer.done = threading.Event()
    act = tabletop(peer)
    act()
    assert peer.done.wait(5)
    time.sleep(0.05)  # until it is on this side of the loopback
    with pytest.raises(RemoteError, match="a message that answers nothing"):
        act()


def test_a_connection_that_ends_while_nothing_is_asked_is_made_anew(
    serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any]
) -> None:
    """The server ends those that don't answer its pings, and nobody reads them while the simulator is at work."""
    peer = serve(still, pings=0.05)
    act = tabletop(peer)
    act()
    before = peer.clients
    time.sleep(0.4)
    act()
    assert peer.clients == before + 1
    time.sleep(0.4)
    peer.hello = {"model": "another"}
    with pytest.raises(RemoteError, match="something else of itself"):
        act()


@pytest.mark.parametrize(
    ("hello", "told"),
    [
        ("KeyError: 'config'", "the server says: KeyError: 'config'"),
        (b"\x93\x01\x02\x03", "what it says of itself is wrong: a message is a map, and this is list"),
        (b"\xc1", "what it says of itself is wrong: 1 bytes that aren't msgpack"),
    ],
)
def test_a_server_that_is_not_one(play: Play, serve: Callable[..., OpenpiPeer], hello: Any, told: str) -> None:
    peer = serve(still, hello)
    with pytest.raises(LinkError) as caught:
        play("gf/smoke@1", "gf/openpi-v1", f"url={peer.url}", "actions=environment", limit=1)
    assert told in str(caught.value)


def test_a_server_of_vla_eval_says_nothing_first(play: Play) -> None:
    from .conftest import Peer

    peer = Peer(lambda *_: None)
    with pytest.raises(LinkError, match="doesn't say what it is in time") as caught:
        play("gf/smoke@1", "gf/openpi-v1", f"url={peer.url}", "actions=environment", "timeout=0.3", limit=1)
    assert "gf/remote-v1" in str(caught.value)
    peer.close()


def test_nobody_is_there(play: Play) -> None:
    with pytest.raises(LinkError, match="nobody answers") as caught:
        play("gf/smoke@1", "gf/openpi-v1", "url=ws://127.0.0.1:9", "actions=environment", limit=1)
    assert "is openpi's server running there?" in str(caught.value)


def test_a_server_with_a_key(
    serve: Callable[..., OpenpiPeer], tabletop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = serve(still, key="secret")
    with pytest.raises(LinkError, match="GF_TOKEN"):
        tabletop(peer)
    monkeypatch.setenv("GF_TOKEN", "secret")
    assert tabletop(peer)().shape == (1, 2, 7)


def test_what_the_server_says_of_itself_is_part_of_the_run(serve: Callable[..., OpenpiPeer]) -> None:
    def fingerprint(hello: dict[str, Any]) -> str:
        return interface(apply_settings((*AS_THEY_ARE, f"url={serve(still, hello).url}"), SETTINGS)).fingerprint

    assert fingerprint({"a": 1}) == fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_an_environment_of_another_width(play: Play, serve: Callable[..., OpenpiPeer], write_suite: Callable[..., str]) -> None:
    peer = serve(still)
    run = play(write_suite(1), "gf/openpi-v1", f"url={peer.url}", *AS_THEY_ARE).run
    (row,) = run.records
    assert row["ending"] == "policy_error"
    assert "the server's actions have 7 elements, and local/reach-v1 takes 3" in row["reason"]
    with pytest.raises(MismatchError, match="3 elements"):
        play(write_suite(1), "gf/openpi-v1", f"url={peer.url}", "actions=ee_delta", "cameras={}", "rotation=axis_angle")


@pytest.mark.parametrize(
    ("shape", "inner"),
    [
        ((64, 64), (slice(0, 32), slice(0, 32))),
        ((48, 64), (slice(4, 28), slice(0, 32))),
        ((480, 641), (slice(4, 27), slice(0, 32))),
        ((64, 16), (slice(0, 32), slice(12, 20))),
        ((1, 640), (slice(15, 16), slice(0, 32))),
    ],
)
def test_images_are_fitted_between_black_bars(shape: tuple[int, int], inner: tuple[slice, slice]) -> None:
    whole = fitted(np.full((*shape, 3), 200, np.uint8), 32)
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[inner] = 200
    np.testing.assert_array_equal(whole, expected)


def test_messages_come_back_as_they_were() -> None:
    sent = {"a": np.arange(6, dtype=">i2").reshape(2, 3), "b": {"c": np.float32(0.5), "d": np.zeros((0, 3))}, "e": "text"}
    found = unpack(pack(sent))
    assert found["a"].dtype == sent["a"].dtype  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found["a"], sent["a"])
    assert found["b"]["c"] == 0.5
    assert found["b"]["d"].shape == (0, 3)
    with pytest.raises(TypeError, match="set can't be sent"):
        pack({"a": {1}})
    with pytest.raises(WireError):
        unpack(msgpack.packb({1: 2}))
