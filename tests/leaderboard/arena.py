"""A distribution with a small world of its own, for rounds of commit and reveal.

A plane, a suite of 100 targets × 4, and a policy whose skill is its checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import reach

from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import EnvSpec, Observes, PolicyInterface, PolicySpec, SuiteSpec

ENV: EnvSpec = dataclasses.replace(reach.ENV, id="arena/reach-v1", entry_point="gf_arena:make_env")
SUITE = "arena/plane@1"


def make_env(config, context):
    env = reach.Reach(config, context)
    env.spec = dataclasses.replace(env.spec, id=ENV.id)
    return env


def document(name: str, seed: int, layers: int) -> dict:
    draw = random.Random(seed)
    episodes = [
        {
            "id": f"val-{target}-{layer}",
            "split": "val",
            "cluster": f"t{target}",
            "seed": 0,
            "instruction": "go",
            "horizon": 25,
            "factors": {"target": f"t{target}"},
            "scene": {"start": [0.0, 0.0], "goal": [round(draw.uniform(0.3, 0.6), 3), round(draw.uniform(0.3, 0.6), 3)]},
        }
        for layer in range(layers)
        for target in range(100)
    ]
    return {
        "schema_version": "1.0",
        "kind": "suite",
        "id": name,
        "summary": "a plane",
        "license": "Apache-2.0",
        "env": {"id": ENV.id, "config": {}},
        "control_hz": 20.0,
        "decks": {},
        "splits": {"val": {"description": "new targets"}},
        "metrics": [{"name": "near", "metric": "near", "description": "it ends near the goal"}],
        "episodes": episodes,
    }


def challenge(seed: int, layers: int) -> dict:
    return document("local/challenge@1", seed, layers)


class Walker:
    """Goes to the goal in a share of the episodes that its checkpoint names, and elsewhere in the others."""

    def __init__(self, config, context):
        self._skill = json.loads(Path(config["checkpoint"]).read_text())["skill"]
        self._draw = {}
        self._able = {}

    def reset(self, slots, seeds):
        for slot, seed in zip(slots, seeds, strict=True):
            self._able[int(slot)] = random.Random(int(seed)).random() < self._skill
            self._draw[int(slot)] = random.Random(f"{seed} {self._skill}")  # two checkpoints never move alike

    def act(self, observation):
        actions = np.zeros((len(observation.slots), 4, 3), np.float32)
        for row, slot in enumerate(observation.slots):
            at, goal = observation.proprio[row, :2], observation.proprio[row, 2:4]
            way = np.clip((goal - at) / 3, -0.08, 0.08)
            actions[row, :, :2] = way if self._able[int(slot)] else way * (1, -1)
            actions[row, :, :2] += [[self._draw[int(slot)].gauss(0, 0.003)] for _ in range(4)]
        return ActionChunk(actions=actions)

    def close(self):
        pass


def interface(config):
    digest = hashlib.sha256(Path(config["checkpoint"]).read_bytes()).hexdigest()
    return PolicyInterface(observes=Observes(), action=reach.ACTION, fingerprint=digest)


@hookimpl
def gf_register_envs(register):
    register(ENV)


@hookimpl
def gf_register_policies(register):
    schema = {"type": "object", "properties": {"checkpoint": {"type": "string"}}, "required": ["checkpoint"]}
    register(
        PolicySpec(
            id="arena/walker-v1",
            summary="walks",
            entry_point="gf_arena:Walker",
            config_schema=schema,
            interface="gf_arena:interface",
        )
    )


@hookimpl
def gf_register_suites(register):
    from gf_core.canonical import content_hash

    digest = content_hash(document(SUITE, 1, 4))
    register(
        SuiteSpec(
            id=SUITE,
            summary="a plane",
            entry_point="gf_arena_data:plane.json",
            sha256=digest,
            ranked=True,
            challenge="gf_arena:challenge",
        )
    )
