"""`gf train`: make a policy from a vision-language model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import json_option, make_host, plugin_option, print_json, print_table
from gf_core.cli.run import INTERRUPTED
from gf_core.errors import MissingDependencyError

if TYPE_CHECKING:
    from gf_core.training.running import Job


@click.command("train", short_help="Make a policy from a vision-language model by a recipe.")
@click.argument("recipe", metavar="RECIPE")
@click.option("--data", "data", multiple=True, metavar="NAME=PATH", help="Binds a source of the recipe to its data. Repeatable.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The job's directory.  [default: trained/RECIPE-HASH]"
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Changes the recipe. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained on what, and stop.")
@click.option(
    "--workers", type=click.IntRange(0, 64), metavar="N", help="Processes that prepare data.  [default: cores - 1, 1 to 4]"
)
@click.option(
    "--save-every", type=click.IntRange(min=1), default=500, show_default=True, metavar="STEPS", help="Between saved states."
)
@click.option(
    "--log-every", type=click.IntRange(min=1), default=1, show_default=True, metavar="STEPS", help="Between rows of metrics."
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--parallel",
    type=click.Choice(["ddp", "fsdp"]),
    default="ddp",
    show_default=True,
    help="Under torchrun: copies of the policy, or its parts (FSDP2).",
)
@plugin_option
@json_option
def command(
    recipe: str,
    data: tuple[str, ...],
    out: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    workers: int | None,
    save_every: int,
    log_every: int,
    device: str,
    parallel: Literal["ddp", "fsdp"],
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Make a policy by RECIPE, the name of a shipped recipe or a JSON file.

    Stop it with Ctrl-C whenever you like: the same command again goes on where it stopped, with the same weights in the end,
    bit for bit. The checkpoint is a policy: gf run SUITE --policy gf/vla-v1 --set checkpoint=DIR/checkpoint

    \b
    Exit codes: 0 the checkpoint is written; 2 a mistake, or a loss that isn't finite; 130 interrupted.

    \b
    Examples:
      gf train lora --data robot=demos --set backbone.settings.model=./my-vlm --dry-run
      gf train cotrain --data robot=demos --data vqa=questions --out trained/cotrain --set seed=1
      gf train recipe.json --data demos --set 'stages.*.steps=100'
      torchrun --nproc-per-node 2 -m gf_core.cli.main train full --data demos --parallel fsdp
    """
    with stdout_to_stderr():
        job = _make_job(recipe, data, out, settings, plugin_files, workers, save_every, log_every, device, parallel)
    if dry_run:
        from gf_core.training.dry_run import plan_job

        with stdout_to_stderr():
            planned = plan_job(job, int(os.environ.get("WORLD_SIZE", "1")))
        if as_json:
            print_json("training_plan", planned)
        else:
            _print_plan(planned)
        return 0
    return _train(job, as_json)


def _make_job(
    reference: str,
    data: tuple[str, ...],
    out: Path | None,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    workers: int | None,
    save_every: int,
    log_every: int,
    device: str,
    parallel: Literal["ddp", "fsdp"],
) -> Job:
    try:
        from gf_core.training.closed_loop import make_evaluate
        from gf_core.training.recipe import load_recipe
        from gf_core.training.running import Job
        from gf_core.training.sources import open_sources, parse_bindings
    except ImportError as error:
        raise MissingDependencyError(f"training needs {error.name}", hint="pip install 'grinningface[train]'") from error
    host = make_host(plugin_files)
    recipe = load_recipe(reference, host, settings)
    sources = open_sources(recipe, parse_bindings(data))
    place = out or Path("trained") / f"{recipe.document['name']}-{recipe.sha256[:8]}"
    return Job(
        recipe=recipe,
        host=host,
        sources=sources,
        out=place,
        workers=workers,
        save_every=save_every,
        log_every=log_every,
        device=device,
        parallel=parallel,
        evaluate=make_evaluate(recipe, host, place),
    )


def _train(job: Job, as_json: bool) -> int:
    from gf_core.cli.training_display import is_first, make_watcher
    from gf_core.training.trainer import train

    try:
        with stdout_to_stderr():
            checkpoint = train(job, make_watcher())
    except KeyboardInterrupt:
        click.echo("interrupted; the state is kept, and the same command again goes on from there", err=True)
        return INTERRUPTED
    if not is_first():
        return 0
    if as_json:
        print_json("training", {"checkpoint": str(checkpoint), "recipe_sha256": job.recipe.sha256})
    else:
        click.echo(f"wrote {checkpoint}")
        if not job.recipe.acting:
            click.echo(f"no head acts in it yet; another recipe goes on from it with  --set parent={checkpoint}")
            return 0
        click.echo(f"evaluated with  gf run gf/dev@1 --policy gf/vla-v1 --set checkpoint={checkpoint}")
    return 0


def _print_plan(plan: dict[str, Any]) -> None:
    backbone = plan["backbone"]
    click.echo(f"recipe {plan['recipe']} ({plan['recipe_sha256'][:12]}) on {backbone['id']} ({backbone['fingerprint'][:12]})")
    for source in plan["sources"]:
        click.echo(f"data {source['name']}: {source['samples']:,} samples ({source['kind']}, {source['sha256'][:12]})")
    _print_space(plan)
    headers = ["stage", "steps", "techniques", "heads", "trains", "rate", "batch", "passes over the data", "memory"]
    print_table(headers, [_stage_row(stage) for stage in plan["stages"]])
    click.echo("* acts; batch: samples of an optimiser step; memory: weights, gradients and AdamW in float32, activations on top")


def _print_space(plan: dict[str, Any]) -> None:
    action, policy = plan["action"], plan["policy"]
    rows = []
    for kind, field in (("action", action["field"]), ("proprio", plan["proprio"])):
        numbers = plan["normalization"]["actions" if kind == "action" else "proprio"]
        for i, name in enumerate(field["names"] if field else ()):
            unit = field["unit"][i] if len(field["unit"]) > 1 else field["unit"][0]
            rows.append(
                [kind, name, unit, field["frame"], numbers["kind"], f"{numbers['shift'][i]:.4g}", f"{numbers['scale'][i]:.4g}"]
            )
    click.echo(
        f"acts at {action['hz']:g} Hz: {action['representation']} relative to {action['reference']}, "
        f"rotation {action['rotation']}; "
        f"chunks of {policy['horizon']}, {policy['execute_steps']} played; looks through {', '.join(policy['cameras'])}"
    )
    print_table(["field", "element", "unit", "frame", "normalised by", "shift", "scale"], rows)


def _stage_row(stage: dict[str, Any]) -> list[str]:
    return [
        stage["name"],
        str(stage["steps"]),
        ", ".join(stage["techniques"]) or "-",
        ", ".join(stage["heads"]) or "-",
        ", ".join(f"{role} {count:,}" for role, count in stage["trainable"].items()),
        ", ".join(f"{role} {rate:g}" for role, rate in stage["rates"].items()),
        f"{stage['effective_batch']} ({', '.join(f'{name} {count}' for name, count in stage['quotas'].items())})",
        ", ".join(f"{name} {count:.2g}" for name, count in stage["epochs"].items()),
        f"{stage['memory'] / 1e9:.3g} GB",
    ]
