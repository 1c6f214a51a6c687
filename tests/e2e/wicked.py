"""A plugin file: policies for the tabletop that misbehave in chosen episodes, and one that looks at images."""

import ctypes
import hashlib
import os
import re
import resource
import signal
import sys

import numpy as np

from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicyInterface, PolicySpec

ASK, FAULTY_ASK = 20, 3


def unplayable(how, actions, row):
    if how in ("nan", "inf", "wild"):
        actions[row, 3, 2] = {"nan": np.nan, "inf": -np.inf, "wild": 1e6}[how]
    if how == "shape":
        return actions[:, :, :6]
    if how == "dtype":
        return actions.astype(np.float64)
    if how == "empty":
        return actions[:, :0]
    return actions


def deadly(how):
    match how:
        case "sys.exit":
            sys.exit(0)
        case "os._exit":
            os._exit(0)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "hang":
            while True:
                pass
        case "hang in C":  # holds the interpreter's lock
            ctypes.PyDLL(None).sleep(1000)
        case "hang in re":
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "memory":
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            bytearray(64 << 30)
        case "close":
            os.closerange(0, 100)
        case "exec":
            os.execv("/bin/true", ["true"])
        case "fork":
            if os.fork() == 0:  # two processes then answer over one socket
                return


class Wicked:
    """Holds still; at the third call about an episode, does what its instruction says."""

    def __init__(self, config, context):
        self._asked = {}

    def reset(self, slots, seeds):
        self._asked.update({int(slot): 0 for slot in slots})

    def act(self, observation):
        actions = np.zeros((len(observation.slots), ASK, 7), np.float32)
        for row, (slot, how) in enumerate(zip(observation.slots, observation.instruction, strict=True)):
            self._asked[int(slot)] += 1
            if self._asked[int(slot)] == FAULTY_ASK:
                if how == "raise":
                    raise RuntimeError("out of ideas\n\x1b[31min red")
                if how == "list":
                    return actions.tolist()
                if how == "noise":
                    sys.stdout.write("x" * 5_000_000)
                deadly(how)
                actions = unplayable(how, actions, row)
        return ActionChunk(actions=actions)

    def close(self):
        pass


class Looker:
    """Moves as a hash of the pixels says, so that one other pixel changes everything after it."""

    def __init__(self, config, context):
        self._high = np.array(context.action.field.high, np.float32)

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        chunks = []
        for images in zip(*observation.images.values(), strict=True):
            seed = hashlib.sha256(b"".join(np.ascontiguousarray(image).tobytes() for image in images)).digest()
            draws = np.random.default_rng(int.from_bytes(seed[:8])).uniform(-1, 1, (ASK, 7)).astype(np.float32)
            chunks.append(np.clip(0.2 * draws, -1, 1) * self._high)
        return ActionChunk(actions=np.stack(chunks))

    def close(self):
        pass


def interface(config):
    if config["how"] == "exit":
        sys.exit(3)
    return PolicyInterface(
        observes=Observes(cameras=tuple(config["cameras"]), size=tuple(config["size"]), history=tuple(config["history"])),
        action=None,
    )


def array(*default):
    return {"type": "array", "default": list(default)}


SETTINGS = {"cameras": array("third", "wrist"), "size": array(48, 48), "history": array(0), "how": {"default": ""}}


@hookimpl
def gf_register_policies(register):
    blind = Observes(cameras=(), proprio=False)
    register(PolicySpec(id="local/wicked-v1", summary="breaks", entry_point="wicked:Wicked", observes=blind))
    looks = {"type": "object", "properties": SETTINGS, "additionalProperties": False}
    register(
        PolicySpec(
            id="local/looker-v1",
            summary="looks",
            entry_point="wicked:Looker",
            interface="wicked:interface",
            config_schema=looks,
        )
    )
