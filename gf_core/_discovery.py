"""Where plugins come from: entry points of installed distributions, and files. Finding them imports none of them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from gf_core.errors import GrinningFaceError, PluginError
from gf_core.registry import one_line

GROUP = "grinningface"
COMMANDS_GROUP = "grinningface.commands"
LOCAL = "local"
"""The distribution, and the namespace, of everything that comes from a file."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that says that it is a plugin.

    Attributes:
        name: name of the entry point, or the file's stem.
        distribution: as its metadata writes it; ``"local"`` for a file.
        version: of the distribution, or ``"sha256:…"`` of a file's content.
        source: the entry point's value, or the file's name.
        load: imports it.
        packaged: whether a distribution brought it.
    """

    name: str
    distribution: str
    version: str
    source: str
    load: Callable[[], object]
    packaged: bool = True


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it
    (https://packaging.python.org/en/latest/specifications/name-normalization/).
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(group: str = GROUP) -> list[Candidate]:
    """The entry points of a group, of every distribution on ``sys.path``; the first of two with the same name hides the other, as
    for imports. A distribution whose entry points can't be read is a candidate too, one that fails when it is loaded.
    """
    found: list[Candidate] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError) as error:
            found.append(_unreadable(*_identity(distribution), error))
            continue
        if GROUP not in text:  # most distributions: their metadata needn't be parsed
            continue
        name, version = _identity(distribution)
        if normalised(name) not in seen:
            seen.add(normalised(name))
            found += _entry_points(distribution, name, version, group)
    return sorted(found, key=lambda candidate: (normalised(candidate.distribution), candidate.name, candidate.source))


def disabled_by(candidate: Candidate, environ: Mapping[str, str]) -> str:
    """What in the environment disables a candidate; empty if nothing does.

    Raises:
        GrinningFaceError: ``GF_PLUGIN_AUTOLOAD`` is neither 0 nor 1.
    """
    autoload = environ.get("GF_PLUGIN_AUTOLOAD", "") or "1"
    if autoload not in ("0", "1"):
        raise GrinningFaceError(f"{autoload!r} is neither 0 nor 1", where="GF_PLUGIN_AUTOLOAD")
    if candidate.packaged and autoload == "0":
        return "GF_PLUGIN_AUTOLOAD=0"
    mine = {normalised(candidate.name), normalised(candidate.distribution)}
    return next((f"GF_DISABLE_PLUGINS names {name!r}" for name in disabled_names(environ) if normalised(name) in mine), "")


def disabled_names(environ: Mapping[str, str]) -> list[str]:
    """Names of plugins and distributions in ``GF_DISABLE_PLUGINS``."""
    return [name.strip() for name in environ.get("GF_DISABLE_PLUGINS", "").split(",") if name.strip()]


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version; metadata may be damaged."""
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "unnamed", metadata["Version"] or ""
    except Exception as error:  # recorded in the name: whatever a finder of another package raises
        return f"unnamed ({one_line(error, 80)})", ""


def _entry_points(distribution: importlib.metadata.Distribution, name: str, version: str, group: str) -> Iterator[Candidate]:
    try:
        points = [point for point in distribution.entry_points if point.group == group]
    except Exception as error:  # recorded: a malformed line raises whatever the parser stumbles over
        yield _unreadable(name, version, error)
        return
    for point in points:
        load = partial(_import_reference, point.name, point.value)
        yield Candidate(name=point.name, distribution=name, version=version, source=point.value, load=load)


def _unreadable(name: str, version: str, error: Exception) -> Candidate:
    reason = f"its entry_points.txt can't be read ({one_line(error)})"

    def load() -> object:
        raise PluginError(reason)

    return Candidate(name=name, distribution=name, version=version, source="entry_points.txt", load=load)


def _import_reference(name: str, value: str) -> object:
    """What an entry point's value, ``module`` or ``module:attr``, names."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\]\s*)?", value)
    if match is None:
        raise PluginError(f"the entry point {name!r} is {value!r}, which is neither 'module' nor 'module:attr'")
    found: object = importlib.import_module(match[1])
    for attribute in (match[2] or "").split(".") if match[2] else ():
        found = getattr(found, attribute)
    return found


def file_candidate(path: Path) -> Candidate:
    """A plugin in one file: of Python, whose module is called like the file, so ``entry_point="my_plugin:make"`` in my_plugin.py;
    or a description of a gymnasium environment (:mod:`gf_core.gymnasium_files`), whose name ends in ``.json``.

    Raises:
        GrinningFaceError: there is no such file, its name can't be a module's, or the description is wrong.
    """
    if path.is_dir():
        raise GrinningFaceError("that is a folder", where=f"--plugin {path}", hint="name the .py file inside")
    if path.suffix == ".json":
        return _described(path)
    if path.suffix != ".py" or not path.stem.isidentifier():
        hint = "call it something like my_plugin.py"
        raise GrinningFaceError("the file's name isn't a Python module's", where=f"--plugin {path}", hint=hint)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise GrinningFaceError(f"the file can't be read: {error.strerror}", where=f"--plugin {path}") from error
    return Candidate(
        name=path.stem,
        distribution=LOCAL,
        version=f"sha256:{digest[:16]}",
        source=path.name,
        load=partial(import_file, path),
        packaged=False,
    )


def _described(path: Path) -> Candidate:
    if not path.is_file():
        raise GrinningFaceError("there is no such file", where=f"--plugin {path}")
    from gf_core.gymnasium_files import FilePlugin, read

    plugin = FilePlugin(read(path), LOCAL)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Candidate(
        name=path.name,
        distribution=LOCAL,
        version=f"sha256:{digest[:16]}",
        source=path.name,
        load=lambda: plugin,
        packaged=False,
    )


def import_file(path: Path) -> ModuleType:
    """Import a file as the module called like it, once; :func:`gf_core.registry.load_object` then finds what is in it.

    Raises:
        PluginError: another module has that name.
    """
    resolved, name = path.resolve(), path.stem
    known = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if known is None else known.__spec__
    origin = spec.origin if spec is not None else None
    if (known is not None or spec is not None) and (origin is None or Path(origin).resolve() != resolved):
        raise PluginError(f"another module is called {name!r} ({origin or 'built in'}); rename the file")
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path.name} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what is printed meanwhile, also by child processes, to standard error, so that ``--json`` stays one document."""
    saved = None
    with contextlib.suppress(OSError, ValueError, AttributeError):  # standard output may be closed, or absent
        sys.stdout.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
