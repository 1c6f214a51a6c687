"""A plugin file for tests: a point that has to reach a goal, and policies good and bad.

What a policy does wrong is told to it in the instruction, so that a fault sits in an episode and not in a slot or a batch.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
import sys
import time

import numpy as np

from gf_core.contracts import ActionChunk, Observation, Outcome, StepResult
from gf_core.errors import MissingDependencyError
from gf_core.hookspecs import hookimpl
from gf_core.specs import ActionSpec, DeckSpec, EnvSpec, FieldSpec, MetricSpec, Observes, PolicyInterface, PolicySpec

ACTION = ActionSpec(
    field=FieldSpec(
        name="action",
        shape=(3,),
        names=("dx", "dy", "grip"),
        unit=("m", "m", "1"),
        frame="base",
        low=(-0.1, -0.1, 0.0),
        high=(0.1, 0.1, 1.0),
    ),
    hz=0,
    representation="ee_delta",
    reference="measured",
    rotation="none",
)
FAULTS = ["", "once", "always", "reset", "nan", "blind", "clipped", "one", "numpy", "huge", "half", "unsaid", "garbled"]
POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
ENV = EnvSpec(
    id="local/reach-v1",
    summary="a point in a plane",
    entry_point="reach:make_env",
    config_schema={
        "type": "object",
        "properties": {
            "drift": {"type": "number", "default": 0.01},
            "broken": {"type": "string", "default": ""},
            "deck": {"type": "string", "default": ""},
        },
        "additionalProperties": False,
    },
    action=ACTION,
    control_hz=(20.0, 10.0),
    controls=FieldSpec(name="controls", shape=(3,), dtype="float64"),
    cameras=("top", "side"),
    proprio=FieldSpec(name="proprio", shape=(5,)),
    privileged=(FieldSpec(name="goal", shape=(2,), dtype="float64"),),
    metrics=(
        MetricSpec(name="distance", kind="float", description="to the goal [m]"),
        MetricSpec(name="near", kind="bool", description="within 0.2 m of the goal"),
        MetricSpec(name="state_sha256", kind="str", description="hash of the state"),
    ),
    scene_schema={
        "type": "object",
        "required": ["start", "goal"],
        "properties": {
            "start": POINT,
            "goal": POINT,
            "fault": {"enum": FAULTS},
        },
        "additionalProperties": False,
    },
    replayable=True,
)
FAULTED: set[str] = set()
"""Episodes in which the environment broke once."""

RENDERED: dict[str, list[int]] = {}
"""Episode to the steps at which an image was drawn."""


class Reach:
    def __init__(self, config, context):
        if config["broken"] == "make":
            raise RuntimeError("no such plane")
        if config["broken"] == "missing":
            raise MissingDependencyError("OpenGL is missing", hint="apt-get install libegl1")
        if config["deck"]:
            assert context.load_deck(config["deck"]) is context.load_deck(config["deck"])
        self.action = dataclasses.replace(ACTION, hz=context.control_hz)
        self.spec = dataclasses.replace(ENV, action=self.action)
        self._drift, self._talks = config["drift"], config["broken"] == "talks"
        n = context.slots
        self._at, self._goal, self._v = np.zeros((n, 2)), np.zeros((n, 2)), np.zeros((n, 2))
        self._step = np.zeros(n, int)
        self._episodes = [None] * n

    def provenance(self):
        return {"renderer": "arithmetic"}

    def reset(self, slots, episodes):
        if self._talks:
            print("GPU 0 was chosen")
            os.write(1, b"as a library in C would say\n")
        for slot, episode in zip(slots, episodes, strict=True):
            if episode.scene.get("fault") == "reset":
                raise RuntimeError("can't lay out")
            self._at[slot], self._goal[slot], self._v[slot] = episode.scene["start"], episode.scene["goal"], 0
            self._step[slot] = 0
            self._episodes[slot] = episode

    def observe(self, slots, wanted, *, privileged=False):
        images = {}
        for camera in wanted.cameras:
            batch = np.zeros((len(slots), *wanted.size, 3), np.uint8)
            for row, slot in enumerate(slots):
                batch[row, ..., 0] = self._step[slot]
                batch[row, 0, 0, 1:] = np.round(np.abs(self._at[slot]) * 100)
            images[camera] = batch
            for slot in slots:
                RENDERED.setdefault(self._episodes[slot].id, []).append(int(self._step[slot]))
        proprio = np.concatenate([self._at[slots], self._goal[slots], self._step[slots, None]], axis=1).astype(np.float32)
        for row, slot in enumerate(slots):
            if self._fault(slot) == "blind" and self._step[slot]:
                proprio[row, 0] = np.nan
        return Observation(
            slots=slots,
            instruction=[""] * len(slots),
            images=images,
            proprio=proprio if wanted.proprio else None,
            privileged={"goal": self._goal[slots]} if privileged else {},
        )

    def step(self, slots, actions):
        assert np.isfinite(actions).all(), "the simulator was given a number that isn't finite"
        low, high = np.array(ACTION.field.low), np.array(ACTION.field.high)
        controls = np.clip(actions.astype(np.float64), low, high)
        clipped = (controls != actions).any(axis=1)
        if any(self._fault(slot) == "clipped" for slot in slots):
            clipped = controls != actions
        return StepResult(done=self.step_controls(slots, controls), controls=controls, clipped=clipped)

    def step_controls(self, slots, controls):
        for slot in slots:
            fault, name = self._fault(slot), self._episodes[slot].id
            if self._step[slot] == 3 and (fault == "always" or (fault == "once" and name not in FAULTED)):
                FAULTED.add(name)
                raise RuntimeError(f"the floor gave way under {self!r}")
        self._v[slots] = 0.5 * self._v[slots] + 0.5 * controls[:, :2] + self._drift * np.sin(7 * self._at[slots])
        self._at[slots] += self._v[slots]
        self._step[slots] += 1
        horizon = np.array([self._episodes[slot].horizon for slot in slots])
        return (self._distance(slots) < 0.05) | (self._step[slots] >= horizon)

    def _fault(self, slot):
        return self._episodes[slot].scene.get("fault")

    def _distance(self, slots):
        return np.sqrt(((self._at[slots] - self._goal[slots]) ** 2).sum(axis=1))

    def outcome(self, slots):
        outcomes = []
        for slot, distance, state in zip(slots, self._distance(slots), self.state_hash(slots), strict=True):
            reached = bool(distance < 0.05)
            metrics = {
                "distance": float("nan") if self._fault(slot) == "nan" else float(distance),
                "near": bool(distance < 0.2),
                "state_sha256": state,
            }
            metrics |= {
                "huge": {"distance": 2**70},
                "half": {"note": "\ud83d"},
                "unsaid": {"\ud83d": 1},
            }.get(self._fault(slot), {})
            ending = "success" if reached else "horizon"
            if self._fault(slot) == "garbled":
                ending = "\ud83d"
            success = {"numpy": np.bool_(reached), "one": int(reached)}.get(self._fault(slot), reached)
            if self._fault(slot) == "numpy":
                metrics |= {"distance": np.float32(distance), "near": np.bool_(distance < 0.2)}
            outcomes.append(Outcome(success=success, ending=ending, steps=int(self._step[slot]), metrics=metrics))
        return outcomes

    def state_hash(self, slots):
        return [hashlib.sha256(self._at[s].tobytes() + self._v[s].tobytes()).hexdigest() for s in slots]

    def close(self):
        pass


class Suits:
    id, items = "local/suits@1", {}

    def __init__(self, config):
        self.sha256 = "b" * 64 if config else "a" * 64


def make_env(config, context):
    return None if config["broken"] == "nothing" else Reach(config, context)


class Reacher:
    """Goes to the goal with some noise; breaks as the instruction says, at its episode's third step."""

    def __init__(self, config, context):
        if config["unloadable"]:
            raise ValueError("no weights here")
        self._config, self._slots = config, context.slots
        self._rng = {}

    def reset(self, slots, seeds):
        for slot, seed in zip(slots, seeds, strict=True):
            self._rng[int(slot)] = np.random.default_rng(seed)

    def act(self, observation):
        print("asked about", len(observation.slots))
        time.sleep(self._config["pause"])
        if self._config["fail_batches"] and len(observation.slots) > 1:
            raise RuntimeError("batches aren't supported")
        assert len(observation.slots) <= self._slots
        assert not observation.privileged
        length = self._config["chunk"]
        chunk = np.zeros((len(observation.slots), length, 3), np.float32)
        for row, slot in enumerate(observation.slots):
            at, goal = observation.proprio[row, :2], observation.proprio[row, 2:4]
            noise = self._rng[int(slot)].normal(0, 0.02, (length, 2))
            chunk[row, :, :2] = np.clip((goal - at) / 2, -0.1, 0.1) + noise
        third = observation.proprio[:, 4] >= 3
        for row, instruction in enumerate(observation.instruction):
            if third[row]:
                chunk = break_down(instruction, chunk, row)
        return ActionChunk(actions=chunk, execute_steps=self._config["execute_steps"])

    def close(self):
        print("closed")


def break_down(instruction, chunk, row):
    match instruction:
        case "raise":
            raise ValueError(f"I can't, says {object()!r}\nat all")
        case "hang":
            time.sleep(10_000)
        case "hang in C":  # holds the interpreter's lock, so that no other thread of the child can run either
            ctypes.PyDLL(None).sleep(10_000)
        case "os._exit":
            os._exit(3)
        case "sys.exit":
            sys.exit("bye")
        case "segfault":
            ctypes.string_at(0)
        case "nan":
            chunk[row, -1, 1] = np.nan
        case "inf":
            chunk[row, 0, 0] = np.inf
        case "wild":
            chunk[row, 0, 0] = 1e6
        case "beyond":
            chunk[row, :, 0] = 0.3
        case "shape":
            return chunk[:, :, :2]
        case "dtype":
            return chunk.astype(np.float64)
        case "list":
            return chunk.tolist()
        case "empty":
            return chunk[:, :0]
        case "batch":
            return np.concatenate([chunk, chunk])
        case "noise":
            sys.stdout.write("x" * 100_000)
    return chunk


class Looker:
    """Looks back; raises unless the frames are those of the steps that it asked for, and forgets nothing that it was shown."""

    def __init__(self, config, context):
        self._offsets, self._execute, self._chunk = config["history"], config["execute_steps"], config["chunk"]
        self._shown = []
        self._asked = 0

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        self._asked += 1
        for images, copy in self._shown:
            assert (images == copy).all(), "an image changed after it was shown"
        steps = observation.proprio[:, 4].astype(int)
        (images,) = observation.images.values()
        self._shown = [*self._shown[-3:], (images, images.copy())]
        expected = np.maximum(0, steps[:, None] + np.array(self._offsets))
        if len(self._offsets) == 1:
            images = images[:, None]
        assert images.shape == (len(steps), len(self._offsets), 8, 6, 3), images.shape
        assert (images[..., 5, 5, 0] == expected).all(), (images[..., 5, 5, 0], expected)
        actions = np.zeros((len(steps), self._chunk, 3), np.float32)
        actions[:, :, :2] = np.clip(observation.proprio[:, None, 2:4] - observation.proprio[:, None, :2], -0.05, 0.05)
        execute = self._execute
        if execute == "varying":
            execute = 1 + int(steps[0]) % self._chunk if len(set(steps)) == 1 else 1
        return ActionChunk(actions=actions, execute_steps=execute)

    def close(self):
        pass


class Peeker:
    """Privileged: needs the goal from the simulator."""

    def __init__(self, config, context):
        pass

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        delta = observation.privileged["goal"] - observation.proprio[:, :2]
        actions = np.zeros((len(delta), 1, 3), np.float32)
        actions[:, 0, :2] = np.clip(delta, -0.1, 0.1)
        return ActionChunk(actions=actions)

    def close(self):
        pass


class Late:
    """Numbers its actions, so that a test sees which of them were played when."""

    def __init__(self, config, context):
        self._config = config
        self._unplayed = []

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        chunk = np.zeros((len(observation.slots), self._config["chunk"], 3), np.float32)
        for row, step in enumerate(observation.proprio[:, 4]):
            chunk[row, :, 0] = 0.001 * step + 0.00001 * np.arange(self._config["chunk"])
            chunk[row, :, 2] = 0.01 * len(observation.unplayed[row]) if observation.unplayed else 0.99
        return ActionChunk(actions=chunk, execute_steps=self._config["execute_steps"])

    def close(self):
        pass


def looker_interface(config):
    observes = Observes(cameras=(config["camera"],), size=(8, 6), history=tuple(config["history"]))
    return PolicyInterface(observes=observes, action=ACTION)


def settings(**properties):
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    for name, (kind, default) in properties.items():
        schema["properties"][name] = {"type": kind, "default": default}
    return schema


REACHER = settings(
    chunk=("integer", 1),
    execute_steps=(["integer", "null"], None),
    fail_batches=("boolean", False),
    unloadable=("boolean", False),
    pause=("number", 0),
)


@hookimpl
def gf_register_envs(register):
    register(ENV)


@hookimpl
def gf_register_decks(register):
    register(DeckSpec(id="local/suits@1", summary="four", entry_point="reach:Suits", sha256="a" * 64))
    register(DeckSpec(id="local/unhashed@1", summary="four", entry_point="reach:Suits"))


@hookimpl
def gf_register_policies(register):
    register(PolicySpec(id="local/reacher-v1", summary="goes there", entry_point="reach:Reacher", config_schema=REACHER))
    register(
        PolicySpec(id="local/pair-v1", summary="two at a time", entry_point="reach:Reacher", config_schema=REACHER, max_batch=2)
    )
    looker = settings(
        chunk=("integer", 1),
        execute_steps=(["integer", "string", "null"], None),
        history=("array", [0]),
        camera=("string", "top"),
    )
    register(
        PolicySpec(
            id="local/looker-v1",
            summary="looks back",
            entry_point="reach:Looker",
            config_schema=looker,
            interface="reach:looker_interface",
        )
    )
    register(
        PolicySpec(id="local/peeker-v1", summary="sees the goal", entry_point="reach:Peeker", privileged=True, reads=("goal",))
    )
    seer = {"summary": "sees what isn't there", "entry_point": "reach:Peeker", "reads": ("goal", "future")}
    register(PolicySpec(id="local/seer-v1", privileged=True, **seer))
    register(PolicySpec(id="local/blind-seer-v1", **seer))
    register(PolicySpec(id="local/blind-peeker-v1", summary="would like to", entry_point="reach:Peeker"))
    late = settings(chunk=("integer", 4), execute_steps=(["integer", "null"], None))
    register(PolicySpec(id="local/late-v1", summary="counts", entry_point="reach:Late", config_schema=late))
    other = dataclasses.replace(ACTION, representation="joint_delta")
    register(PolicySpec(id="local/joints-v1", summary="moves joints", entry_point="reach:Peeker", action=other))
    slow = dataclasses.replace(ACTION, hz=5.0)
    register(PolicySpec(id="local/slow-v1", summary="5 Hz", entry_point="reach:Peeker", action=slow))
    register(PolicySpec(id="local/missing-v1", summary="no module", entry_point="reach:Nobody"))
