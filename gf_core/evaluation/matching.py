"""Whether policy, environment and suite fit together: found out before the first step, with both sides and the field named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gf_core._problems import MAX_PROBLEMS, Problem, refuse
from gf_core.contracts import Deck, Episode
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.registry import load_object
from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, PolicyInterface, PolicySpec

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

T = TypeVar("T")
SceneCheck = Callable[[Mapping[str, Any]], Sequence[tuple[tuple[str | int, ...], str]]]

_TOLERANCE = 1e-6


def check_rate(env: EnvSpec, control_hz: float, *, asked_by: str) -> None:
    """Raises MismatchError unless the environment offers the control rate."""
    if control_hz not in env.control_hz:
        offered = ", ".join(f"{hz:g}" for hz in env.control_hz)
        raise MismatchError(f"{asked_by} wants {control_hz:g} Hz and {env.id} offers {offered}", where="control_hz")


def check_scenes(env: EnvSpec, episodes: Sequence[Episode], *, source: str) -> None:
    """Raises SchemaError that lists everything that is wrong with the scenes, each line with its pointer."""
    from gf_core._explain import document_problems
    from gf_core._settings_schema import prepare

    validator = prepare(env.scene_schema, source=f"{env.id}'s scene_schema").validator
    check: SceneCheck = load_object(env, env.scene_check) if env.scene_check else lambda scene: []
    problems: list[Problem] = []
    for number, episode in enumerate(episodes):
        found = document_problems(validator, episode.scene, source=f"{env.id}'s scene_schema")
        found = found or [Problem(path=tuple(path), what=what) for path, what in check(episode.scene)]
        problems += (dataclasses.replace(p, path=("episodes", number, "scene", *p.path)) for p in found)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        refuse(problems, source)


def check_faces(episodes: Sequence[Episode], decks: Mapping[str, str], load: Callable[[str], Deck], *, source: str) -> None:
    """Check that the decks have the faces that the scenes name.

    Whatever in a scene has a ``deck`` and an ``item`` is a face, in any environment.

    Args:
        episodes: the suite's.
        decks: id to content hash, as the suite lists them.
        load: id to deck.
        source: what errors call the suite.

    Raises:
        SchemaError: listing the faces whose deck the suite doesn't list or whose item the deck doesn't have.
    """
    known: dict[str, Collection[str]] = {}
    problems: list[Problem] = []
    for number, episode in enumerate(episodes):
        for path, deck, item in _faces(episode.scene, ("episodes", number, "scene")):
            listed = deck in decks
            if not listed and deck not in known:  # told once
                hint = did_you_mean(deck, decks) or "add it to decks"
                problems.append(Problem(path=(*path, "deck"), what=f"the suite lists no deck {deck!r}", hint=hint))
            if deck not in known:
                known[deck] = load(deck).items if listed else ()
            if listed and item not in known[deck]:
                hint = did_you_mean(item, known[deck])
                problems.append(Problem(path=(*path, "item"), what=f"the deck {deck} has no item {item!r}", hint=hint))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        refuse(problems, source)


def _faces(scene: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    if isinstance(scene, Mapping):
        deck, item = scene.get("deck"), scene.get("item")
        if isinstance(deck, str) and isinstance(item, str):
            yield at, deck, item
        for key, value in scene.items():
            yield from _faces(value, (*at, key))
    elif isinstance(scene, list | tuple):
        for index, value in enumerate(scene):
            yield from _faces(value, (*at, index))


def check_decks(decks: Mapping[str, str], host: PluginHost, *, source: str) -> None:
    """Raises UnknownIdError for a missing deck and MismatchError for one whose content isn't the suite's."""
    for name, expected in decks.items():
        try:
            spec = host.decks.get(name)
        except GrinningFaceError as error:
            raise type(error)(f"it needs the deck {name!r}: {error.what}", where=source, hint=error.hint) from error
        if spec.sha256 and spec.sha256 != expected:
            raise _other_deck(name, expected, spec.sha256, source)


def check_loaded_deck(deck: Deck, expected: str, *, source: str) -> None:
    """Raises MismatchError unless a loaded deck's content is the suite's."""
    if deck.sha256 != expected:
        raise _other_deck(deck.id, expected, deck.sha256, source)


def _other_deck(name: str, expected: str, found: str, source: str) -> MismatchError:
    return MismatchError(
        f"it was made with the deck {name!r} of content {expected[:12]}…, and the installed one is {found[:12]}…",
        where=source,
        hint="install the version of the plugin that the suite was made with",
    )


def check_observes(policy: str, wanted: PolicyInterface, env: EnvSpec) -> None:
    """Raises MismatchError unless the environment has what the policy looks at."""
    observes = wanted.observes
    for camera in observes.cameras:
        if camera not in env.cameras:
            has = ", ".join(env.cameras) or "none"
            hint = did_you_mean(camera, env.cameras)
            raise MismatchError(f"{policy} observes {camera!r} and {env.id} has {has}", where="observes.cameras", hint=hint)
    if not observes.history or list(observes.history) != sorted(set(observes.history)) or observes.history[-1] > 0:
        raise MismatchError(
            f"{policy} asks for {list(observes.history)}", where="observes.history", hint="offsets ascend, and 0 is now: (-5, 0)"
        )
    if any(not 1 <= pixels <= 4096 for pixels in observes.size):
        raise MismatchError(f"{policy} asks for {observes.size[0]} × {observes.size[1]} pixels", where="observes.size")


def check_privileged(policy: PolicySpec, env: EnvSpec) -> None:
    """Raises MismatchError unless the environment gives the policy the simulator state that it reads."""
    given = [field.name for field in env.privileged] if policy.privileged else []
    missing = [name for name in policy.reads if name not in given]
    if missing:
        gives = ", ".join(given) or "nothing"
        raise MismatchError(
            f"{policy.id} reads {missing[0]!r} of the simulator's state, and {env.id} gives it {gives}", where="reads"
        )


def check_actions(policy: str, offered: ActionSpec | None, env: str, wanted: ActionSpec) -> None:
    """Raises MismatchError unless the policy's actions mean what the environment's do.

    Args:
        policy: its id.
        offered: what it emits; ``None`` for a policy that adapts.
        env: id of the environment.
        wanted: what the environment takes, with rate and bounds resolved. Where ``hz`` is 0, rate and bounds aren't compared.
    """
    if offered is None:
        return
    for name in ("representation", "reference", "rotation"):
        _same(f"action.{name}", policy, getattr(offered, name), env, getattr(wanted, name))
    for name in ("shape", "dtype", "frame"):
        _same(f"action.field.{name}", policy, getattr(offered.field, name), env, getattr(wanted.field, name))
    if offered.field.names and wanted.field.names:
        _same("action.field.names", policy, offered.field.names, env, wanted.field.names)
    _same("action.field.unit", policy, _each(offered.field, offered.field.unit), env, _each(wanted.field, wanted.field.unit))
    if wanted.hz:
        if offered.hz:
            _same("action.hz", policy, offered.hz, env, wanted.hz)
        _within("low", policy, offered.field, env, wanted.field)
        _within("high", policy, offered.field, env, wanted.field)


def _same(field: str, policy: str, offered: object, env: str, wanted: object) -> None:
    if offered != wanted:
        hint = f"`gf show {env} --json` has all of its action"
        raise MismatchError(f"{policy} emits {_plain(offered)} and {env} takes {_plain(wanted)}", where=field, hint=hint)


def _within(side: str, policy: str, offered: FieldSpec, env: str, wanted: FieldSpec) -> None:
    """A policy may be tamer than the environment allows, but not wilder."""
    ours, theirs = _each(offered, getattr(offered, side)), _each(wanted, getattr(wanted, side))
    sign = 1 if side == "high" else -1
    if ours and theirs and any(sign * a > sign * b + _TOLERANCE for a, b in zip(ours, theirs, strict=True)):
        raise MismatchError(f"{policy} emits up to {_plain(ours)} and {env} takes {_plain(theirs)}", where=f"action.field.{side}")


def _each(field: FieldSpec, values: tuple[T, ...]) -> tuple[T, ...]:
    """One value for each element."""
    return values * field.shape[-1] if len(values) == 1 and field.shape else values


def _plain(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else repr(value)
