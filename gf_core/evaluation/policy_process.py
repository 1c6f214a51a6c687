"""The runner's side of a policy that lives in a process of its own, where it may hang or die without harm."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gf_core import errors
from gf_core.contracts import ActionChunk, Observation, PolicyContext, Slots
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.evaluation.actions import PolicyFaultError, check_chunk
from gf_core.evaluation.channel import Channel
from gf_core.evaluation.policy_child import Call, LoadPolicy
from gf_core.registry import brought_by
from gf_core.specs import EnvSpec, Observes, PolicySpec, to_json

_START = "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); from gf_core.evaluation.policy_child import main; main()"
_FAREWELL_SECONDS = 5.0
_FIRST_CALL_MARGIN = 10.0


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """How long a policy may take.

    Attributes:
        call: one call, except a process's first [s].
        load: loading [s]; also the first call, which may compile or allocate. Once one process has answered its first call, later
            ones get ten times as long as that took, if that is shorter, so that a policy that hangs at once doesn't cost this
            each time.
    """

    call: float = 30.0
    load: float = 600.0


class Asked(Protocol):
    """A policy, wherever it is."""

    def load(self) -> None:
        """Load it. Raises GrinningFaceError: it can't be loaded; the reason is the last line of its traceback."""
        ...

    def ask(self, resets: Slots, seeds: Sequence[int], observation: Observation) -> ActionChunk:
        """Begin new episodes in ``resets``, then act.

        Raises:
            PolicyFaultError: it broke. What it knew of the episodes is lost, and the next call reaches a fresh policy.
            GrinningFaceError: it can't be loaded.
        """
        ...

    def close(self) -> None:
        """End it."""
        ...


class PolicyProcess:
    """A policy in a child process, which starts with the first call and again after every fault.

    Args:
        request: what to load.
        observes: what it will be shown; decides how much memory is shared.
        log: file to which all that the child prints is added.
        deadlines: how long it may take.
    """

    def __init__(self, request: LoadPolicy, observes: Observes, *, log: Path, deadlines: Deadlines) -> None:
        self._request, self._log, self._deadlines = _picklable(request), log, deadlines
        height, width = observes.size
        frame = height * width * 3 * len(observes.history)
        self._region, self._shared = _shared_memory(max(1, request.context.slots * frame * len(observes.cameras)))
        self._width = request.context.action.field.shape[0]
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._first_call_seconds = math.inf
        self._answered = False
        self._busy = False
        self._calls = 0

    def load(self) -> None:
        """Start the child and wait until it has loaded the policy."""
        channel = self._start()
        self._busy = True
        until = time.monotonic() + self._deadlines.load
        try:
            channel.send([pickle.dumps(self._request)], deadline=until)
            reply = json.loads(channel.receive(deadline=until)[0])
        except (OSError, EOFError, ValueError) as error:
            reason = self._end_of_life(error)
            raise self._unloadable(reason) from error
        if not reply["ok"]:
            self._kill()
            if reply["user"]:
                raise _users_mistake(**reply["user"])
            raise self._unloadable(reply["reason"])
        self._busy = False

    def ask(self, resets: Slots, seeds: Sequence[int], observation: Observation) -> ActionChunk:
        """See :class:`Asked`."""
        if self._channel is None:
            self.load()
        assert self._channel is not None
        call = self._share(resets, seeds, observation)
        self._busy = True
        begun = time.monotonic()
        until = begun + (self._deadlines.call if self._answered else self._first_call_allowance())
        try:
            self._channel.send([pickle.dumps(call)], deadline=until)
            head, *rest = self._channel.receive(deadline=until)
            reply = json.loads(head)
            if not reply["ok"]:
                self._kill()
                raise PolicyFaultError(reply["reason"])
            if reply["call"] != call.number:
                raise ValueError("an answer to another call")
            actions = np.frombuffer(rest[0], np.float32).reshape(reply["shape"])
        except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
            raise PolicyFaultError(self._end_of_life(error)) from error
        self._busy = False
        if not self._answered:
            self._answered, self._first_call_seconds = True, time.monotonic() - begun
        return check_chunk(
            ActionChunk(actions=actions, execute_steps=reply["execute_steps"]), len(observation.slots), self._width
        )

    def close(self) -> None:
        """Ask the child to close its policy; end it if it doesn't, or if it is busy."""
        if self._child is not None and self._channel is not None and not self._busy:
            with contextlib.suppress(OSError):
                self._channel.send([b""], deadline=time.monotonic() + _FAREWELL_SECONDS)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(_FAREWELL_SECONDS)
        self._kill()
        with contextlib.suppress(BufferError):  # a traceback may still hold a view of it
            self._shared.close()
        os.close(self._region)

    def _start(self) -> Channel:
        ours, theirs = socket.socketpair()
        path = [entry or str(Path.cwd()) for entry in sys.path]
        with theirs, self._log.open("ab") as log:
            arguments = [str(theirs.fileno()), str(self._region), str(os.getpid()), json.dumps(path)]
            self._child = subprocess.Popen(
                [sys.executable, "-u", "-c", _START, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(), self._region),
                start_new_session=True,  # Ctrl-C is the runner's to handle, and what the policy starts can be ended with it
            )
        self._channel, self._answered, self._busy = Channel(ours), False, False
        return self._channel

    def _first_call_allowance(self) -> float:
        return min(self._deadlines.load, max(self._deadlines.call, _FIRST_CALL_MARGIN * self._first_call_seconds))

    def _share(self, resets: Slots, seeds: Sequence[int], observation: Observation) -> Call:
        """Write the images where the child reads them, each once."""
        offset = 0
        shapes: dict[str, tuple[int, ...]] = {}
        for camera, images in observation.images.items():
            view: NDArray[np.uint8] = np.frombuffer(self._shared, np.uint8, images.size, offset).reshape(images.shape)
            np.copyto(view, images)
            shapes[camera] = images.shape
            offset += images.size
        self._calls += 1
        seen = dataclasses.replace(observation, images={})
        return Call(reset_slots=resets, seeds=tuple(seeds), observation=seen, images=shapes, number=self._calls)

    def _end_of_life(self, error: Exception) -> str:
        """Why there was no answer, as a line without timings; the child is gone afterwards."""
        child = self._child
        assert child is not None
        if isinstance(error, TimeoutError):
            self._kill()
            return "no answer before the deadline"
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_FAREWELL_SECONDS)
        status = child.poll()
        self._kill()
        if status is None or isinstance(error, ValueError | KeyError | IndexError):
            return "its process sent something that isn't an answer"
        return _death(status)

    def _kill(self) -> None:
        """End the child and whatever it started."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None

    def _unloadable(self, reason: str) -> PluginError:
        spec = self._request.spec
        return PluginError(f"{spec.id} can't be loaded: {reason}", where=brought_by(spec), hint=f"its output is in {self._log}")


def _users_mistake(kind: str, **words: str) -> GrinningFaceError:
    """The error that the child raised."""
    found = getattr(errors, kind, None)
    known = found if isinstance(found, type) and issubclass(found, GrinningFaceError) else GrinningFaceError
    return known(words.pop("what"), **words)


def _death(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit code {status}"
    names = {signum.value: signum.name for signum in signal.Signals}
    name = names.get(-status, f"signal {-status}")
    return f"its process was ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def _picklable(request: LoadPolicy) -> LoadPolicy:
    """The request with plain mappings; a plugin may have used read-only ones, which can't be pickled."""

    def env(spec: EnvSpec) -> EnvSpec:
        return dataclasses.replace(spec, config_schema=to_json(spec.config_schema), scene_schema=to_json(spec.scene_schema))

    policy: PolicySpec = dataclasses.replace(request.spec, config_schema=to_json(request.spec.config_schema))
    context: PolicyContext = dataclasses.replace(request.context, env=env(request.context.env))
    config: Mapping[str, Any] = to_json(request.config)
    return dataclasses.replace(request, spec=policy, context=context, config=config)


def _shared_memory(size: int) -> tuple[int, mmap.mmap]:
    """A file descriptor and a mapping of memory that has no name, so that nothing is left behind however the runner ends."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("gf-images")
    else:
        file: IO[bytes]
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor, mmap.mmap(descriptor, size)
