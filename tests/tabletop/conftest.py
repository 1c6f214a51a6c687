"""Scenes and environments that the tabletop's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gf_core.contracts import Deck, EnvContext, Episode
from gf_core.plugins import load_plugins
from gf_envs.tabletop.env import TabletopEnv

CARDS = (("u1f47b", 0.0, 0.20), ("u1f4aa", 0.0, 0.0), ("u1f98a", 0.0, -0.20))


@pytest.fixture(scope="session")
def deck() -> Deck:
    return load_plugins().decks.load("gf/emoji-noto@1")({})


@pytest.fixture
def make_env(deck: Deck) -> Iterator[Callable[..., TabletopEnv]]:
    made: list[TabletopEnv] = []

    def make(slots: int = 1, threads: int = 1, hz: float = 20.0, render: str = "") -> TabletopEnv:
        context = EnvContext(slots=slots, threads=threads, control_hz=hz, load_deck=lambda _: deck)
        made.append(TabletopEnv(context, render=render))
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


def jittered(rng: np.random.Generator) -> dict[str, object]:
    """Arguments of ``make_episode`` drawn within the published jitter."""
    cards = tuple((item, x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02)) for item, x, y in CARDS)
    cube = (-0.18 + rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), 0.0)
    return {"cards": cards, "cube": cube, "target": int(rng.integers(3))}
