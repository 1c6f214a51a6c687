"""A small recorded run, its replays, and a data set made of it, once for all tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gf_core.evaluation import Request, Resources, Suite, load_suite, run_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_core.runs import Run
from gf_envs.vqa.command import command
from gf_envs.vqa.making import Decks
from gf_envs.vqa.replays import Replay, replay

EPISODES = 6
Gf = Callable[..., int]


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return load_plugins()


@pytest.fixture(scope="session")
def suite(host: PluginHost) -> Suite:
    return load_suite("gf/demos@1", host)


@pytest.fixture(scope="session")
def decks(suite: Suite, host: PluginHost) -> Decks:
    return Decks(suite, host, ("train",))


@pytest.fixture(scope="session")
def run(host: PluginHost, tmp_path_factory: pytest.TempPathFactory) -> Run:
    request = Request(suite="gf/demos@1", policy="gf/expert-v1", limit=EPISODES)
    out = tmp_path_factory.mktemp("vqa") / "run"
    return run_suite(request, host=host, out=out, resources=Resources(slots=EPISODES, threads=1, in_process=True)).run


@pytest.fixture(scope="session")
def replays(run: Run, suite: Suite) -> list[Replay]:
    found = list(replay(run, run.records, {episode.id: episode for episode in suite.episodes}))
    return [one for one in found if not isinstance(one, str)]


def gf_vqa(*arguments: object) -> int:
    """The exit code of `gf vqa ARGUMENTS`."""
    code = command.main([str(argument) for argument in arguments], prog_name="gf vqa", standalone_mode=False)
    return code if isinstance(code, int) else 0


@pytest.fixture(scope="session")
def made(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("vqa") / "data"
    assert gf_vqa("make", "--out", out, "--run", run.path, "--per-episode", 4, "--size", 64) == 0
    return out


@pytest.fixture(scope="session")
def records(made: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made / "conversations.jsonl").read_text(encoding="utf-8").splitlines()]
