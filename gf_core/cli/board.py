"""`gf leaderboard`: the results repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gf_core.cli._common import aside, json_option, make_host, plugin_option, print_json, print_table
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.leaderboard.board import Added, Board, Entry
    from gf_core.leaderboard.board.ranking import Place, Table
    from gf_core.leaderboard.board.repository import Change

REFUSED = 1
"""Exit code where a file was refused, or something in the repository is broken."""

DATE = click.option("--date", metavar="YYYY-MM-DD", help="The day to write down; today's, UTC, by default.")
DIR = click.argument("board", type=click.Path(path_type=Path), metavar="DIR")


@click.command("init")
@DIR
@click.option("--title", default="GrinningFace", show_default=True, help="What the leaderboard is called.")
@click.option(
    "--storage",
    default="files",
    show_default=True,
    metavar="FOLDER|URL",
    help="Where submissions lie, by their hash: a folder in DIR, or a URL that fsspec opens.",
)
@click.option("--contact", metavar="TEXT", help="Where disputes and questions go.")
def init(board: Path, title: str, storage: str, contact: str | None) -> None:
    """Make a results repository: a plain folder that git can hold, with workflows that check pull requests.

    \b
    Examples:
      gf leaderboard init results
      gf leaderboard init results --storage s3://our-bucket/grinningface
    """
    from gf_core.leaderboard.board import init as make

    make(board, title=title, storage=storage, contact=contact)
    click.echo(f"made {board}: `gf leaderboard add {board} FILE.zip` adds submissions", err=True)


@click.command("add")
@DIR
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Files at once, each in a process.")
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Draw some failures for the entry's page.")
@DATE
@plugin_option
@json_option
def add(
    board: Path,
    files: tuple[Path, ...],
    jobs: int,
    pictures: bool,
    date: str | None,
    plugin_files: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Check submissions, and make an entry of each that breaks no rule.

    They are held against each other and against what is there, in the order of their names: of two alike, the earlier stands.
    What is an entry already is left as it is, so after an interruption the same command goes on.

    \b
    Exit codes: 0 all are entries now; 1 one was refused, the others weren't held up; 2 a mistake in what was asked for.

    \b
    Examples:
      gf leaderboard add results entry.zip
      gf leaderboard add results incoming/*.zip --jobs 4
    """
    from gf_core.cli.display import make_progress
    from gf_core.leaderboard.board import add as take

    check_date(date)
    given = [file for path in files for file in (files_in(path) if path.is_dir() else [path])]
    refused, told = False, []
    make = partial(make_host, plugin_files)
    for one in aside(take(board, given, make, jobs=jobs, date=date, pictures=pictures, progress=make_progress())):
        refused |= one.outcome == "refused"
        told.append({"file": one.file, "outcome": one.outcome, "entry": one.entry or None, "why": one.why})
        if not as_json:
            after = {"added": one.entry, "there": f"{one.entry} already", "refused": one.why}[one.outcome]
            badge = f", {one.verdict.badge}" if one.verdict and one.outcome == "added" else ""
            click.echo(f"{one.file}: {one.outcome}{badge}: {after}" if one.outcome != "there" else f"{one.file}: is {after}")
        if one.note:
            click.echo(f"{one.file}: {one.note}", err=True)
    if as_json:
        print_json("additions", {"files": told})
    return REFUSED if refused else 0


@click.command("film")
@DIR
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@plugin_option
def film(board: Path, entries: tuple[str, ...], plugin_files: tuple[Path, ...]) -> int:
    """Draw failures of entries that have no pictures: all that are listed, or those given by id or the beginning of one.

    `add` does so by itself where it can draw; this is for entries that were added where it couldn't, or with --no-pictures.

    \b
    Exit codes: 0 all have pictures or no failure; 1 one couldn't be drawn; 2 a mistake in what was asked for.

    \b
    Examples:
      gf leaderboard film results
    """
    from gf_core.leaderboard.board.pictures import draw_entries

    lacking = False
    for name, count, note in draw_entries(board, entries, make_host(plugin_files)):
        lacking |= bool(note)
        click.echo(f"{name}: {note or f'{count} pictures'}")
    return REFUSED if lacking else 0


@click.command("check")
@DIR
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|DIR")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Files at once, each in a process.")
@plugin_option
@json_option
def check(board: Path, path: Path, jobs: int, plugin_files: tuple[Path, ...], as_json: bool) -> int:
    """Say what `add` would make of submissions, and change nothing. Of files that are entries already, that.

    \b
    Exit codes: 0 all are at least replayed, or entries already; 1 one isn't; 2 a mistake in what was asked for.

    \b
    Examples:
      gf leaderboard check results entry.zip
      gf leaderboard check results incoming --json
    """
    from gf_core.cli.display import make_progress
    from gf_core.cli.leaderboard import DISPUTED, print_verdict
    from gf_core.leaderboard.board import foresee, read_board

    make = partial(make_host, plugin_files)
    host = make()
    repository = read_board(board, host)
    found = list(aside(foresee(repository, files_in(path), make, host, jobs=jobs, progress=make_progress())))
    found.sort(key=lambda one: one.file)
    if as_json:
        print_json("verdict", {"submissions": [_as_checked(one, repository) for one in found]})
    for one in found if not as_json else ():
        if one.outcome != "there" and one.verdict is not None:
            print_verdict(one.verdict)
        else:
            click.echo(f"{one.file}: {f'is {one.entry} already' if one.entry else 'has the bytes of another of the files'}")
    good = (one.outcome == "there" or (one.verdict is not None and one.verdict.badge == "replayed") for one in found)
    return 0 if all(good) else DISPUTED


def _as_checked(one: Added, board: Board) -> Mapping[str, Any]:
    """What checking a file came to, for a document; of one that is an entry already, what it came to then."""
    from gf_core.leaderboard.verdict import submission_json

    if one.verdict is not None:
        return submission_json(one.verdict)
    return {**board.entry(one.entry).verdict, "file": one.file, "entry": one.entry}


def files_in(path: Path) -> Sequence[Path]:
    """A file, or the submissions in a directory. Raises GrinningFaceError: there is neither."""
    if not path.is_dir():
        if not path.exists():
            raise GrinningFaceError("there is no such file or directory", where=str(path))
        return [path]
    files = sorted(path.glob("*.zip"))
    if not files:
        raise GrinningFaceError("no .zip is in it", where=str(path), hint="give a file that `gf submit pack` wrote")
    return files


@click.command("list")
@DIR
@click.option("--all", "everything", is_flag=True, help="Withdrawn entries, too.")
@plugin_option
@json_option
def show(board: Path, everything: bool, plugin_files: tuple[Path, ...], as_json: bool) -> int:
    """Print the tables, what isn't ranked and why, and what is broken in the repository.

    \b
    Exit codes: 0; 1 something in the repository is broken; 2 a mistake in what was asked for.

    \b
    Examples:
      gf leaderboard list results
      gf leaderboard list results --json
    """
    from gf_core._problems import printable
    from gf_core.leaderboard.board import read_board
    from gf_core.leaderboard.board.claims import read_claims
    from gf_core.leaderboard.board.document import to_document
    from gf_core.leaderboard.board.epochs import agreeing, read_epochs
    from gf_core.leaderboard.board.ranking import rank

    host = make_host(plugin_files)
    found = read_board(board, host)
    claims, unread = read_claims(board)
    found = replace(found, problems=(*found.problems, *read_epochs(board)[1], *unread))
    ranking = rank(found, host, rerun=agreeing(board))
    if as_json:
        print_json("ranking", to_document(found, ranking, claims))
        return REFUSED if found.problems else 0
    for table in ranking.tables:
        _print_table(table)
    if ranking.unranked:
        click.echo("not ranked")
        rows = [[printable(one.played.entry.name), one.played.suite, one.why] for one in ranking.unranked]
        print_table(["entry", "suite", "why"], rows)
        click.echo("")
    if claims:
        click.echo("self-reported, counted by nobody here")
        rows = [[printable(c["name"]), printable(c["source"]), _told(c)] for c in claims]
        print_table(["claim", "source", "reports"], rows)
        click.echo("")
    withdrawn = [entry for entry in found.entries if not entry.listed]
    if everything and withdrawn:
        click.echo("withdrawn")
        print_table(["entry", "id", "why"], [[printable(e.name), e.id, _reason(e)] for e in withdrawn])
        click.echo("")
    if not found.entries:
        click.echo(f"no entries yet: `gf leaderboard add {board} FILE.zip`")
    return _tell_problems(found)


def _tell_problems(board: Board) -> int:
    for problem in board.problems:
        click.echo(f"broken: {problem.where}: {problem.what}", err=True)
    return REFUSED if board.problems else 0


def _told(claim: Mapping[str, Any]) -> str:
    from gf_core._problems import printable

    parts = (f"{one['on']}: {one['rate']} {100 * one['value']:.1f} %" for one in claim["results"])
    return printable("; ".join(parts))


def _reason(entry: Entry) -> str:
    from gf_core._problems import printable

    return printable(entry.reason)


def _print_table(table: Table) -> None:
    names = list(dict.fromkeys(name for place in table.places for name in place.played.rates.get(table.split, {})))
    click.echo(f"{table.suite.id} · {table.track} · {table.division} division · {table.tier}, by {table.split}")
    headers = ["rank", "", "entry", *names, "id"]
    print_table(headers, [_row(place, table.split, names) for place in table.places])
    click.echo("")


def _row(place: Place, split: str, names: list[str]) -> list[str]:
    from gf_core._problems import printable
    from gf_core.reporting.tables import percent

    rates = place.played.rates.get(split, {})
    ranks = f"{place.best}" if place.best == place.worst else f"{place.best}-{place.worst}"
    cells = [percent(rates[name].estimate, rates[name].interval) if name in rates else "" for name in names]
    return [ranks, place.letters, printable(place.played.entry.name), *cells, place.played.entry.id]


def _changed(board: Path, entry: str, what: Change, reason: str, date: str | None) -> None:
    from gf_core.leaderboard.board import change

    check_date(date)
    found = change(board, entry, what, reason, date=date)
    still = "; it is disputed still" if what == "restored" and found.against else ""
    click.echo(f"{found.id}: {'dispute lifted' if what == 'lifted' else what}{still}", err=True)


@click.command("remove")
@DIR
@click.argument("entry")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is shown.")
@click.option("--restore", is_flag=True, help="Take the withdrawal back; a dispute stays.")
@DATE
def remove(board: Path, entry: str, reason: str, restore: bool, date: str | None) -> None:
    """Withdraw an entry: it leaves all tables. Its folder stays, so that what was published can be looked up.

    \b
    Examples:
      gf leaderboard remove results 2026-01-31-mine-1a2b3c4d --reason "handed in with the wrong card"
    """
    _changed(board, entry, "restored" if restore else "withdrawn", reason, date)


@click.command("dispute")
@DIR
@click.argument("entry")
@click.option("--reason", required=True, metavar="TEXT", help="What is wrong, or how it was settled; it is shown.")
@click.option("--lift", is_flag=True, help="The dispute is settled; a withdrawal stays.")
@DATE
def dispute(board: Path, entry: str, reason: str, lift: bool, date: str | None) -> None:
    """Mark an entry as disputed: it stays visible, with the reason, and isn't ranked.

    \b
    Examples:
      gf leaderboard dispute results 2026-01-31-mine-1a2b3c4d --reason "trained on val, see the discussion"
      gf leaderboard dispute results 2026-01-31-mine-1a2b3c4d --lift --reason "it wasn't"
    """
    _changed(board, entry, "lifted" if lift else "disputed", reason, date)


@click.command("claim")
@DIR
@click.argument("file", type=click.Path(path_type=Path), metavar="CLAIM.json")
@DATE
def claim(board: Path, file: Path, date: str | None) -> None:
    """List a result that somebody reports and nobody here counted, with its source. Claims are never ranked.

    \b
    Examples:
      gf leaderboard claim results paper.json
    """
    from gf_core.leaderboard.board.claims import CLAIMS, add_claim

    check_date(date)
    click.echo(f"{CLAIMS}/{add_claim(board, file, date=date)}: listed as self-reported", err=True)


@click.command("comment")
@click.argument("file", type=click.Path(path_type=Path), metavar="VERDICT.json")
def comment(file: Path) -> None:
    """Print what `check --json` found as a comment in Markdown. The file is read as a stranger's.

    \b
    Examples:
      gf leaderboard comment verdict.json > comment.md
    """
    from gf_core.leaderboard.comment import MAX_BYTES, as_comment
    from gf_core.schemas import parse_json, read_bounded, validate

    document = parse_json(read_bounded(file, MAX_BYTES), source=str(file))
    validate(document, "verdict", source=str(file))
    assert isinstance(document, dict)
    click.echo(as_comment(document), nl=False)


def check_date(date: str | None) -> None:
    """Nothing, for a day or none. Raises GrinningFaceError."""
    import datetime
    import re

    if date is None:
        return
    try:
        # Python takes other ways to write a day, documents don't.
        if not re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", date):
            raise ValueError
        datetime.date.fromisoformat(date)
    except ValueError as error:
        raise GrinningFaceError(f"{date!r} is no day", where="--date", hint="write it as 2026-01-31") from error


COMMANDS = (init, add, check, film, show, remove, dispute, claim, comment)
