"""`gf/isolated-v1`: a policy in an environment of its own, served from there; what `gf run --isolate` plays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.contracts import ActionChunk, Observation, PolicyContext, Slots
from gf_core.schemas import apply_settings
from gf_core.serving.isolation import Served, arguments_of, describe, python_for
from gf_core.specs import PolicyInterface
from gf_policies.remote import RemotePolicy, connected, interface_from
from gf_policies.remote_settings import SETTINGS as REMOTE

_REMOTE = apply_settings((), REMOTE)


def interface(config: Mapping[str, Any]) -> PolicyInterface:
    """What the policy says over there, without being loaded. The rate that it is made for is the run's."""
    python = python_for(config["requirements"])
    found = interface_from(describe(python, arguments_of(config, config["plugins"])), where=config["policy"])
    return dataclasses.replace(found, action=None if found.action is None else dataclasses.replace(found.action, hz=0))


def make_isolated(config: Mapping[str, Any], context: PolicyContext) -> IsolatedPolicy:
    """Start its server, and connect. Raises GrinningFaceError: it can't be served over there."""
    arguments = arguments_of(config, context.plugin_files)
    sessions = ["--hz", f"{context.action.hz:g}", "--sessions", str(context.slots)]
    served = Served(python_for(config["requirements"]), [*arguments, *sessions])
    try:
        remote = connected({**_REMOTE, "url": served.url, "timeout": 3600}, context, token=served.token)
    except BaseException:
        served.close()
        raise
    return IsolatedPolicy(served, remote)


class IsolatedPolicy:
    """A remote policy that owns its server."""

    def __init__(self, served: Served, remote: RemotePolicy) -> None:
        self._served, self._remote = served, remote

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """As the remote policy."""
        self._remote.reset(slots, seeds)

    def act(self, observation: Observation) -> ActionChunk:
        """As the remote policy."""
        return self._remote.act(observation)

    def close(self) -> None:
        """Close both."""
        self._remote.close()
        self._served.close()
