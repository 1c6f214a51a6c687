"""A policy's own process: loads it, answers calls, and dies with the runner. Started by gf_core.evaluation.policy_process."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Observation, Policy, PolicyContext
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk
from gf_core.evaluation.channel import Channel
from gf_core.registry import load_object, one_line
from gf_core.specs import PolicySpec

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, kw_only=True)
class LoadPolicy:
    """What a child is started with. ``files`` are the plugin files of the run."""

    spec: PolicySpec
    config: Mapping[str, Any]
    context: PolicyContext
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: new episodes in ``reset_slots`` first, then the observation, whose images lie in shared memory.

    Attributes:
        reset_slots, seeds: what ``reset`` gets; empty for no call of it.
        observation: the observation without its images.
        images: camera to shape; one after another from the region's beginning.
        number: repeated in the answer, so that a second process, which a policy forked, can't answer the call before.
    """

    reset_slots: NDArray[np.int32]
    seeds: tuple[int, ...]
    observation: Observation
    images: Mapping[str, tuple[int, ...]]
    number: int


def make_policy(request: LoadPolicy) -> Policy:
    """The policy, loaded. Raises whatever its factory raises, and PluginError where it can't be imported."""
    if request.files:
        from gf_core.plugins import load_plugins

        load_plugins(request.files)  # the module of a file that is a plugin is found only after this
    policy: Policy = load_object(request.spec)(request.config, request.context)
    return policy


def main() -> None:
    """Answer calls until the runner hangs up."""
    descriptor, region, runner = (int(argument) for argument in sys.argv[1:4])
    _die_with(runner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=descriptor))
    shared = mmap.mmap(region, 0, prot=mmap.PROT_READ)
    os.close(region)
    with contextlib.suppress(EOFError, OSError):  # the runner has gone, or has enough
        _serve(channel, shared)


def _die_with(runner: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:

        def watch() -> None:
            while os.getppid() == runner:
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    if os.getppid() != runner:  # it died before the line above
        os._exit(1)


def _serve(channel: Channel, shared: mmap.mmap) -> None:
    request: LoadPolicy = pickle.loads(channel.receive()[0])
    try:
        policy = make_policy(request)
    except BaseException as error:  # reported; SystemExit too, since a policy may call sys.exit
        channel.send([json.dumps(_failure(error)).encode()])
        return
    channel.send([b'{"ok":true}'])
    width = request.context.action.field.shape[0]
    while True:
        (data,) = channel.receive()
        if not data:
            policy.close()
            return
        try:
            head, actions = _answer(policy, pickle.loads(data), shared, width)
        except BaseException as error:  # reported
            channel.send([json.dumps(_failure(error)).encode()])
        else:
            channel.send([json.dumps(head).encode(), actions])


def _answer(policy: Policy, call: Call, shared: mmap.mmap, width: int) -> tuple[dict[str, Any], bytes]:
    images: dict[str, NDArray[np.uint8]] = {}
    offset = 0
    for camera, shape in call.images.items():
        size = int(np.prod(shape))
        # Copied, because a policy may keep what it was shown, and the region is written again for the next call.
        images[camera] = np.frombuffer(shared, np.uint8, size, offset).reshape(shape).copy()
        offset += size
    seen = call.observation
    observation = Observation(
        slots=seen.slots,
        instruction=seen.instruction,
        images=images,
        proprio=seen.proprio,
        privileged=seen.privileged,
        unplayed=seen.unplayed,
    )
    if len(call.reset_slots):
        policy.reset(call.reset_slots, call.seeds)
    slots = len(observation.slots)
    chunk = check_chunk(policy.act(observation), slots, width)
    execute = None if chunk.execute_steps is None else int(chunk.execute_steps)
    head = {"ok": True, "call": call.number, "shape": chunk.actions.shape, "execute_steps": execute}
    return head, np.ascontiguousarray(chunk.actions).tobytes()


def _failure(error: BaseException) -> dict[str, Any]:
    """What the runner is told; the traceback goes to the log."""
    if not isinstance(error, PolicyFaultError):
        traceback.print_exception(error)
    sys.stderr.flush()
    user = None
    if isinstance(error, GrinningFaceError):
        user = {"kind": type(error).__name__, "what": error.what, "where": error.where, "hint": error.hint, "code": error.code}
    return {"ok": False, "reason": describe(error), "user": user}


def describe(error: BaseException) -> str:
    """An exception as one line, the same whenever the same thing happens."""
    if isinstance(error, PolicyFaultError):
        return str(error)
    return without_addresses(one_line(error))


def without_addresses(text: str) -> str:
    """``text`` without memory addresses, which differ each time."""
    import re

    return re.sub(r"0x[0-9a-fA-F]{4,}", "0x…", text)
