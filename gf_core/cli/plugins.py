"""`gf plugins`: which plugins are loaded, and why others are not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import click

from gf_core._discovery import stdout_to_stderr
from gf_core.cli._common import json_option, make_host, plugin_option, print_json, print_table
from gf_core.cli._extra import extra_commands
from gf_core.cli.plugins_install import install_command, search_command, uninstall_command
from gf_core.errors import GrinningFaceError
from gf_core.plugin_template import KINDS
from gf_core.plugins import PluginHost, PluginStatus
from gf_core.specs import to_json


@click.group("plugins", no_args_is_help=True)
def command() -> None:
    """Show which plugins are loaded, and why others are not; find, install, write and check others.

    \b
    GF_DISABLE_PLUGINS=name,name  doesn't import these plugins or distributions
    GF_PLUGIN_AUTOLOAD=0          loads only files given with --plugin

    \b
    Example:
      gf plugins list
    """


for _other in (search_command, install_command, uninstall_command):
    command.add_command(_other)


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


@command.command("new")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write it.  [default: NAME]")
def new_command(kind: str, name: str, out: Path | None) -> None:
    """Write a new distribution with a part of the kind: it installs, passes its tests and the kit as it is.

    NAME is the distribution's, and the namespace of its ids: a-z, 0-9 and hyphens.

    \b
    Examples:
      gf plugins new policy acme-vla
      pip install -e "acme-vla[test]" && gf plugins check acme-vla && pytest acme-vla
    """
    from gf_core.plugin_template import write_plugin

    folder = out or Path(name)
    for path in write_plugin(kind, name, folder):
        click.echo(path)
    click.echo(f'next:  pip install -e "{folder}[test]"  then  gf plugins check {name}', err=True)


@command.command("check")
@click.argument("name", metavar="NAME|FILE|DIR")
@click.option("--suite", default="gf/smoke@1", show_default=True, metavar="SUITE", help="What policies are tried on.")
@click.option(
    "--set", "settings", multiple=True, metavar="ID:KEY=VALUE", help="A setting of what has none by default. Repeatable."
)
@json_option
@plugin_option
def check_command(name: str, suite: str, settings: tuple[str, ...], as_json: bool, plugin_files: tuple[Path, ...]) -> int:
    """Hold a plugin against the conformance kit: that of a distribution, of an entry point, of a file, or of a project's
    directory, which needn't be installed.

    It is loaded, what it brings is imported, policies are asked a few questions in different ways, environments are stepped
    and replayed, decks and suites are read.

    \b
    Exit codes: 0 nothing failed; 1 a check failed; 2 a mistake in what was asked for.

    \b
    Examples:
      gf plugins check acme-vla
      gf plugins check ./my_plugin.py --suite gf/quick@1
      gf plugins check acme-vla --set acme-vla/open-v1:checkpoint=./weights
    """
    from gf_core.testing.kit import CHECKS, check_plugin
    from gf_core.testing.projects import as_installed, is_project

    given = _by_id(settings)
    with contextlib.ExitStack() as stack:
        file = [Path(name)] if name.endswith((".py", ".json")) else []
        if is_project(name):
            click.echo(f"checking the project in {name}", err=True)
            name = stack.enter_context(as_installed(Path(name)))
        host = make_host([*file, *plugin_files], strict=False)
        stack.enter_context(stdout_to_stderr())  # what plugins print
        found = check_plugin(Path(name).name.removesuffix(".py") if file else name, host, suite=suite, settings=given)
    failed = [one for one in found if one.outcome == "fail"]
    if as_json:
        print_json("kit", {"checks": [{**to_json(one), "title": CHECKS[one.code]} for one in found]})
    else:
        for one in failed:
            click.echo(f"failed   {one.code}  {one.subject}: {CHECKS[one.code]}\n         {one.detail}")
        skipped: dict[tuple[str, str], list[str]] = {}
        for one in found:
            if one.outcome == "skip":
                skipped.setdefault((one.subject, one.detail), []).append(one.code)
        for (subject, detail), codes in skipped.items():
            click.echo(f"skipped  {', '.join(codes)}  {subject}\n         {detail}")
        passed = sum(one.outcome == "pass" for one in found)
        click.echo(f"{passed} of {len(found)} checks passed, {len(failed)} failed, {sum(map(len, skipped.values()))} skipped")
    return 1 if failed else 0


def _by_id(settings: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in settings:
        spec_id, colon, pair = text.partition(":")
        if not colon or "=" not in pair:
            raise GrinningFaceError(f"{text!r} isn't ID:KEY=VALUE", where="--set")
        found.setdefault(spec_id, []).append(pair)
    return found


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
