"""The plugin host of the trainer's tests, and a display that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gf_core.plugins import PluginHost, load_plugins
from gf_core.training.recipe import Stage, complete
from gf_core.training.running import Job
from gf_core.training.samples import Source

from . import small


class Watched:
    """A Watcher that remembers."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.trains: dict[str, dict[str, int]] = {}
        self.stop_at = stop_at

    def stage(self, stage: Stage, done: int, trains: Mapping[str, int]) -> None:
        self.trains[stage.name] = dict(trains)

    def step(self, stage: Stage, step: int, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))
        if self.stop_at is not None and len(self.rows) == self.stop_at:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finished(self) -> None:
        pass


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return load_plugins([Path(small.__file__)])


@pytest.fixture
def watched() -> type[Watched]:
    return Watched


@pytest.fixture
def make_job(host: PluginHost, tmp_path: Path) -> Callable[..., Job]:
    def make(document: dict[str, Any], name: str = "job", **settings: Any) -> Job:
        recipe = complete(document, host, source="test")
        known: dict[str, Source] = {"robot": small.Robot(), "vl": small.Questions()}
        sources = {one: known[one] for one in recipe.sources if one in known} | settings.pop("sources", {})
        return Job(recipe=recipe, host=host, sources=sources, out=tmp_path / name, workers=0, **settings)

    return make
