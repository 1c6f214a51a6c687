"""Registers the tabletop, the decks and the suites."""

from __future__ import annotations

from gf_core.hookspecs import Register, hookimpl
from gf_core.specs import DeckSpec, EnvSpec, SuiteSpec
from gf_envs.decks import deck_specs
from gf_envs.suites import suite_specs
from gf_envs.tabletop.spec import TABLETOP
from gf_envs.tabletop.tasks.spec import TABLETOP_TASKS

gf_api_version = 1


@hookimpl
def gf_register_envs(register: Register[EnvSpec]) -> None:
    """The tabletop, and other tasks on it."""
    register(TABLETOP)
    register(TABLETOP_TASKS)


@hookimpl
def gf_register_decks(register: Register[DeckSpec]) -> None:
    """The emojis, colours, shapes and digits."""
    for spec in deck_specs():
        register(spec)


@hookimpl
def gf_register_suites(register: Register[SuiteSpec]) -> None:
    """The frozen suites."""
    for spec in suite_specs():
        register(spec)
