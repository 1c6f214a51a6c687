"""Documents that packages ship by name: recipes, studies."""

from __future__ import annotations

from pathlib import Path

from gf_core.errors import GrinningFaceError, did_you_mean


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
