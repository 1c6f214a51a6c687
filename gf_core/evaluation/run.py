"""Runs a policy on a suite: plan, rollout, record."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core import runs
from gf_core.contracts import BatchEnv, PolicyContext
from gf_core.evaluation.environment import Stage, make_env, runtime
from gf_core.evaluation.matching import check_actions
from gf_core.evaluation.plan import Plan, Request, make_plan
from gf_core.evaluation.policy_child import LoadPolicy
from gf_core.evaluation.policy_in_process import PolicyInProcess
from gf_core.evaluation.policy_process import Asked, Deadlines, PolicyProcess
from gf_core.evaluation.progress import Progress, Quiet
from gf_core.evaluation.recorder import Recorder
from gf_core.evaluation.rollout import Rollout

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How a run is carried out; none of this changes its results.

    Attributes:
        slots: episodes side by side.
        threads: threads for physics and rendering; 0 for all that the machine has.
        deadlines: how long the policy may take.
        in_process: whether the policy shares the runner's process, for debugging.
    """

    slots: int = 16
    threads: int = 0
    deadlines: Deadlines = dataclasses.field(default_factory=Deadlines)
    in_process: bool = False


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A complete run.

    Attributes:
        run: its directory, as read.
        plan: what was run.
        was_finished: whether it was complete before; nothing was done then.
    """

    run: runs.Run
    plan: Plan
    was_finished: bool


def run_suite(
    request: Request,
    *,
    host: PluginHost | None = None,
    out: Path | None = None,
    resources: Resources | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Evaluate a policy on a suite, or go on with a run that was interrupted.

    It may be stopped at any moment, by Ctrl-C or worse; called again it goes on, and the results are the same bytes.

    Args:
        request: what to run.
        host: the plugins; by default all that are installed.
        out: the run's directory; by default ``runs/`` and :attr:`Plan.name`.
        resources: how to carry it out.
        progress: a display; by default none.

    Raises:
        GrinningFaceError: the user's mistakes, all found before the first step where possible; see also :class:`Plan` and
            :func:`gf_core.runs.open_run`.
        KeyboardInterrupt: what is recorded is safe.
    """
    if host is None:
        from gf_core.plugins import load_plugins

        host = load_plugins()
    plan = make_plan(request, host)
    path = Path("runs") / plan.name if out is None else out
    order = [episode.id for episode in plan.episodes]
    if (path / runs.RUN).is_file():  # refuse, or say that it is finished, before anything is started
        there = runs.read_identity(path)
        with runs.open_run(path, _with_runtime(plan, there["environment"]["runtime"]), order) as writer:
            if writer.finished:
                return RunResult(run=runs.read_run(path), plan=plan, was_finished=True)
    _play(plan, host, path, resources or Resources(), progress or Quiet())
    return RunResult(run=runs.read_run(path), plan=plan, was_finished=False)


def _play(plan: Plan, host: PluginHost, path: Path, resources: Resources, progress: Progress) -> None:
    slots = min(resources.slots, len(plan.episodes))

    def make() -> BatchEnv:
        return make_env(plan.suite, plan.env_config, plan.control_hz, host, slots=slots, threads=resources.threads)

    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(contextlib.closing(Stage(make)))
        check_actions(plan.policy.id, plan.interface.action, plan.env.id, stage.env.action)
        identity = _with_runtime(plan, runtime(stage.env, drawn=bool(plan.interface.observes.cameras)))
        order = [episode.id for episode in plan.episodes]
        writer = stack.enter_context(runs.open_run(path, identity, order))
        policy = stack.enter_context(contextlib.closing(_policy(plan, host, stage.env, slots, resources, path / runs.POLICY_LOG)))
        policy.load()
        writer.session(slots=slots, threads=resources.threads, in_process=resources.in_process)
        recorder = Recorder(writer, identity, plan.env, host, progress)
        complete = False
        try:
            recorder.started(len(order), f"{plan.policy.id} on {plan.suite.id}")
            todo = [number for number, name in enumerate(order) if name not in writer.done]
            Rollout(plan, stage, policy, recorder, slots).play(todo)
            writer.finish()
            complete = True
        finally:
            progress.finished(complete)
        recorder.finished()


def _with_runtime(plan: Plan, found: object) -> dict[str, Any]:
    return {**plan.identity, "environment": {**plan.identity["environment"], "runtime": found}}


def _policy(plan: Plan, host: PluginHost, env: BatchEnv, slots: int, resources: Resources, log: Path) -> Asked:
    most = min(plan.interface.max_batch or slots, slots)
    spec = dataclasses.replace(plan.env, action=env.action)
    context = PolicyContext(env=spec, action=env.action, slots=most, plugin_files=host.files)
    load = LoadPolicy(spec=plan.policy, config=plan.policy_config, context=context, files=host.files)
    if resources.in_process:
        return PolicyInProcess(load)
    return PolicyProcess(load, plan.interface.observes, log=log, deadlines=resources.deadlines)
