"""Commands that other distributions add, from the entry-point group ``grinningface.commands``.

They are found by their metadata and imported when used. A name of a built-in command is ignored, and so is one that two
distributions have, whatever the order of loading.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import click

from gf_core._discovery import COMMANDS_GROUP, Candidate, disabled_by, installed
from gf_core.errors import PluginError
from gf_core.registry import one_line


def extra_commands(built_in: Collection[str]) -> tuple[dict[str, Candidate], list[str]]:
    """The commands that plugins add, by name, and a warning for each that is ignored.

    Raises:
        GrinningFaceError: ``GF_PLUGIN_AUTOLOAD`` is neither 0 nor 1.
    """
    claims: dict[str, list[Candidate]] = {}
    for candidate in installed(COMMANDS_GROUP):
        if not disabled_by(candidate, os.environ):
            claims.setdefault(candidate.name, []).append(candidate)
    warnings = []
    for name in sorted(claims):
        who = " and ".join(candidate.distribution for candidate in claims[name])
        if name in built_in:
            warnings.append(f"the command {name!r} of {who} is ignored: a built-in command has that name")
        elif len(claims[name]) > 1:
            warnings.append(f"the command {name!r} is ignored: {who} each bring one")
    usable = {name: found[0] for name, found in sorted(claims.items()) if len(found) == 1 and name not in built_in}
    return usable, warnings


def load_command(candidate: Candidate) -> click.Command:
    """The command behind an entry point.

    Raises:
        PluginError: it can't be imported, or isn't a click command.
    """
    where = f"the command {candidate.name!r} of {candidate.distribution} {candidate.version}".rstrip()
    try:
        found = candidate.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a plugin can't end its host
        raise PluginError(f"it can't be loaded from {candidate.source!r} ({one_line(error)})", where=where) from error
    if not isinstance(found, click.Command):
        raise PluginError(f"{candidate.source!r} is a {type(found).__name__}, not a click command", where=where)
    return found
