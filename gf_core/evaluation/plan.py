"""What a run is: resolved from ids and options, checked, and written down as the identity that run.json holds."""

from __future__ import annotations

import dataclasses
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gf_core._spec_checks import interface_problems
from gf_core.canonical import content_hash, sha256
from gf_core.contracts import Episode
from gf_core.errors import GrinningFaceError, PluginError, did_you_mean
from gf_core.evaluation.environment import load_deck
from gf_core.evaluation.matching import (
    check_actions,
    check_decks,
    check_faces,
    check_observes,
    check_privileged,
    check_rate,
    check_scenes,
)
from gf_core.evaluation.suites import Suite, at_rate, load_suite
from gf_core.registry import brought_by, load_object, one_line
from gf_core.schemas import apply_settings, check_suite_metrics, validate_config
from gf_core.specs import EnvSpec, PolicyInterface, PolicySpec, Spec, to_json

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Settings = Mapping[str, Any] | tuple[str, ...]

RESULT_DISTRIBUTIONS = ("grinningface", "numpy", "mujoco", "mujoco-core")
"""Distributions whose versions are recorded with every run where they are installed, beside those of the plugins used."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Whether the world waits for the policy.

    Attributes:
        mode: ``paused``: the world stands still while the policy thinks. ``realtime``: its chunk arrives late.
        latency_steps: fixed latency in control steps; ``None`` in realtime for the measured one.
    """

    mode: Literal["paused", "realtime"] = "paused"
    latency_steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for; everything that identifies a run and nothing that doesn't.

    Attributes:
        suite: id, or a ``.json`` file.
        policy: id.
        policy_config, env_config: settings, as a mapping or as ``KEY=VALUE`` texts; the environment's come on top of the suite's.
        policy_seed: an episode's seed is derived from this and the episode's id.
        control_hz: another rate than the suite's; ``None`` for the suite's.
        execute_steps: steps of a chunk that are played before the policy is asked again; ``None``: as the policy says.
        timing: whether the world waits.
        episodes: only these ids; empty for all.
        limit: only the first so many; 0 for all.
    """

    suite: str
    policy: str
    policy_config: Settings = ()
    env_config: Settings = ()
    policy_seed: int = 0
    control_hz: float | None = None
    execute_steps: int | None = None
    timing: Timing = dataclasses.field(default_factory=Timing)
    episodes: tuple[str, ...] = ()
    limit: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request, resolved and checked.

    Attributes:
        request: what was asked for.
        suite: the suite, as in its document.
        policy: the policy's spec.
        policy_config: its settings, complete.
        interface: what it observes and emits with these settings.
        env: the environment's spec.
        env_config: its settings, complete.
        control_hz: control rate [1/s].
        episodes: what is run, in order, at this rate.
        identity: what run.json holds, except ``environment.runtime``, which is known once the environment runs.
    """

    request: Request
    suite: Suite
    policy: PolicySpec
    policy_config: Mapping[str, Any]
    interface: PolicyInterface
    env: EnvSpec
    env_config: Mapping[str, Any]
    control_hz: float
    episodes: tuple[Episode, ...]
    identity: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``<suite>-<policy>-<hash>``, different for every configuration: the default name of a run's directory."""
        names = f"{self.suite.id}-{self.policy.id}".replace("/", ".")
        return f"{names}-{content_hash(self.identity)[:8]}"


def make_plan(request: Request, host: PluginHost) -> Plan:
    """Resolve a request and check that everything in it fits together.

    Raises:
        GrinningFaceError: an unknown id, a setting of the wrong type, a missing deck, a mismatch between policy, environment
            and suite.
    """
    suite = load_suite(request.suite, host)
    policy, env = host.policies.get(request.policy), _environment(suite, host)
    policy_config = _settings(policy, request.policy_config, {}, "--set")
    validate_config(suite.env_config, env.config_schema, source=suite.source, at=("env", "config"))
    env_config = _settings(env, request.env_config, suite.env_config, "--env-set")
    control_hz = suite.control_hz if request.control_hz is None else request.control_hz
    interface = interface_of(policy, policy_config)
    check_rate(env, control_hz, asked_by=suite.id if request.control_hz is None else "--hz")
    described = env.action if env.action.hz in (0, control_hz) else dataclasses.replace(env.action, hz=0)
    check_actions(policy.id, interface.action, env.id, described)  # rate and bounds of others: when the environment is made
    check_observes(policy.id, interface, env)
    check_privileged(policy, env)
    check_decks(suite.decks, host, source=suite.source)
    check_suite_metrics(suite.document, [metric.name for metric in env.metrics if metric.kind == "bool"], suite.source)
    check_scenes(env, suite.episodes, source=suite.source)
    if suite.provenance is None:  # its author is at work on it; a plugin's decks aren't loaded until they are drawn
        check_faces(suite.episodes, suite.decks, partial(load_deck, host=host), source=suite.source)
    episodes = tuple(at_rate(episode, control_hz) for episode in _chosen(suite, request))
    plan = Plan(
        request=request,
        suite=suite,
        policy=policy,
        policy_config=policy_config,
        interface=interface,
        env=env,
        env_config=env_config,
        control_hz=control_hz,
        episodes=episodes,
        identity={},
    )
    return dataclasses.replace(plan, identity=_identity(plan, host))


def _environment(suite: Suite, host: PluginHost) -> EnvSpec:
    try:
        return host.envs.get(suite.env)
    except GrinningFaceError as error:
        raise type(error)(error.what, where=f"{suite.source}#/env/id", hint=error.hint) from error


def _settings(spec: Spec, given: Settings, base: Mapping[str, Any], option: str) -> dict[str, Any]:
    """Settings on top of others, checked and completed."""
    if isinstance(given, tuple):
        return apply_settings(given, spec.config_schema, base=base, source=option)
    return validate_config({**base, **given}, spec.config_schema, source=spec.id)


def interface_of(policy: PolicySpec, config: Mapping[str, Any]) -> PolicyInterface:
    """What a policy observes and emits with these settings. Raises GrinningFaceError: it can't say."""
    if not policy.interface:
        return PolicyInterface(observes=policy.observes, action=policy.action, max_batch=policy.max_batch)
    describe: Callable[[Mapping[str, Any]], PolicyInterface] = load_object(policy, policy.interface)
    try:
        found = describe(config)
    except GrinningFaceError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{policy.id} can't say what it needs ({one_line(error)})", where=brought_by(policy)) from error
    if not isinstance(found, PolicyInterface):
        raise PluginError(f"{policy.interface} returned {type(found).__name__}, not PolicyInterface", where=brought_by(policy))
    if wrong := interface_problems(found):
        raise PluginError(f"{policy.interface} returned an interface that isn't one ({wrong[0]})", where=brought_by(policy))
    return found


def _chosen(suite: Suite, request: Request) -> Sequence[Episode]:
    episodes = suite.episodes
    if request.episodes:
        known = {episode.id for episode in episodes}
        for name in request.episodes:
            if name not in known:
                hint = did_you_mean(name, known) or f"its first is {episodes[0].id!r}"
                raise GrinningFaceError(f"{suite.id} has no episode {name!r}", where="--episodes", hint=hint)
        wanted = set(request.episodes)
        episodes = tuple(episode for episode in episodes if episode.id in wanted)
    return episodes[: request.limit] if request.limit else episodes


def _identity(plan: Plan, host: PluginHost) -> dict[str, Any]:
    suite, policy, env, request = plan.suite, plan.policy, plan.env, plan.request
    partial = len(plan.episodes) < len(suite.episodes)
    as_in_suite = plan.env_config == _settings(env, (), suite.env_config, suite.source)
    variant = plan.control_hz != suite.control_hz or not as_in_suite or request.timing != Timing()
    used: list[Spec] = [policy, env, *(host.decks.get(name) for name in suite.decks)]
    local = any(spec.provenance is None or spec.id.startswith("local/") for spec in used)
    return {
        "schema_version": "1.0",
        "kind": "run",
        "suite": {"id": suite.id, "sha256": suite.sha256, "provenance": to_json(suite.provenance)},
        "environment": {
            "id": env.id,
            "config": plan.env_config,
            "spec_sha256": _spec_hash(env),
            "provenance": to_json(env.provenance),
            "runtime": {},
        },
        "policy": {
            "id": policy.id,
            "config": plan.policy_config,
            "spec_sha256": content_hash([_spec_hash(policy), interface_json(plan.interface)]),
            "provenance": to_json(policy.provenance),
            "privileged": policy.privileged,
            "seed": request.policy_seed,
            "execute_steps": request.execute_steps,
        },
        "decks": dict(suite.decks),
        "timing": to_json(request.timing),
        "control_hz": plan.control_hz,
        "horizon_scale": plan.control_hz / suite.control_hz,
        "episodes": [episode.id for episode in plan.episodes] if partial else None,
        "files": {path.name: sha256(Path(path).read_bytes()) for path in host.files},
        "versions": _versions(used),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        },
        "unpackaged": local or suite.provenance is None or bool(host.files) or not plan.interface.packaged,
        "partial": partial,
        "variant": variant,
    }


def interface_json(interface: PolicyInterface) -> dict[str, Any]:
    """What is hashed of it: what it needs, not where it comes from."""
    fields: dict[str, Any] = to_json(interface)
    return {name: value for name, value in fields.items() if name != "packaged"}


def _spec_hash(spec: Spec) -> str:
    return content_hash(to_json(dataclasses.replace(spec, provenance=None)))


def _versions(used: Sequence[Spec]) -> dict[str, str]:
    names = {*RESULT_DISTRIBUTIONS, *(spec.provenance.distribution for spec in used if spec.provenance is not None)}
    found: dict[str, str] = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not installed here: mujoco comes in two distributions, and files have none
    return found
