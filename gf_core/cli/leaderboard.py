"""`gf leaderboard`: check submissions; see also `board`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli import board as _board
from gf_core.cli import epochs as _epochs
from gf_core.cli import site as _site
from gf_core.cli._common import json_option, make_host, plugin_option, print_json, print_table

if TYPE_CHECKING:
    from gf_core.leaderboard import Verdict

DISPUTED = 1
"""Exit code where a submission isn't at least replayed."""


@click.group(name="leaderboard", short_help="Check submissions, keep and rank entries.")
def command() -> None:
    """Check submissions, and keep those that hold as entries of a results repository, ranked.

    Their records are checked, and their physics by replay. Their numbers are recomputed, never taken from them.

    \b
    Examples:
      gf leaderboard verify submissions --jobs 2
      gf leaderboard init results
      gf leaderboard add results submissions/*.zip
      gf leaderboard list results
    """


for _one in (*_board.COMMANDS, *_epochs.COMMANDS, *_site.COMMANDS):
    command.add_command(_one)


@command.command("verify")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|DIR")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Files at once, each in a process.")
@plugin_option
@json_option
def verify(path: Path, jobs: int, plugin_files: tuple[Path, ...], as_json: bool) -> int:
    """Hold a submission, or all in a directory, against the rules, and say which badge it gets.

    In a directory they are held against each other too, in the order of their names: of two alike, the earlier stands.

    \b
    Exit codes: 0 all are at least replayed; 1 one isn't; 2 a mistake in what was asked for.

    \b
    Examples:
      gf leaderboard verify entry.zip
      gf leaderboard verify submissions --jobs 4
    """
    return check_submissions(path, jobs, plugin_files, as_json)


@command.command("rules")
@click.option("--markdown", is_flag=True, help="Print what each checks, why, and what to do, as Markdown.")
def rules(markdown: bool) -> None:
    """List the rules."""
    from gf_core.leaderboard import RULES
    from gf_core.leaderboard.rules import as_markdown

    if markdown:
        click.echo(as_markdown(), nl=False)
        return
    print_table(["rule", ""], [[rule.code, rule.title] for rule in RULES.values()])


def check_submissions(path: Path, jobs: int, plugin_files: tuple[Path, ...], as_json: bool) -> int:
    """Check a file or the files of a directory, and print what came of it. Returns the exit code."""
    from gf_core.cli.display import make_progress
    from gf_core.leaderboard import to_document, verify_files

    host = partial(make_host, plugin_files)
    with stdout_to_stderr():
        verdicts = verify_files(_board.files_in(path), host, jobs=jobs, progress=make_progress())
    if as_json:
        print_json("verdict", to_document(verdicts))
    else:
        for verdict in verdicts:
            print_verdict(verdict)
    return 0 if all(verdict.badge == "replayed" for verdict in verdicts) else DISPUTED


def print_verdict(verdict: Verdict) -> None:
    """What checking a file came to, rule by rule."""
    from gf_core._problems import printable, shorten
    from gf_core.leaderboard import RULES
    from gf_core.leaderboard.verdict import MEANS

    name = f" · {printable(verdict.name)}" if verdict.name is not None else ""
    click.echo(f"{verdict.file}{name}: {verdict.badge} ({MEANS[verdict.badge]})")
    rows = [[f.code, f.status, RULES[f.code].title, shorten(f.detail, 300)] for f in verdict.findings]
    print_table(["rule", "", "", "found"], rows)
    for run in verdict.runs:
        click.echo(f"{run.path}: {printable(shorten(run.policy))} on {run.suite}, recomputed")
        for split in run.splits:
            rates = ", ".join(f"{m.decl.name} {m.rate.k}/{m.rate.n}" for m in split.metrics)
            click.echo(f"  {printable(split.split)}: {rates}")
    if verdict.first_failed:
        click.echo(f"disputed by {verdict.first_failed}: {RULES[verdict.first_failed].fix}")
    click.echo("")
