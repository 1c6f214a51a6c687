"""What a policy returned: is it a chunk of actions at all, and which slots' actions may be played."""

from __future__ import annotations

import numpy as np

from gf_core.contracts import ActionChunk, Doubles, Floats
from gf_core.specs import ActionSpec

MAX_CHUNK_STEPS = 10_000
WILD = 100.0
"""An action beyond this many times its bound fails the episode; one that is merely beyond is clipped and counted."""


class PolicyFaultError(Exception):
    """The policy broke a call, by raising, by not answering, by dying, or by returning something that isn't a chunk.

    Whose episode's fault it is can't be told from a call with several slots. The reason is one line without timings or
    addresses, since it is recorded.
    """


def check_chunk(chunk: object, slots: int, width: int) -> ActionChunk:
    """``chunk``, if it is an ActionChunk of ``(slots, T, width) float32``.

    Raises:
        PolicyFaultError: it isn't; says what it is.
    """
    if not isinstance(chunk, ActionChunk):
        raise PolicyFaultError(f"act returned {type(chunk).__name__}, not ActionChunk")
    actions, execute = chunk.actions, chunk.execute_steps
    if not isinstance(actions, np.ndarray):
        raise PolicyFaultError(f"act returned actions of type {type(actions).__name__}, not a NumPy array")
    if actions.dtype != np.float32:
        raise PolicyFaultError(f"act returned actions of dtype {actions.dtype}, not float32")
    if (
        actions.ndim != 3
        or actions.shape[0] != slots
        or actions.shape[2] != width
        or not 1 <= actions.shape[1] <= MAX_CHUNK_STEPS
    ):
        raise PolicyFaultError(f"act returned actions of shape {actions.shape}, not ({slots}, T, {width})")
    if execute is not None and (isinstance(execute, bool) or not isinstance(execute, int | np.integer)):
        raise PolicyFaultError(f"act returned execute_steps of type {type(execute).__name__}, not int")
    if execute is not None and not 1 <= execute <= actions.shape[1]:
        raise PolicyFaultError(f"act returned execute_steps {execute} with a chunk of {actions.shape[1]} steps")
    return chunk


def wild_limits(action: ActionSpec) -> Doubles:
    """``(A,) float64``: the magnitude beyond which an element fails the episode; infinite where it has no bounds."""
    width = action.field.shape[0]
    bounds = [np.abs(np.asarray(side, np.float64)) for side in (action.field.low, action.field.high) if side]
    if not bounds:
        return np.full(width, np.inf)
    return np.broadcast_to(WILD * np.max(np.stack(np.broadcast_arrays(*bounds)), axis=0), (width,)).copy()


def unplayable(actions: Floats, limits: Doubles) -> str:
    """Why one slot's actions ``(T, A)`` can't be played; empty if they can. Names the first bad element."""
    for what, bad in (("isn't finite", ~np.isfinite(actions)), (f"is beyond {WILD:g} times its bound", np.abs(actions) > limits)):
        if bad.any():
            step, element = np.argwhere(bad)[0]
            return f"action element {element} at chunk step {step} {what} ({actions[step, element]:g})"
    return ""
