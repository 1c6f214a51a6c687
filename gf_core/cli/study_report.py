"""`gf study report`: what a study came to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gf_core.cli._common import json_option, make_host, page_options, plugin_option, print_json
from gf_core.cli.report import WIDTH, defaults_loader, suite_loader, watching

if TYPE_CHECKING:
    from gf_core.studies.report.evidence import StudyEvidence


@click.command("report", short_help="Show what a study came to, finished or not.")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@page_options
@click.option("--no-links", is_flag=True, help="With --html: without links to DIR, for a page that goes where DIR doesn't.")
@plugin_option
@json_option
def command(
    directory: Path,
    page: Path | None,
    no_gallery: bool,
    no_links: bool,
    file: Path | None,
    plugin_files: Sequence[Path],
    as_json: bool,
) -> None:
    """Show what the study in DIR, a directory or a file that `gf study pack` wrote, came to: each arm's rates over its seeds, the
    contrasts that the study named, probes, sweeps, and which cells are missing and why.

    \b
    Examples:
      gf study report studies/inheritance
      gf study report studies/inheritance --html studies/inheritance/report.html
      gf study report studies/inheritance --html to-send.html --no-links
      gf study report inheritance.zip --json
    """
    from gf_core.reporting import check_place, write_page
    from gf_core.studies.packing import opened
    from gf_core.studies.report import study_page, to_document
    from gf_core.studies.report.evidence import read_evidence_of_study

    if page is not None:
        check_place(page)
    host = make_host(plugin_files)
    with opened(directory) as folder:
        evidence = read_evidence_of_study(folder, suite_loader(file, host), defaults_loader(host))
        kept = folder == directory  # what a pack unzips to has no trajectories, and is gone before the page is read
        if page is not None:
            gallery, links = kept and not no_gallery, kept and not no_links
            with watching() as watch:
                text = study_page(evidence, host, page, gallery=gallery, links=links, watch=watch)
    if page is not None:
        size = write_page(page, text)
        click.echo(f"wrote {page} ({size / 1e6:.1f} MB)", err=as_json)
    if as_json:
        print_json("study_report", to_document(evidence))
    elif page is None:
        _print(evidence)


def _print(evidence: StudyEvidence) -> None:
    from gf_core.reporting import plain
    from gf_core.studies.report import render_study

    if not sys.stdout.isatty():
        click.echo(plain(render_study(evidence, width=WIDTH)), nl=False)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in render_study(evidence, width=min(shutil.get_terminal_size().columns, WIDTH)):
        console.print(Text.assemble(*line), soft_wrap=True)
