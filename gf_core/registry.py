"""From an id to a spec to the object behind it, lazily."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic

from gf_core._problems import printable
from gf_core.errors import MissingDependencyError, PluginError, UnknownIdError, did_you_mean
from gf_core.specs import (
    BackboneSpec,
    DeckSpec,
    EnvSpec,
    HeadSpec,
    PolicySpec,
    S,
    Spec,
    SuiteSpec,
    TechniqueSpec,
)

KINDS: Mapping[str, type[Spec]] = {
    "policies": PolicySpec,
    "backbones": BackboneSpec,
    "heads": HeadSpec,
    "techniques": TechniqueSpec,
    "envs": EnvSpec,
    "decks": DeckSpec,
    "suites": SuiteSpec,
}
"""What can be registered: the registry's name to its kind of spec, in the order of listings."""

SINGULAR: Mapping[str, str] = {
    "policies": "policy",
    "backbones": "backbone",
    "heads": "head",
    "techniques": "technique",
    "envs": "environment",
    "decks": "deck",
    "suites": "suite",
}


class Registry(Generic[S]):
    """The specs of one kind, by id. Exact ids only.

    Args:
        kind: name in :data:`KINDS`.
        specs: its specs, ids unique.
        explain: what is known about an id that isn't here, as a hint; empty for nothing.
    """

    def __init__(self, kind: str, specs: Iterable[S] = (), explain: Callable[[str], str] = lambda _: "") -> None:
        self.kind = kind
        self._specs = {spec.id: spec for spec in sorted(specs, key=lambda spec: spec.id)}
        self._explain = explain

    def get(self, id: str) -> S:
        """The spec with this id.

        Raises:
            UnknownIdError: no loaded plugin registered it; says which id is close, or why its plugin isn't loaded.
        """
        if id in self._specs:
            return self._specs[id]
        known = self._explain(id)
        hints = [known] if known.startswith("it is one of") else [did_you_mean(id, self._specs), known]
        hint = "; ".join(filter(None, hints)) or f"`gf list {self.kind}` shows them all"
        raise UnknownIdError(f"there is no {SINGULAR[self.kind]} {id!r}", hint=hint)

    def load(self, id: str) -> Any:
        """The object behind an id, imported now. Raises as :meth:`get` and :func:`load_object`."""
        return load_object(self.get(id))

    def all(self) -> list[S]:
        """Every spec, sorted by id."""
        return list(self._specs.values())

    def __contains__(self, id: object) -> bool:
        return id in self._specs

    def __iter__(self) -> Iterator[S]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)


def load_object(spec: Spec, reference: str = "") -> Any:
    """What ``reference`` (``"module:attr"``; by default the spec's entry point) names, imported now.

    Raises:
        MissingDependencyError: a module is missing and the spec names the extra that brings it.
        PluginError: the import failed for another reason, or there is no such attribute.
    """
    module, _, attribute = (reference or spec.entry_point).partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except KeyboardInterrupt:
        raise
    except ImportError as error:
        if spec.extra and _is_missing(error):
            raise MissingDependencyError(
                f"{spec.id} can't be imported ({one_line(error)})", where=brought_by(spec), hint=f"pip install '{spec.extra}'"
            ) from error
        raise _broken(spec, error) from error
    except BaseException as error:  # also SystemExit: a plugin can't end its host
        raise _broken(spec, error) from error
    return found


def _is_missing(error: ImportError) -> bool:
    """Whether a whole package isn't there; a module or a name that one lacks is a fault of whoever imports it."""
    package = (error.name or "").partition(".")[0]
    return isinstance(error, ModuleNotFoundError) and package not in sys.modules


def read_document(spec: Spec) -> bytes:
    """The file behind a spec whose entry point is ``"package:path/inside/package"``, such as a suite.

    Raises:
        PluginError: the package can't be imported, or has no such file.
    """
    package, _, path = spec.entry_point.partition(":")
    try:
        return importlib.resources.files(package).joinpath(path).read_bytes()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _broken(spec, error) from error


def brought_by(spec: Spec) -> str:
    """``"distribution version"`` of the plugin that registered a spec, or the plugin file."""
    if spec.provenance is None:
        return "an unregistered spec"
    if spec.provenance.distribution == "local":
        name = spec.provenance.plugin
        return name if name.endswith(".json") else f"{name}.py"
    return f"{spec.provenance.distribution} {spec.provenance.version}".strip()


def one_line(value: object, limit: int = 500) -> str:
    """Text or an exception as one printable line: control and bidirectional characters escaped, cut at ``limit``."""
    text = f"{type(value).__name__}: {value}".removesuffix(": ") if isinstance(value, BaseException) else str(value)
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _broken(spec: Spec, error: BaseException) -> PluginError:
    return PluginError(
        f"{spec.id} can't be loaded from {spec.entry_point!r} ({one_line(error)})",
        where=brought_by(spec),
        hint="that is a fault of the plugin; update it, or report it to its author",
    )
