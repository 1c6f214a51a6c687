"""Suites of the fakes' environment; see tests/fakes/reach.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FAKES = Path(__file__).parent.parent / "fakes" / "reach.py"


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
