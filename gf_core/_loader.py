"""Loading one plugin: it ends in one state with its reason, and registers everything or nothing."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pluggy

from gf_core import hookspecs
from gf_core._discovery import LOCAL, Candidate, normalised, stdout_to_stderr
from gf_core._spec_checks import problems
from gf_core.errors import PluginError, did_you_mean
from gf_core.registry import KINDS, one_line
from gf_core.specs import API_VERSION, EnvSpec, Provenance, Spec, to_json

State = Literal["loaded", "disabled", "failed", "incompatible"]

SLOW_SECONDS = 0.2
HEAVY_MODULES = ("torch", "transformers", "peft", "jax", "tensorflow", "mujoco", "gymnasium", "scipy", "PIL")
"""What a plugin shouldn't import before one of its objects is used."""
NO_HOOK = "it implements no hook"

OWN_DISTRIBUTION, OWN_NAMESPACE = "grinningface", "gf"
HOOKS = tuple(name for name in dir(hookspecs) if name.startswith("gf_"))

log = logging.getLogger(__name__)


def _hooks() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


@dataclass(kw_only=True, eq=False)
class Plugin:
    """A plugin, its state and what it registered.

    Attributes:
        hooks: a plugin manager with this plugin alone, so that no wrapper or error of one reaches another.
        specs: kind (a key of ``KINDS``) to its specs, stamped; empty unless loaded.
        observer_errors: hook to the first error that it raised, and how often it did.
    """

    candidate: Candidate
    state: State = "loaded"
    reason: str = ""
    seconds: float = 0.0
    specs: dict[str, list[Spec]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    hooks: pluggy.PluginManager = field(default_factory=_hooks)
    observer_errors: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"plugin {self.candidate.name!r} of {self.candidate.distribution} {self.candidate.version}".rstrip()

    def ids(self) -> list[str]:
        """What it registered, sorted; an id that it registered twice is there twice."""
        return sorted(spec.id for specs in self.specs.values() for spec in specs)

    def end(self, state: State, reason: str) -> None:
        """It isn't loaded, for this reason, and nothing of it remains registered."""
        self.state, self.reason, self.specs = state, reason, {}


def load_one(candidate: Candidate) -> Plugin:
    """Import a candidate and let it register. Whatever it raises, ``SystemExit`` included, becomes its reason; only
    ``KeyboardInterrupt`` passes.
    """
    plugin = Plugin(candidate=candidate)
    before = {name for name in HEAVY_MODULES if name in sys.modules}
    start = time.perf_counter()
    try:
        with stdout_to_stderr():
            offered = _offered(plugin)
            plugin.seconds = time.perf_counter() - start  # what follows is our own time
            plugin.specs = _checked(offered, candidate)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, and what test frameworks derive from BaseException
        log.debug("%s failed", plugin.title, exc_info=error)
        plugin.end("incompatible" if isinstance(error, _IncompatibleError) else "failed", what_and_where(error))
        plugin.seconds = plugin.seconds or time.perf_counter() - start
    heavy = [name for name in HEAVY_MODULES if name in sys.modules and name not in before]
    if heavy:
        plugin.warnings.append(f"loading it imports {', '.join(heavy)}; import that inside the functions that need it")
    if plugin.seconds > SLOW_SECONDS:
        plugin.warnings.append(f"loading it took {plugin.seconds:.2f} s; more than {SLOW_SECONDS} s slows down every command")
    return plugin


def fail_duplicates(plugins: Sequence[Plugin]) -> None:
    """Fail every plugin that shares an id with another, or registered one twice. The order of ``plugins`` doesn't matter."""
    owners: dict[str, list[Plugin]] = {}
    for plugin in plugins:
        for spec_id in plugin.ids():
            owners.setdefault(spec_id, []).append(plugin)
    reasons: dict[Plugin, list[str]] = {}
    for spec_id, claimants in sorted(owners.items()):
        titles = " and by ".join(sorted(plugin.title for plugin in claimants))
        for plugin in set(claimants) if len(claimants) > 1 else ():
            reasons.setdefault(plugin, []).append(f"{spec_id} is registered by {titles}")
    for plugin, found in reasons.items():
        plugin.end("failed", "; ".join(found))


def namespace_of(candidate: Candidate) -> str:
    """The namespace that a plugin's ids must have; empty for a distribution whose name is a reserved namespace."""
    if not candidate.packaged:
        return LOCAL
    name = normalised(candidate.distribution)
    if name == OWN_DISTRIBUTION:
        return OWN_NAMESPACE
    return "" if name in (OWN_NAMESPACE, LOCAL) else name


class _IncompatibleError(PluginError):
    """The plugin is made for another version of the interface."""


class _Collector:
    """What a registering hook is given: keeps what is registered until the hook has returned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.offered: list[Spec] = []
        self.closed = False

    def __call__(self, spec: Spec) -> None:
        if self.closed:
            raise PluginError("register was called after its hook had returned", where=self.name)
        self.offered.append(spec)


def _offered(plugin: Plugin) -> dict[str, list[Spec]]:
    """Import a plugin, call its registering hooks, and return what it registers, by kind, unchecked.

    Raises:
        PluginError, or whatever the plugin raises.
    """
    found = plugin.candidate.load()
    version = _api_version(found)
    if type(version) is not int or version != API_VERSION:
        shown = one_line(repr(version), 40)
        raise _IncompatibleError(f"it is made for version {shown} of the plugin interface; this is {API_VERSION}")
    if plugin.hooks.register(found, plugin.candidate.name) is None:
        raise PluginError("its entry point names None, not a plugin")
    misspelled = list(_misspelled(plugin.hooks, found))
    if misspelled:
        raise PluginError("; ".join(misspelled))
    if not plugin.hooks.get_hookcallers(found):
        plugin.warnings.append(NO_HOOK)
    offered: dict[str, list[Spec]] = {}
    for kind in KINDS:
        hook = f"gf_register_{kind}"
        collector = _Collector(plugin.candidate.name)
        results = getattr(plugin.hooks.hook, hook)(register=collector)
        collector.closed = True
        if results:  # e.g. a generator, whose body never ran
            returned = one_line(repr(results[0]), 60)
            raise PluginError(f"{hook} returns {returned}; it should call register(spec) and return nothing")
        offered[kind] = collector.offered
    return offered


def _checked(offered: Mapping[str, Sequence[Spec]], candidate: Candidate) -> dict[str, list[Spec]]:
    """What a plugin registers, stamped with its provenance.

    Raises:
        PluginError: naming everything that is wrong with any of it.
    """
    every = [(kind, spec) for kind, specs in offered.items() for spec in specs]
    wrong = [line for kind, spec in every for line in problems(kind, spec) or _namespace_problems(spec, candidate)]
    if wrong:
        raise PluginError("; ".join(wrong))
    return {kind: [_stamped(spec, candidate) for spec in specs] for kind, specs in offered.items()}


def _misspelled(manager: pluggy.PluginManager, found: object) -> Iterator[str]:
    for name in dir(found):
        options = manager.parse_hookimpl_opts(found, name)
        if options is not None:
            hook = options.get("specname") or name
            if hook not in HOOKS and not options.get("optionalhook"):
                yield f"there is no hook {hook!r}" + _suggestion(hook)
        elif name in HOOKS and inspect.isroutine(inspect.getattr_static(found, name, None)):
            yield f"{name} isn't marked with @hookimpl of gf_core.hookspecs"
        elif name.startswith("gf_") and inspect.isroutine(inspect.getattr_static(found, name, None)):
            yield f"there is no hook {name!r}, and names that start with gf_ are kept for hooks" + _suggestion(name)


def _suggestion(hook: str) -> str:
    suggestion = did_you_mean(hook, HOOKS)
    return f"; {suggestion}" if suggestion else ""


def _namespace_problems(spec: Spec, candidate: Candidate) -> Iterator[str]:
    namespace, own = spec.id.partition("/")[0], namespace_of(candidate)
    if namespace == own:
        return
    owners = {OWN_NAMESPACE: f"the distribution {OWN_DISTRIBUTION!r}", LOCAL: "files given with --plugin"}
    owner = owners.get(namespace, f"the distribution {namespace!r}")
    fix = f"the namespace of {candidate.distribution!r} is {own!r}" if own else "rename the distribution: its name is reserved"
    yield f"{spec.id}: the namespace {namespace!r} belongs to {owner}; {fix}"


def _stamped(spec: Spec, candidate: Candidate) -> Spec:
    """The spec with its provenance, and with schemas that its author can no longer change."""
    provenance = Provenance(distribution=candidate.distribution, version=candidate.version, plugin=candidate.name)
    stamped = dataclasses.replace(spec, provenance=provenance)
    if spec.config_schema is not None:
        stamped = dataclasses.replace(stamped, config_schema=json.loads(json.dumps(to_json(spec.config_schema))))
    if isinstance(stamped, EnvSpec):
        stamped = dataclasses.replace(stamped, scene_schema=json.loads(json.dumps(to_json(stamped.scene_schema))))
    return stamped


def _api_version(found: object) -> object:
    """What the plugin, or else the module that it is from, says about the interface that it is made for."""
    module = sys.modules.get(getattr(found, "__module__", None) or type(found).__module__)
    return getattr(found, "gf_api_version", getattr(module, "gf_api_version", API_VERSION))


def what_and_where(error: BaseException) -> str:
    """What went wrong, in one line, and where in the plugin it did."""
    if isinstance(error, PluginError):
        return one_line(str(error), 2000)
    if isinstance(error, pluggy.PluginValidationError):
        return one_line(str(error))
    what = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else one_line(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return f"{what} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else what


def _is_machinery(filename: str) -> bool:
    """Whether a traceback's frame is of the import system, pluggy or the loader, not of the plugin."""
    parts = Path(filename).parts
    return (
        filename.startswith("<") or Path(filename).parent == Path(__file__).parent or bool({"importlib", "pluggy"} & set(parts))
    )
