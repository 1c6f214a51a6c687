"""Drives recordings through an environment, many side by side, and finds the first thing that differs in each."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from gf_core._problems import shorten
from gf_core.contracts import BatchEnv, Doubles, Episode, Outcome, Slots
from gf_core.errors import GrinningFaceError, RunDirectoryError
from gf_core.evaluation.environment import Stage
from gf_core.evaluation.progress import Progress
from gf_core.evaluation.returned import check_step, plain
from gf_core.registry import one_line
from gf_core.runs import Row
from gf_core.summary import ENV_ERROR, POLICY_ERROR
from gf_core.trajectories import Trajectory

By = Literal["actions", "controls"]
FLOAT_TOLERANCE = 1e-3
"""By controls, a metric that is a float may differ by this, absolutely or relatively."""


class Recorded(Protocol):
    """What is verified: a run directory (:class:`gf_core.runs.Run`), or a run in a submission."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """run.json."""
        ...

    @property
    def records(self) -> Sequence[Row]:
        """The rows in plan order."""
        ...

    def trajectory(self, episode: str) -> Trajectory:
        """What an episode did. Raises RunDirectoryError where it is missing or damaged."""
        ...


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first thing in an episode that went otherwise than recorded.

    Attributes:
        number: the episode's place in the plan, from 0.
        episode: its id.
        step: control steps taken by then; 0 before the first.
        what: ``controls[3]: 0.1 recorded, 0.2 replayed``.
    """

    number: int
    episode: str
    step: int
    what: str

    def __str__(self) -> str:
        return f"{self.episode} (episode {self.number + 1}), step {self.step}: {self.what}"


@dataclass(kw_only=True, eq=False)
class _Take:
    """An episode being driven in a slot."""

    number: int
    slot: int
    record: Row
    episode: Episode
    trajectory: Trajectory
    step: int = 0
    clipped: int = 0

    @property
    def length(self) -> int:
        return len(self.trajectory.actions)


@dataclass(kw_only=True, eq=False)
class _Left:
    """What is left to drive: the plan's rest, and episodes that shared a call that broke, each driven again alone."""

    queue: deque[int]
    suspects: deque[int] = field(default_factory=deque)
    live: list[_Take] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.queue or self.suspects or self.live)

    def drop_after(self, number: int) -> None:
        """Leave out what comes later in the plan than an episode."""
        self.queue = deque(n for n in self.queue if n < number)
        self.suspects = deque(n for n in self.suspects if n < number)
        self.live = [take for take in self.live if take.number < number]


class Driver:
    """Drives the episodes of one run."""

    def __init__(
        self,
        run: Recorded,
        episode: Callable[[int], Episode],
        stage: Stage,
        by: By,
        slots: int,
        first_only: bool,
        progress: Progress,
    ) -> None:
        self._run, self._episode, self._stage, self._by = run, episode, stage, by
        self._slots, self._first_only, self._display = slots, first_only, progress
        rows = enumerate(run.records)
        self._left = _Left(queue=deque(number for number, row in rows if row["ending"] != ENV_ERROR))
        self.differences: dict[int, Difference] = {}
        self.compared = 0
        self.steps = 0

    @property
    def _env(self) -> BatchEnv:
        return self._stage.env

    def drive(self) -> None:
        """Drive everything, or until the first that differs is known."""
        while self._left:
            new = self._next()
            try:
                self._begin(new)
                self._turn()
            except GrinningFaceError:  # it knows what the user has to do; trying again doesn't help
                raise
            except (Exception, SystemExit) as error:  # recordings of strangers may be anything, and environments too
                if not self._left.live:
                    raise  # nobody's recording was being driven
                self._recover(one_line(error))

    def _next(self) -> list[_Take]:
        """The next episodes for free slots; a suspect gets the environment for itself."""
        left = self._left
        if left.suspects:
            new = [] if left.live else list(self._takes([0], left.suspects))
        else:
            taken = {take.slot for take in left.live}
            new = list(self._takes([slot for slot in range(self._slots) if slot not in taken], left.queue))
        left.live = sorted(left.live + new, key=lambda take: take.slot)
        return new

    def _begin(self, new: Sequence[_Take]) -> None:
        if new:
            self._env.reset(_slots(new), [take.episode for take in new])
        for take in [take for take in new if take.length == 0]:
            self._end(take, over=False)

    def _takes(self, free: Sequence[int], waiting: deque[int]) -> Iterator[_Take]:
        """Takes for free slots; an episode whose recording can't be played at all differs, and takes none."""
        slots = list(free)
        while slots and waiting:
            number = waiting.popleft()
            record = self._run.records[number]
            try:
                trajectory = self._run.trajectory(record["episode"])
            except RunDirectoryError as error:
                self._differ(number, 0, str(error))
                continue
            if wrong := unplayable(self._env, record, trajectory):
                self._differ(number, 0, wrong)
                continue
            episode = self._episode(number)
            yield _Take(number=number, slot=slots.pop(0), record=record, episode=episode, trajectory=trajectory)

    def _turn(self) -> None:
        """One control step in every live slot."""
        live = self._left.live
        if not live:
            return
        slots = _slots(live)
        recorded = np.stack([take.trajectory.controls[take.step] for take in live])
        if self._by == "actions":
            actions = np.stack([take.trajectory.actions[take.step] for take in live])
            result = check_step(self._env.step(slots, actions), self._env.spec, len(live))
            done, replayed, clipped = result.done, np.array(result.controls, np.float64), result.clipped
        else:
            done, replayed, clipped = self._env.step_controls(slots, recorded), recorded, np.zeros(len(live), bool)
        self.steps += len(live)
        for row, take in enumerate(live):
            take.step += 1
            take.clipped += bool(clipped[row])
            if what := other_controls(recorded[row], replayed[row]):
                self._leave(take, what)
        for row, take in enumerate(live):
            over = bool(done[row]) or take.step >= take.episode.horizon
            if take in self._left.live and (over or take.step == take.length):
                self._end(take, over=over)

    def _end(self, take: _Take, *, over: bool) -> None:
        """Compare how an episode ended: it is over, or its recording is."""
        clipped = take.clipped if self._by == "actions" else None
        wrong = end_differences(self._env, _slots([take]), take.record, take.step, take.length, over=over, clipped=clipped)
        self._leave(take, wrong[0] if wrong else "")

    def _leave(self, take: _Take, what: str) -> None:
        """An episode is done with; ``what`` differs, if anything."""
        self._left.live = [other for other in self._left.live if other is not take]
        if what:
            self._differ(take.number, take.step, what)
        else:
            self.compared += 1
            self._display.episode(take.record)

    def _differ(self, number: int, step: int, what: str) -> None:
        record = self._run.records[number]
        self.compared += 1
        self.differences[number] = Difference(number=number, episode=record["episode"], step=step, what=what)
        self._display.note(f"otherwise than recorded: {self.differences[number]}")
        if self._first_only:
            self._left.drop_after(number)

    def _recover(self, reason: str) -> None:
        """A call broke: whose recording did it is known once each of them is driven alone."""
        takes, self._left.live = self._left.live, []
        if len(takes) == 1:
            self._differ(takes[0].number, takes[0].step, f"the environment broke ({reason})")
        else:
            self._left.suspects = deque(sorted([*self._left.suspects, *(take.number for take in takes)]))
        self._stage.renew()


def unplayable(env: BatchEnv, record: Row, trajectory: Trajectory) -> str:
    """Why a recording can't be driven; empty if it can."""
    widths = (env.action.field.shape[0], env.spec.controls.shape[0])
    found = (trajectory.actions.shape[1], trajectory.controls.shape[1])
    if found != widths:
        return f"{found[0]} action elements and {found[1]} controls recorded, {widths[0]} and {widths[1]} are played"
    if len(trajectory.actions) != record["steps"]:
        return f"steps: {record['steps']!r} recorded, and the trajectory has {len(trajectory.actions)}"
    for name, values in (("actions", trajectory.actions), ("controls", trajectory.controls)):
        if not np.isfinite(values).all():
            return f"{name}: not all recorded values are finite numbers"
    return ""


def end_differences(
    env: BatchEnv, slot: Slots, record: Row, step: int, length: int, *, over: bool, clipped: int | None
) -> list[str]:
    """What isn't as recorded where an episode is over, or its recording is.

    Args:
        env: the environment.
        slot: ``(1,)``, where the episode stands.
        record: its row.
        step: control steps driven.
        length: control steps recorded.
        over: whether the environment says that the episode is over, or its horizon is reached.
        clipped: steps whose action was clipped; ``None`` where controls were driven.
    """
    broken = record["ending"] == POLICY_ERROR
    if step < length:
        return [f"it is over after {step} steps, and {length} are recorded"]
    if not over and not broken:
        return [f"it isn't over, and ended with {record['ending']!r} here as recorded"]
    if over and broken:
        return [f"it is over, and ended with {POLICY_ERROR!r} here as recorded"]
    (outcome,) = env.outcome(slot)
    (state,) = env.state_hash(slot)
    return differences(record, outcome, exact=clipped is not None, state=state, clipped=clipped)


def other_controls(recorded: Doubles, replayed: Doubles) -> str:
    """Where one step's controls ``(C,)`` differ in any bit, as ``controls[3]: 0.1 recorded, 0.2 replayed``; empty if nowhere."""
    other = np.flatnonzero(recorded.view(np.uint64) != replayed.view(np.uint64))
    if not len(other):
        return ""
    return f"controls[{other[0]}]: {recorded[other[0]]!s} recorded, {replayed[other[0]]!s} replayed"


def differences(record: Row, outcome: Outcome, *, exact: bool, state: str = "", clipped: int | None = None) -> list[str]:
    """Where a replayed outcome isn't the recorded one, as ``success: True recorded, False replayed``.

    Args:
        record: the row. After a policy's fault, its metrics say how the episode stood, and they are what is compared.
        outcome: of the replay.
        exact: whether floats must be equal in all bits, and the state's hash too.
        state: the replayed state's hash, by which a metric that holds it is known.
        clipped: replayed steps whose action was clipped; ``None`` if unknown.
    """
    pairs: dict[str, tuple[object, object]] = {}
    if record["ending"] != POLICY_ERROR:
        pairs["success"] = record["success"], outcome.success
        pairs["ending"] = record["ending"], outcome.ending
    elif record["success"]:
        pairs["success"] = True, False
    if clipped is not None:
        pairs["clipped_steps"] = record["clipped_steps"], clipped
    recorded: Mapping[str, object] = record["metrics"]
    for name in sorted(recorded.keys() | outcome.metrics.keys()):
        if exact or outcome.metrics.get(name) != state:
            pairs[name] = recorded.get(name, "nothing"), outcome.metrics.get(name, "nothing")
    return [
        f"{name}: {shorten(repr(a))} recorded, {shorten(repr(b))} replayed"
        for name, (a, b) in pairs.items()
        if not _same(a, b, exact)
    ]


def _same(a: object, b: object, exact: bool) -> bool:
    b = plain(b)  # as it would be recorded
    if not exact and isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=FLOAT_TOLERANCE, abs_tol=FLOAT_TOLERANCE)
    return a == b and (isinstance(a, bool) == isinstance(b, bool))  # 1 == True


def _slots(takes: Sequence[_Take]) -> Slots:
    return np.array([take.slot for take in takes], np.int32)
