"""Scenes and environments that the tabletop's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from gf_core.canonical import derive_seed
from gf_core.contracts import Deck, EnvContext, Episode, Outcome, PolicyContext, PolicyFactory
from gf_core.plugins import load_plugins
from gf_core.specs import Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.env import make as make_tabletop

CARDS = (("u1f47b", 0.0, 0.20), ("u1f4aa", 0.0, 0.0), ("u1f98a", 0.0, -0.20))


@pytest.fixture(scope="session")
def deck() -> Deck:
    return load_plugins().decks.load("gf/emoji-noto@1")({})


@pytest.fixture
def make_env(deck: Deck) -> Iterator[Callable[..., TabletopEnv]]:
    made: list[TabletopEnv] = []

    def make(slots: int = 1, threads: int = 1, hz: float = 20.0, render: str = "") -> TabletopEnv:
        context = EnvContext(slots=slots, threads=threads, control_hz=hz, load_deck=lambda _: deck)
        made.append(make_tabletop({"render": render}, context))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    def make(
        name: str = "one",
        target: int | None = 1,
        rule: str = "card",
        render: str = "fast",
        cube: tuple[float, float, float] = (-0.18, 0.0, 0.0),
        cards: tuple[tuple[str, float, float], ...] = CARDS,
        horizon: int = 200,
        hz: float = 20.0,
    ) -> Episode:
        scene = {
            "cards": [{"deck": "gf/emoji-noto@1", "item": item, "x": x, "y": y} for item, x, y in cards],
            "target": target,
            "cube": dict(zip(("x", "y", "yaw"), cube, strict=True)),
            "success_rule": rule,
            "render": render,
        }
        return Episode(
            id=name, split="val", cluster="a", env="gf/tabletop-v1", seed=0, instruction="pick the block", horizon=horizon,
            control_hz=hz, factors={}, scene=scene,
        )  # fmt: skip

    return make


@pytest.fixture
def several(make_episode: Callable[..., Episode]) -> Callable[..., list[Episode]]:
    def draw(n: int, seed: int = 7, **arguments: object) -> list[Episode]:
        """Episodes within the published jitter, targets in turn."""
        rng = np.random.default_rng(seed)
        episodes = []
        for i in range(n):
            cards = tuple((item, x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02)) for item, x, y in CARDS)
            cube = (-0.18 + rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), 0.0)
            drawn = {"name": f"e{i}", "cards": cards, "cube": cube, "target": i % 3, **arguments}
            episodes.append(make_episode(**drawn))
        return episodes

    return draw


@dataclass
class Rollout:
    """What an episode came to."""

    outcome: Outcome
    actions: np.ndarray
    controls: np.ndarray
    final_cube: np.ndarray


@pytest.fixture
def roll_out() -> Callable[..., dict[str, Rollout]]:
    def play(env: TabletopEnv, episodes: list[Episode], make_policy: PolicyFactory, slots: int) -> dict[str, Rollout]:
        """Play episodes through ``slots`` slots, refilled as they fall free; by episode id."""
        policy = make_policy({}, PolicyContext(env=env.spec, action=env.action, slots=slots))
        wanted, waiting = Observes(proprio=False), list(episodes)
        playing: dict[int, Episode] = {}
        logs: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {episode.id: ([], []) for episode in episodes}
        results: dict[str, Rollout] = {}
        while waiting or playing:
            for slot in range(slots):
                if slot not in playing and waiting:
                    playing[slot] = waiting.pop(0)
                    one = np.array([slot], np.int32)
                    env.reset(one, [playing[slot]])
                    policy.reset(one, [derive_seed(0, playing[slot].id)])
            live = np.array(sorted(playing), np.int32)
            actions = policy.act(env.observe(live, wanted, privileged=True)).actions[:, 0]
            step = env.step(live, actions)
            for row, slot in enumerate(live.tolist()):
                log = logs[playing[slot].id]
                log[0].append(actions[row])
                log[1].append(step.controls[row])
                if step.done[row]:
                    one = np.array([slot], np.int32)
                    cube = env.observe(one, wanted, privileged=True).privileged["cube"][0, :3] + g.BASE_POSITION
                    name = playing.pop(slot).id
                    results[name] = Rollout(env.outcome(one)[0], np.array(log[0]), np.array(log[1]), cube)
        return results

    return play
