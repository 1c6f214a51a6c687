"""The hooks that a plugin may implement.

A plugin is a module (or any object) with functions marked ``@hookimpl``; names that start with ``gf_`` are kept for hooks, so
that a misspelled one is an error instead of silence. Registering hooks are called once, when plugins are loaded; observers are
called while a run or a training goes on, get read-only mappings of plain JSON values, and can't change a result: one that raises
is logged and marked. No hook is called in the step loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import pluggy

from gf_core.specs import BackboneSpec, DeckSpec, EnvSpec, HeadSpec, PolicySpec, Spec, SuiteSpec, TechniqueSpec

PROJECT = "grinningface"

hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks a hook's specification; only this module uses it."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's implementation of a hook."""

S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


class Register(Protocol[S_contra]):
    """What a registering hook is given."""

    def __call__(self, spec: S_contra) -> None:
        """Register a spec. What is wrong with it fails the plugin as a whole, once its hooks have returned."""
        ...


@hookspec
def gf_register_policies(register: Register[PolicySpec]) -> None:
    """Register policies.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_backbones(register: Register[BackboneSpec]) -> None:
    """Register vision-language backbones.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_heads(register: Register[HeadSpec]) -> None:
    """Register action heads.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_techniques(register: Register[TechniqueSpec]) -> None:
    """Register transfer techniques.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_envs(register: Register[EnvSpec]) -> None:
    """Register environments.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_decks(register: Register[DeckSpec]) -> None:
    """Register decks of cards.

    .. versionadded:: 0.1
    """


@hookspec
def gf_register_suites(register: Register[SuiteSpec]) -> None:
    """Register suites of episodes.

    .. versionadded:: 0.1
    """


@hookspec
def gf_run_started(run: Mapping[str, object]) -> None:
    """A run begins or is resumed. ``run`` is what ``run.json`` says.

    .. versionadded:: 0.1
    """


@hookspec
def gf_episode_finished(run: Mapping[str, object], record: Mapping[str, object]) -> None:
    """An episode of a run has ended. ``record`` is its row of the journal.

    .. versionadded:: 0.1
    """


@hookspec
def gf_run_finished(run: Mapping[str, object], result: Mapping[str, object]) -> None:
    """A run is complete. ``result`` is its summary.

    .. versionadded:: 0.1
    """


@hookspec
def gf_training_started(job: Mapping[str, object]) -> None:
    """A training job begins or is resumed. ``job`` is its recipe and identity.

    .. versionadded:: 0.1
    """


@hookspec
def gf_metrics_logged(job: Mapping[str, object], step: int, metrics: Mapping[str, float]) -> None:
    """A training job reports metrics after optimiser step ``step``.

    .. versionadded:: 0.1
    """


@hookspec
def gf_training_finished(job: Mapping[str, object]) -> None:
    """A training job has ended.

    .. versionadded:: 0.1
    """


OBSERVERS = (
    "gf_run_started",
    "gf_episode_finished",
    "gf_run_finished",
    "gf_training_started",
    "gf_metrics_logged",
    "gf_training_finished",
)
"""Hooks that only watch."""
