"""The kit's checks of environments: one is stepped, stepped again and replayed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from gf_core.contracts import BatchEnv, Episode, Outcome
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.returned import check_observation, check_outcome, check_step
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.schemas import validate_config
from gf_core.specs import EnvSpec, Observes
from gf_core.testing.findings import KitFinding, NothingToTryError, skipped, tried

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

EPISODES, STEPS = 3, 12
"""Episodes that an environment is tried on, and control steps of each."""

_ENV = ("GF521", "GF522", "GF523", "GF524")


def check_env(spec: EnvSpec, host: PluginHost, suites: Sequence[Suite] = ()) -> list[KitFinding]:
    """The checks of an environment, on the first suite that is made for it: of these, or of all that are installed."""
    if spec.real:
        return skipped(_ENV, spec.id, "it is a real robot, which the kit doesn't move")
    made_for = next((suite for suite in chain(suites, _installed(host)) if suite.env == spec.id), None)
    if made_for is None:
        why = "no installed suite is made for it, so there is no episode to try it on; --suite FILE gives one"
        return skipped(_ENV, spec.id, why)
    stand = _Stand(spec, made_for, host)
    checks = (stand.observes, stand.repeats, stand.replays, stand.hides)
    found = [tried(code, spec.id, check) for code, check in zip(_ENV, checks, strict=True)]
    if not spec.replayable:
        found[2] = KitFinding(code="GF523", subject=spec.id, outcome="skip", detail="its spec says that it can't be replayed")
    return found


def _installed(host: PluginHost) -> Iterator[Suite]:
    for spec in host.suites:
        with contextlib.suppress(GrinningFaceError):  # GF541 of its own plugin tells
            yield load_suite(spec.id, host)


class _Stand:
    def __init__(self, spec: EnvSpec, suite: Suite, host: PluginHost) -> None:
        self._spec, self._suite, self._host = spec, suite, host
        self._episodes = [at_rate(episode, suite.control_hz) for episode in suite.episodes[:EPISODES]]
        self._rng = np.random.default_rng(0)

    def observes(self) -> str | None:
        """Observations of every camera, before the first step and after each, what steps return, and the outcome."""
        slots, wanted = _range(len(self._episodes)), Observes(cameras=self._spec.cameras, size=(48, 64))
        actions = self._actions()
        with self._made(len(slots)) as env:
            env.reset(slots, self._episodes)

            def look(running: Any) -> None:
                seen = env.observe(running, wanted)
                check_observation(seen, wanted, self._spec, len(running))
                if seen.privileged:
                    raise ValueError(f"{', '.join(seen.privileged)} is shown to a policy that isn't privileged")

            def act(env: BatchEnv, running: Any, step: int) -> Any:
                result = check_step(env.step(running, actions[running, step]), self._spec, len(running))
                look(running)
                return result.done

            try:
                look(slots)
                _drive(env, slots, act)
                for outcome in env.outcome(slots):
                    check_outcome(outcome, self._spec)
            except ValueError as error:
                return str(error)
        return None

    def repeats(self) -> str | None:
        """The same actions in one slot, alone, and beside others: the same states, observations and outcome."""
        actions = self._actions()
        with self._made(len(self._episodes)) as env:
            slots = _range(len(self._episodes))
            env.reset(slots, self._episodes)
            beside = _course(env, slots, actions, self._spec)
        for number, episode in enumerate(self._episodes):
            with self._made(1) as env:
                env.reset(_range(1), [episode])
                alone = _course(env, _range(1), actions[number : number + 1], self._spec)
            for what, here, there in zip(("state", "outcome", "observation"), alone[0], beside[number], strict=True):
                if here != there:
                    return f"{episode.id} comes to another {what} when it is played alone"
        return None

    def replays(self) -> str | None:
        """Recorded controls, in a fresh environment."""
        actions = self._actions()
        slots = _range(len(self._episodes))
        with self._made(len(slots)) as env:
            env.reset(slots, self._episodes)
            controls: dict[tuple[int, int], Any] = {}

            def record(env: BatchEnv, running: Any, step: int) -> Any:
                result = env.step(running, actions[running, step])
                controls.update({(slot, step): row for slot, row in zip(running.tolist(), result.controls, strict=True)})
                return result.done

            _drive(env, slots, record)
            states, outcomes = env.state_hash(slots), env.outcome(slots)
        with self._made(len(slots)) as env:
            env.reset(slots, self._episodes)

            def again(env: BatchEnv, running: Any, step: int) -> Any:
                return env.step_controls(running, np.stack([controls[slot, step] for slot in running.tolist()]))

            _drive(env, slots, again)
            if env.state_hash(slots) != states:
                return "the controls that a step returned lead to another state"
            if env.outcome(slots) != outcomes:
                return "the controls that a step returned lead to another outcome"
        return None

    def hides(self) -> str | None:
        """Two scenes that differ in the target alone."""
        episode = self._episodes[0]
        target, cards = episode.scene.get("target"), episode.scene.get("cards")
        if not isinstance(target, int) or not isinstance(cards, list) or len(cards) < 2:
            raise NothingToTryError("its scenes have no cards with a target")
        other = dataclasses.replace(episode, scene={**episode.scene, "target": (target + 1) % len(cards)})
        actions = self._actions()[:1]
        first, again, second = (self._views(one, actions) for one in (episode, episode, other))
        names = [*(f"what {camera} sees" for camera in self._spec.cameras), "proprio"]
        for step, shown in enumerate(zip(first, again, second, strict=False)):
            for name, before, same, after in zip(names, *shown, strict=True):
                if not _alike(before, same):
                    raise NothingToTryError(f"{name} differs between two plays of one episode, at step {step}: mend GF522 first")
                if not _alike(before, after):
                    return f"{name} depends on the target at step {step}"
        return None

    def _views(self, episode: Episode, actions: np.ndarray) -> list[list[Any]]:
        """What is seen of an episode, before the first step and after each: of every camera, and the proprioceptive state."""
        views: list[list[Any]] = []
        wanted = Observes(cameras=self._spec.cameras, size=(96, 96))

        def look(env: BatchEnv) -> None:
            seen = env.observe(_range(1), wanted)
            views.append([*(seen.images[camera] for camera in self._spec.cameras), seen.proprio])

        def act(env: BatchEnv, running: Any, step: int) -> Any:
            done = env.step(running, actions[running, step]).done
            look(env)
            return done

        with self._made(1) as env:
            env.reset(_range(1), [episode])
            look(env)
            _drive(env, _range(1), act)
        return views

    def _actions(self) -> np.ndarray:
        field = self._spec.action.field
        low, high = np.array(field.low or (-1.0,)), np.array(field.high or (1.0,))
        low, high = np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)
        drawn = self._rng.uniform(low, high, (len(self._episodes), STEPS, *field.shape))
        return drawn.astype(np.float32)

    @contextlib.contextmanager
    def _made(self, slots: int) -> Iterator[BatchEnv]:
        config = validate_config(self._suite.env_config, self._spec.config_schema, source=self._suite.source)
        with contextlib.closing(make_env(self._suite, config, self._suite.control_hz, self._host, slots=slots, threads=1)) as env:
            yield env


def _course(env: BatchEnv, slots: Any, actions: np.ndarray, spec: EnvSpec) -> list[tuple[str, Outcome, bytes]]:
    """What every slot comes to: the state's hash, the outcome, and all that was seen on the way."""
    wanted = Observes(cameras=spec.cameras, size=(48, 64))
    seen: dict[int, list[bytes]] = {slot: [] for slot in slots.tolist()}

    def act(env: BatchEnv, running: Any, step: int) -> Any:
        done = env.step(running, actions[running, step]).done
        now = env.observe(running, wanted)
        for row, slot in enumerate(running.tolist()):
            seen[slot] += [np.asarray(part[row]).tobytes() for part in (*now.images.values(), now.proprio) if part is not None]
        return done

    _drive(env, slots, act)
    ends = zip(env.state_hash(slots), env.outcome(slots), seen.values(), strict=True)
    return [(state, outcome, b"".join(parts)) for state, outcome, parts in ends]


def _drive(env: BatchEnv, slots: Any, act: Callable[[BatchEnv, Any, int], Any]) -> None:
    """So many steps of every slot, or until its episode is over: ended ones are never stepped."""
    running = slots
    for step in range(STEPS):
        if not len(running):
            return
        running = running[~np.asarray(act(env, running, step))]


def _alike(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def _range(count: int) -> Any:
    return np.arange(count, dtype=np.int32)
