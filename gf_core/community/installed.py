"""Distributions that are installed here, by their metadata: nothing of them is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from gf_core._discovery import GROUP, normalised
from gf_core._loader import OWN_DISTRIBUTION
from gf_core._problems import printable
from gf_core.errors import GrinningFaceError, UnknownIdError, did_you_mean

_SECTION = re.compile(rf"\[\s*{GROUP}(\.\w+)?\s*\]")


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A distribution that is installed.

    Attributes:
        name: as its metadata writes it.
        version: of it.
        folder: where it lies.
        plugins: lines of its entry points of this program; none for a distribution that has nothing to do with it.
        files: how many files it has; 0 where it doesn't say.
    """

    name: str
    version: str
    folder: str
    plugins: tuple[str, ...]
    files: int


def find_installed(name: str) -> Installed | None:
    """The distribution with this name, as imports would find it; ``None`` for none.

    Args:
        name: however it is written.
    """
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    return Installed(
        name=_field(found, "Name") or name,
        version=_field(found, "Version"),
        folder=str(found.locate_file("")),
        plugins=tuple(_plugin_lines(found)),
        files=len(found.files or ()),
    )


def find_plugin(name: str) -> Installed:
    """The distribution with this name, which brings plugins and isn't this program.

    Raises:
        UnknownIdError: it isn't installed.
        GrinningFaceError: it has nothing to do with this program, or is it.
    """
    found = find_installed(name)
    if found is None:
        names = [_field(one, "Name") for one in metadata.distributions() if list(_plugin_lines(one))]
        hint = did_you_mean(name, names) or "`gf plugins list` shows distributions that bring plugins"
        raise UnknownIdError(f"no distribution {name!r} is installed", hint=hint)
    if normalised(found.name) == OWN_DISTRIBUTION:
        raise GrinningFaceError("that is this program itself", where=found.name, hint=f"`pip uninstall {found.name}` removes it")
    if not found.plugins:
        what = f"it has no entry point in the group {GROUP!r}, so it is no plugin"
        raise GrinningFaceError(what, where=found.name, hint=f"`pip uninstall {found.name}` removes it")
    return found


def requirements_of(name: str) -> list[str]:
    """What an installed distribution needs, as its metadata writes it; nothing for one that isn't there."""
    try:
        return metadata.requires(name) or [] if name else []
    except metadata.PackageNotFoundError:
        return []


def needed_by(name: str) -> list[str]:
    """Names of installed distributions that require this one."""
    return sorted({_field(one, "Name") for one in metadata.distributions() if normalised(name) in _requires(one)})


def _field(distribution: metadata.Distribution, key: str) -> str:
    """What metadata says, printable; empty where it says nothing or can't be read."""
    try:
        return printable(str(distribution.metadata[key] or ""))
    except (OSError, ValueError, KeyError):
        return ""


def _requires(distribution: metadata.Distribution) -> set[str]:
    try:
        lines = [line for line in distribution.requires or () if "extra ==" not in line]
    except (OSError, ValueError):  # one that is damaged keeps nobody from removing another
        return set()
    return {normalised(match[0]) for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line))}


def _plugin_lines(distribution: metadata.Distribution) -> Iterator[str]:
    """Read as text: a file that no parser takes still says that the distribution means to be a plugin."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return
    mine = False
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            mine = _SECTION.fullmatch(line) is not None
        elif mine:
            yield printable(line)
