"""plan → rollout → record: evaluates a policy on a suite.

>>> from gf_core.evaluation import Request, run_suite
>>> result = run_suite(Request(suite="gf/smoke@1", policy="gf/expert-v1"))  # doctest: +SKIP
>>> result.run.records[0]["ending"]  # doctest: +SKIP
'success'
"""

from gf_core.evaluation.plan import Plan, Request, Timing, make_plan
from gf_core.evaluation.policy_process import Deadlines
from gf_core.evaluation.progress import Progress, Quiet
from gf_core.evaluation.run import Resources, RunResult, run_suite
from gf_core.evaluation.suites import Suite, load_suite

__all__ = [
    "Deadlines",
    "Plan",
    "Progress",
    "Quiet",
    "Request",
    "Resources",
    "RunResult",
    "Suite",
    "Timing",
    "load_suite",
    "make_plan",
    "run_suite",
]
