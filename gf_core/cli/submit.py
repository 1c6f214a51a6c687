"""`gf submit`: write a submission."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gf_core.cli._common import json_option, make_host, plugin_option
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.canonical import JSON


@click.group(name="submit", short_help="Pack runs into a submission.")
def command() -> None:
    """Pack runs into a submission, and check it as a maintainer will.

    \b
    Examples:
      gf submit card --out card.json
      gf submit pack runs/mine --card card.json --out mine.zip
      gf submit check mine.zip
    """


@command.command("card")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to a new file.")
def card(out: Path | None) -> None:
    """Print an empty card, with a note on what belongs in each field."""
    from gf_core.leaderboard.card import template

    if out is None:
        click.echo(template(), nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise GrinningFaceError("it is there already", where=str(out), hint="give another --out") from None
    click.echo(f"wrote {out}: fill it in, then `gf submit pack RUN... --card {out} --out FILE.zip`", err=True)


@command.command("pack")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--card", "card_file", type=click.Path(path_type=Path), metavar="FILE", help="The card, as far as it is filled in.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.zip", help="What to write.")
@click.option(
    "--probe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `gf probe` wrote of the checkpoint, with one of the suites.",
)
@plugin_option
def pack(runs: tuple[Path, ...], card_file: Path | None, out: Path, probe: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """Write finished runs of one policy and a card as one file.

    What the card lacks is asked for in a terminal; elsewhere it is listed, with exit code 2. What the runs know themselves
    (versions, hashes, rate, chunks, timing, success rule, seeds, platform) is filled in, and what a checkpoint of `gf train`
    knows (backbone, technique, head, trainable parameters, data, cards trained on, recipe), unless the card says otherwise.

    \b
    Examples:
      gf submit card --out card.json
      gf submit pack runs/mine --card card.json --out mine.zip
    """
    from gf_core.leaderboard.card import missing_fields, read_card
    from gf_core.leaderboard.known import known_fields
    from gf_core.leaderboard.pack import pack as write

    if out.suffix != ".zip":
        raise GrinningFaceError("a submission is a .zip file", where="--out", hint=f"try {out.with_suffix('.zip')}")
    found: dict[str, JSON] = {"schema_version": "1.0", "kind": "card"}
    if card_file is not None:
        found = read_card(card_file)
    known = {name: value for name, value in known_fields(runs).items() if name not in found}
    if known:
        click.echo(f"from the checkpoint: {', '.join(known)}", err=True)
    found |= known
    if sys.stdin.isatty():
        found |= _ask(missing_fields(found))
    found.setdefault("date", _today())
    source = str(card_file) if card_file is not None else "card.json"
    packed = write(runs, found, out, make_host(plugin_files), card_source=source, probe=probe)
    for run in packed.manifest["runs"]:
        click.echo(
            f"{run['path']}: {run['policy']} on {run['suite']}, {run['episodes']} episodes, policy seed {run['policy_seed']}"
        )
    click.echo(f"wrote {packed.path} (sha256 {packed.sha256})")
    click.echo(f"checked with  gf submit check {packed.path}")


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@plugin_option
@json_option
def check(file: Path, plugin_files: tuple[Path, ...], as_json: bool) -> int:
    """Hold a submission against the rules: all that a maintainer's `gf leaderboard verify FILE` will say, by the same code.

    \b
    Exit codes: 0 it is at least replayed; 1 it isn't; 2 a mistake in what was asked for.
    """
    from gf_core.cli.leaderboard import check_submissions

    return check_submissions(file, 1, plugin_files, as_json)


def _ask(missing: Mapping[str, Mapping[str, Any]]) -> dict[str, JSON]:
    """Ask for fields of the card, each with its explanation."""
    answers: dict[str, JSON] = {}
    for name, schema in missing.items():
        click.echo(f"\n{name}: {schema['description']}", err=True)
        if "enum" in schema:
            answers[name] = click.prompt(name, type=click.Choice(schema["enum"]), err=True)
        elif schema["type"] == "integer":
            answers[name] = click.prompt(name, type=click.IntRange(schema["minimum"], schema["maximum"]), err=True)
        elif schema["type"] == "array":
            text = click.prompt(f"{name} (separated by commas, empty for none)", default="", show_default=False, err=True)
            answers[name] = [part.strip() for part in text.split(",") if part.strip()]
        else:
            answers[name] = click.prompt(name, err=True)
    return answers


def _today() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).date().isoformat()
