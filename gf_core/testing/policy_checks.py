"""The kit's checks of policies: one is asked a few questions, in different ways."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import ActionChunk, BatchEnv, Observation, Policy, PolicyContext
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk, unplayable, wild_limits
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.matching import check_actions, check_observes, check_privileged
from gf_core.evaluation.plan import interface_of
from gf_core.evaluation.policy_child import LoadPolicy, make_policy
from gf_core.evaluation.policy_in_process import own_copy
from gf_core.evaluation.suites import Suite, at_rate
from gf_core.schemas import apply_settings, validate_config
from gf_core.specs import Observes, PolicyInterface, PolicySpec
from gf_core.testing.findings import KitFinding, first_then_others, skipped

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

EPISODES, ASKS = 3, 3
"""Episodes that a policy is tried on, and how often it is asked about each."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What some slots were shown, and which of them began an episode then."""

    observation: Observation
    new: tuple[int, ...]


_POLICY = ("GF511", "GF512", "GF513", "GF514")


def check_policy(
    spec: PolicySpec, host: PluginHost, suites: Sequence[Suite], *, settings: Sequence[str] = ()
) -> list[KitFinding]:
    """The checks of a policy, on the first episodes of the first suite that it fits."""
    config = apply_settings(tuple(settings), spec.config_schema, source="settings")
    try:
        interface = interface_of(spec, config)
    except PluginError as error:  # the plugin's own fault; other errors say what a user has to do
        found = KitFinding(code="GF511", subject=spec.id, outcome="fail", detail=error.line)
        return [found, *skipped(_POLICY[1:], spec.id, "GF511 comes first")]
    except GrinningFaceError as error:
        return skipped(_POLICY, spec.id, f"it can't be tried: {error.line}")
    reasons = []
    for suite in suites:
        try:
            env = _stage(spec, interface, suite, host)
        except GrinningFaceError as error:
            reasons.append(f"it can't be tried on {suite.id}: " + error.line)
            continue
        with contextlib.closing(env):
            bench = _Bench(spec, config, interface, env, host, suite)
            checks = (bench.play, bench.again, bench.after_a_reset, bench.one_by_one)
            return first_then_others(spec.id, dict(zip(_POLICY, checks, strict=True)))
    return skipped(_POLICY, spec.id, reasons[0])


def _stage(spec: PolicySpec, interface: PolicyInterface, suite: Suite, host: PluginHost) -> BatchEnv:
    """The suite's environment. Raises GrinningFaceError: the policy doesn't fit it."""
    env_spec = host.envs.get(suite.env)
    if env_spec.real:
        raise GrinningFaceError(f"{env_spec.id} is a real robot, which the kit doesn't move")
    check_actions(spec.id, interface.action, env_spec.id, dataclasses.replace(env_spec.action, hz=0))
    check_observes(spec.id, interface, env_spec)
    check_privileged(spec, env_spec)
    config = validate_config(suite.env_config, env_spec.config_schema, source=suite.source)
    env = make_env(suite, config, suite.control_hz, host, slots=EPISODES, threads=1)
    try:
        check_actions(spec.id, interface.action, env_spec.id, env.action)
    except BaseException:
        env.close()
        raise
    return env


class _Bench:
    """Plays a policy on a few episodes, and asks it again what it was asked then."""

    def __init__(
        self,
        spec: PolicySpec,
        config: Mapping[str, Any],
        interface: PolicyInterface,
        env: BatchEnv,
        host: PluginHost,
        suite: Suite,
    ) -> None:
        self._env, self._interface, self._privileged = env, interface, spec.privileged
        self._episodes = [at_rate(episode, suite.control_hz) for episode in suite.episodes[:EPISODES]]
        self._seeds = [derive_seed(0, episode.id) for episode in self._episodes]
        env_spec = dataclasses.replace(env.spec, action=env.action)
        most = interface.max_batch or EPISODES
        context = PolicyContext(env=env_spec, action=env.action, slots=most, plugin_files=host.files)
        self._load = LoadPolicy(spec=spec, config=config, context=context, files=())
        self._asked: list[_Question] = []
        self._answers: list[np.ndarray] = []

    def play(self) -> str | None:
        """A few questions, with what was answered played in between."""
        slots = np.arange(len(self._episodes), dtype=np.int32)
        most = self._interface.max_batch or len(slots)
        limits, wanted = wild_limits(self._env.action), dataclasses.replace(self._interface.observes, history=(0,))
        self._env.reset(slots, self._episodes)
        with self._made() as policy:
            for number in range(ASKS):
                actions = np.zeros((len(self._episodes), self._env.action.field.shape[0]), np.float32)
                for start in range(0, len(slots), most):
                    some = slots[start : start + most]
                    seen = self._shown(some, wanted)
                    question = _Question(observation=seen, new=tuple(some.tolist()) if number == 0 else ())
                    chunk = self._ask(policy, question)
                    for row in range(len(some)):
                        if wrong := unplayable(chunk.actions[row], limits):
                            return wrong
                    self._asked.append(question)
                    self._answers.append(chunk.actions.copy())
                    actions[some] = chunk.actions[:, 0]
                slots = slots[~self._env.step(slots, actions[slots]).done]
                if not len(slots):
                    break
        return None

    def again(self) -> str | None:
        """A fresh policy."""
        with self._made() as policy:
            return self._differs(policy, "a second one with the same seeds")

    def after_a_reset(self) -> str | None:
        """A policy that has played other episodes."""
        with self._made() as policy:
            for question in self._asked:
                self._ask(policy, question, seeds=[seed + 1 for seed in self._seeds])
            return self._differs(policy, "one that has played before")

    def one_by_one(self) -> str | None:
        """Slots alone. Bits may differ, since a matrix product's do with its size; no more than a thousandth of the range may."""
        bounds = wild_limits(self._env.action) / 100.0
        span = np.where(np.isfinite(bounds), bounds, 1.0)
        with self._made() as policy:
            for question, answer in zip(self._asked, self._answers, strict=True):
                seen = question.observation
                for row, slot in enumerate(seen.slots.tolist()):
                    alone = _Question(observation=_row(seen, row), new=tuple(new for new in question.new if new == slot))
                    found = self._ask(policy, alone).actions[0]
                    if found.shape != answer[row].shape or (np.abs(found - answer[row]) > 1e-3 * span).any():
                        return f"alone, slot {slot} gets other actions than beside {len(seen.slots) - 1} others"
        return None

    def _differs(self, policy: Policy, who: str) -> str | None:
        for question, answer in zip(self._asked, self._answers, strict=True):
            found = self._ask(policy, question).actions
            if found.shape != answer.shape or not np.array_equal(found, answer):
                return f"{who} answers otherwise"
        return None

    def _shown(self, slots: np.ndarray, wanted: Observes) -> Observation:
        seen = self._env.observe(slots, wanted, privileged=self._privileged)
        instructions = [self._episodes[slot].instruction_at(0) for slot in slots.tolist()]
        count = len(self._interface.observes.history)
        images = {
            name: np.repeat(image[:, None], count, axis=1) if count > 1 else image.copy() for name, image in seen.images.items()
        }
        return dataclasses.replace(seen, instruction=instructions, images=images)

    def _ask(self, policy: Policy, question: _Question, seeds: Sequence[int] | None = None) -> ActionChunk:
        if question.new:
            chosen = seeds or self._seeds
            policy.reset(np.array(question.new, np.int32), [chosen[slot] for slot in question.new])
        seen = question.observation
        return check_chunk(policy.act(own_copy(seen)), len(seen.slots), self._env.action.field.shape[0])

    @contextlib.contextmanager
    def _made(self) -> Iterator[Policy]:
        policy = make_policy(self._load)
        try:
            yield policy
        except PolicyFaultError as error:
            raise GrinningFaceError(str(error)) from error
        finally:
            policy.close()


def _row(seen: Observation, row: int) -> Observation:
    one = slice(row, row + 1)
    return dataclasses.replace(
        seen,
        slots=seen.slots[one],
        instruction=seen.instruction[row : row + 1],
        images={name: images[one] for name, images in seen.images.items()},
        proprio=None if seen.proprio is None else seen.proprio[one],
        privileged={name: values[one] for name, values in seen.privileged.items()},
    )
