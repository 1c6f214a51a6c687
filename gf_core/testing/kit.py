"""The conformance kit: what every plugin has to do, tried out on what one registers. `gf plugins check` runs it.

In a test::

    from gf_core.testing import PluginKit

    class TestMine(PluginKit):
        plugin = "acme-vla"
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import ActionChunk, BatchEnv, Observation, Policy, PolicyContext
from gf_core.errors import GrinningFaceError, MissingDependencyError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk, unplayable, wild_limits
from gf_core.evaluation.environment import load_deck, make_env
from gf_core.evaluation.matching import check_actions, check_observes, check_privileged, check_scenes
from gf_core.evaluation.plan import interface_of
from gf_core.evaluation.policy_child import LoadPolicy, make_policy
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.registry import load_object, one_line
from gf_core.schemas import apply_settings, validate_config
from gf_core.specs import EnvSpec, Observes, PolicyInterface, PolicySpec, Spec

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost, PluginStatus

Outcome = Literal["pass", "fail", "skip"]

CHECKS: Mapping[str, str] = {
    "GF501": "the plugin is loaded: its entry point resolves, its hooks are spelled right, its specs are valid",
    "GF502": "loading it imports nothing heavy and takes at most 0.2 s",
    "GF503": "what its specs name can be imported",
    "GF504": "settings have defaults that fit their own schema",
    "GF511": "a policy returns finite chunks of its shape and dtype, within 100 times the bounds",
    "GF512": "the seeds decide: the same seeds and observations give the same actions",
    "GF513": "after a reset nothing is left of the episode before",
    "GF514": "a call about several slots gives what calls about one each give",
    "GF521": "an environment observes what its spec says, in shape and dtype, finite",
    "GF522": "the same episode and actions lead to the same state, whatever is played beside it",
    "GF523": "recorded controls lead to the recorded states and outcome",
    "GF524": "observations don't depend on which card is the target",
    "GF531": "a deck is whole: it has the content that its spec names, and every item has a label and a picture",
    "GF541": "a suite is the document whose hash its spec names, and its scenes and decks are known",
}
"""What is checked, by code. docs/errors.md says what to do about each."""

SUITE = "gf/smoke@1"
EPISODES, ASKS, STEPS = 3, 3, 12


@dataclass(frozen=True, kw_only=True)
class KitFinding:
    """What one check came to.

    Attributes:
        code: a key of :data:`CHECKS`.
        subject: the plugin's name, or an id of what it brings.
        outcome: ``skip``: it couldn't be tried, and ``detail`` says why.
        detail: what was found; empty for one that passed without more to say.
    """

    code: str
    subject: str
    outcome: Outcome
    detail: str = ""


def check_plugin(
    name: str,
    host: PluginHost,
    *,
    suite: str = SUITE,
    settings: Mapping[str, Sequence[str]] | None = None,
) -> list[KitFinding]:
    """Hold a plugin, or every plugin of a distribution, against the kit.

    Args:
        name: of the plugin, or of its distribution.
        host: the plugins.
        suite: what policies are tried on: its first episodes. Those that don't fit it are tried on suites of the plugin.
        settings: id to ``KEY=VALUE`` texts, for what has settings without defaults.

    Returns:
        Every check that concerns what it brings.

    Raises:
        GrinningFaceError: there is no such plugin or suite.
    """
    given = settings or {}
    brought = [spec_id for status in host.named(name) for spec_id in status.ids if spec_id in host.suites]
    tried = [load_suite(suite, host)]
    for one in brought:
        with contextlib.suppress(GrinningFaceError):  # GF541 tells
            tried.append(load_suite(one, host))
    findings: list[KitFinding] = []
    for status in host.named(name):
        findings += _loading(status)
        for spec_id in status.ids:
            kind, spec = host.find(spec_id)
            findings += _imports(spec)
            found = list(_settings(spec, given.get(spec_id, ())))
            findings += found
            if all(one.outcome == "pass" for one in found):
                findings += _behaviour(kind, spec, host, tried, given.get(spec_id, ()))
    return findings


def _behaviour(kind: str, spec: Spec, host: PluginHost, suites: Sequence[Suite], settings: Sequence[str]) -> list[KitFinding]:
    if isinstance(spec, PolicySpec):
        return check_policy(spec, host, suites, settings=settings)
    if isinstance(spec, EnvSpec):
        return check_env(spec, host, suites)
    if kind == "decks":
        return [_tried("GF531", spec.id, lambda: _deck(spec, host))]
    if kind == "suites":
        return [_tried("GF541", spec.id, lambda: _suite(spec, host))]
    return []


class _NothingToTryError(Exception):
    """The check doesn't concern it; the text says why."""


def _tried(code: str, subject: str, check: Callable[[], str | None]) -> KitFinding:
    """A check that returns nothing if it passes, or what is wrong; whatever it raises is wrong, too."""
    try:
        wrong = check()
    except _NothingToTryError as error:
        return KitFinding(code=code, subject=subject, outcome="skip", detail=str(error))
    except MissingDependencyError as error:
        return KitFinding(code=code, subject=subject, outcome="skip", detail=" · ".join(str(error).splitlines()))
    except GrinningFaceError as error:
        wrong = " · ".join(str(error).splitlines())
    except (Exception, SystemExit) as error:
        wrong = one_line(error)
    return KitFinding(code=code, subject=subject, outcome="fail" if wrong else "pass", detail=wrong or "")


def _loading(status: PluginStatus) -> Iterator[KitFinding]:
    loaded = status.state == "loaded"
    reason = "" if loaded else f"{status.state}: {status.reason}"
    yield KitFinding(code="GF501", subject=status.name, outcome="pass" if loaded else "fail", detail=reason)
    slow = "; ".join(warning for warning in status.warnings if warning.startswith("loading it"))
    yield KitFinding(code="GF502", subject=status.name, outcome="fail" if slow else "pass", detail=slow)


def _imports(spec: Spec) -> Iterator[KitFinding]:
    names = [spec.entry_point] if ":" in spec.entry_point and "/" not in spec.entry_point else []  # a suite's is a file
    names += [getattr(spec, name) for name in ("interface", "doctor", "scene_check", "challenge") if getattr(spec, name, "")]

    def load() -> None:
        for name in names:
            load_object(spec, name)

    yield _tried("GF503", spec.id, load)


def _settings(spec: Spec, given: Sequence[str]) -> Iterator[KitFinding]:
    if spec.config_schema is None:
        return

    def apply() -> None:
        apply_settings(tuple(given), spec.config_schema, source="settings")

    finding = _tried("GF504", spec.id, apply)
    if finding.outcome == "fail" and not given and spec.config_schema.get("required"):
        needed = ", ".join(spec.config_schema["required"])
        finding = dataclasses.replace(finding, outcome="skip", detail=f"it needs settings: {needed} (--set {spec.id}:KEY=VALUE)")
    yield finding


# Policies


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
    reasons = []
    for suite in suites:
        try:
            config = apply_settings(tuple(settings), spec.config_schema, source="settings")
            interface = interface_of(spec, config)
            env = _stage(spec, interface, suite, host)
        except GrinningFaceError as error:
            reasons.append(f"it can't be tried on {suite.id}: " + " · ".join(str(error).splitlines()))
            continue
        with contextlib.closing(env):
            return _on_the_bench(_Bench(spec, config, interface, env, host, suite), spec.id)
    return [KitFinding(code=code, subject=spec.id, outcome="skip", detail=reasons[0]) for code in _POLICY]


def _stage(spec: PolicySpec, interface: PolicyInterface, suite: Suite, host: PluginHost) -> BatchEnv:
    """The suite's environment. Raises GrinningFaceError: the policy doesn't fit it."""
    env_spec = host.envs.get(suite.env)
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


def _on_the_bench(bench: _Bench, subject: str) -> list[KitFinding]:
    checks = dict(zip(_POLICY, (bench.play, bench.again, bench.after_a_reset, bench.one_by_one), strict=True))
    first = _tried("GF511", subject, checks.pop("GF511"))
    if first.outcome == "pass":
        return [first, *(_tried(code, subject, check) for code, check in checks.items())]
    return [first, *(KitFinding(code=code, subject=subject, outcome="skip", detail="GF511 comes first") for code in checks)]


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
        return check_chunk(policy.act(_copy(seen)), len(seen.slots), self._env.action.field.shape[0])

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


def _copy(seen: Observation) -> Observation:
    """A policy may change what it is shown."""
    return dataclasses.replace(
        seen,
        images={name: images.copy() for name, images in seen.images.items()},
        proprio=None if seen.proprio is None else seen.proprio.copy(),
        privileged={name: values.copy() for name, values in seen.privileged.items()},
    )


# Environments


_ENV = ("GF521", "GF522", "GF523", "GF524")


def check_env(spec: EnvSpec, host: PluginHost, suites: Sequence[Suite] = ()) -> list[KitFinding]:
    """The checks of an environment, on the first suite that is made for it: of these, or of all that are installed."""
    made_for = next((suite for suite in chain(suites, _installed(host)) if suite.env == spec.id), None)
    if made_for is None:
        why = "no installed suite is made for it, so there is no episode to try it on; --suite FILE gives one"
        return [KitFinding(code=code, subject=spec.id, outcome="skip", detail=why) for code in _ENV]
    stand = _Stand(spec, made_for, host)
    checks = (stand.observes, stand.repeats, stand.replays, stand.hides)
    found = [_tried(code, spec.id, check) for code, check in zip(_ENV, checks, strict=True)]
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
        """First observations, of every camera."""
        with self._made(len(self._episodes)) as env:
            slots = _range(len(self._episodes))
            env.reset(slots, self._episodes)
            wanted = Observes(cameras=self._spec.cameras, size=(48, 64))
            seen = env.observe(slots, wanted)
        for camera in self._spec.cameras:
            image = seen.images.get(camera)
            if image is None or image.shape != (len(slots), 48, 64, 3) or image.dtype != np.uint8:
                return f"the image of {camera} is {_told(image)}, not uint8 ({len(slots)}, 48, 64, 3)"
        shape = (len(slots), *self._spec.proprio.shape)
        if seen.proprio is None or seen.proprio.shape != shape or seen.proprio.dtype != np.float32:
            return f"proprio is {_told(seen.proprio)}, not float32 {shape}"
        if not np.isfinite(seen.proprio).all():
            return "proprio isn't finite"
        if seen.privileged:
            return f"{', '.join(seen.privileged)} is shown to a policy that isn't privileged"
        return None

    def repeats(self) -> str | None:
        """The same actions in one slot, alone, and beside others."""
        actions = self._actions()
        with self._made(len(self._episodes)) as env:
            slots = _range(len(self._episodes))
            env.reset(slots, self._episodes)
            _drive(env, slots, partial(_step, actions))
            beside = env.state_hash(slots)
        for number, episode in enumerate(self._episodes):
            with self._made(1) as env:
                env.reset(_range(1), [episode])
                own = actions[number : number + 1]
                _drive(env, _range(1), partial(_step, own))
                if env.state_hash(_range(1)) != [beside[number]]:
                    return f"{episode.id} ends in another state when it is played alone"
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
            raise _NothingToTryError("its scenes have no cards with a target")
        other = dataclasses.replace(episode, scene={**episode.scene, "target": (target + 1) % len(cards)})
        shown = []
        for one in (episode, other):
            with self._made(1) as env:
                env.reset(_range(1), [one])
                shown.append(env.observe(_range(1), Observes(cameras=self._spec.cameras, size=(96, 96))))
        first, second = shown
        for camera in self._spec.cameras:
            if not np.array_equal(first.images[camera], second.images[camera]):
                return f"what {camera} sees depends on the target"
        if not np.array_equal(first.proprio, second.proprio):  # type: ignore[arg-type]
            return "proprio depends on the target"
        return None

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


def _step(actions: np.ndarray, env: BatchEnv, running: Any, step: int) -> Any:
    return env.step(running, actions[running, step]).done


def _drive(env: BatchEnv, slots: Any, act: Callable[[BatchEnv, Any, int], Any]) -> None:
    """So many steps of every slot, or until its episode is over: ended ones are never stepped."""
    running = slots
    for step in range(STEPS):
        if not len(running):
            return
        running = running[~np.asarray(act(env, running, step))]


def _range(count: int) -> Any:
    return np.arange(count, dtype=np.int32)


def _told(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


# Decks and suites


def _deck(spec: Spec, host: PluginHost) -> str | None:
    deck = load_deck(spec.id, host)
    digest = getattr(spec, "sha256", "")
    if not digest:
        return "its spec has no sha256, so nobody can tell whether it has changed"
    if deck.sha256 != digest:
        return f"its content has the hash {deck.sha256[:12]}…, and its spec says {digest[:12]}…"
    if deck.id != spec.id:
        return f"it calls itself {deck.id!r}"
    for name, item in deck.items.items():
        if name != item.id or not item.label.strip() or not item.split.strip():
            return f"the item {name!r} lacks its id, a label or a split"
        image = deck.image(name)
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
            return f"the picture of {name!r} is {_told(image)}, not uint8 (H, W, 4)"
    return None if deck.items else "it has no item"


def _suite(spec: Spec, host: PluginHost) -> str | None:
    suite = load_suite(spec.id, host)
    check_scenes(host.envs.get(suite.env), suite.episodes, source=suite.source)
    for deck, digest in suite.decks.items():
        known = host.decks.get(deck).sha256
        if known and known != digest:
            return f"it was made with {deck} of content {digest[:12]}…, and the installed one is {known[:12]}…"
    return None


class PluginKit:
    """The kit as a test: derive from it in a class that pytest collects, and name the plugin.

    Attributes:
        plugin: its name, or that of its distribution.
        files: plugin files to load.
        suite: what policies are tried on.
        settings: id to ``KEY=VALUE`` texts.
    """

    plugin: str = ""
    files: Sequence[Path] = ()
    suite: str = SUITE
    settings: Mapping[str, Sequence[str]] = {}

    def test_the_kit(self) -> None:
        """Every check passes, or says why it couldn't be tried."""
        from gf_core.plugins import load_plugins

        found = check_plugin(self.plugin, load_plugins(self.files), suite=self.suite, settings=self.settings)
        wrong = [f"{one.code} {one.subject}: {one.detail}" for one in found if one.outcome == "fail"]
        assert found, f"{self.plugin} brings nothing"
        assert not wrong, "\n".join(wrong)


__all__ = ["CHECKS", "KitFinding", "PluginKit", "check_env", "check_plugin", "check_policy"]
