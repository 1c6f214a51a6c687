"""Write the suite: ``python -m gf_example_shelf.make_suite [FILE]``. The same program writes the same bytes on every machine."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

from gf_core.canonical import canonical_json, content_hash, derive_seed
from gf_example_shelf.palette import BALL_RADIUS_M, COLOURS, SIZE_M

SUITE = "gf-example-shelf/reach@1"
FILE = Path(__file__).parent / "suites" / "reach-1.json"
SEED = 20260101
PER_SPLIT = 12
BALLS = 3
SPLITS = {"spread": 0.15, "crowded": 0.07}
"""Split to the least distance between two balls' centres [m]."""


def document() -> dict[str, Any]:
    """The suite as JSON values."""
    episodes = [_episode(split, number) for split in SPLITS for number in range(PER_SPLIT)]
    return {
        "schema_version": "1.0",
        "kind": "suite",
        "id": SUITE,
        "summary": "reach the ball of the named colour: 24 episodes, spread and crowded",
        "license": "Apache-2.0",
        "env": {"id": "gf-example-shelf/shelf-v1", "config": {}},
        "control_hz": 20,
        "decks": {},
        "splits": {
            "spread": {"description": "balls far from each other"},
            "crowded": {"description": "balls within a hand's width"},
        },
        "metrics": [
            {"name": "success", "metric": "success", "description": "chose the ball that was asked for"},
            {"name": "execution", "metric": "executed", "description": "chose some ball"},
            {
                "name": "recognition",
                "metric": "chosen_target",
                "given": "executed",
                "chance": 1 / BALLS,
                "description": "the chosen ball was the one asked for",
            },
        ],
        "generator": {"script": "gf_example_shelf.make_suite", "seed": SEED},
        "episodes": episodes,
    }


def _episode(split: str, number: int) -> dict[str, Any]:
    draw = random.Random(derive_seed(SEED, split, number)).random  # the only method whose values Python promises to keep
    names = list(COLOURS)
    colours = [names.pop(int(draw() * len(names))) for _ in range(BALLS)]
    target = number % BALLS
    points: list[list[float]] = []
    while len(points) < BALLS + 1:  # the last one is the start, away from every ball
        point = [round(0.05 + draw() * (SIZE_M - 0.1), 4) for _ in range(2)]
        away = SPLITS[split] if len(points) < BALLS else 3 * BALL_RADIUS_M
        if all(math.dist(point, other) >= away for other in points):
            points.append(point)
    return {
        "id": f"{split}-{number:02d}-{colours[target]}",
        "split": split,
        "cluster": colours[target],
        "seed": 0,
        "instruction": f"reach the {colours[target]} ball",
        "horizon": 100,
        "factors": {"target": colours[target]},
        "scene": {
            "start": points[-1],
            "balls": [{"colour": colour, "position": point} for colour, point in zip(colours, points, strict=False)],
            "target": target,
        },
    }


def text(suite: dict[str, Any]) -> str:
    """The suite as JSON, one episode a line."""
    head = json.dumps({**suite, "episodes": []}, indent=2, ensure_ascii=False).removesuffix("[]\n}")
    return head + "[\n    " + ",\n    ".join(map(canonical_json, suite["episodes"])) + "\n  ]\n}\n"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    path.write_text(text(document()), encoding="utf-8")
    print(f"{path}: sha256 {content_hash(document())}")
