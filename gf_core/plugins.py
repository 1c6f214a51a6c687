"""Every plugin that is installed or named, and what the loaded ones bring.

pluggy gives the hooks; the loader around it (``gf_core._loader``) adds what a bare ``load_setuptools_entrypoints`` lacks: each
plugin ends in one state with its reason, registers everything or nothing, can't take the host or another plugin down, ids belong
to distributions, and no load order decides anything.

Environment variables: ``GF_DISABLE_PLUGINS=name,name`` (of entry points or distributions) isn't imported at all;
``GF_PLUGIN_AUTOLOAD=0`` disables every installed plugin, so that only files given with ``--plugin`` are loaded.

An import that never returns and ``os._exit`` can't be survived within one process: disable such a plugin.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gf_core._discovery import Candidate, disabled_by, disabled_names, file_candidate, installed, normalised
from gf_core._loader import Plugin, State, fail_duplicates, load_one, namespace_of
from gf_core.errors import PluginError, UnknownIdError, did_you_mean
from gf_core.hookspecs import OBSERVERS
from gf_core.registry import KINDS, Registry, one_line
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

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PluginStatus:
    """What became of a plugin.

    Attributes:
        name: of its entry point, or its file's name, without ``.py``.
        distribution: who brought it; ``"local"`` for a file.
        version: the distribution's, or ``"sha256:…"`` of the file.
        source: the entry point's value, or the file's name.
        state: ``loaded``, ``disabled`` (by the environment), ``failed``, or ``incompatible`` (made for another plugin interface).
        reason: why it isn't loaded; empty if it is.
        seconds: how long importing and registering took [s].
        ids: what it registered, sorted; empty unless loaded.
        warnings: what its author should look at; nothing is withheld because of them.
        observer_errors: for each of its observers that raised, how often, and what first.
    """

    name: str
    distribution: str
    version: str
    source: str
    state: State
    reason: str = ""
    seconds: float = 0.0
    ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    observer_errors: tuple[str, ...] = ()


class PluginHost:
    """Every plugin that was found, and the registries of what the loaded ones bring. Made by :func:`load_plugins`.

    Attributes:
        policies, backbones, heads, techniques, envs, decks, suites: the registries.
        registries: the same by kind (a key of ``gf_core.registry.KINDS``).
        files: the plugin files that were asked for; another process loads the same with ``load_plugins(host.files)``.
        warnings: what is odd about the environment variables that steer loading.
    """

    def __init__(self, loaded: Sequence[Plugin], files: Sequence[Path] = (), warnings: Sequence[str] = ()) -> None:
        self._plugins = tuple(loaded)
        self.files = tuple(files)
        self.warnings = tuple(warnings)
        self.policies = self._registry("policies", PolicySpec)
        self.backbones = self._registry("backbones", BackboneSpec)
        self.heads = self._registry("heads", HeadSpec)
        self.techniques = self._registry("techniques", TechniqueSpec)
        self.envs = self._registry("envs", EnvSpec)
        self.decks = self._registry("decks", DeckSpec)
        self.suites = self._registry("suites", SuiteSpec)
        self.registries: Mapping[str, Registry[Any]] = {kind: getattr(self, kind) for kind in KINDS}

    @property
    def plugins(self) -> list[PluginStatus]:
        """Every plugin's status as it is now, sorted by distribution and name."""
        return [_status(plugin) for plugin in self._plugins]

    @property
    def unpackaged(self) -> bool:
        """Whether anything comes from a file instead of a distribution; such a run can't be repeated by others."""
        return any(plugin.state == "loaded" and not plugin.candidate.packaged for plugin in self._plugins)

    def find(self, id: str) -> tuple[str, Spec]:
        """The kind (a key of ``KINDS``) and the spec of an id, whichever registry it is in.

        Raises:
            UnknownIdError: no loaded plugin registered it.
        """
        for kind, registry in self.registries.items():
            if id in registry:
                return kind, registry.get(id)
        every = [spec.id for registry in self.registries.values() for spec in registry]
        hints = [did_you_mean(id, every), self._explain("", id)]
        hint = "; ".join(filter(None, hints)) or "`gf list` shows what there is"
        raise UnknownIdError(f"nothing is called {id!r}", hint=hint)

    def named(self, name: str) -> list[PluginStatus]:
        """The plugins with this name, or of the distribution with this name.

        Raises:
            PluginError: there is none.
        """
        found = [status for status in self.plugins if normalised(name) in map(normalised, (status.name, status.distribution))]
        if not found:
            names = [each for status in self.plugins for each in (status.name, status.distribution)]
            hint = did_you_mean(name, names) or "`gf plugins list` shows them all"
            raise PluginError(f"there is no plugin {name!r}", hint=hint)
        return found

    def require(self, name: str) -> list[PluginStatus]:
        """As :meth:`named`, all of them loaded.

        Raises:
            PluginError: there is none, or one of them isn't loaded, with its reason.
        """
        found = self.named(name)
        for status in found:
            if status.state != "loaded":
                where = f"plugin {status.name!r} of {status.distribution} {status.version}"
                raise PluginError(f"it isn't loaded ({status.state}: {status.reason})", where=where)
        return found

    def observe(self, hook: str, /, **arguments: object) -> None:
        """Call an observer hook of every loaded plugin, one by one, in the order of :attr:`plugins`.

        They get read-only copies. What one raises is logged, counted in its status, and reaches nobody else; what one prints
        goes to standard error.

        Args:
            hook: one of ``gf_core.hookspecs.OBSERVERS``.
            arguments: the hook's, by name.
        """
        if hook not in OBSERVERS:
            raise ValueError(f"{hook!r} is not an observer")
        frozen = {name: freeze(value) for name, value in arguments.items()}
        for plugin in self._plugins:
            caller = getattr(plugin.hooks.hook, hook)
            if plugin.state != "loaded" or not caller.get_hookimpls():
                continue
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    caller(**frozen)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also SystemExit: an observer can't end a run
                first, count = plugin.observer_errors.get(hook, (one_line(error), 0))
                plugin.observer_errors[hook] = (first, count + 1)
                if not count:
                    log.warning("%s: its %s raised %s", plugin.title, hook, first, exc_info=error)

    def _registry(self, kind: str, of: type[S]) -> Registry[S]:
        specs = [spec for plugin in self._plugins for spec in plugin.specs.get(kind, ()) if isinstance(spec, of)]
        return Registry(kind, specs, partial(self._explain, kind))

    def _explain(self, kind: str, id: str) -> str:
        """Why an id isn't among the specs of a kind, where more is known than that."""
        for other, registry in self.registries.items():
            if other != kind and id in registry:
                return f"it is one of the {other}"
        namespace = id.partition("/")[0]
        for plugin in self._plugins:
            if plugin.state != "loaded" and namespace_of(plugin.candidate) == namespace:
                return f"the {plugin.title} isn't loaded ({plugin.state}: {plugin.reason})"
        if namespace == "local" and not any(namespace_of(plugin.candidate) == namespace for plugin in self._plugins):
            return "what is called local/… comes from a file: --plugin FILE"
        return ""


def load_plugins(files: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> PluginHost:
    """Find and load every plugin. Never raises because of what a plugin does, except ``KeyboardInterrupt``.

    Args:
        files: files that are plugins too, in the namespace ``local``: of Python, or ``.json`` (:mod:`gf_core.gymnasium_files`).
        environ: where ``GF_DISABLE_PLUGINS`` and ``GF_PLUGIN_AUTOLOAD`` are looked up.

    Raises:
        GrinningFaceError: a file doesn't exist, a ``.json`` one is wrong, or ``GF_PLUGIN_AUTOLOAD`` is neither 0 nor 1.
    """
    unique = list({path.resolve(): path for path in files}.values())
    candidates = [*installed(), *(file_candidate(path) for path in unique)]
    loaded: list[Plugin] = []
    for candidate in candidates:
        reason = disabled_by(candidate, environ)
        loaded.append(Plugin(candidate=candidate, state="disabled", reason=reason) if reason else load_one(candidate))
    fail_duplicates(loaded)
    return PluginHost(loaded, unique, list(_unknown_names(candidates, environ)))


def freeze(value: object) -> object:
    """A read-only copy of JSON values: mappings become mapping proxies, sequences tuples; anything else stays."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def _unknown_names(candidates: Sequence[Candidate], environ: Mapping[str, str]) -> Iterator[str]:
    """One warning for each name that is disabled but that no plugin has: probably a typo."""
    names = [name for candidate in candidates for name in (candidate.name, candidate.distribution)]
    for name in disabled_names(environ):
        if normalised(name) not in map(normalised, names):
            yield f"GF_DISABLE_PLUGINS: there is no plugin {name!r}; {did_you_mean(name, names)}".rstrip("; ")


def _status(plugin: Plugin) -> PluginStatus:
    errors = [
        f"{hook} raised {count} time{'s' * (count > 1)}, first {first}" for hook, (first, count) in plugin.observer_errors.items()
    ]
    return PluginStatus(
        name=plugin.candidate.name,
        distribution=plugin.candidate.distribution,
        version=plugin.candidate.version,
        source=plugin.candidate.source,
        state=plugin.state,
        reason=plugin.reason,
        seconds=plugin.seconds,
        ids=tuple(plugin.ids()),
        warnings=tuple(plugin.warnings),
        observer_errors=tuple(errors),
    )
