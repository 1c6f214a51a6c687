"""`gf study pack`: a study's results as one file, and those of several machines together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gf_core.cli._common import json_option
from gf_core.cli.study_states import tell_states


@click.command("pack", short_help="Write what a study's report is counted from as one file.")
@click.argument("places", type=click.Path(path_type=Path), metavar="DIR...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", required=True, help="The file, a zip.")
@json_option
def command(places: Sequence[Path], out: Path, as_json: bool) -> None:
    """Write one FILE of what the report of the study in DIR is counted from: its document, and each cell's record, probe, losses
    and episodes. Without data, weights, trajectories and logs it is small enough to be published; `gf study report FILE` has the
    same numbers.

    Several DIRs, or files that were packed before, must be of the same study: their cells come together, as when several
    machines computed them. A cell that isn't finished in one is taken from another.

    \b
    Examples:
      gf study pack studies/inheritance --out inheritance.zip
      gf study pack from-laptop from-cluster earlier.zip --out inheritance.zip
      gf study report inheritance.zip --html report.html
    """
    from gf_core.reporting import check_place
    from gf_core.studies.packing import pack

    check_place(out)
    packed = pack(places, out)
    click.echo(f"wrote {out} ({packed.size / 1e6:.1f} MB)", err=as_json)
    tell_states(packed.study, packed.states, as_json)
    left_out = sum(state.record is None or state.damaged for state in packed.states)
    if left_out and not as_json:
        click.echo(f"{left_out} of them have no results yet, or none that can be read, and aren't in it")
    if packed.done and not as_json:
        click.echo(f"reported with  gf study report {out}")
