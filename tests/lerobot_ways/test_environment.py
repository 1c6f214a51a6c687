"""A suite as LeRobot's evaluation plays it: its contract, seeds that are episodes, and what is written of each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from reach_suites import FAKES, suite_document

from gf_core import schemas
from gf_core.errors import GrinningFaceError
from gf_core.serving.lerobot_env import LeRobotEnv, choose

INTEGRATION = Path(__file__).parents[2] / "integrations" / "lerobot_env_grinningface"
GO = np.array([0.1, 0, 1], np.float32)
HOLD = np.zeros(3, np.float32)

Make = Callable[..., LeRobotEnv]


@pytest.fixture
def suite(tmp_path: Path) -> str:
    rows: list[dict[str, Any]] = [
        {"horizon": 20, "scene": {"goal": [0.3, 0.0]}},
        {
            "horizon": 4,
            "scene": {"goal": [3.0, 3.0]},
            "instruction": [{"from_step": 0, "instruction": "first"}, {"from_step": 2, "instruction": "then"}],
        },
        {"horizon": 6, "scene": {"goal": [3.0, 3.0]}},
    ]
    path = tmp_path / "reach.json"
    path.write_text(json.dumps(suite_document(rows)))
    choose.cache_clear()
    return str(path)


@pytest.fixture
def make(suite: str) -> Iterator[Make]:
    made: list[LeRobotEnv] = []

    def build(**settings: Any) -> LeRobotEnv:
        made.append(LeRobotEnv(**{"suite": suite, "plugins": [str(FAKES)], "size": 8, **settings}))
        return made[-1]

    yield build
    for env in made:
        env.close()


def play(env: LeRobotEnv, action: np.ndarray, seed: int | None = None) -> tuple[float, bool, bool, dict[str, Any]]:
    """An episode: sum of rewards, terminated, truncated, the last info."""
    _, info = env.reset(seed=seed)
    total, over = 0.0, (False, False)
    while not any(over):
        assert info["is_success"] is False
        _, reward, *over, info = env.step(action)  # type: ignore[assignment]
        total += reward
    return total, *over, info


def test_seeds_are_episodes_whatever_the_first(make: Make) -> None:
    env = make()
    for first in (0, 1000, 7):
        assert {env.reset(seed=first + number)[1]["episode_id"] for number in range(3)} == {"e000", "e001", "e002"}
    assert env.reset(seed=1001)[1]["episode_id"] == env.reset(seed=2)[1]["episode_id"]
    assert env.reset()[1]["episode_id"] == "e000"


def test_an_episode_ends_as_in_a_run(make: Make) -> None:
    env = make()
    total, terminated, truncated, info = play(env, GO, seed=0)
    assert (total, terminated, truncated, info["is_success"], info["ending"]) == (1.0, True, False, True, "success")
    total, terminated, truncated, info = play(env, HOLD, seed=2)
    assert (total, terminated, truncated, info["is_success"], info["ending"]) == (0.0, False, True, False, "horizon")
    assert info["metrics"]["near"] is False
    with pytest.raises(ResetNeeded):
        env.step(HOLD)


def test_what_lerobot_reads_of_it(make: Make) -> None:
    env = make(cameras=["side", "top"])
    assert (env.task_description, env._max_episode_steps, env.metadata["render_fps"]) == ("", 20, 20)
    observed, _ = env.reset(seed=1, options={"lerobot_new_rollout": True})
    assert env.observation_space.contains(observed)
    assert list(observed["pixels"]) == ["side", "top"]
    assert observed["pixels"]["top"].shape == (8, 8, 3)
    told = []
    for _ in range(4):
        told.append(env.task_description)
        env.step(HOLD)
    assert told == ["first", "first", "then", "then"]
    image = env.render()
    assert image is not None
    assert image.shape == (8, 8, 3)


def test_another_rate_keeps_the_seconds(make: Make) -> None:
    env = make(fps=10)
    assert (env._max_episode_steps, env.metadata["render_fps"]) == (10, 10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_actions_that_fail_an_episode_in_a_run_fail_it_here(make: Make, bad: float) -> None:
    env = make()
    total, terminated, _, info = play(env, np.array([0, bad, 0], np.float32), seed=0)
    assert (total, terminated, info["is_success"], info["ending"]) == (0.0, True, False, "policy_error")
    assert "action element 1" in info["reason"]


def test_actions_of_another_shape_are_named(make: Make) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(GrinningFaceError, match=r"an action of shape \(7,\), not \(3,\)"):
        env.step(np.zeros(7, np.float32))


def test_results_are_written_once_for_each_episode_that_was_asked_for(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "results.jsonl"
    env = make(results=str(file))
    play(env, GO, seed=6)
    play(env, HOLD)  # a vector environment goes on by itself
    play(env, HOLD, seed=8)
    rows = [schemas.parse_json(line, source="row") for line in file.read_bytes().splitlines()]
    for row in rows:
        schemas.validate(row, "lerobot_result", source="row", major=1)
    told = [(row["episode"], row["seed"], row["success"], row["ending"]) for row in rows]  # type: ignore[call-overload, index]
    assert told == [("e000", 6, True, "success"), ("e002", 8, False, "horizon")]
    (tmp_path / "folder").mkdir()
    env = make(results=str(tmp_path / "folder"))
    with pytest.raises(GrinningFaceError, match="can't be written"):
        play(env, HOLD, seed=1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"suite": "gf/smok@1"}, "did you mean 'gf/smoke@1'"),
        ({"split": "evn"}, "did you mean 'even'"),
        ({"limit": -1}, "-1 is not a number of episodes"),
        ({"fps": 7}, "wants 7 Hz and local/reach-v1 offers 20, 10"),
        ({"cameras": ["topp"]}, "did you mean 'top'"),
        ({"size": 0}, "0 × 0 pixels"),
    ],
)
def test_mistakes_are_named_when_it_is_made(make: Make, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(GrinningFaceError) as caught:
        make(**settings)
    assert told in str(caught.value)


class FeatureType(Enum):
    STATE, VISUAL, ACTION = "STATE", "VISUAL", "ACTION"


@dataclass
class PolicyFeature:
    type: FeatureType
    shape: tuple[int, ...]


@dataclass
class EnvConfig:
    """What of LeRobot's the integration builds upon."""

    task: str | None = None
    fps: int = 30
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)
    disable_env_checker: bool = True
    known = {}  # noqa: RUF012

    @classmethod
    def register_subclass(cls, name: str) -> Callable[[type], type]:
        return lambda kind: cls.known.setdefault(name, kind)


@pytest.fixture
def integration(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The distribution's module, with doubles of what it imports of LeRobot's."""
    types, configs = ModuleType("lerobot.configs.types"), ModuleType("lerobot.envs.configs")
    types.FeatureType, types.PolicyFeature = FeatureType, PolicyFeature  # type: ignore[attr-defined]
    configs.EnvConfig = EnvConfig  # type: ignore[attr-defined]
    for module in (ModuleType("lerobot"), ModuleType("lerobot.configs"), ModuleType("lerobot.envs"), types, configs):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.syspath_prepend(str(INTEGRATION))
    monkeypatch.delitem(sys.modules, "lerobot_env_grinningface", raising=False)
    import lerobot_env_grinningface

    return lerobot_env_grinningface


@pytest.mark.skipif(not INTEGRATION.is_dir(), reason="it is part of the checkout, not of the wheel")
def test_lerobot_finds_it_and_its_vector_environments_hear_the_task(integration: ModuleType, suite: str) -> None:
    config = EnvConfig.known["grinningface"](task=suite, plugins=str(FAKES), cameras="top, side", size=8, limit=2)
    assert (config.fps, config.gym_id.partition("/")[0], config.package_name) == (20, *["lerobot_env_grinningface"] * 2)
    named = {config.features_map[key]: (one.type.value, one.shape) for key, one in config.features.items()}
    assert named == {
        "action": ("ACTION", (3,)),
        "observation.state": ("STATE", (5,)),
        "observation.images.top": ("VISUAL", (8, 8, 3)),
        "observation.images.side": ("VISUAL", (8, 8, 3)),
    }

    def one() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(config.gym_id, disable_env_checker=config.disable_env_checker, **config.gym_kwargs)

    envs = gymnasium.vector.SyncVectorEnv([one, one], autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
    assert hasattr(envs.envs[0], "task_description")  # 0.4.4 looks for it there
    observed, _ = envs.reset(seed=[1000, 1001])
    assert observed["agent_pos"].shape == (2, 5)
    assert observed["pixels"]["side"].shape == (2, 8, 8, 3)
    assert envs.call("_max_episode_steps") == (20, 20)
    assert envs.call("task_description") == ("go", "first")
    successes = np.zeros(2, bool)
    for _ in range(20):
        _, _, terminated, truncated, info = envs.step(np.stack([GO, HOLD]))
        if "final_info" in info:
            successes |= info["final_info"]["is_success"] & (terminated | truncated)
    assert successes.tolist() == [True, False]
    envs.close()
