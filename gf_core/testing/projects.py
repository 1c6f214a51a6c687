"""A project's directory, looked at as if it were installed."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from gf_core._discovery import GROUP, normalised
from gf_core.errors import GrinningFaceError


def is_project(name: str) -> bool:
    """Whether a project's directory is meant, and not a plugin of that name: by how it is written, or by what lies there.

    Raises:
        GrinningFaceError: it is written as a directory, and there is none.
    """
    path = Path(name)
    file = path.suffix in (".py", ".json")  # told as such, where it isn't there
    written = name in (".", "..") or ("/" in name and not file)
    if written and not path.is_dir():
        raise GrinningFaceError("there is no such directory", where=name)
    return path.is_dir() and (written or (path / "pyproject.toml").is_file())


@contextmanager
def as_installed(project: Path) -> Iterator[str]:
    """The name of the distribution that a project's directory makes; within, its plugins are found, and imported from there.

    Args:
        project: the directory of pyproject.toml, with packages beside it or in ``src``.

    Raises:
        GrinningFaceError: no pyproject.toml, or one that names no distribution or no plugin.
    """
    file = project / "pyproject.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        what = f"no pyproject.toml can be read ({error})"
        raise GrinningFaceError(what, where=str(project), hint="give a project's directory") from error
    name, points = table.get("name"), table.get("entry-points", {}).get(GROUP, {})
    if not isinstance(name, str) or not points:
        raise GrinningFaceError(f"it has no name, or no plugin in [project.entry-points.{GROUP}]", where=str(file))
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / f"{normalised(name).replace('-', '_')}-0.dist-info"
        info.mkdir()
        version = table.get("version", "0")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}", encoding="utf-8")
        places = [str(project.absolute()), str((project / "src").absolute())]
        finder = _Finder({re.split(r"[.:]", str(value).strip())[0] for value in points.values()}, places)
        sys.path[:] = [folder, *sys.path, *places]
        sys.meta_path.insert(0, finder)
        importlib.invalidate_caches()
        try:
            yield name
        finally:
            sys.meta_path.remove(finder)
            for place in (folder, *places):
                sys.path.remove(place)


class _Finder:
    """Finds the packages of a project's plugins before an installed version of them. Whatever else lies in its directory comes
    last on the path: a script there that is called like a module of Python isn't taken for it.
    """

    def __init__(self, packages: Set[str], places: Sequence[str]) -> None:
        self._packages, self._places = packages, places

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As the import system asks."""
        return PathFinder.find_spec(name, [*self._places, *sys.path], target) if name in self._packages else None
