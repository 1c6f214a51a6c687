"""gf/remote-v1: a served policy does what it does at home; a server that misbehaves costs episodes and never mixes up actions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gf_core.contracts import PolicyContext
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.evaluation import Request, Timing
from gf_core.evaluation.plan import interface_json, make_plan
from gf_core.plugins import PluginHost, load_plugins
from gf_core.schemas import apply_settings
from gf_core.serving.link import Link, LinkError
from gf_core.serving.opening import open_server
from gf_core.serving.wire import Message, pack
from gf_policies.remote import RemoteError, foreign_actions
from gf_policies.remote_settings import SETTINGS

from .conftest import Peer, Play, Serve, url

STILL = """
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec

@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="local/still-v1", summary="stays", entry_point="still:Still", observes=Observes()))

class Still:
    def __init__(self, config, context): ...
    def reset(self, slots, seeds): ...
    def close(self): ...
"""
FAR = {"scene": {"goal": [3.0, 3.0]}, "horizon": 15}


def played(run: Any) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.path / "trajectories").iterdir()}


def rows(run: Any) -> dict[str, Any]:
    return {row["episode"]: {k: v for k, v in row.items() if k != "previous"} for row in run.records}


@pytest.mark.parametrize(
    ("policy", "settings", "request_"),
    [
        ("local/reacher-v1", ("chunk=3", "execute_steps=2"), {}),
        ("local/pair-v1", (), {}),
        ("local/looker-v1", ("history=[-2,0]", "chunk=2"), {}),
        ("local/looker-v1", ("camera=side",), {}),
        ("local/late-v1", (), {"timing": Timing(mode="realtime", latency_steps=2)}),
    ],
    ids=["chunks", "two at a time", "history", "camera", "what is unplayed"],
)
def test_the_same_bytes_as_at_home(
    play: Play, serve: Serve, write_suite: Callable[..., str], policy: str, settings: Any, request_: Any
) -> None:
    suite = write_suite(12)
    home = play(suite, policy, *settings, **request_).run
    away = play(suite, "gf/remote-v1", f"url={url(serve(policy, *settings))}", **request_).run
    assert played(away) == played(home)
    assert rows(away) == rows(home)
    assert away.identity["policy"]["id"] == "gf/remote-v1"


def test_slots_and_processes_change_nothing(play: Play, serve: Serve, write_suite: Callable[..., str]) -> None:
    suite, setting = write_suite(9), f"url={url(serve())}"
    first = play(suite, "gf/remote-v1", setting, slots=1).run
    second = play(suite, "gf/remote-v1", setting, slots=9, in_process=False).run
    assert played(first) == played(second)
    assert first.identity == second.identity


def test_a_file_that_is_served_is_still_a_file(tmp_path: Path) -> None:
    """A run of it isn't one of a package, though gf/remote-v1 is; what it is hashed to doesn't depend on that."""
    file = tmp_path / "still.py"
    file.write_text(STILL, encoding="utf-8")
    found = []
    for policy, mine in (("local/still-v1", load_plugins([file])), ("gf/null-v1", load_plugins())):
        server = open_server(policy, mine, env_id="gf/tabletop-v1")
        threading.Thread(target=server.serve, daemon=True).start()
        plan = make_plan(
            Request(suite="gf/smoke@1", policy="gf/remote-v1", policy_config=(f"url={url(server)}",)), load_plugins()
        )
        server.close()
        found.append((plan.identity["unpackaged"], "packaged" in interface_json(plan.interface)))
    assert found == [(True, False), (False, False)]


def test_a_policy_that_breaks_over_there_fails_its_episodes_here(
    play: Play, serve: Serve, write_suite: Callable[..., str]
) -> None:
    kinds = {
        "raise": "ValueError: I can't, says <object object at 0x…> at all",
        "sys.exit": "SystemExit: bye",
        "shape": "act returned actions of shape (1, 1, 2), not (1, T, 3)",
        "nan": "action element 1 at chunk step 0 isn't finite (nan)",
    }
    bad = [x for kind in kinds for x in ({"instruction": kind, **FAR}, FAR)]
    away = rows(play(write_suite(bad), "gf/remote-v1", f"url={url(serve())}", slots=8).run)
    sound = rows(play(write_suite([{**e, "instruction": "go"} for e in bad]), "local/reacher-v1").run)
    for number, (kind, reason) in enumerate(kinds.items()):
        row = away[f"e{2 * number:03}"]
        assert (row["success"], row["ending"]) == (False, "policy_error"), kind
        assert reason in row["reason"]
        assert away[f"e{2 * number + 1:03}"] == sound[f"e{2 * number + 1:03}"]


def chunk(link: Link, seq: int, value: float = 0.01) -> None:
    link.send(pack(Message(type="action", payload={"actions": np.full((2, 3), value, np.float32)}, seq=seq)))


def drops(peer: Peer, link: Link, message: Message) -> None:
    if message.type == "observation":
        raise EOFError


def stalls(peer: Peer, link: Link, message: Message) -> None:
    if message.type == "observation":
        time.sleep(30)


def answers_the_one_before(peer: Peer, link: Link, message: Message) -> None:
    if message.type == "observation":
        chunk(link, message.seq - 1)


def answers_the_next(peer: Peer, link: Link, message: Message) -> None:
    if message.type == "observation":
        chunk(link, message.seq + 1)


def refuses_the_start(peer: Peer, link: Link, message: Message) -> None:
    """The known trap: whoever takes this error for the first answer plays every action a step late."""
    if message.type == "episode_start":
        link.send(pack(Message(type="error", payload={"error": "episode_start_failed: no such task"}, seq=message.seq)))
    elif message.type == "observation":
        chunk(link, message.seq)


def sends(data: bytes) -> Callable[[Peer, Link, Message], None]:
    def answer(peer: Peer, link: Link, message: Message) -> None:
        if message.type == "observation":
            link.send(data)

    return answer


def acts(actions: Any) -> Callable[[Peer, Link, Message], None]:
    def answer(peer: Peer, link: Link, message: Message) -> None:
        if message.type == "observation":
            link.send(pack(Message(type="action", payload={"actions": actions}, seq=message.seq)))

    return answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (drops, "the other end is gone"),
        (stalls, "no answer in time"),
        (answers_the_one_before, "no answer in time"),
        (answers_the_next, "an answer (action) with number 4 to question 3"),
        (refuses_the_start, "the server says: episode_start_failed: no such task"),
        (sends(b"\xc1"), "1 bytes that aren't msgpack"),
        (sends(bytes(80 << 20)), "83886080 bytes exceeds limit of 67108864"),
        (sends(pack(Message(type="hello", payload={}, seq=3))), "an answer (hello) with number 3 to question 3"),
        (acts("soon"), "the server's actions aren't numbers"),
        (acts(np.zeros((2, 2, 3))), "the server's actions have the shape (2, 2, 3), not (T, D)"),
        (acts(np.zeros((0, 3))), "the server's actions have the shape (0, 3), not (T, D)"),
        (acts(np.zeros((2, 5), np.float32)), "the server's actions have 5 elements, not 7"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_server_that_misbehaves_fails_the_episode(answer: Callable[..., None], told: str, tabletop: Callable[..., Any]) -> None:
    peer = Peer(answer)
    try:
        act = tabletop(peer, timeout=1.0)
        with pytest.raises(RemoteError) as caught:
            act()
        assert told in str(caught.value)
    finally:
        peer.close()


@pytest.fixture
def tabletop(host: PluginHost) -> Callable[..., Any]:
    """One question, about an episode of the tabletop, to a server of another program."""
    import dataclasses

    from gf_core.contracts import Observation
    from gf_policies.remote import make_remote

    env = host.envs.get("gf/tabletop-v1")
    action = dataclasses.replace(env.action, hz=20.0)
    context = PolicyContext(env=dataclasses.replace(env, action=action), action=action, slots=1)

    def make(peer: Peer, **given: Any) -> Callable[[], Any]:
        config = settings(**{"url": peer.url, "rotation": "axis_angle", "gripper": "continuous_01", **UNITS, **given})
        policy = make_remote(config, context)

        def act() -> Any:
            policy.reset(np.array([0], np.int32), [5])
            images = {"third": np.zeros((1, 224, 224, 3), np.uint8)}
            return policy.act(Observation(slots=np.array([0], np.int32), instruction=["go"], images=images))

        return act

    return make


def test_an_answer_that_comes_late_is_dropped_and_the_next_one_taken(tabletop: Callable[..., Any]) -> None:
    def twice(peer: Peer, link: Link, message: Message) -> None:
        if message.type == "observation":
            for seq, value in ((message.seq - 2, 0.9), (message.seq, 0.01)):
                payload = {"actions": np.full((2, 7), value, np.float32)}
                link.send(pack(Message(type="action", payload=payload, seq=seq)))

    peer = Peer(twice)
    found = tabletop(peer)()
    assert found.actions.shape == (1, 2, 7)
    np.testing.assert_allclose(found.actions, 0.01, atol=1e-6)
    shown = next(message for message in peer.seen if message.type == "observation").payload
    assert shown["task_description"] == "go"
    assert shown["images"]["third"].shape == (224, 224, 3)
    start = next(message for message in peer.seen if message.type == "episode_start").payload
    assert start["task"] == {"name": "go"}
    peer.close()


@pytest.mark.parametrize(
    ("hello", "told"),
    [
        ({"protocol_version": 2}, "version 2 of the protocol, and this is 1"),
        ({"model_server": "x"}, "version None of the protocol"),
        ({"protocol_version": 1, "grinningface": {"version": "9"}}, "its hello isn't one of this program"),
    ],
)
def test_a_server_of_another_version_is_refused_before_the_first_step(
    play: Play, write_suite: Callable[..., str], hello: dict[str, Any], told: str
) -> None:
    peer = Peer(lambda *_: None, hello)
    with pytest.raises(GrinningFaceError) as caught:
        play(write_suite(1), "gf/remote-v1", f"url={peer.url}")
    assert told in str(caught.value)
    peer.close()


def test_nobody_is_there(play: Play, write_suite: Callable[..., str]) -> None:
    with pytest.raises(LinkError, match="nobody answers") as caught:
        play(write_suite(1), "gf/remote-v1", "url=ws://127.0.0.1:9")
    assert "gf serve" in str(caught.value)


def test_a_rate_that_the_server_does_not_serve(play: Play, serve: Serve, write_suite: Callable[..., str]) -> None:
    setting = f"url={url(serve(control_hz=10.0))}"
    with pytest.raises(MismatchError) as caught:
        play(write_suite(1), "gf/remote-v1", setting)
    assert caught.value.where == "action.hz"
    assert play(write_suite(1), "gf/remote-v1", setting, control_hz=10.0).run.complete


def test_a_server_that_goes_in_the_middle_loses_nothing(play: Play, serve: Serve, write_suite: Callable[..., str]) -> None:
    suite = write_suite(8, horizon=20)
    server = serve("local/reacher-v1", "pause=0.02")
    setting = f"url={url(server)}"

    def leave() -> None:
        while server.episodes < 3:
            time.sleep(0.01)
        server.close()

    threading.Thread(target=leave).start()
    with pytest.raises(GrinningFaceError, match="nobody answers"):
        play(suite, "gf/remote-v1", setting, slots=1)
    again = serve("local/reacher-v1", "pause=0.02", address=("127.0.0.1", server.port))
    assert again.port == server.port
    away = play(suite, "gf/remote-v1", setting, slots=1).run
    assert played(away) == played(play(suite, "local/reacher-v1").run)


UNITS = {"position_scale": 1, "rotation_scale": 1}


def settings(**given: Any) -> dict[str, Any]:
    return {**apply_settings((), SETTINGS), **given}


def spec(position: str = "delta_xyz", rotation: str = "axis_angle", gripper: str = "binary_close_positive") -> dict[str, Any]:
    told = {"position": position, "rotation": rotation, "gripper": gripper}
    return {name: {"name": name, "dims": 3, "format": form} for name, form in told.items()}


def test_actions_of_other_programs_become_ours(host: PluginHost) -> None:
    action = host.envs.get("gf/tabletop-v1").action
    theirs = np.array([[0.5, -1, 0.25, 0.1, -0.2, 0.3, 1.0], [0, 0, 0, 0, 0, 0, -1.0]], np.float32)
    scales = settings(position_scale=0.05, rotation_scale=0.5)
    read = foreign_actions(spec(), scales, action)(theirs)
    np.testing.assert_allclose(read[0], [0.025, -0.05, 0.0125, 0.05, -0.1, 0.15, 0], atol=1e-7)
    assert read[1, 6] == 1
    assert read.dtype == np.float32
    angles = foreign_actions(spec(rotation="euler_xyz"), settings(**UNITS), action)(theirs)[0, 3:6].astype(float)
    about = [Rotation.from_rotvec(theirs[0, 3 + i].astype(float) * np.eye(3)[i]).as_matrix() for i in range(3)]
    np.testing.assert_allclose(Rotation.from_rotvec(angles).as_matrix(), about[2] @ about[1] @ about[0], atol=1e-6)
    for gripper, openings in {
        "binary_close_negative": [1, 0],
        "binary_close_01": [0, 1],
        "continuous_01": [1, -1],
    }.items():
        read = foreign_actions(None, settings(rotation="axis_angle", gripper=gripper, **UNITS), action)(theirs)
        assert read[:, 6].tolist() == openings, gripper


@pytest.mark.parametrize(
    ("told", "given", "where"),
    [
        (None, {}, "action.rotation"),
        (spec(rotation="quaternion_xyzw"), {}, "action.rotation"),
        (spec(position="absolute_xyz"), {}, "action.position"),
        (spec(gripper="raw"), {}, "action.gripper"),
        (None, {"rotation": "euler_xyz"}, "action.gripper"),
        (spec(), {"rotation_scale": 1}, "action.position"),
        (spec(), {"position_scale": 1}, "action.rotation"),
    ],
)
def test_what_is_not_known_is_not_guessed(host: PluginHost, told: Any, given: dict[str, Any], where: str) -> None:
    with pytest.raises(MismatchError) as caught:
        foreign_actions(told, settings(**given), host.envs.get("gf/tabletop-v1").action)
    assert caught.value.where == where


def test_actions_that_are_no_deltas_cannot_be_read(host: PluginHost) -> None:
    with pytest.raises(MismatchError, match="3 elements"):
        foreign_actions(spec(), settings(), host.envs.get("local/reach-v1").action)
