"""`gf plugins search`, `install` and `uninstall`: plugins that others publish."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from gf_core._discovery import GROUP, normalised
from gf_core.cli._common import json_option, print_json, print_table
from gf_core.errors import GrinningFaceError
from gf_core.specs import API_VERSION

if TYPE_CHECKING:
    from gf_core.community.index import Entry
    from gf_core.community.pip import Change
    from gf_core.community.sources import Source

Command = TypeVar("Command", bound=Callable[..., object])

SENSITIVE = ("torch", "numpy", "transformers", "mujoco")
"""Distributions whose versions results depend on."""


def _index_option(command: Command) -> Command:
    text = "An index of plugins: a path, https://… or git+https://…[@REF]. Repeatable.  [default: those of GF_PLUGIN_INDEX]"
    return click.option("--index", "indexes", multiple=True, metavar="PLACE", help=text)(command)


def _yes_option(command: Command) -> Command:
    return click.option("--yes", is_flag=True, help="Don't ask.")(command)


@click.command("search")
@click.argument("words", nargs=-1)
@_index_option
@json_option
def search_command(words: tuple[str, ...], indexes: tuple[str, ...], as_json: bool) -> None:
    """List the plugins of an index in whose names, summaries or ids every one of WORDS is; all of them without WORDS.

    \b
    GF_PLUGIN_INDEX=PLACE,PLACE  the indexes that are asked without --index

    \b
    Examples:
      gf plugins search --index https://example.org/index.json
      gf plugins search diffusion policy --index ./our-index
    """
    from gf_core.community.index import index_places, read_index
    from gf_core.community.installed import find_installed

    entries = [entry for place in index_places(indexes) for entry in read_index(place) if entry.has(words)]
    entries.sort(key=lambda entry: (normalised(entry.name), entry.index))
    here = [find_installed(entry.name) for entry in entries]
    versions = [found.version if found else "" for found in here]
    if as_json:
        found = [_as_json(entry, version) for entry, version in zip(entries, versions, strict=True)]
        print_json("plugin_search", {"api_version": API_VERSION, "plugins": found})
        return
    several = len({entry.index for entry in entries}) > 1
    rows = [
        [entry.name, _standing(entry, version), entry.license, ", ".join(entry.ids), entry.summary, *[entry.index] * several]
        for entry, version in zip(entries, versions, strict=True)
    ]
    print_table(["plugin", "state", "licence", "brings", "summary", *["index"] * several], rows)


def _standing(entry: Entry, version: str) -> str:
    notes = [
        f"withdrawn: {entry.withdrawn}" if entry.withdrawn else "",
        "" if entry.compatible else f"incompatible: made for interface {entry.api_version}, this is {API_VERSION}",
        f"installed {version}" if version else "",
    ]
    return ", ".join(filter(None, notes)) or "available"


def _as_json(entry: Entry, version: str) -> dict[str, object]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "license": entry.license,
        "api_version": entry.api_version,
        "source": entry.source.text,
        "brings": {kind: list(ids) for kind, ids in entry.brings.items()},
        "homepage": entry.homepage,
        "maintainers": list(entry.maintainers),
        "withdrawn": entry.withdrawn,
        "index": entry.index,
        "compatible": entry.compatible,
        "installed": version,
    }


@click.command("install")
@click.argument("wanted", metavar="NAME|REQUIREMENT|PATH")
@_index_option
@click.option("--upgrade", is_flag=True, help="Replace what is installed and fits by what is newer.")
@click.option("--build", is_flag=True, help="Let pip build what has no wheel, which runs code of it.")
@_yes_option
def install_command(wanted: str, indexes: tuple[str, ...], upgrade: bool, build: bool, yes: bool) -> int:
    """Install a plugin with pip, and hold it against the conformance kit.

    A NAME is looked up in an index of plugins. A REQUIREMENT (NAME>=1,<2, git+https://…@TAG, https://….whl) or a PATH (with a /
    in it) goes to pip as it is. What would be installed or changed is shown before, and asked about.

    \b
    Exit codes: 0 it is there, and no check failed; 1 a check failed, or you said no; 2 a mistake, or pip failed.

    \b
    Examples:
      gf plugins install acme-vla --index https://example.org/index.json
      gf plugins install "acme-vla>=0.1,<0.2"
      gf plugins install ./acme-vla
    """
    from gf_core.community.pip import install, plan
    from gf_core.community.sources import given_source, is_name

    entry = _entry(wanted, indexes) if is_name(wanted) else None
    source = entry.source if entry is not None else given_source(wanted)
    if entry is not None:
        _show_entry(entry)
    if source.builds or build:
        what = "builds what has no wheel now, which runs its code" if build else "runs its build code now"
        if not _agreed(f"To find out what {source.text} needs, pip {what}. Do that?", yes):
            return _left()
    changes = plan(source, build=build, upgrade=upgrade)
    if not changes:
        click.echo("that version of it, and what it needs, is installed already")
        return 0
    name = _distribution(changes, source, entry)
    _show_changes(changes, entry)
    if not _agreed(f"Nearly every gf command will import {name}, which can do whatever you can. Install it?", yes):
        return _left()
    install(source, changes, build=build)
    return _check(name)


def _entry(name: str, indexes: Sequence[str]) -> Entry:
    """What an index says of a plugin that may be installed here."""
    from gf_core.community.index import find_entry, index_places
    from gf_core.community.installed import find_installed

    entry = find_entry(name, index_places(indexes))
    if entry.withdrawn:
        raise GrinningFaceError(f"it was withdrawn: {entry.withdrawn}", where=entry.name)
    if not entry.compatible:
        what = f"it is made for version {entry.api_version} of the plugin interface; this is {API_VERSION}"
        hint = "look for a newer one of it" if entry.api_version < API_VERSION else "update grinningface"
        raise GrinningFaceError(what, where=entry.name, hint=hint)
    here = find_installed(entry.name)
    if here is not None and not here.plugins:
        what = f"{here.name} {here.version} is installed here and no plugin"
        raise GrinningFaceError(what, where=entry.index, hint="tell who keeps the index; pip itself can replace it")
    return entry


def _distribution(changes: Sequence[Change], source: Source, entry: Entry | None) -> str:
    """The name of what was asked for, if these changes may be made for it."""
    from gf_core._loader import OWN_DISTRIBUTION

    for change in changes:
        if normalised(change.name) == OWN_DISTRIBUTION:
            what = f"that would put grinningface {change.version} into the place of this program, {change.before or 'another'}"
            hint = "install that one with pip first, or give the plugin an environment of its own (gf run --isolate)"
            raise GrinningFaceError(what, where=source.text, hint=hint)
    name = changes[0].name if changes[0].requested else source.name  # it is there already, and something that it needs isn't
    if not name:
        what = f"it is installed already, and {', '.join(change.name for change in changes)}, which it needs, isn't"
        raise GrinningFaceError(what, where=source.text, hint="say its name, too: NAME @ URL; or install that with pip")
    if source.name and normalised(name) != normalised(source.name):
        who = f"the index {entry.index}" if entry else "you"
        raise GrinningFaceError(f"it is {name}, and {who} said {source.name}", where=source.text, hint="nothing was installed")
    return name


def _show_entry(entry: Entry) -> None:
    click.echo(f"{entry.name}: {entry.summary}")
    people = ", ".join(entry.maintainers)
    for label, text in (
        ("index", entry.index),
        ("source", entry.source.text),
        ("brings", ", ".join(entry.ids)),
        ("licence", entry.license),
        ("interface", f"{entry.api_version}, as this program's"),
        ("homepage", entry.homepage),
        ("by", people),
    ):
        if text:
            click.echo(f"  {label:<11}{text}")


def _show_changes(changes: Sequence[Change], entry: Entry | None) -> None:
    click.echo("pip would install:")
    for change in changes:
        kind = "new" if not change.before else "again" if change.before == change.version else "changed"
        version = f"{change.before} -> {change.version}" if kind == "changed" else change.version
        how = "" if change.wheel else ", built from source"
        place = f"{change.url} at {change.commit}" if change.commit else change.url
        click.echo(f"  {kind:<9}{change.name} {version}  ({change.license or 'no licence stated'}{how})  {place}")
    said = changes[0].license if changes[0].requested else ""
    if entry is not None and said and said != entry.license:
        _warn(f"the index says {entry.license}, and {changes[0].name} itself says {said}")
    for change in changes:
        if change.before and change.before != change.version and normalised(change.name) in SENSITIVE:
            _warn(f"{change.name} {change.before} becomes {change.version}: results depend on it, and other plugins may, too")


def _warn(text: str) -> None:
    click.secho(f"warning: {text}", err=True, fg="red", bold=True)


def _agreed(question: str, yes: bool) -> bool:
    """The answer to a question; without a terminal nobody can give one."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise GrinningFaceError("nobody can be asked here, so nothing was done", hint="--yes goes on unasked")
    return click.confirm(question, err=True)


def _left() -> int:
    click.echo("nothing was changed", err=True)
    return 1


def _check(name: str) -> int:
    """Hold what was installed against the kit, in a process of its own."""
    from gf_core.community.installed import find_installed

    found = find_installed(name)
    if found is None or not found.plugins:
        what = f"{name} has no entry point in the group {GROUP!r}, so it is no plugin"
        click.echo(f"{what}: `pip uninstall {name}` removes it", err=True)
        return 1
    click.echo(f"installed {found.name} {found.version}; checking it", err=True)
    command = [sys.executable, "-P", "-m", "gf_core.cli.main", "plugins", "check", found.name]
    with tempfile.TemporaryDirectory() as elsewhere:  # a folder of that name in the working directory isn't what was installed
        code = subprocess.run(command, cwd=elsewhere, check=False).returncode
    if code:
        what = "doesn't pass the kit" if code == 1 else "couldn't be checked"
        click.echo(f"{found.name} is installed and {what}: `gf plugins uninstall {found.name}` removes it", err=True)
    return 1 if code else 0


@click.command("uninstall")
@click.argument("name")
@_yes_option
def uninstall_command(name: str, yes: bool) -> int:
    """Remove a distribution that brings plugins. What it needs stays. Nothing of it is imported.

    \b
    Exit codes: 0 it is gone; 1 you said no; 2 a mistake, or pip failed.

    \b
    Example:
      gf plugins uninstall acme-vla
    """
    from gf_core.community.installed import find_plugin, needed_by
    from gf_core.community.pip import uninstall

    found = find_plugin(name)
    click.echo(f"{found.name} {found.version}")
    for label, text in (
        ("in", found.folder),
        ("files", str(found.files)),
        ("plugins", ", ".join(found.plugins)),
        ("needed by", ", ".join(needed_by(found.name))),
    ):
        if text:
            click.echo(f"  {label:<11}{text}")
    if not _agreed(f"Remove {found.name}?", yes):
        return _left()
    uninstall(found.name)
    click.echo(f"removed {found.name}")
    return 0
