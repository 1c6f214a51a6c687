"""Opens a server for a policy of a plugin."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.canonical import content_hash
from gf_core.contracts import EnvContext, Policy, PolicyContext
from gf_core.errors import GrinningFaceError, UnknownIdError
from gf_core.evaluation.matching import check_actions, check_observes, check_rate
from gf_core.evaluation.plan import interface_json, interface_of
from gf_core.evaluation.policy_child import LoadPolicy, describe, make_policy
from gf_core.registry import brought_by
from gf_core.schemas import apply_settings, default_settings
from gf_core.serving.host import PolicyHost
from gf_core.serving.link import MAX_MESSAGE
from gf_core.serving.server import OURS, Offer, PolicyServer
from gf_core.serving.wire import PROTOCOL_VERSION
from gf_core.specs import ActionSpec, EnvSpec, PolicyInterface, to_json

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

log = logging.getLogger(__name__)

_ROTATIONS = {"rotvec": "axis_angle", "euler_xyz": "euler_xyz", "quat_xyzw": "quaternion_xyzw", "rot6d": "rot6d"}
"""Our names of rotations to those of vla-eval's conventions."""


def open_server(
    policy_id: str,
    host: PluginHost,
    *,
    settings: Sequence[str] = (),
    env_id: str,
    control_hz: float | None = None,
    address: tuple[str, int] = ("127.0.0.1", 0),
    token: str = "",
    sessions: int = 64,
    wait: float = 0.02,
    cameras: Mapping[str, str] | None = None,
    max_bytes: int = MAX_MESSAGE,
) -> PolicyServer:
    """Load a policy and listen.

    Args:
        policy_id: its id.
        host: the plugins.
        settings: of the policy, ``KEY=VALUE``.
        env_id: the environment whose actions and state it is made for.
        control_hz: control rate [1/s]; by default the policy's own, or the environment's first.
        address: where to listen: host name and port, 0 for any that is free.
        token: what clients have to say; empty for nothing.
        sessions: most clients at once.
        wait: how long a question waits for those of other sessions [s].
        cameras: what clients call the policy's cameras: theirs to its.
        max_bytes: of a message.

    Raises:
        GrinningFaceError: an unknown id or setting, a policy that doesn't fit the environment, sees the simulator's state or
            can't be loaded, an address that can't be used.
    """
    served = _resolve(policy_id, host, settings, env_id, control_hz)
    spec, interface = served.load.spec, served.interface
    context = dataclasses.replace(served.load.context, slots=interface.max_batch or sessions)
    load = dataclasses.replace(served.load, context=context)

    def make() -> Policy:
        try:
            return make_policy(load)
        except GrinningFaceError:
            raise
        except (Exception, SystemExit) as error:
            log.exception("%s can't be loaded", policy_id)
            raise GrinningFaceError(f"{policy_id} can't be loaded: {describe(error)}", where=brought_by(spec)) from error

    offer = Offer(hello=served.hello, interface=interface, proprio=context.env.proprio, cameras=dict(cameras or {}))
    strange = [name for name in offer.cameras.values() if name not in interface.observes.cameras]
    if strange:
        seen = ", ".join(interface.observes.cameras) or "none"
        raise UnknownIdError(f"{policy_id} has no camera {strange[0]!r}", where="--camera", hint=f"it looks through {seen}")
    width = context.action.field.shape[0]
    policy = PolicyHost(make, slots=sessions, width=width, max_batch=interface.max_batch, wait=wait)
    try:
        return PolicyServer(policy, offer, address=address, token=token, max_bytes=max_bytes)
    except BaseException:
        policy.close()
        raise


def describe_policy(
    policy_id: str, host: PluginHost, *, settings: Sequence[str] = (), env_id: str, control_hz: float | None = None
) -> Mapping[str, Any]:
    """What a server's hello would say, without loading the policy. Arguments and errors as of :func:`open_server`."""
    return _resolve(policy_id, host, settings, env_id, control_hz).hello


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Resolved:
    load: LoadPolicy
    interface: PolicyInterface
    hello: Mapping[str, Any]


def _resolve(policy_id: str, host: PluginHost, settings: Sequence[str], env_id: str, control_hz: float | None) -> _Resolved:
    spec, env = host.policies.get(policy_id), host.envs.get(env_id)
    if spec.privileged:
        raise GrinningFaceError(f"{policy_id} sees the simulator's state, which no client sends", where="POLICY")
    config = apply_settings(tuple(settings), spec.config_schema, source="--set")
    interface = interface_of(spec, config)
    own = interface.action.hz if interface.action is not None else 0
    hz = control_hz if control_hz is not None else own if own in env.control_hz else env.control_hz[0]
    check_rate(env, hz, asked_by="--hz")
    check_observes(policy_id, interface, env)
    action = _action_at(env, hz, host)
    check_actions(policy_id, interface.action, env_id, action)
    context = PolicyContext(env=dataclasses.replace(env, action=action), action=action, slots=1, plugin_files=host.files)
    mine = {
        "version": metadata.version("grinningface"),
        "policy": policy_id,
        "provenance": to_json(spec.provenance),
        "fingerprint": content_hash([to_json(spec), interface_json(interface), _settled(config, interface)]),
        "env": env_id,
        "action": to_json(action),
        "observes": to_json(interface.observes),
        "proprio": to_json(env.proprio),
        "max_batch": interface.max_batch,
    }
    hello = {
        "harness_version": f"grinningface {mine['version']}",
        "protocol_version": PROTOCOL_VERSION,
        "model_server": policy_id,
        "capabilities": {},
        **vla_eval_specs(action, interface, env),
        OURS: mine,
    }
    load = LoadPolicy(spec=spec, config=config, context=context, files=host.files)
    return _Resolved(load=load, interface=interface, hello=hello)


def _settled(config: Mapping[str, Any], interface: PolicyInterface) -> dict[str, Any]:
    """The settings that make the policy what it is. Where files lie doesn't, if the policy says itself what is in them."""
    if not interface.fingerprint:
        return dict(config)
    return {name: value for name, value in config.items() if name != "checkpoint" and not _is_place(value)}


def _is_place(value: object) -> bool:
    """Whether a setting names a file that is there; a word that happens to be a folder's name doesn't."""
    if not isinstance(value, str) or not ("/" in value or os.sep in value):
        return False
    try:
        return Path(value).exists()
    except OSError:  # too long for a path
        return False


def _action_at(env: EnvSpec, hz: float, host: PluginHost) -> ActionSpec:
    """The environment's actions at a rate; at others than its first it says itself what its bounds are."""
    if hz == env.control_hz[0]:
        return dataclasses.replace(env.action, hz=hz)

    def no_deck(name: str) -> Any:
        raise UnknownIdError(f"no deck {name!r} is needed to say what actions are")

    made = host.envs.load(env.id)(
        default_settings(env.config_schema), EnvContext(slots=1, threads=1, control_hz=hz, load_deck=no_deck)
    )
    try:
        return made.action  # type: ignore[no-any-return]
    finally:
        made.close()


def vla_eval_specs(action: ActionSpec, interface: PolicyInterface, env: EnvSpec) -> dict[str, Any]:
    """What vla-eval 0.8 asks a server to declare, so that its benchmarks can say what doesn't fit: DimSpecs as maps.

    Units are named where its conventions leave them open.
    """
    names, units = action.field.names, action.field.unit
    rotation = _ROTATIONS.get(action.rotation, action.rotation)
    low, high = action.field.low, action.field.high
    described = {}
    kind = "delta" if action.representation.endswith("delta") else "absolute"
    if len(names) == 7 and action.representation.startswith("ee"):
        described = {
            "position": {
                "name": "position",
                "dims": 3,
                "format": f"{kind}_xyz",
                "description": f"{units[0]}, {action.field.frame}",
            },
            "rotation": {"name": "rotation", "dims": 3, "format": rotation, "description": "rad"},
            "gripper": {
                "name": "gripper",
                "dims": 1,
                "format": "continuous_01",
                "description": "0 closed, 1 open",
                "range": [float(low[-1]), float(high[-1])],
            },
        }
    observes = interface.observes
    seen: dict[str, Any] = {
        camera: {"name": camera, "dims": 0, "format": f"rgb_hwc_uint8_{observes.size[0]}x{observes.size[1]}"}
        for camera in observes.cameras
    }
    seen["language"] = {"name": "language", "dims": 0, "format": "language"}
    if observes.proprio:
        seen["state"] = {"name": "state", "dims": env.proprio.shape[0], "format": ", ".join(env.proprio.names)}
    return {"action_spec": described, "observation_spec": seen}
