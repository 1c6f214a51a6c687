"""Makes the tabletop's id known to gymnasium without importing gymnasium.

``gymnasium.make("gf_envs:gf/tabletop-v1")`` imports ``gf_envs`` and then looks the id up; gymnasium has no entry points any more
that it would find by itself. But the plugin loader imports ``gf_envs`` for every command, and gymnasium isn't cheap. So the id is
registered at once where gymnasium is loaded, and otherwise as soon as somebody loads it: ``import gf_envs`` may well come before
``import gymnasium``, and importing ``gf_envs`` a second time runs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ID = "gf/tabletop-v1"
ENTRY_POINT = "gf_envs.gymnasium_env:TabletopGymnasiumEnv"

_REGISTERING = "gymnasium.envs"
"""The module that registers gymnasium's own environments, so everything that registration needs is there once it has run."""


def register_when_imported() -> None:
    """Register the tabletop with gymnasium, now if it is imported, otherwise when it is."""
    if _REGISTERING in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    from gymnasium.envs.registration import register, registry

    if ID not in registry:
        register(id=ID, entry_point=ENTRY_POINT)


class _Finder(MetaPathFinder):
    """Finds one module as the finders after it do, and lets it register the tabletop once it has run."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _REGISTERING:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)  # importlib passes over finders without it, too
            spec: ModuleSpec | None = None if finder is self or find is None else find(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(Loader):
    """The module's own loader, and the registration after it."""

    def __init__(self, loader: Loader, finder: _Finder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module shall look as if nobody had been here; its resources are found through its own loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _register()
