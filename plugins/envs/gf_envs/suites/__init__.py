"""The benchmark's suites: frozen lists of episodes, every one written out. Any change of a suite is its next number."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from gf_core.specs import SuiteSpec

LOCK = "lock.json"
CHALLENGES = {"gf/standard@1": "gf_envs.suites.challenge:standard_challenge"}
"""What draws new episodes of a suite's kind."""


def file_name(suite_id: str) -> str:
    """``data/standard-1.json`` for ``gf/standard@1``."""
    return f"data/{suite_id.partition('/')[2].replace('@', '-')}.json"


def suite_specs() -> list[SuiteSpec]:
    """Descriptions of the suites that come with GrinningFace; reads none of their episodes."""
    lock: dict[str, Any] = json.loads((files(__name__) / LOCK).read_text(encoding="utf-8"))
    return [
        SuiteSpec(
            id=suite_id,
            summary=entry["summary"],
            entry_point=f"{__name__}:{file_name(suite_id)}",
            license="Apache-2.0",
            citation=entry["citation"],
            sha256=entry["sha256"],
            ranked=entry["ranked"],
            challenge=CHALLENGES.get(suite_id, ""),
        )
        for suite_id, entry in lock.items()
    ]
