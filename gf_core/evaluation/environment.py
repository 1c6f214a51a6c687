"""Makes environments, at first and again after a fault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gf_core.contracts import BatchEnv, Deck, EnvContext
from gf_core.errors import GrinningFaceError, PluginError, UnknownIdError
from gf_core.evaluation.matching import check_loaded_deck
from gf_core.evaluation.suites import Suite
from gf_core.registry import brought_by, one_line
from gf_core.schemas import validate_config

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


def make_env(
    suite: Suite, config: Mapping[str, Any], control_hz: float, host: PluginHost, *, slots: int, threads: int
) -> BatchEnv:
    """A suite's environment, with the suite's decks.

    Args:
        suite: the suite.
        config: the environment's settings, complete.
        control_hz: control rate [1/s].
        host: the plugins.
        slots: episodes side by side.
        threads: threads for physics and rendering; 0 for all.

    Raises:
        GrinningFaceError: it can't be made; what it says itself, if it does.
    """
    spec = host.envs.get(suite.env)
    context = EnvContext(slots=slots, threads=threads, control_hz=control_hz, load_deck=_deck_loader(suite, host))
    factory = host.envs.load(spec.id)
    try:
        env: BatchEnv = factory(config, context)
    except GrinningFaceError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{spec.id} can't be made ({one_line(error)})", where=brought_by(spec)) from error
    if not isinstance(env, BatchEnv):
        raise PluginError(f"the factory of {spec.id} made {type(env).__name__}, not a BatchEnv", where=brought_by(spec))
    return env


class Stage:
    """The environment in use, which can be replaced by a fresh one.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], BatchEnv]) -> None:
        self._make = make
        self.env = make()

    def renew(self) -> str:
        """Replace the environment after a fault. Returns what went wrong in closing the old one; empty for nothing."""
        complaint = self.close()
        self.env = self._make()
        return complaint

    def close(self) -> str:
        """Close the environment. Returns what went wrong; empty for nothing."""
        try:
            self.env.close()
        except (Exception, SystemExit) as error:
            log.warning("%s raised while it was closed", self.env.spec.id, exc_info=True)
            return one_line(error)
        return ""


def runtime(env: BatchEnv, *, drawn: bool = True) -> dict[str, str]:
    """What the environment says about what it runs on.

    Args:
        env: the environment. It may have the methods ``versions``, of what its results depend on, and ``provenance``, of what
            its images depend on, e.g. its renderer.
        drawn: whether images are looked at.
    """
    tellers = [getattr(env, name, None) for name in ("versions", *(("provenance",) if drawn else ()))]
    return {str(key): str(value) for tell in tellers if callable(tell) for key, value in tell().items()}


def load_deck(name: str, host: PluginHost) -> Deck:
    """A registered deck with its settings' defaults. Raises GrinningFaceError: an unknown id, or what the deck itself says."""
    spec = host.decks.get(name)
    config = validate_config({}, spec.config_schema, source=name)
    factory = host.decks.load(name)
    try:
        deck: Deck = factory(config)
    except GrinningFaceError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{name} can't be made ({one_line(error)})", where=brought_by(spec)) from error
    return deck


def _deck_loader(suite: Suite, host: PluginHost) -> Callable[[str], Deck]:
    loaded: dict[str, Deck] = {}

    def load(name: str) -> Deck:
        if name not in suite.decks:
            raise UnknownIdError(f"a scene uses the deck {name!r}, which the suite doesn't list", where=suite.source)
        if name not in loaded:
            loaded[name] = load_deck(name, host)
            check_loaded_deck(loaded[name], suite.decks[name], source=suite.source)
        return loaded[name]

    return load
