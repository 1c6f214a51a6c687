"""`gymnasium.make("gf_envs:gf/tabletop-v1")`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env

from gf_core.contracts import EnvContext, Episode, Observation, PolicyContext
from gf_core.errors import GrinningFaceError
from gf_core.evaluation import load_suite
from gf_core.plugins import load_plugins
from gf_core.specs import Observes
from gf_envs import gymnasium_id
from gf_envs.tabletop import gl
from gf_envs.tabletop.env import make as make_batch
from gf_envs.tabletop.spec import TABLETOP, action_spec

ID = "gf_envs:gf/tabletop-v1"
SUITE = "gf/smoke@1"
HOLD = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
NOT_YET = "assert 'gymnasium' not in sys.modules"
SLOT = np.zeros(1, np.int32)

Make = Callable[..., gymnasium.Env]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes environments without pictures, unless they are asked for, and closes them; a warning is an error."""
    made = []

    def build(**settings: Any) -> gymnasium.Env:
        made.append(gymnasium.make(ID, **{"suite": SUITE, "cameras": (), **settings}))
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield build
        for env in made:
            env.close()


@pytest.fixture(scope="module")
def episodes() -> tuple[Episode, ...]:
    return load_suite(SUITE, load_plugins()).episodes


@pytest.mark.parametrize(
    "program",
    [
        f"import gymnasium; gymnasium.make('{ID}', suite='gf/smoke@1', cameras=()).reset()",
        "import gf_envs, gymnasium; gymnasium.make('gf/tabletop-v1', suite='gf/smoke@1', cameras=()).reset()",
        f"import gf_envs; {NOT_YET}; from gymnasium.envs.registration import make; make('gf/tabletop-v1')",
        f"from gf_core.plugins import load_plugins; load_plugins(); {NOT_YET}; from gymnasium import make; make('{ID}')",
    ],
)
def test_the_id_is_known_whatever_is_imported_first(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", f"import sys; {program}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_waiting_for_gymnasium_leaves_no_trace():
    program = (
        "import sys, gf_envs; before = list(sys.meta_path); import gymnasium.envs; import importlib.resources as r;"
        "assert len(sys.meta_path) == len(before) - 1;"
        "assert type(gymnasium.envs.__loader__).__module__.startswith('_frozen'), gymnasium.envs.__loader__;"
        "assert gymnasium.envs.__spec__.loader is gymnasium.envs.__loader__;"
        "assert r.files('gymnasium.envs').joinpath('registration.py').is_file();"
        "print(sum(i.startswith('gf/') for i in gymnasium.registry))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_one_name_in_both_registries():
    assert TABLETOP.id == gymnasium_id.ID


@pytest.mark.parametrize(
    "settings",
    [
        {"cameras": ("third", "wrist"), "size": (48, 64), "preset": "fast", "render_mode": "rgb_array", "render_size": (60, 80)},
        {"cameras": ("third",), "size": (24, 24), "control_hz": 10.0},
        {"control_hz": 5.0, "suite": "gf/controls@1"},
    ],
)
def test_gymnasium_has_nothing_to_complain_about(make, settings):
    """A warning fails this test, too, so there is none that couldn't be avoided."""
    check_env(make(**settings).unwrapped)


def test_observations_and_actions_are_what_they_are_said_to_be(make, episodes):
    env = make(cameras=("third", "wrist"), size=(32, 48), preset="fast", privileged=True)
    observed, info = env.reset(options={"episode": episodes[0].id})
    assert {camera: image.shape for camera, image in observed["images"].items()} == {"third": (32, 48, 3), "wrist": (32, 48, 3)}
    assert (observed["images"]["third"] != observed["images"]["wrist"]).any()
    assert observed["instruction"] == episodes[0].instruction
    assert observed["proprio"].dtype == np.float32
    assert info["privileged"].keys() == {field.name for field in TABLETOP.privileged}
    field = action_spec(20.0).field
    assert env.action_space.dtype == np.float32
    np.testing.assert_allclose(env.action_space.low, field.low, rtol=1e-6)
    np.testing.assert_allclose(env.action_space.high, field.high, rtol=1e-6)
    env.action_space.seed(0)
    for _ in range(60):
        observed, *_, info = env.step(env.action_space.sample())
        assert observed in env.observation_space
        assert not info["clipped"]
    assert env.step(HOLD + 1)[-1]["clipped"]


def test_the_suite_is_drawn_from_by_the_seed(make, episodes):
    def drawn(env: gymnasium.Env, seed: int) -> list[str]:
        first = env.reset(seed=seed)[1]["episode_id"]
        return [first, *(env.reset()[1]["episode_id"] for _ in range(40))]

    env = make()
    assert drawn(env, 1) == drawn(make(), 1)
    assert drawn(env, 1) != drawn(env, 2)
    assert set(drawn(env, 3)) == {episode.id for episode in episodes}


def test_the_same_seed_and_actions_give_the_same_bits(make):
    def play() -> list[bytes]:
        env = make(cameras=("third",), size=(16, 16), preset="fast")
        env.reset(seed=5)
        env.action_space.seed(5)
        observed = [env.step(env.action_space.sample())[0] for _ in range(15)]
        return [o["images"]["third"].tobytes() + o["proprio"].tobytes() for o in observed]

    assert play() == play()


def expert(env: gymnasium.Env, episode: Episode, target: int) -> tuple[list[float], tuple[Any, ...]]:
    """Lets the expert place the cube on a card; returns all rewards and what the last step returned."""
    policy = load_plugins().policies.load("gf/expert-v1")({}, PolicyContext(env=TABLETOP, action=action_spec(20.0), slots=1))
    policy.reset(SLOT, [0])
    observed, info = env.reset(options={"episode": episode})
    rewards: list[float] = []
    while True:
        assert not info["is_success"]
        seen = {name: values[None] for name, values in info["privileged"].items()} | {"target": np.array([target])}
        told = Observation(slots=SLOT, instruction=[observed["instruction"]], proprio=observed["proprio"][None], privileged=seen)
        step = env.step(policy.act(told).actions[0, 0])
        observed, reward, terminated, truncated, info = step
        rewards.append(float(reward))
        if terminated or truncated:
            return rewards, step


def test_success_is_rewarded_once_and_ends_the_episode(make, episodes):
    env = make(privileged=True)
    rewards, (_, _, terminated, truncated, info) = expert(env, episodes[0], episodes[0].scene["target"])
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    assert (terminated, truncated) == (True, False)
    assert info["is_success"]
    assert info["ending"] == "success"
    assert info["metrics"].keys() == {metric.name for metric in TABLETOP.metrics}
    assert info["metrics"]["chosen"] == episodes[0].scene["target"]
    with pytest.raises(ResetNeeded):
        env.step(HOLD)


def test_the_wrong_card_ends_the_episode_too(make, episodes):
    wrong = (episodes[1].scene["target"] + 1) % 3
    rewards, (_, _, terminated, truncated, info) = expert(make(privileged=True), episodes[1], wrong)
    assert sum(rewards) == 0
    assert (terminated, truncated) == (True, False)
    assert (info["is_success"], info["ending"], info["metrics"]["chosen"]) == (False, "placed", wrong)


def test_a_success_at_the_horizon_is_no_truncation(make, episodes):
    env = make(privileged=True)
    steps = len(expert(env, episodes[0], episodes[0].scene["target"])[0])
    row = {"instruction": "go", "scene": episodes[0].scene, "horizon": steps}
    rewards, (_, _, terminated, truncated, info) = expert(env, row, episodes[0].scene["target"])
    assert (rewards[-1], terminated, truncated, info["ending"]) == (1.0, True, False, "success")


def test_the_horizon_truncates(make, episodes):
    env = make(control_hz=10.0)
    env.reset(options={"episode": {"instruction": "hold still", "scene": episodes[0].scene, "horizon": 3}})
    steps = [env.step(HOLD) for _ in range(3)]
    assert [step[2:4] for step in steps] == [(False, False), (False, False), (False, True)]
    assert (steps[-1][1], steps[-1][4]["ending"]) == (0.0, "horizon")
    env.reset(options={"episode": episodes[0]})
    assert sum(not env.step(HOLD)[3] for _ in range(100)) == 99, "10 s at 10 Hz"


def test_the_same_as_the_batch_environment(make, episodes):
    env = make()
    batch = make_batch({}, EnvContext(slots=3, threads=2, control_hz=20.0, load_deck=load_plugins().decks.load))
    slots = np.arange(3, dtype=np.int32)
    batch.reset(slots, episodes[:3])
    env.reset(options={"episode": episodes[2].id})
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(30)]
    for action in actions:
        observed = env.step(action)[0]
        batch.step(slots, np.stack([action * 0, -action, action]))
    assert (batch.observe(slots, Observes()).proprio[2] == observed["proprio"]).all()
    batch.close()


def test_timed_goals(make, episodes):
    goals = [{"from_step": 0, "instruction": "wait"}, {"from_step": 2, "instruction": "go"}]
    env = make()
    first = env.reset(options={"episode": {"instruction": goals, "scene": episodes[0].scene}})[0]["instruction"]
    assert [first, *(env.step(HOLD)[0]["instruction"] for _ in range(3))] == ["wait", "wait", "go", "go"]


def test_a_suite_in_a_file_brings_its_own_letters(make, tmp_path, episodes):
    document = json.loads(json.dumps(dict(load_suite(SUITE, load_plugins()).document)))
    document["episodes"][0]["instruction"] = "lege den Würfel auf 😀"
    path = tmp_path / "german.json"
    path.write_text(json.dumps(document))
    env = make(suite=str(path))
    observed, _ = env.reset(options={"episode": episodes[0].id})
    assert observed in env.observation_space
    with pytest.raises(GrinningFaceError, match="not in the observation space"):
        env.reset(options={"episode": {"instruction": "по-русски", "scene": episodes[0].scene}})


def test_render(make):
    env = make(render_mode="rgb_array", render_size=(60, 80), preset="fast")
    env.reset(seed=0)
    assert (env.render().shape, env.render().dtype) == ((60, 80, 3), np.uint8)
    other = make(render_mode="rgb_array", render_size=(60, 80), preset="fast", render_camera="third")
    other.reset(seed=0)
    assert (env.render() != other.render()).any()
    with pytest.raises(ResetNeeded):
        make(render_mode="rgb_array").unwrapped.render()


def test_vectors_of_it(make):
    env = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="sync", suite=SUITE, cameras=(), privileged=True)
    try:
        observed, _ = env.reset(seed=[0, 1], options={})
        assert observed["proprio"].shape == (2, 7)
        over = np.zeros(2, bool)
        for _ in range(200):
            observed, _, _, truncated, info = env.step(np.stack([HOLD, HOLD]))
            over |= truncated
        assert over.all()
        assert list(info["ending"]) == ["horizon", "horizon"]
    finally:
        env.close()


@pytest.mark.full
def test_vectors_in_processes(make):
    """The reason for the advice in the documentation: gymnasium's shared memory shows texts as they were at the beginning."""
    settings = {"suite": SUITE, "size": (16, 16), "preset": "fast"}
    for shared in (False, True):
        env = gymnasium.make_vec(
            ID,
            num_envs=2,
            vectorization_mode="async",
            vector_kwargs={"context": "spawn", "shared_memory": shared},
            **settings,
        )
        try:
            observed, info = env.reset(seed=[0, 1])
            assert observed["images"]["third"].shape == (2, 16, 16, 3)
            assert all(text.startswith("pick the block") for text in info["instruction"])
            assert (list(observed["instruction"]) == list(info["instruction"])) is not shared
        finally:
            env.close()


def test_close_frees_threads_and_contexts(monkeypatch):
    alive = []
    make_context = gl.make_context

    class Counted:
        def __init__(self, width: int, height: int) -> None:
            self._context = make_context(width, height)
            alive.append(self)

        def make_current(self) -> None:
            self._context.make_current()

        def free(self) -> None:
            alive.remove(self)
            self._context.free()

    monkeypatch.setattr(gl, "make_context", Counted)
    before = set(threading.enumerate())
    env = gymnasium.make(ID, suite=SUITE, size=(16, 16), preset="fast", render_mode="rgb_array", render_size=(20, 20)).unwrapped
    env.reset(seed=0)
    env.render()
    assert len(alive) == 2
    env.close()
    env.close()
    assert not alive
    assert set(threading.enumerate()) == before
    with pytest.raises(ClosedEnvironmentError):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(HOLD)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suite": "gf/smok@1"}, "did you mean 'gf/smoke@1'"),
        ({"suite": "nowhere.json"}, "there is no such file"),
        ({"cameras": ("thrid",)}, "did you mean 'third'"),
        ({"render_camera": "back"}, "gf/tabletop-v1 has third, wrist, demo"),
        ({"size": (0, 10)}, "0 × 10 pixels"),
        ({"control_hz": 7.0}, "offers 20, 10, 5"),
        ({"preset": "ugly"}, "'ugly' isn't one of '', 'fast', 'pretty', 'scored'"),
    ],
)
def test_mistakes_in_the_settings(make, settings, message):
    with pytest.raises(GrinningFaceError, match=message):
        make(**settings)


def test_mistakes_in_what_is_played(make, episodes):
    env = make().unwrapped
    scene = dict(episodes[0].scene)

    def refused(given: object, message: str) -> None:
        with pytest.raises(GrinningFaceError, match=message):
            env.reset(options={"episode": given})

    with pytest.raises(ResetNeeded):
        env.step(HOLD)
    with pytest.raises(GrinningFaceError, match="there is no option 'episod'"):
        env.reset(options={"episod": episodes[0].id})
    refused(episodes[0].id[:-1] + "!", f"did you mean '{episodes[0].id}'")
    refused(5, "int is not an episode")
    refused({"scene": scene}, "it has no 'instruction'")
    refused({"instruction": "go", "scene": {**scene, "cards": []}}, "/scene/cards")
    refused({"instruction": "go", "scene": {**scene, "target": 4}}, "there is no card 4")
    refused({"instruction": "go", "scene": scene, "horizons": 4}, "did you mean 'horizon'")
    refused({"instruction": "go", "scene": scene, "horizon": True}, "True is not a number of control steps")
    refused({"instruction": 7, "scene": scene}, "neither a text nor a list")
    refused({"instruction": [{"from_step": 1, "instruction": "go"}], "scene": scene}, "begins at step 0")
    env.reset()
    for action in (HOLD[:3], HOLD * np.nan, HOLD[None]):
        with pytest.raises(GrinningFaceError, match="it isn't 7 finite numbers"):
            env.step(action)
