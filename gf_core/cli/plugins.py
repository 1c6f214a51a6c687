"""`gf plugins`: which plugins are loaded, and why others are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gf_core.cli._common import json_option, make_host, plugin_option, print_json, print_table
from gf_core.cli._extra import extra_commands
from gf_core.plugins import PluginHost, PluginStatus
from gf_core.specs import to_json


@click.group(no_args_is_help=True)
def command() -> None:
    """Show which plugins are loaded, and why others are not.

    \b
    GF_DISABLE_PLUGINS=name,name  doesn't import these plugins or distributions
    GF_PLUGIN_AUTOLOAD=0          loads only files given with --plugin

    \b
    Example:
      gf plugins list
    """


@command.command("list")
@json_option
@plugin_option
def list_command(as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """List every plugin with its state: loaded, disabled, failed or incompatible.

    \b
    Examples:
      gf plugins list
      gf plugins list --json --plugin ./my_plugin.py
    """
    host = make_host(plugin_files, strict=False)
    warnings = _warnings(host)
    if as_json:
        print_json("plugins", {"plugins": to_json(host.plugins), "warnings": warnings})
        return
    rows = [
        [status.name, f"{status.distribution} {status.version}".rstrip(), status.state, status.reason or _summary(status)]
        for status in host.plugins
    ]
    print_table(["plugin", "distribution", "state", ""], rows)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


@command.command("show")
@click.argument("name")
@json_option
@plugin_option
def show_command(name: str, as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """Show a plugin, or every plugin of a distribution: what it registered, how long it took, what is wrong with it.

    \b
    Examples:
      gf plugins show gf_envs
      gf plugins show grinningface --json
    """
    host = make_host(plugin_files, strict=False)
    found = host.named(name)
    if as_json:
        print_json("plugins", {"plugins": to_json(found), "warnings": _warnings(host)})
        return
    click.echo("\n\n".join("\n".join(_lines(status)) for status in found))


def _warnings(host: PluginHost) -> list[str]:
    from gf_core.cli.main import COMMANDS

    return [*host.warnings, *extra_commands(COMMANDS)[1]]


def _summary(status: PluginStatus) -> str:
    notes = [_count(status.ids, "id"), _count(status.warnings, "warning"), _count(status.observer_errors, "observer error")]
    return ", ".join(note for note in notes if note)


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}" if items else ""


def _lines(status: PluginStatus) -> list[str]:
    return [
        status.name,
        f"  distribution  {status.distribution} {status.version}".rstrip(),
        f"  from          {status.source}",
        f"  state         {status.state}" + (f": {status.reason}" if status.reason else ""),
        f"  took          {status.seconds:.3f} s",
        *(f"  warning       {warning}" for warning in (*status.warnings, *status.observer_errors)),
        *(f"  registers     {spec_id}" for spec_id in status.ids),
    ]
