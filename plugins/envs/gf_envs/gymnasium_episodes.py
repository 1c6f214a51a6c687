"""Where the episodes of the gymnasium environment come from: a suite, or whatever its user lays out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gf_core.contracts import Deck, Episode, SubGoal
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.matching import check_decks, check_loaded_deck, check_scenes
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.plugins import PluginHost, load_plugins
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.scene import parse_scene
from gf_envs.tabletop.spec import TABLETOP

WHERE = "reset(options)/episode"
_ROW = ("id", "split", "cluster", "seed", "instruction", "horizon", "factors", "scene")

# By content hash, so what is in here can't change: each of several environments would take half a second to read it again.
_suites: dict[str, Suite] = {}
_decks: dict[str, Deck] = {}


class Episodes:
    """The episodes of a suite, at one control rate, and the decks.

    Args:
        suite: id or ``.json`` file.
        control_hz: control rate [1/s].
        files: Python files that are plugins too.

    Raises:
        GrinningFaceError: no such suite, or one for another environment, or whose deck is missing.
    """

    def __init__(self, suite: str, control_hz: float, files: Sequence[Path]) -> None:
        self._host = load_plugins(files)
        self.suite = _read_suite(suite, self._host)
        self._hz = control_hz
        self._by_id = {episode.id: episode for episode in self.suite.episodes}

    def load_deck(self, name: str) -> Deck:
        """A deck; one that the suite lists has the content that the suite was made with. Raises UnknownIdError, MismatchError."""
        digest = self._host.decks.get(name).sha256
        deck = _decks[digest] if digest in _decks else load_deck(name, self._host)
        if digest:
            _decks[digest] = deck
        if name in self.suite.decks:
            check_loaded_deck(deck, self.suite.decks[name], source=self.suite.source)
        return deck

    def instructions(self) -> Iterator[str]:
        """Every text that the suite's episodes tell."""
        for episode in self.suite.episodes:
            yield from instructions(episode)

    def draw(self, rng: np.random.Generator) -> Episode:
        """One of the suite's, each as likely as any other."""
        return at_rate(self.suite.episodes[int(rng.integers(len(self.suite.episodes)))], self._hz)

    def read(self, given: object) -> Episode:
        """What a user means by an id of the suite's, an Episode, or a mapping like a row of a suite.

        Raises:
            GrinningFaceError: it isn't one, or its scene isn't one of the tabletop's.
        """
        if isinstance(given, str):
            if given not in self._by_id:
                hint = did_you_mean(given, self._by_id) or f"its first is {self.suite.episodes[0].id!r}"
                raise GrinningFaceError(f"{self.suite.id} has no episode {given!r}", where=WHERE, hint=hint)
            return at_rate(self._by_id[given], self._hz)
        if isinstance(given, Episode):
            episode = at_rate(given, self._hz)
        elif isinstance(given, Mapping):
            episode = _from_row(given, self._hz)
        else:
            raise GrinningFaceError(f"{type(given).__name__} is not an episode", where=WHERE, hint="give an id or a mapping")
        check_scenes(TABLETOP, [episode], source=WHERE)
        try:
            parse_scene(episode.scene)
        except ValueError as error:
            raise GrinningFaceError(str(error), where=f"{WHERE}/scene") from error
        return episode


def instructions(episode: Episode) -> Iterable[str]:
    """The texts that an episode tells, one after the other."""
    told = episode.instruction
    return (told,) if isinstance(told, str) else (goal.instruction for goal in told)


def _read_suite(reference: str, host: PluginHost) -> Suite:
    known = _suites.get("" if reference.endswith(".json") else host.suites.get(reference).sha256)
    suite = known or load_suite(reference, host)
    if suite.env != TABLETOP.id:
        raise MismatchError(f"its environment is {suite.env}, not {TABLETOP.id}", where=suite.source)
    check_decks(suite.decks, host, source=suite.source)
    if known is None:
        check_scenes(TABLETOP, suite.episodes, source=suite.source)
        _suites[suite.sha256] = suite
    return suite


def _from_row(row: Mapping[str, Any], control_hz: float) -> Episode:
    for key in row:
        if key not in _ROW and not key.startswith("x-"):
            raise GrinningFaceError(f"an episode has no {key!r}", where=WHERE, hint=did_you_mean(key, _ROW))
    for key in ("instruction", "scene"):
        if key not in row:
            raise GrinningFaceError(f"it has no {key!r}", where=WHERE)
    horizon = row.get("horizon", round(g.HORIZON_STEPS * control_hz / g.CONTROL_HZ))
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise GrinningFaceError(f"{horizon!r} is not a number of control steps", where=f"{WHERE}/horizon")
    return Episode(
        id=str(row.get("id", "given")),
        split=str(row.get("split", "given")),
        cluster=str(row.get("cluster", "given")),
        env=TABLETOP.id,
        seed=0,  # the tabletop draws nothing
        instruction=_told(row["instruction"]),
        horizon=horizon,
        control_hz=control_hz,
        factors=row.get("factors", {}),
        scene=row["scene"],
    )


def _told(given: object) -> str | tuple[SubGoal, ...]:
    if isinstance(given, str):
        return given
    where = f"{WHERE}/instruction"
    try:
        goals = tuple(SubGoal(from_step=int(goal["from_step"]), instruction=str(goal["instruction"])) for goal in given)  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError) as error:
        raise GrinningFaceError("it is neither a text nor a list of timed sub-goals", where=where) from error
    starts = [goal.from_step for goal in goals]
    if not goals or starts[0] != 0 or starts != sorted(set(starts)):
        raise GrinningFaceError("sub-goals ascend, and the first begins at step 0", where=where)
    return goals
