"""What packages ship: documents by name (recipes, studies), and folders (models, checkpoints)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from gf_core.errors import GrinningFaceError, did_you_mean

PACKAGE = "package:"
"""Begins the name of a folder inside an installed package: ``package:NAME/FOLDER``."""


def shipped(group: str) -> dict[str, Path]:
    """Documents of installed packages: name to file. Packages offer folders by an entry-point group, e.g.
    ``grinningface.recipes``, with entries ``NAME = "package:folder"``."""
    from importlib.metadata import entry_points
    from importlib.resources import files

    found: dict[str, Path] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package, _, folder = entry.value.partition(":")
        for path in sorted(Path(str(files(package).joinpath(folder))).glob("*.json")):
            found.setdefault(path.stem, path)
    return found


def find_shipped(reference: str, group: str, what: str) -> Path:
    """The file of a document: a path, or the name of a shipped one.

    Raises:
        GrinningFaceError: there is none; it calls it ``what``.
    """
    path = Path(reference)
    if path.is_file():
        return path
    known = shipped(group)
    if reference in known:
        return known[reference]
    hint = did_you_mean(reference, known) or f"shipped are {', '.join(sorted(known)) or 'none'}"
    raise GrinningFaceError(f"there is no {what} {reference!r}", hint=f"give a JSON file or a shipped one's name; {hint}")


def folder_of(name: str, *, where: str) -> Path:
    """The folder that a setting names: a path, or ``package:NAME/FOLDER`` for one inside an installed package, which isn't
    imported. Only a package's folder is known to be there.

    Args:
        name: the setting.
        where: its name, for errors.

    Raises:
        GrinningFaceError: there is no such package, or it has no such folder.
    """
    if not name.startswith(PACKAGE):
        return Path(name).expanduser()
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    # Only packages at the top: to find one inside another would import that one.
    try:
        found = find_spec(package) if package.isidentifier() else None
    except ValueError:  # __main__ has no spec
        found = None
    if found is None or not found.submodule_search_locations:
        hint = f"write {PACKAGE}NAME/FOLDER, and install the package"
        raise GrinningFaceError(f"there is no package {package!r}", where=where, hint=hint)
    for root in found.submodule_search_locations:
        if (folder := Path(root) / inside).is_dir():
            return folder
    raise GrinningFaceError(f"package {package!r} has no folder {inside!r}", where=where)


def known_folder(name: str) -> Path | None:
    """:func:`folder_of`, or ``None`` where no installed package has it."""
    try:
        return folder_of(name, where="")
    except GrinningFaceError:
        return None
