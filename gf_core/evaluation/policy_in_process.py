"""A policy in the runner's own process: no deadline and no protection, but a debugger reaches it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from gf_core.contracts import ActionChunk, Observation, Policy, Slots
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk
from gf_core.evaluation.policy_child import LoadPolicy, describe, make_policy
from gf_core.registry import brought_by

log = logging.getLogger(__name__)


def load_policy(request: LoadPolicy) -> Policy:
    """The policy, in this process.

    Raises:
        GrinningFaceError: it can't be loaded.
    """
    try:
        return make_policy(request)
    except GrinningFaceError:
        raise
    except (Exception, SystemExit) as error:
        spec = request.spec
        raise PluginError(f"{spec.id} can't be loaded: {describe(error)}", where=brought_by(spec)) from error


class PolicyInProcess:
    """The policy; see :class:`gf_core.evaluation.policy_process.Asked` for what its methods do.

    Args:
        request: what to load.
    """

    def __init__(self, request: LoadPolicy) -> None:
        self._request = request
        self._policy: Policy | None = None
        self._width = request.context.action.field.shape[0]

    def load(self) -> None:
        """See :class:`gf_core.evaluation.policy_process.Asked`."""
        self._policy = load_policy(self._request)

    def ask(self, resets: Slots, seeds: Sequence[int], observation: Observation) -> ActionChunk:
        """See :class:`gf_core.evaluation.policy_process.Asked`."""
        if self._policy is None:
            self.load()
        assert self._policy is not None
        try:
            if len(resets):
                self._policy.reset(resets, seeds)
            chunk = check_chunk(self._policy.act(own_copy(observation)), len(observation.slots), self._width)
            return dataclasses.replace(chunk, actions=chunk.actions.copy())
        except (Exception, SystemExit) as error:
            self._policy = None
            if isinstance(error, PolicyFaultError):
                raise
            raise PolicyFaultError(describe(error)) from error

    def close(self) -> None:
        """Close the policy."""
        policy, self._policy = self._policy, None
        try:
            if policy is not None:
                policy.close()
        except Exception:
            log.warning("the policy raised while it was closed", exc_info=True)


def own_copy(observation: Observation) -> Observation:
    """A copy, since a policy may keep or change what it was shown, and an environment may write over it."""
    return dataclasses.replace(
        observation,
        images={camera: images.copy() for camera, images in observation.images.items()},
        proprio=None if observation.proprio is None else observation.proprio.copy(),
        privileged={name: values.copy() for name, values in observation.privileged.items()},
        unplayed=[left.copy() for left in observation.unplayed],
    )
