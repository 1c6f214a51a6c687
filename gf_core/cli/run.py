"""`gf run`: evaluate a policy on a suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import SEED, finite, json_option, make_host, plugin_option, print_json
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.evaluation import Request, Resources, RunResult
    from gf_core.plugins import PluginHost

INVALID = 3
"""Exit code of a run in which more than 2 % of the episodes ended in an infrastructure fault."""

INTERRUPTED = 130

MOST_STEPS = 1_000_000
"""The longest horizon that a suite can give."""


@click.command("run", short_help="Evaluate a policy on a suite.")
@click.argument("suite", metavar="SUITE")
@click.option("--policy", required=True, metavar="ID", help="The policy; `gf list policies` shows them.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the policy. Repeatable.")
@click.option(
    "--env-set", "env_settings", multiple=True, metavar="KEY=VALUE", help="A setting of the environment; unranked. Repeatable."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The run's directory.  [default: runs/SUITE-POLICY-HASH]"
)
@click.option("--slots", type=click.IntRange(1, 4096), default=16, show_default=True, help="Episodes side by side.")
@click.option("--threads", type=click.IntRange(0, 1024), default=0, show_default=True, help="For physics and rendering; 0: all.")
@click.option("--policy-seed", type=SEED, default=0, show_default=True, help="Seeds what the policy draws.")
@click.option("--episodes", metavar="ID,ID,…", help="Only these episodes; marked partial.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N episodes; marked partial.")
@click.option("--hz", type=float, metavar="HZ", callback=finite, help="Another control rate than the suite's; unranked.")
@click.option(
    "--execute-steps", type=click.IntRange(1, MOST_STEPS), metavar="K", help="Steps of a chunk to play before asking again."
)
@click.option(
    "--timing", type=click.Choice(["paused", "realtime"]), default="paused", show_default=True, help="Does the world wait?"
)
@click.option(
    "--latency-steps",
    type=click.IntRange(0, MOST_STEPS),
    metavar="K",
    help="With realtime: a fixed latency.  [default: as measured]",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0.001),
    callback=finite,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Per call of the policy.",
)
@click.option(
    "--load-timeout",
    type=click.FloatRange(min=0.001),
    callback=finite,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="For loading the policy, and for its first call.",
)
@click.option(
    "--isolate",
    is_flag=False,
    flag_value="",
    metavar="[FILE|DIR]",
    help="Run the policy in an environment of its own: made with the requirements in FILE and kept, or the one in DIR.",
)
@click.option("--in-process", is_flag=True, help="Run the policy in this process, for debugging: no deadline, no protection.")
@plugin_option
@json_option
def command(
    suite: str,
    policy: str,
    settings: tuple[str, ...],
    env_settings: tuple[str, ...],
    out: Path | None,
    slots: int,
    threads: int,
    policy_seed: int,
    episodes: str | None,
    limit: int | None,
    hz: float | None,
    execute_steps: int | None,
    timing: Literal["paused", "realtime"],
    latency_steps: int | None,
    deadline: float,
    load_timeout: float,
    isolate: str | None,
    in_process: bool,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Evaluate a policy on SUITE, the id of a suite or its .json file.

    Stop it with Ctrl-C whenever you like: the same command again goes on where it stopped, with the same results.

    \b
    Exit codes: 0 the run is complete, however the policy did; 2 a mistake in what was asked for;
    3 the run is invalid (more than 2 % infrastructure faults); 130 interrupted.

    \b
    Examples:
      gf run gf/quick@1 --policy gf/expert-v1
      gf run gf/quick@1 --policy gf/random-v1 --slots 32 --out runs/random
      gf run gf/smoke@1 --policy local/mine-v1 --plugin ./my_plugin.py --set checkpoint=./weights
      gf run gf/quick@1 --policy acme-vla/open-v1 --isolate acme-requirements.txt
    """
    from gf_core.evaluation import Deadlines, Request, Resources, Timing

    if latency_steps is not None and timing == "paused":
        raise GrinningFaceError("it means nothing while the world waits", where="--latency-steps", hint="add --timing realtime")
    chosen = tuple(name.strip() for name in (episodes or "").split(",") if name.strip())
    if episodes is not None and not chosen:
        raise GrinningFaceError("it names no episode", where="--episodes", hint="leave it out to run them all")
    request = Request(
        suite=suite,
        policy=policy,
        policy_config=settings,
        env_config=env_settings,
        policy_seed=policy_seed,
        control_hz=hz,
        execute_steps=execute_steps,
        timing=Timing(mode=timing, latency_steps=latency_steps),
        episodes=chosen,
        limit=limit or 0,
    )
    deadlines = Deadlines(call=deadline, load=load_timeout)
    resources = Resources(slots=slots, threads=threads, deadlines=deadlines, in_process=in_process)
    host = make_host(plugin_files)
    if isolate is None:
        return _run(request, resources, host, out, as_json)
    from gf_core.serving.isolation import chosen as environment

    with environment(isolate, watch=lambda what: click.echo(f"{what} …", err=True)) as requirements:
        return _run(_isolated(request, requirements, host), resources, host, out, as_json)


def _isolated(request: Request, requirements: tuple[str, ...], host: PluginHost) -> Request:
    """The request with the policy behind gf/isolated-v1."""
    import dataclasses

    from gf_core.evaluation.suites import load_suite

    config = {
        "policy": request.policy,
        "settings": list(request.policy_config),
        "env": load_suite(request.suite, host).env,
        "requirements": list(requirements),
        "plugins": [str(file) for file in host.files],
    }
    return dataclasses.replace(request, policy="gf/isolated-v1", policy_config=config)


def _run(request: Request, resources: Resources, host: PluginHost, out: Path | None, as_json: bool) -> int:
    from gf_core.cli.display import make_progress
    from gf_core.evaluation import run_suite

    try:
        with stdout_to_stderr():
            result = run_suite(request, host=host, out=out, resources=resources, progress=make_progress())
    except KeyboardInterrupt:
        click.echo("interrupted; what is recorded is safe, and the same command again goes on from there", err=True)
        return INTERRUPTED
    if result.was_finished:
        click.echo(f"{result.run.path} was finished before; nothing was done", err=True)
    _print(result, as_json)
    if not result.run.valid:
        click.echo("the run is invalid: more than 2 % of its episodes ended in an infrastructure fault", err=True)
        return INVALID
    return 0


def _print(result: RunResult, as_json: bool) -> None:
    from gf_core.cli.report import print_reports
    from gf_core.reporting import read_report, to_document
    from gf_core.schemas import default_settings

    defaults = default_settings(result.plan.policy.config_schema)
    report = read_report(result.run.path, lambda _: result.plan.suite, lambda _: defaults)
    if as_json:
        print_json("report", to_document([report]))
        return
    print_reports([report], notes=False)
    failed = any(not row["success"] for row in result.run.records)
    episode = "first-failure" if failed else result.run.records[0]["episode"]
    click.echo(f"explained by  gf report {result.run.path}")
    click.echo(f"watched with  gf replay {result.run.path} {episode} --video episode.webp")
