"""What the commands share: options, the plugin host, and how tables and JSON are printed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from gf_core._discovery import LOCAL, stdout_to_stderr
from gf_core._json import MAX_INT

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Command = TypeVar("Command", bound=Callable[..., object])
Found = TypeVar("Found")

DOCUMENT_VERSION = "1.0"
"""Version of the documents that ``--json`` prints; they only gain keys within a major version."""

SEED = click.IntRange(0, MAX_INT)
"""The type of options that are seeds: they are written down, and no document holds a larger integer."""


def plugin_option(command: Command) -> Command:
    """Add ``--plugin FILE``, repeatable, as the argument ``plugin_files``."""
    return click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Also load this file as a plugin, in the namespace local/: Python, or JSON of a gymnasium environment. Repeatable.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json`` as the argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


def page_options(command: Command) -> Command:
    """Add ``--html`` as ``page``, ``--no-gallery`` and ``--suite`` as ``file``: of commands that report as a page too."""
    page = click.option(
        "--html",
        "page",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write one page that needs nothing else.",
    )
    gallery = click.option(
        "--no-gallery", is_flag=True, help="With --html: without single episodes, whose pictures take most of the time."
    )
    suite = click.option(
        "--suite", "file", type=click.Path(path_type=Path), metavar="FILE", help="The file of a local/ suite that was run."
    )
    return page(gallery(suite(command)))


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Callback of options that click's ranges would let ``nan`` and ``inf`` through."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} isn't a finite number.", context, parameter)
    return value


def make_host(plugin_files: Sequence[Path] = (), *, strict: bool = True) -> PluginHost:
    """The plugin host of a command.

    Args:
        plugin_files: from ``--plugin``.
        strict: whether a file that was asked for and isn't loaded is an error; warnings are printed then. Commands that list
            plugins aren't strict: they show both themselves.

    Raises:
        PluginError: such a file, with its reason.
    """
    from gf_core.plugins import load_plugins

    host = load_plugins(plugin_files)
    if not strict:
        return host
    warnings = list(host.warnings)
    for status in host.require(LOCAL) if host.files else ():
        warnings += [f"{status.source}: {warning}" for warning in status.warnings]
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return host


def aside(found: Iterator[Found]) -> Iterator[Found]:
    """What an iterator yields; what plugins print while it works goes to standard error."""
    while True:
        with stdout_to_stderr():
            try:
                one = next(found)
            except StopIteration:
                return
        yield one


def print_json(kind: str, content: Mapping[str, object]) -> None:
    """Print ``content`` as a document with ``schema_version`` and ``kind``."""
    click.echo(json.dumps({"schema_version": DOCUMENT_VERSION, "kind": kind, **content}, indent=2, allow_nan=False))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headers: drawn in a terminal, aligned text elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    for row in (headers, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
