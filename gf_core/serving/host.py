"""A policy behind a server: sessions become slots, and what they ask at the same time becomes one call."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gf_core.contracts import ActionChunk, Floats, Images, Observation, Policy
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk
from gf_core.evaluation.policy_child import describe

log = logging.getLogger(__name__)

_TOGETHER_SECONDS = 10.0
"""How long sessions that are one call wait for each other; a client sends all of their questions at once."""


class PolicyBrokeError(GrinningFaceError):
    """The policy broke the call; the episodes that were running are lost."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one session shows.

    Attributes:
        instruction: the text.
        images: camera to ``(H, W, 3)`` or ``(history, H, W, 3) uint8``.
        proprio: ``(P,) float32`` or ``None``.
        unplayed: ``(n, A) float32`` or ``None``.
        together: a name and how many sessions ask under it at once, so that they are one call; an empty name for none.
    """

    instruction: str
    images: dict[str, Images]
    proprio: Floats | None
    unplayed: Floats | None = None
    together: tuple[str, int] = ("", 1)


@dataclass(kw_only=True, eq=False)
class _Question:
    slot: int
    seed: int | None
    seen: Seen
    since: float = field(default_factory=time.monotonic)
    answer: Floats | None = None
    execute_steps: int | None = None
    broken: str = ""

    @property
    def over(self) -> bool:
        return self.answer is not None or bool(self.broken)


class PolicyHost:
    """A policy that many threads may ask, one slot each. Whoever asks last asks for all: no call waits for another thread.

    Sessions that ask under one name are one call, as soon as all of them have asked. Others are one call as soon as every session
    in an episode has asked, or ``wait`` seconds after the first of them did.

    Args:
        make: makes the policy; called again after it broke.
        slots: most sessions.
        width: A, elements of an action.
        max_batch: most slots of one call; 0 for any.
        wait: [s].
    """

    def __init__(self, make: Callable[[], Policy], *, slots: int, width: int, max_batch: int, wait: float) -> None:
        self._make, self._width, self._max_batch, self._wait = make, width, max_batch or slots, wait
        self._free = list(range(slots))
        self._episodes: dict[int, int | None] = {}
        self._open: dict[int, _Question] = {}
        self._change = threading.Condition()
        self._calling = self._closed = False
        self._policy: Policy | None = make()
        self.calls = self.asked = 0

    def enter(self) -> int | None:
        """A slot for a session; ``None`` if all are taken."""
        with self._change:
            return heapq.heappop(self._free) if self._free else None

    def leave(self, slot: int) -> None:
        """The session is over."""
        self.end(slot)
        with self._change:
            heapq.heappush(self._free, slot)

    def begin(self, slot: int, seed: int) -> None:
        """An episode begins."""
        with self._change:
            self._episodes[slot] = seed

    def end(self, slot: int) -> None:
        """The episode is over; others needn't wait for this session."""
        with self._change:
            self._episodes.pop(slot, None)
            self._change.notify_all()

    def running(self, slot: int) -> bool:
        """Whether the session is in an episode."""
        with self._change:
            return slot in self._episodes

    def ask(self, slot: int, seen: Seen) -> tuple[Floats, int | None]:
        """Actions ``(T, A) float32`` for a session, and how many of them are played before it asks again (``None``: all).

        Raises:
            PolicyBrokeError: the policy broke, or the session isn't in an episode, perhaps because it broke before.
        """
        if seen.together[1] > self._max_batch:
            raise PolicyBrokeError(f"{seen.together[1]} sessions ask at once, and the policy takes {self._max_batch}")
        with self._change:
            if slot not in self._episodes:
                raise PolicyBrokeError("no episode is running", hint="send episode_start first")
            question = _Question(slot=slot, seed=self._episodes[slot], seen=seen)
            self._open[slot] = question
            while not question.over:
                batch = [] if self._calling else self._due(question)
                if batch:
                    self._call(batch)
                elif not self._given_up(question):
                    self._change.wait(self._patience(question))
        if question.answer is None:
            raise PolicyBrokeError(question.broken)
        return question.answer, question.execute_steps

    def close(self) -> None:
        """Close the policy."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._drop()

    def _drop(self) -> None:
        policy, self._policy = self._policy, None
        if policy is not None:
            try:
                policy.close()
            except (Exception, SystemExit):
                log.warning("the policy raised while it was closed", exc_info=True)

    def _due(self, question: _Question) -> list[_Question]:
        """The questions that are one call now, with this one among them; none while others are to be waited for."""
        name, count = question.seen.together
        alike = [one for one in self._open.values() if one.seen.together[0] == name]
        if name:
            return sorted(alike, key=lambda one: one.slot) if len(alike) >= count else []
        awaited = [slot for slot in self._episodes if slot not in self._open]
        if awaited and time.monotonic() - min(one.since for one in alike) < self._wait:
            return []
        longest = sorted(alike, key=lambda one: one.since)[: self._max_batch]
        return sorted(longest, key=lambda one: one.slot)

    def _patience(self, question: _Question) -> float | None:
        if self._calling:
            return None  # whoever is calling wakes this one
        name, _ = question.seen.together
        first = min(one.since for one in self._open.values() if one.seen.together[0] == name)
        return max(0.0, first + (_TOGETHER_SECONDS if name else self._wait) - time.monotonic()) + 1e-4

    def _given_up(self, question: _Question) -> bool:
        """Whether those that were to ask together with this one have had their time."""
        name, count = question.seen.together
        if self._calling or not name or time.monotonic() - question.since < _TOGETHER_SECONDS:
            return False
        del self._open[question.slot]
        question.broken = f"{count} sessions were to ask at once, and not all of them did"
        return True

    def _call(self, batch: Sequence[_Question]) -> None:
        """Ask the policy, without holding the lock meanwhile."""
        for one in batch:
            del self._open[one.slot]
        self._calling = True
        self._change.release()
        try:
            chunk, broken = self._ask(batch)
        finally:
            self._change.acquire()
            self._calling = False
            self._change.notify_all()
        self.calls, self.asked = self.calls + 1, self.asked + len(batch)
        asked = {one.slot for one in batch}
        if chunk is None:
            # Whatever the policy knew of running episodes is gone; those that it hasn't seen yet begin with the next one.
            self._episodes = {slot: seed for slot, seed in self._episodes.items() if seed is not None and slot not in asked}
            for one in batch:
                one.broken = broken
            for one in [one for one in self._open.values() if one.slot not in self._episodes]:
                one.broken = f"another session broke the policy ({broken})"
                del self._open[one.slot]
            return
        for number, one in enumerate(batch):
            one.answer, one.execute_steps = chunk.actions[number], chunk.execute_steps
            if one.slot in self._episodes:
                self._episodes[one.slot] = None  # it has begun

    def _ask(self, batch: Sequence[_Question]) -> tuple[ActionChunk | None, str]:
        try:
            if self._closed:
                return None, "the server is closing"
            if self._policy is None:
                self._policy = self._make()
            new = [(one.slot, one.seed) for one in batch if one.seed is not None]
            if new:
                self._policy.reset(np.array([slot for slot, _ in new], np.int32), [seed for _, seed in new])
            return check_chunk(self._policy.act(_join(batch)), len(batch), self._width), ""
        except (Exception, SystemExit) as error:
            if not isinstance(error, PolicyFaultError):
                log.exception("the policy broke")
            self._drop()
            return None, describe(error)


def _join(batch: Sequence[_Question]) -> Observation:
    """Sessions were checked: all of them show the same."""
    first = batch[0].seen
    proprios = [one.seen.proprio for one in batch if one.seen.proprio is not None]
    left = [one.seen.unplayed for one in batch if one.seen.unplayed is not None]
    return Observation(
        slots=np.array([one.slot for one in batch], np.int32),
        instruction=[one.seen.instruction for one in batch],
        images={camera: np.stack([one.seen.images[camera] for one in batch]) for camera in first.images},
        proprio=np.stack(proprios) if proprios else None,
        unplayed=left if len(left) == len(batch) else [],
    )
