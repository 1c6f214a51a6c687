"""`gf study`: a matrix of backbones, techniques, heads and seeds, trained, probed and evaluated in one command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import json_option, make_host, plugin_option, print_json
from gf_core.cli.run import INTERRUPTED
from gf_core.cli.study_pack import command as pack
from gf_core.cli.study_report import command as report
from gf_core.cli.study_states import tell_states
from gf_core.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gf_core.studies.document import Study
    from gf_core.studies.folder import CellState
    from gf_core.studies.tasks import Means

FAILED = 1
"""Exit code of a study with failed cells."""


@click.group(name="study", short_help="Train, probe and evaluate a matrix of techniques.")
def command() -> None:
    """Compare ways of making a policy from a vision-language model: every cell is trained, probed and evaluated.

    \b
    Examples:
      gf study run inheritance --out studies/inheritance
      gf study show studies/inheritance
    """


command.add_command(report)
command.add_command(pack)


@command.command("run")
@click.argument("study", metavar="STUDY")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The study's directory.  [default: studies/NAME]",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Only cells like this: lora, 'nano/*/flow/0'. Repeatable.")
@click.option(
    "--jobs",
    type=click.IntRange(0, 256),
    metavar="N",
    help="Processes side by side; 0: none but this one.  [default: cores, or 1 on a GPU]",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, …")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Changes the study. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and stop.")
@plugin_option
@json_option
def run(
    study: str,
    out: Path | None,
    only: tuple[str, ...],
    jobs: int | None,
    device: str,
    settings: tuple[str, ...],
    dry_run: bool,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Run STUDY, the name of a shipped study or a JSON file: make its data, then train, probe and evaluate every cell.

    Stop it with Ctrl-C whenever you like: the same command again goes on from the running step. What is done isn't done again; a
    cell that failed is tried again.

    \b
    Exit codes: 0 every cell is done; 1 some failed, with their reasons in the table; 2 a mistake in what was asked for, found
    before the first cell; 130 interrupted.

    \b
    Examples:
      gf study run inheritance
      gf study run my-study.json --out studies/mine --only lora --only full --jobs 2
      gf study run inheritance --set seeds=[0] --set 'protocol.set.stages.*.steps=50' --dry-run
    """
    try:
        from gf_core.studies.running import check, run_study, select_cells
    except ImportError as error:
        raise MissingDependencyError(f"studies need {error.name}", hint="pip install 'grinningface[train]'") from error
    from gf_core.cli.display import make_progress
    from gf_core.cli.study_display import make_study_display
    from gf_core.studies.document import load_study

    loaded, host = load_study(study, settings), make_host(plugin_files)
    if dry_run:
        with stdout_to_stderr():
            cells = check(loaded, host, only)
        _tell_plan(loaded, [cell.id for cell in cells], as_json)
        return 0
    place = Path(os.path.relpath(out or Path("studies") / loaded.name))
    means = _means(jobs, device, plugin_files)
    display = make_study_display(means.jobs)
    try:
        with stdout_to_stderr():
            results = run_study(loaded, host=host, out=place, means=means, display=display, progress=make_progress, only=only)
    except KeyboardInterrupt:
        click.echo("interrupted; what is done is kept, and the same command again goes on from there", err=True)
        return INTERRUPTED
    _tell(results.study, results.states, place, as_json)
    chosen = select_cells(loaded, only)
    return FAILED if any(state.state != "done" for state in results.states if state.cell in chosen) else 0


@command.command("show")
@click.argument("path", type=click.Path(path_type=Path), metavar="DIR")
@json_option
def show(path: Path, as_json: bool) -> None:
    """Say how far every cell of the study in DIR is, a directory or a file that `gf study pack` wrote.

    \b
    Example:
      gf study show studies/inheritance
    """
    from gf_core.studies.folder import read_study
    from gf_core.studies.packing import opened

    with opened(path) as folder:
        results = read_study(folder)
        _tell(results.study, results.states, path, as_json)


def _means(jobs: int | None, device: str, plugin_files: tuple[Path, ...]) -> Means:
    from gf_core.studies.tasks import Means
    from gf_core.training.distributed import pick_device

    cores = len(os.sched_getaffinity(0))
    chosen = pick_device(device)
    if jobs is None:
        jobs = cores if chosen.type == "cpu" else 1
    return Means(jobs=jobs, device=device, cores=max(1, cores // max(1, jobs)), plugin_files=plugin_files)


def _tell_plan(study: Study, cells: list[str], as_json: bool) -> None:
    from gf_core.studies.data import described

    if as_json:
        rows = [{"cell": cell, "state": "to do", "phase": None, "reason": None, "seconds": 0.0, "value": None} for cell in cells]
        print_json("study_state", {"study": study.name, "study_sha256": study.sha256, "cells": rows})
        return
    click.echo(f"{study.name} ({study.sha256[:12]}): {study.question}")
    for name, entry in study.data.items():
        click.echo(f"data {name}: {described(entry)}")
    if study.sweep is not None:
        values = ", ".join(f"{value:g}" for value in study.sweep.values)
        click.echo(
            f"sweep: {', '.join(study.sweep.keys)}, {study.sweep.mode} {values}, by {study.sweep.metric} on {study.sweep.suite}"
        )
    click.echo(f"played by each: {', '.join(evaluation.suite for evaluation in study.evaluations)}")
    click.echo(f"{len(cells)} cells:")
    for cell in cells:
        click.echo(f"  {cell}")


def _tell(study: Study, states: Sequence[CellState], place: Path, as_json: bool) -> None:
    tell_states(study, states, as_json)
    if not as_json and any(state.state == "done" for state in states):
        click.echo(f"reported with  gf study report {place}")
