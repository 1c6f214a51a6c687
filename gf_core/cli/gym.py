"""`gf gym`: suites of gymnasium environments that a file describes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gf_core.errors import GrinningFaceError


@click.group("gym", no_args_is_help=True)
def command() -> None:
    """Evaluate on a third party's gymnasium environment, which a JSON file describes.

    \b
    Example:
      gf gym suite pusht.json --episodes 50 --out pusht-50.json
      gf run pusht-50.json --plugin pusht.json --policy gf/random-v1
    """


@command.command("suite")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--episodes", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many, one for each seed.")
@click.option("--first-seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seeds ascend from here.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.json", help="Where to write the suite.")
def suite_command(file: Path, episodes: int, first_seed: int, out: Path) -> None:
    """Write a suite of the environment that FILE describes: an episode for each seed.

    The environment is made and played for a few steps, and what FILE says of it is held against it.

    \b
    Example:
      gf gym suite pusht.json --episodes 50 --out pusht-50.json
    """
    from gf_core.gymnasium_files import read
    from gf_core.gymnasium_files.suite import suite_document

    if out.exists():
        raise GrinningFaceError("it exists, and a suite never changes", where=f"--out {out}", hint="name another file")
    if out.suffix != ".json":
        raise GrinningFaceError("a suite's file ends in .json", where=f"--out {out}")
    suite, notes = suite_document(read(file), range(first_seed, first_seed + episodes))
    out.write_text(json.dumps(suite, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(out)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"next:  gf run {out} --plugin {file} --policy gf/random-v1", err=True)
