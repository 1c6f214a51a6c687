"""`gf leaderboard`: running policies again, by commit and reveal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import json_option, make_host, plugin_option, print_json
from gf_core.cli.board import DATE, DIR, check_date

if TYPE_CHECKING:
    from gf_core.leaderboard.board.rerun import Rerun

CONTRADICTS = 1
"""Exit code where a re-run contradicts a submission, or an audit finds something or couldn't look at all."""

_SECRET = click.option(
    "--secret",
    "secret_file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The epoch's secret. Keep it out of the repository until the epoch is closed.",
)
_EPOCH = click.option("--epoch", required=True, metavar="NAME", help="The epoch.")


@click.group("epoch")
def epoch() -> None:
    """Begin and end epochs: whose policies commit themselves, and are run again on episodes that nobody could know.

    \b
    Examples:
      gf leaderboard epoch open results 2026-q1 --secret ~/2026-q1.secret
      gf leaderboard epoch close results 2026-q1 --secret ~/2026-q1.secret
    """


@epoch.command("open")
@DIR
@click.argument("name")
@_SECRET
@click.option(
    "--layers", type=click.IntRange(1, 20), default=1, show_default=True, help="How often a challenge asks for each target."
)
@DATE
def open_(board: Path, name: str, secret_file: Path, layers: int, date: str | None) -> None:
    """Draw a secret, write it to a new file, and publish its hash."""
    from gf_core.leaderboard.board.epochs import open_epoch

    check_date(date)
    found = open_epoch(board, name, secret_file, layers=layers, date=date)
    click.echo(f"epoch {name} is open; its secret is in {secret_file}, its hash {found.document['secret_sha256']}", err=True)


@epoch.command("close")
@DIR
@click.argument("name")
@_SECRET
@DATE
def close(board: Path, name: str, secret_file: Path, date: str | None) -> None:
    """Publish the secret, so that anybody can audit. Later re-runs are late."""
    from gf_core.leaderboard.board.epochs import close_epoch

    check_date(date)
    close_epoch(board, name, secret_file, date=date)
    click.echo(f"epoch {name} is closed; `gf leaderboard audit {board}` works out every seed", err=True)


@click.command("commit")
@DIR
@click.argument("entries", nargs=-1, required=True, metavar="ENTRY...")
@_EPOCH
@DATE
def commit(board: Path, entries: tuple[str, ...], epoch: str, date: str | None) -> None:
    """Commit the policies of entries in an open epoch: as their submissions name them, checkpoints by their content.

    \b
    Examples:
      gf leaderboard commit results 2026-01-31-mine-1a2b3c4d --epoch 2026-q1
    """
    from gf_core.leaderboard.board.epochs import commit as commit_one
    from gf_core.leaderboard.board.epochs import commitment_hash
    from gf_core.leaderboard.board.rerun import scratch

    check_date(date)
    with scratch() as folder:
        for entry in entries:
            found = commit_one(board, entry, epoch, folder, date=date)
            click.echo(f"{found['entry']}: committed on {found['date']}, {commitment_hash(found)[:12]}…")


@click.command("rerun")
@DIR
@click.argument("entry")
@_EPOCH
@_SECRET
@click.option(
    "--suite", "suite_id", default="", metavar="ID", help="Which of its suites; by default the one that has challenges."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the policy, such as where its checkpoint lies here.",
)
@click.option("--ask", type=click.IntRange(0, 1000), default=8, show_default=True, help="Recorded episodes to ask about again.")
@click.option("--slots", type=click.IntRange(1, 4096), default=16, show_default=True, help="Episodes side by side.")
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the challenge and its run here; resumes.",
)
@DATE
@plugin_option
@json_option
def rerun(
    board: Path,
    entry: str,
    epoch: str,
    secret_file: Path,
    suite_id: str,
    settings: tuple[str, ...],
    ask: int,
    slots: int,
    work: Path | None,
    date: str | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Run an entry's policy on challenge episodes of its own, and ask it again what it was recorded to do.

    If either contradicts the submission the entry is disputed, with the reason. A challenge is answered once; another checkpoint
    than the committed one isn't run at all.

    \b
    Exit codes: 0 it agrees; 1 it contradicts the submission; 2 a mistake in what was asked for, such as a late run.

    \b
    Examples:
      gf leaderboard rerun results 2026-01-31-mine-1a2b3c4d --epoch 2026-q1 --secret ~/2026-q1.secret --set checkpoint=./theirs
    """
    from gf_core.cli.display import make_progress
    from gf_core.evaluation.run import Resources
    from gf_core.leaderboard.board.rerun import rerun as run_again
    from gf_core.leaderboard.board.rerun import scratch

    check_date(date)

    def go(folder: Path) -> Rerun:
        return run_again(
            board,
            entry,
            epoch,
            secret_file,
            make_host(plugin_files),
            folder,
            suite_id=suite_id,
            settings=settings,
            ask=ask,
            date=date,
            resources=Resources(slots=slots),
            progress=make_progress(),
        )

    with stdout_to_stderr():
        if work is not None:
            found = go(work)
        else:
            with scratch() as folder:
                found = go(folder)
    if as_json:
        print_json("rerun", {key: value for key, value in found.document.items() if key not in ("schema_version", "kind")})
    else:
        _tell(found)
    return 0 if found.agrees else CONTRADICTS


def _tell(found: Rerun) -> None:
    told = found.document
    again = " (answered before; nothing was done)" if found.was_there else ""
    click.echo(f"{told['entry']} on {told['suite']}: {'agrees' if found.agrees else 'contradicts its submission'}{again}")
    recorded, here, asked = told["recorded"], told["found"], told["asked"]
    click.echo(f"  challenge: {here['k']} of {here['n']}; submission: {recorded['k']} of {recorded['n']}; p = {told['p']:.2g}")
    click.echo(
        f"  asked again: {asked['close']} of {asked['chunks']} answers as recorded, largest difference {asked['largest']:.2g}"
    )
    if found.why:
        click.echo(f"  disputed: {found.why}")


@click.command("audit")
@DIR
@plugin_option
def audit(board: Path, plugin_files: tuple[Path, ...]) -> int:
    """Work out again what the repository says: every rate, and for closed epochs every seed, challenge and result.

    \b
    Exit codes: 0 all is as it says; 1 something isn't, or couldn't be looked at here, and is named; 2 a mistake in what was asked
    for.

    \b
    Examples:
      gf leaderboard audit results
    """
    from gf_core.leaderboard.board import read_board
    from gf_core.leaderboard.board.audit import audit as look
    from gf_core.leaderboard.board.rerun import scratch

    host = make_host(plugin_files)
    with scratch() as folder:
        found = look(read_board(board, host), host, folder)
    for problem in found.problems:
        click.echo(f"{problem.where}: {problem.what}")
    for why, count in sorted(found.unseen.items()):
        click.echo(f"{count} {'run' if count == 1 else 'runs'} couldn't be looked at: {why}")
    good = "the rest is as the repository says" if found.unseen else "all is as the repository says"
    click.echo(f"{len(found.problems)} problems" if found.problems else good)
    return CONTRADICTS if found.problems or found.unseen else 0


COMMANDS = (epoch, commit, rerun, audit)
