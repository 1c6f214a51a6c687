"""`gf report`: what runs measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import make_host, page_options, plugin_option, print_json
from gf_core.errors import GrinningFaceError

if TYPE_CHECKING:
    from gf_core.evaluation.suites import Suite
    from gf_core.plugins import PluginHost
    from gf_core.reporting import DefaultsLoader, Evidence, RunReport, SuiteLoader
    from gf_core.reporting.film import Watch

WIDTH = 100
"""Columns where there is no terminal, and the most that are used in one."""


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--json", "form", flag_value="json", help="Print JSON instead of text.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV: a row per run, split and rate.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a Markdown table per suite.")
@page_options
@click.option(
    "--probe",
    "probes",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `gf probe` wrote about a run's checkpoint, for the inheritance gap; found by itself beside it. Repeatable.",
)
@plugin_option
def command(
    runs: Sequence[Path],
    form: str | None,
    page: Path | None,
    no_gallery: bool,
    file: Path | None,
    probes: tuple[Path, ...],
    plugin_files: tuple[Path, ...],
) -> None:
    """Show what runs measured, per suite and split, with 95 % intervals and what guessing scores.

    RUN is a directory that `gf run` wrote, finished or not, or a directory that holds several.

    \b
    Examples:
      gf report runs/expert
      gf report runs --markdown
      gf report runs/a runs/b --json
      gf report runs --html report.html
    """
    from gf_core.reporting import attach_probes, check_place, find_runs, read_evidence, to_csv, to_document, to_markdown

    if page is not None:
        check_place(page)
    host = make_host(plugin_files)
    load_suite, load_defaults = suite_loader(file, host), defaults_loader(host)
    evidence = attach_probes([read_evidence(path, load_suite, load_defaults) for path in find_runs(runs)], probes)
    reports = [one.report for one in evidence]
    if page is not None:
        _write_page(page, evidence, host, gallery=not no_gallery, silent=form is not None)
    if form == "json":
        print_json("report", to_document(reports, evidence))
    elif form == "csv":
        click.echo(to_csv(reports), nl=False)
    elif form == "markdown":
        click.echo(to_markdown(reports), nl=False)
    elif page is None:
        print_reports(reports)
        _print_gaps(evidence)


def _print_gaps(evidence: Sequence[Evidence]) -> None:
    """What the vision-language models knew beside what the policies chose, where somebody asked them."""
    from gf_core.cli._common import print_table
    from gf_core.reporting import GAP_HEADERS, gap_rows

    if rows := gap_rows(evidence):
        click.echo("\nInheritance gap: cards that the VLM knew, by likelihood on the first frame, and the policy's choice")
        print_table(GAP_HEADERS, rows)


def _write_page(page: Path, evidence: Sequence[Evidence], host: PluginHost, *, gallery: bool, silent: bool) -> None:
    from gf_core.reporting import html_report, write_page

    with watching() as watch:
        text = html_report(evidence, host, gallery=gallery, watch=watch)
    size = write_page(page, text)
    click.echo(f"wrote {page} ({size / 1e6:.1f} MB)", err=silent)


@contextmanager
def watching() -> Iterator[Watch]:
    """A bar on standard error while the gallery is drawn, if that is a terminal; what environments print goes there, too."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with stdout_to_stderr(), bar as progress:
        task = progress.add_task("drawing the gallery", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def suite_loader(file: Path | None, host: PluginHost) -> SuiteLoader:
    """Loads suites by id, each once; a local/ one from ``file``."""
    from functools import cache

    from gf_core.evaluation.suites import load_suite

    @cache
    def load(reference: str) -> Suite:
        given = file is not None and reference.startswith("local/")
        return load_suite(str(file) if given else reference, host)

    return load


def print_reports(reports: Sequence[RunReport], *, notes: bool = True) -> None:
    """Print what runs measured, explained by ``notes``: with colours and whiskers in a terminal, aligned text elsewhere."""
    from gf_core.reporting import plain, render

    if not sys.stdout.isatty():
        click.echo(plain(render(reports, width=WIDTH, notes=notes)), nl=False)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    width = min(shutil.get_terminal_size().columns, WIDTH)
    drawable = not console.is_dumb_terminal and console.encoding.startswith("utf")
    for line in render(reports, width=width, whiskers=drawable, notes=notes):
        console.print(Text.assemble(*line), soft_wrap=True)


def defaults_loader(host: PluginHost) -> DefaultsLoader:
    """The defaults of policies that are known here, by id."""
    from gf_core.schemas import default_settings

    def load(policy: str) -> Mapping[str, Any]:
        try:
            return default_settings(host.policies.get(policy).config_schema)
        except GrinningFaceError:
            return {}

    return load
