"""plan → rollout → record: evaluates a policy on a suite.

>>> from gf_core.evaluation import Request, run_suite
>>> result = run_suite(Request(suite="gf/smoke@1", policy="gf/expert-v1"))  # doctest: +SKIP
>>> result.run.records[0]["ending"]  # doctest: +SKIP
'success'
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gf_core.evaluation.plan import Plan, Request, Timing, make_plan
    from gf_core.evaluation.policy_process import Deadlines
    from gf_core.evaluation.progress import Progress, Quiet
    from gf_core.evaluation.replay import Camera, Replayed, recorded_suite, replay_episode
    from gf_core.evaluation.run import Resources, RunResult, run_suite
    from gf_core.evaluation.suites import Suite, load_suite
    from gf_core.evaluation.verification import Verification, verify_run

_HOMES = {
    "Camera": "replay",
    "Deadlines": "policy_process",
    "Plan": "plan",
    "Progress": "progress",
    "Quiet": "progress",
    "Replayed": "replay",
    "Request": "plan",
    "Resources": "run",
    "RunResult": "run",
    "Suite": "suites",
    "Timing": "plan",
    "Verification": "verification",
    "load_suite": "suites",
    "make_plan": "plan",
    "recorded_suite": "replay",
    "replay_episode": "replay",
    "run_suite": "run",
    "verify_run": "verification",
}

__all__ = [
    "Camera",
    "Deadlines",
    "Plan",
    "Progress",
    "Quiet",
    "Replayed",
    "Request",
    "Resources",
    "RunResult",
    "Suite",
    "Timing",
    "Verification",
    "load_suite",
    "make_plan",
    "recorded_suite",
    "replay_episode",
    "run_suite",
    "verify_run",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is used: a policy's process imports this package too, and needs next to nothing of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
