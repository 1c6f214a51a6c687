"""The tasks environment, small scenes, and the frozen suite's episodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from gf_core.contracts import Deck, EnvContext, Episode
from gf_envs.decks import COLOURS, DIGITS, SHAPES, load_deck
from gf_envs.suites import file_name
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.tasks.env import make as make_tasks

HZ = 20.0
CARDS = (("red", 0.0, 0.2), ("green", 0.0, 0.0), ("blue", 0.0, -0.2))
CAMERA = {"eye": [-0.35, -0.21, 0.564], "target": [-0.05, -0.05, 0.0], "fovy": 1.2}
LOOK = {"table": [0.74, 0.64, 0.52], "cube": [0.1, 0.1, 0.5], "sun": [0.1, -0.3, -1.0]}


@pytest.fixture(scope="session")
def plain_decks() -> dict[str, Deck]:
    return {name: load_deck(name) for name in (COLOURS, SHAPES, DIGITS)}


@pytest.fixture
def make_tasks_env(plain_decks: dict[str, Deck]) -> Iterator[Callable[..., TabletopEnv]]:
    made: list[TabletopEnv] = []

    def make(slots: int = 1, threads: int = 1, hz: float = HZ, render: str = "") -> TabletopEnv:
        context = EnvContext(slots=slots, threads=threads, control_hz=hz, load_deck=plain_decks.__getitem__)
        made.append(make_tasks({"render": render}, context))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def make_task() -> Callable[..., Episode]:
    def make(task: str = "place", hz: float = HZ, horizon: int = 200, **changes: Any) -> Episode:
        """An episode with the published layout; ``changes`` replace keys of its scene."""
        scene = {
            "task": task,
            "cards": [{"deck": COLOURS, "item": item, "x": x, "y": y} for item, x, y in CARDS],
            "target": None if task == "pick" else 1,
            "cube": {"x": -0.18, "y": 0.0, "yaw": 0.0},
            "base": {"x": -0.45, "y": 0.0, "yaw": 0.0},
            "camera": CAMERA,
            "look": LOOK,
            "render": "fast",
            **changes,
        }
        return Episode(
            id=task, split=task, cluster="a", env="gf/tabletop-tasks-v1", seed=0, instruction=task, horizon=horizon,
            control_hz=hz, factors={}, scene=scene,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def frozen() -> list[Episode]:
    """The episodes of gf/robot-pretrain@1."""
    document = json.loads((files("gf_envs.suites") / file_name("gf/robot-pretrain@1")).read_text(encoding="utf-8"))
    return [Episode(env=document["env"]["id"], control_hz=document["control_hz"], **row) for row in document["episodes"]]
