"""Plain gymnasium environments as a BatchEnv: through the runner, through the program, and what is refused."""

from __future__ import annotations

import dataclasses
import doctest
import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import gf_core.gymnasium_adapter
from gf_core.cli.main import main
from gf_core.contracts import BatchEnv, EnvContext, Episode
from gf_core.errors import PluginError
from gf_core.evaluation import Request, Resources, run_suite
from gf_core.evaluation.replay import replay_episode
from gf_core.gymnasium_adapter import Binding, batch
from gf_core.plugins import PluginHost, load_plugins
from gf_core.specs import FieldSpec, Observes

PLUGIN = Path(__file__).parent / "plain_envs.py"
ONE, TWO = np.array([0], np.int32), np.array([0, 1], np.int32)


@pytest.fixture(scope="module")
def host() -> PluginHost:
    host = load_plugins([PLUGIN], environ={"GF_PLUGIN_AUTOLOAD": "0"})
    host.require("plain_envs")
    return host


@pytest.fixture(scope="module")
def plain(host):
    return sys.modules["plain_envs"]


def write_suite(path: Path, env: str, metric: str, hz: float, rows: list[dict]) -> str:
    base = {"split": "all", "cluster": "c", "instruction": "go", "horizon": 200, "factors": {}}
    episodes = [{**base, "id": f"e{n}", "seed": n, **row} for n, row in enumerate(rows)]
    document = {
        "schema_version": "1.0",
        "kind": "suite",
        "id": "local/plain@1",
        "summary": "for tests",
        "license": "Apache-2.0",
        "env": {"id": env, "config": {}},
        "control_hz": hz,
        "decks": {},
        "splits": {"all": {"description": "all"}},
        "metrics": [{"name": metric, "metric": metric, "description": metric}],
        "episodes": episodes,
    }
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def pendulums(tmp_path):
    rows = [{"scene": {}}, {"scene": {}}, {"scene": {}, "horizon": 3}, {"scene": {"x_init": 0.1, "y_init": 0.1}}, {"scene": {}}]
    return write_suite(tmp_path / "pendulums.json", "local/pendulum-v1", "success", 20, rows)


@pytest.fixture
def sliders(tmp_path):
    rows = [{"scene": {"light": "right" if n % 3 else "left"}} for n in range(5)]
    rows.append({"scene": {"light": "left"}, "horizon": 2})
    return write_suite(tmp_path / "sliders.json", "local/slider-v1", "executed", 10, rows)


def play(host, suite, policy, out, slots=2):
    return run_suite(
        Request(suite=suite, policy=policy), host=host, out=out, resources=Resources(slots=slots, in_process=True)
    ).run


def test_the_example_in_the_documentation():
    results = doctest.testmod(gf_core.gymnasium_adapter)
    assert results.attempted > 5
    assert results.failed == 0


def test_a_run_and_its_replay(host, pendulums, tmp_path):
    run = play(host, pendulums, "local/swing-up-v1", tmp_path / "run")
    endings = {row["episode"]: row["ending"] for row in run.records}
    assert endings == {"e0": "success", "e1": "success", "e2": "horizon", "e3": "success", "e4": "success"}
    assert [row["steps"] for row in run.records] == [200, 200, 3, 200, 200]
    for row in run.records:
        assert replay_episode(run, row["episode"], host, suite_file=Path(pendulums)).differences == ()
    trajectory = run.trajectory("e0")
    assert np.abs(trajectory.actions).max() > 2, "the policy asks for more than there is"
    assert (trajectory.controls == np.clip(trajectory.actions.astype(np.float64), -2, 2)).all()
    assert 0 < run.records[0]["clipped_steps"] < 200
    assert run.records[0]["clipped_steps"] == (np.abs(trajectory.actions) > 2).sum()


def test_the_same_as_the_environment_alone(host, pendulums, tmp_path):
    run = play(host, pendulums, "local/swing-up-v1", tmp_path / "run")
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=1)
    rewards = [env.step(controls.astype(np.float32))[1] for controls in run.trajectory("e1").controls]
    assert run.records[1]["metrics"]["return"] == sum(map(float, rewards))


def test_slots_change_nothing(host, pendulums, tmp_path):
    alone, beside = (play(host, pendulums, "local/swing-up-v1", tmp_path / str(n), n).path for n in (1, 3))
    assert (alone / "episodes.jsonl").read_bytes() == (beside / "episodes.jsonl").read_bytes()


@pytest.mark.parametrize("policy", ["local/sees-v1", "local/sees-large-v1"])
def test_images_success_and_metrics_by_their_keys(host, sliders, tmp_path, policy):
    run = play(host, sliders, policy, tmp_path / "run")
    assert [row["ending"] for row in run.records] == ["success"] * 5 + ["horizon"]
    assert [row["metrics"]["executed"] for row in run.records] == [True] * 5 + [None]


def test_what_the_environment_ends_without_success_failed(plain):
    env = slider(plain)
    env.reset(ONE, [episode({"light": "left"})])
    assert env.outcome(ONE)[0].metrics == {"executed": None}
    for _ in range(12):
        done = env.step(ONE, np.array([[0.1]], np.float32)).done[0]
        if done:
            break
    (outcome,) = env.outcome(ONE)
    assert done
    assert (outcome.success, outcome.ending, outcome.metrics) == (False, "failure", {"executed": True})


def test_through_the_program(pendulums, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")
    plugin = ["--plugin", str(PLUGIN)]
    out = tmp_path / "run"
    assert main(["run", pendulums, "--policy", "local/swing-up-v1", *plugin, "--out", str(out), "--slots", "2"]) == 0
    assert "swing-up" in capfd.readouterr().out
    video = tmp_path / "e2.gif"
    assert main(["replay", str(out), "e2", "--suite", pendulums, *plugin, "--video", str(video), "--size", "32"]) == 0
    assert "exactly as recorded" in capfd.readouterr().out
    assert video.read_bytes().startswith(b"GIF8")


def context(slots: int = 1) -> EnvContext:
    def no_deck(name):
        raise AssertionError(name)

    return EnvContext(slots=slots, threads=1, control_hz=20.0, load_deck=no_deck)


def episode(scene: dict, **changes) -> Episode:
    base = {"id": "e", "split": "s", "cluster": "c", "env": "local/x-v1", "seed": 1, "instruction": "go", "horizon": 50}
    return Episode(**{**base, "control_hz": 20.0, "factors": {}, "scene": scene, **changes})


def pendulum(plain, slots=1, spec=None, **changes) -> BatchEnv:
    binding = dataclasses.replace(plain.PENDULUM_BINDING, **changes)
    return batch(lambda: gymnasium.make("Pendulum-v1"), spec or plain.PENDULUM, context(slots), binding)


def slider(plain, spec=None, **changes) -> BatchEnv:
    return batch(plain.Slider, spec or plain.SLIDER, context(), dataclasses.replace(plain.SLIDER_BINDING, **changes))


def test_observations(plain):
    env = pendulum(plain, slots=2)
    assert isinstance(env, BatchEnv)
    assert env.action.hz == env.spec.action.hz == 20
    env.reset(TWO, [episode({}, seed=3), episode({}, seed=4)])
    seen = env.observe(TWO, Observes(cameras=("front",), size=(20, 30)), privileged=True)
    assert seen.images["front"].shape == (2, 20, 30, 3)
    assert seen.proprio.dtype == np.float32
    np.testing.assert_allclose(np.cos(seen.privileged["angle"]), seen.proprio[:, 0], rtol=1e-6)
    assert not np.allclose(seen.proprio[0], seen.proprio[1])
    second = env.observe(TWO[1:], Observes())
    assert (second.proprio[0] == seen.proprio[1]).all()
    assert not second.images
    assert not second.privileged


def test_instructions_and_state_follow_the_steps(plain):
    from gf_core.contracts import SubGoal

    goals = (SubGoal(from_step=0, instruction="up"), SubGoal(from_step=2, instruction="down"))
    env = pendulum(plain)
    env.reset(ONE, [episode({}, instruction=goals)])
    told, hashes = [], set()
    for _ in range(4):
        told += env.observe(ONE, Observes()).instruction
        hashes |= set(env.state_hash(ONE))
        env.step(ONE, np.array([[1.0]], np.float32))
    assert told == ["up", "up", "down", "down"]
    assert len(hashes) == 4


def test_actions_of_another_kind(plain):
    """A discrete action from one number, with an own way to begin; nothing bound for the state."""
    field = FieldSpec(name="action", shape=(1,), low=(-1.0,), high=(1.0,))
    spec = dataclasses.replace(
        plain.PENDULUM,
        action=dataclasses.replace(plain.PENDULUM.action, field=field),
        cameras=(),
        proprio=FieldSpec(name="proprio", shape=(4,)),
        replayable=False,
    )
    taken = []

    def push(controls):
        taken.append(int(controls[0] > 0))
        return taken[-1]

    binding = Binding(
        begin=lambda episode: (7, {"low": 0.0, "high": 0.01}),
        proprio=lambda observation: observation,
        action=push,
        success=lambda moment: moment.truncated,
        metrics=lambda moment: {"return": np.float64(moment.total_reward)},
    )
    env = batch(lambda: gymnasium.make("CartPole-v1", max_episode_steps=6), spec, context(), binding)
    env.reset(ONE, [episode({})])
    dones = [bool(env.step(ONE, np.array([[sign]], np.float32)).done[0]) for sign in (1, -1, 1, -1, 5, -1)]
    assert taken == [1, 0, 1, 0, 1, 0]
    assert dones == [False] * 5 + [True]
    assert env.outcome(ONE)[0].success
    assert env.outcome(ONE)[0].metrics == {"return": 6.0}
    assert env.state_hash(ONE) == [""]


def test_bounds_in_float32_are_not_clipped(plain):
    env = slider(plain)
    env.reset(ONE, [episode({"light": "left"})])
    assert not env.step(ONE, np.array([[0.1]], np.float32)).clipped[0]
    assert env.step(ONE, np.array([[0.1001]], np.float32)).clipped[0]


def wrong_width(plain):
    return dataclasses.replace(plain.PENDULUM, controls=FieldSpec(name="torque", shape=(2,), dtype="float64"))


def too_strong(plain):
    field = dataclasses.replace(plain.PENDULUM.action.field, high=(3.0,))
    return dataclasses.replace(plain.PENDULUM, action=dataclasses.replace(plain.PENDULUM.action, field=field))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: pendulum(p, state=None), "pendulum-v1, state: a replayable environment shows its state"),
        (lambda p: pendulum(p, images={}), r"images: it binds images of \[\] to the cameras \['front'\]"),
        (lambda p: pendulum(p, spec=wrong_width(p)), r"controls: their shape is \(2,\)"),
        (lambda p: pendulum(p, spec=too_strong(p)), "action: the EnvSpec's bounds allow actions outside"),
        (
            lambda p: batch(lambda: gymnasium.make("CartPole-v1"), p.PENDULUM, context(), p.PENDULUM_BINDING),
            "don't fit the action",
        ),
    ],
)
def test_contradictions_are_found_when_it_is_made(plain, make, message):
    with pytest.raises(PluginError, match=message):
        make(plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proprio": "stat"}, "proprio: there is no 'stat', there are pixels, state; did you mean 'state'"),
        ({"proprio": lambda observation: np.zeros(2)}, r"proprio: it has the shape \(2,\)"),
        ({"images": {"top": "picture"}}, "images/top: there is no 'picture'"),
        ({"images": {"top": "state"}}, r"images/top: it is \(1,\) float32"),
        ({"images": {"top": lambda env, observation, size: np.zeros((*size, 4), np.uint8)}}, r"it is \(8, 8, 4\) uint8"),
    ],
)
def test_contradictions_are_found_at_the_first_look(plain, changes, message):
    env = slider(plain, **changes)
    env.reset(ONE, [episode({"light": "left"})])
    with pytest.raises(PluginError, match=message):
        env.observe(ONE, Observes(cameras=("top",), size=(8, 8)))


def test_a_success_that_nobody_tells(plain):
    env = slider(plain, success="succes")
    env.reset(ONE, [episode({"light": "left"})])
    while not env.step(ONE, np.full((1, 1), 0.1, np.float32)).done[0]:
        pass
    with pytest.raises(
        PluginError, match="success: there is no 'succes', there are is_success, executed; did you mean 'is_success'"
    ):
        env.outcome(ONE)


def test_everything_is_closed(plain):
    closed = []

    class Fragile(plain.Slider):
        def close(self):
            closed.append(self)
            raise RuntimeError("hinge")

    env = batch(Fragile, plain.SLIDER, context(3), plain.SLIDER_BINDING)
    with pytest.raises(RuntimeError, match="hinge"):
        env.close()
    assert len(closed) == 3
    closed.clear()
    with pytest.raises(RuntimeError, match="hinge"):  # closing is what fails last
        batch(Fragile, plain.SLIDER, context(2), dataclasses.replace(plain.SLIDER_BINDING, images={}))
    assert len(closed) == 2
