"""Plays the episodes of a plan: N slots, one batched question to the policy at a time, and no fault that stops the run.

What an episode becomes depends on the episode, the policy and the environment only: not on the slot, on what is played beside
it, or on when the policy is asked about others.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import BatchEnv, Observation, Outcome, Slots
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.actions import PolicyFaultError, unplayable, wild_limits
from gf_core.evaluation.environment import Stage
from gf_core.evaluation.plan import Plan
from gf_core.evaluation.policy_child import describe
from gf_core.evaluation.policy_process import Asked
from gf_core.evaluation.recorder import Recorder
from gf_core.evaluation.returned import check_observation, check_outcome, check_step
from gf_core.evaluation.trial import Frames, Trial
from gf_core.specs import Observes


class _BrokenCallError(Exception):
    """A call with these trials broke."""

    def __init__(self, cause: str, trials: Sequence[Trial], reason: str) -> None:
        super().__init__(reason)
        self.cause, self.trials, self.reason = cause, list(trials), reason


class Rollout:
    """Plays what is left of a plan.

    Args:
        plan: the plan.
        stage: the environment.
        policy: the policy.
        recorder: where results go.
        slots: episodes side by side.
    """

    def __init__(self, plan: Plan, stage: Stage, policy: Asked, recorder: Recorder, slots: int) -> None:
        self._plan, self._stage, self._policy, self._recorder, self._slots = plan, stage, policy, recorder, slots
        self._limits = wild_limits(self._env.action)
        self._live: list[Trial] = []
        self._queue: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._attempts: Counter[int] = Counter()
        self._env_faults: Counter[int] = Counter()

    @property
    def _env(self) -> BatchEnv:
        return self._stage.env

    def play(self, numbers: Iterable[int]) -> None:
        """Play the plan's episodes with these numbers.

        Raises:
            GrinningFaceError: the policy or the environment can't be loaded again after a fault, or a file can't be written.
        """
        self._queue.extend(numbers)
        while self._queue or self._suspects or self._live:
            try:
                self._begin()
                self._turn()
            except _BrokenCallError as broken:
                self._recover(broken)

    def _begin(self) -> None:
        """Put the next episodes into free slots; an episode whose call broke is played again alone."""
        if self._suspects:
            new = [] if self._live else [self._trial(self._suspects.popleft(), 0, alone=True)]
        else:
            taken = set(range(self._slots)) if any(t.alone for t in self._live) else {trial.slot for trial in self._live}
            free = [slot for slot in range(self._slots) if slot not in taken][: len(self._queue)]
            new = [self._trial(self._queue.popleft(), slot, alone=False) for slot in free]
        if new:
            self._live = sorted(self._live + new, key=lambda trial: trial.slot)
            with self._environment(new):
                self._env.reset(_slots(new), [trial.episode for trial in new])

    def _trial(self, number: int, slot: int, *, alone: bool) -> Trial:
        self._attempts[number] += 1
        frames = Frames(self._plan.interface.observes.history)
        episode = self._plan.episodes[number]
        return Trial(number=number, episode=episode, slot=slot, alone=alone, begun=time.monotonic(), frames=frames)

    def _turn(self) -> None:
        """Ask the policy if enough slots wait, then take one step in every slot that doesn't wait.

        Asking once half of the slots wait keeps the batches large: slots whose episodes began at different times fall into step.
        """
        waiting = [trial for trial in self._live if trial.waits]
        most = self._plan.interface.max_batch or len(self._live)
        if 2 * len(waiting) >= len(self._live) or len(waiting) >= most:
            for start in range(0, len(waiting), most):
                self._ask(waiting[start : start + most])
        moving = [trial for trial in self._live if not trial.waits]
        if moving:
            self._look_ahead(moving)
            self._step(moving)

    def _ask(self, trials: list[Trial]) -> None:
        new = [trial for trial in trials if trial.is_new]
        seeds = [derive_seed(self._plan.request.policy_seed, trial.episode.id) for trial in new]
        for trial in trials:
            trial.asked()
        observation = self._observe(trials)
        begun = time.monotonic()
        try:
            chunk = self._policy.ask(_slots(new), seeds, observation)
        except PolicyFaultError as fault:
            raise _BrokenCallError("policy", trials, str(fault)) from fault
        seconds = time.monotonic() - begun
        steps = self._plan.request.execute_steps or chunk.execute_steps or chunk.actions.shape[1]
        for trial, actions in zip(trials, chunk.actions, strict=True):
            trial.ask_seconds += seconds
            if reason := unplayable(actions, self._limits):
                self._fail(trial, reason)
            else:
                trial.receive(actions, execute_steps=steps, latency=self._latency(seconds))

    def _latency(self, seconds: float) -> int:
        timing = self._plan.request.timing
        if timing.mode == "paused":
            return 0
        return math.ceil(seconds * self._plan.control_hz) if timing.latency_steps is None else timing.latency_steps

    def _observe(self, trials: list[Trial]) -> Observation:
        wanted = self._plan.interface.observes
        with self._environment(trials):
            now = self._env.observe(_slots(trials), wanted, privileged=self._plan.policy.privileged)
            images = check_observation(now, wanted, self._plan.env, len(trials))
        if wanted.history != (0,):
            for row, trial in enumerate(trials):
                trial.frames.keep(trial.step, {camera: batch[row] for camera, batch in images.items()})
            seen = [trial.frames.seen(trial.step) for trial in trials]
            images = {camera: np.stack([one[camera] for one in seen]) for camera in wanted.cameras}
        realtime = self._plan.request.timing.mode == "realtime"
        width = self._env.action.field.shape[0]
        return Observation(
            slots=_slots(trials),
            instruction=[trial.episode.instruction_at(trial.step) for trial in trials],
            images=images,
            proprio=now.proprio if wanted.proprio else None,
            privileged=dict(now.privileged) if self._plan.policy.privileged else {},
            unplayed=[trial.unplayed(width) for trial in trials] if realtime else (),
        )

    def _look_ahead(self, trials: list[Trial]) -> None:
        """Keep the images of this step that a later question wants."""
        wanted = self._plan.interface.observes
        wanting = [trial for trial in trials if wanted.cameras and trial.frames.wanted(trial.step, trial.next_ask)]
        if wanting:
            only_images = Observes(cameras=wanted.cameras, size=wanted.size, proprio=False)
            with self._environment(wanting):
                now = self._env.observe(_slots(wanting), only_images)
                images = check_observation(now, only_images, self._plan.env, len(wanting))
            for row, trial in enumerate(wanting):
                trial.frames.keep(trial.step, {camera: batch[row] for camera, batch in images.items()})

    def _step(self, trials: list[Trial]) -> None:
        actions = np.stack([trial.next_action(self._env.action) for trial in trials])
        with self._environment(trials):
            result = check_step(self._env.step(_slots(trials), actions), self._plan.env, len(trials))
            controls = np.array(result.controls, np.float64)
        for row, trial in enumerate(trials):
            trial.stepped(actions[row], controls[row], bool(result.clipped[row]))
        over = [t for row, t in enumerate(trials) if bool(result.done[row]) or t.step >= t.episode.horizon]
        if over:
            with self._environment(over):
                outcomes = [check_outcome(outcome, self._plan.env) for outcome in self._env.outcome(_slots(over))]
            for trial, outcome in zip(over, outcomes, strict=True):
                self._end(trial, outcome)

    def _end(self, trial: Trial, outcome: Outcome, reason: str = "") -> None:
        self._live.remove(trial)
        self._recorder.episode(trial, outcome, reason, self._attempts[trial.number])

    def _fail(self, trial: Trial, reason: str) -> None:
        """The policy's fault; the metrics say how the episode stood."""
        with self._environment([trial]):
            (stands,) = [check_outcome(outcome, self._plan.env) for outcome in self._env.outcome(_slots([trial]))]
        outcome = Outcome(success=False, ending="policy_error", steps=trial.step, metrics=stands.metrics)
        self._end(trial, outcome, reason)

    def _recover(self, broken: _BrokenCallError) -> None:
        """Blame who broke a call alone; all others begin again, those of the broken call one at a time.

        The policy is blamed at once, the environment's fault is an episode's ending only after a second try.
        """
        self._recorder.fault(broken.cause, broken.trials, broken.reason)
        only = broken.trials[0] if len(broken.trials) == 1 else None
        if broken.cause == "environment":
            if only is not None:
                self._env_faults[only.number] += 1
                if self._env_faults[only.number] > 1:
                    self._end(only, Outcome(success=False, ending="env_error", steps=only.step, metrics={}), broken.reason)
            if complaint := self._stage.renew():
                self._recorder.fault("environment", [], f"while closing: {complaint}")
        elif only is not None and only.alone:
            try:
                self._fail(only, broken.reason)
            except _BrokenCallError as second:
                self._recover(second)
        suspects = [trial.number for trial in broken.trials if trial in self._live]
        bystanders = [trial.number for trial in self._live if trial.number not in suspects]
        self._suspects.extend(sorted(suspects))
        self._queue.extendleft(sorted(bystanders, reverse=True))
        self._live = []

    @contextmanager
    def _environment(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Around every call of the environment with these trials."""
        try:
            yield
        except GrinningFaceError:  # it knows what the user has to do; trying again doesn't help
            raise
        except (Exception, SystemExit) as error:  # an environment can't end the run
            raise _BrokenCallError("environment", trials, describe(error)) from error


def _slots(trials: Sequence[Trial]) -> Slots:
    return np.array([trial.slot for trial in trials], np.int32)
