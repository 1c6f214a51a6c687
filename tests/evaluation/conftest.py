from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reach_suites import FAKES, suite_document

from gf_core.evaluation import Deadlines, Request, Resources, RunResult, run_suite
from gf_core.plugins import PluginHost, load_plugins

FAST = Deadlines(call=3.0, load=20.0)


@pytest.fixture(autouse=True)
def only_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")


@pytest.fixture(scope="session")
def host() -> PluginHost:
    host = load_plugins([FAKES], environ={"GF_PLUGIN_AUTOLOAD": "0"})
    host.require("reach")
    return host


WriteSuite = Callable[..., str]


@pytest.fixture
def write_suite(tmp_path: Path) -> WriteSuite:
    def write(*args: Any, **kwargs: Any) -> str:
        path = tmp_path / "suite.json"
        path.write_text(json.dumps(suite_document(*args, **kwargs)))
        return str(path)

    return write


Play = Callable[..., RunResult]


@pytest.fixture
def play(host: PluginHost, tmp_path: Path) -> Play:
    """Run a policy of the fakes on a suite's file."""

    def run(
        suite: str,
        policy: str = "local/reacher-v1",
        *,
        slots: int = 4,
        in_process: bool = True,
        out: str = "run",
        deadlines: Deadlines = FAST,
        progress: Any = None,
        **request: Any,
    ) -> RunResult:
        resources = Resources(slots=slots, in_process=in_process, deadlines=deadlines)
        asked = Request(suite=suite, policy=policy, **request)
        return run_suite(asked, host=host, out=tmp_path / out, resources=resources, progress=progress)

    return run


def results(path: Path) -> dict[str, bytes]:
    """Name to bytes of everything in a run directory that must not depend on how the run was carried out."""
    names = ["run.json", "episodes.jsonl", *(f"trajectories/{p.name}" for p in sorted((path / "trajectories").iterdir()))]
    return {name: (path / name).read_bytes() for name in names}
