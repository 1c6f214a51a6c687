from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gf_core.evaluation import Deadlines, Request, Resources, RunResult, run_suite
from gf_core.plugins import PluginHost, load_plugins

FAKES = Path(__file__).parent.parent / "fakes" / "reach.py"
FAST = Deadlines(call=3.0, load=20.0)


@pytest.fixture(autouse=True)
def only_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GF_PLUGIN_AUTOLOAD", "0")


@pytest.fixture(scope="session")
def host() -> PluginHost:
    host = load_plugins([FAKES], environ={"GF_PLUGIN_AUTOLOAD": "0"})
    host.require("reach")
    return host


def suite_document(
    episodes: int | Sequence[Mapping[str, Any]] = 12, *, horizon: int = 20, name: str = "reach", **changes: Any
) -> dict[str, Any]:
    """A suite of so many episodes, or of those given, each completed."""
    given = [{} for _ in range(episodes)] if isinstance(episodes, int) else episodes
    rows = []
    for number, extra in enumerate(given):
        scene = {"start": [0.01 * number, 0.0], "goal": [0.3 + 0.05 * (number % 5), -0.02 * number]}
        row = {
            "id": f"e{number:03}",
            "split": "odd" if number % 2 else "even",
            "cluster": f"c{number % 3}",
            "seed": number,
            "instruction": "go",
            "horizon": horizon,
            "factors": {"number": number},
            "scene": scene,
        }
        rows.append({**row, **extra, "scene": {**scene, **extra.get("scene", {})}})
    return {
        "schema_version": "1.0",
        "kind": "suite",
        "id": f"local/{name}@1",
        "summary": "for tests",
        "license": "Apache-2.0",
        "env": {"id": "local/reach-v1", "config": {}},
        "control_hz": 20,
        "decks": {},
        "splits": {s: {"description": s} for s in sorted({row["split"] for row in rows})},
        "metrics": [{"name": "near", "metric": "near", "description": "near"}],
        "episodes": rows,
        **changes,
    }


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
