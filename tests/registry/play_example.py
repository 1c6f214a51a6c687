"""Plays the example's suite with its policy and prints what came of it; run by test_example.py where the example is installed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np

from gf_core.contracts import BatchEnv, EnvContext, Episode, Policy, PolicyContext
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import load_plugins

Controls = list[list[np.ndarray]]


def no_deck(name: str) -> None:
    raise KeyError(name)


def play(env: BatchEnv, policy: Policy, episodes: list[Episode]) -> Controls:
    """Every episode in a slot of its own; the controls of each step of each."""
    slots = np.arange(len(episodes), dtype=np.int32)
    env.reset(slots, episodes)
    policy.reset(slots, [0] * len(episodes))
    controls: Controls = [[] for _ in episodes]
    live, steps = slots, 0
    while len(live) and steps < episodes[0].horizon:
        actions = policy.act(env.observe(live, WANTED)).actions
        for t in range(actions.shape[1]):
            result = env.step(live, actions[:, t])
            for slot, row in zip(live, result.controls, strict=True):
                controls[slot].append(row)
            actions, live = actions[~result.done], live[~result.done]
            steps += 1
    return controls


host = load_plugins()
suite = load_suite("gf-example-shelf/reach@1", host)
ENV, POLICY = host.envs.get(suite.env), host.policies.get("gf-example-shelf/colour-seeker-v1")
WANTED = POLICY.observes
make_env: Callable[..., BatchEnv] = host.envs.load(ENV.id)
make_policy: Callable[..., Policy] = host.policies.load(POLICY.id)


def fresh(count: int) -> tuple[BatchEnv, Policy]:
    env = make_env({"lag": 0.5}, EnvContext(slots=count, threads=1, control_hz=20.0, load_deck=no_deck))
    return env, make_policy({"chunk": 5}, PolicyContext(env=ENV, action=env.action, slots=count))


episodes = list(suite.episodes)
every = np.arange(len(episodes), dtype=np.int32)
env, policy = fresh(len(episodes))
controls = play(env, policy, episodes)
seeing, together = [outcome.ending for outcome in env.outcome(every)], env.state_hash(every)

env.reset(every, episodes)
for slot, rows in enumerate(controls):
    for row in rows:
        env.step_controls(every[slot : slot + 1], row[None])
replayed = env.state_hash(every)

alone = []
for episode in episodes:
    env, policy = fresh(1)
    play(env, policy, [episode])
    alone += env.state_hash(every[:1])

env, policy = fresh(len(episodes))
play(env, policy, [dataclasses.replace(episode, instruction="reach the ball") for episode in episodes])
unread = [outcome.ending for outcome in env.outcome(every)]
print(json.dumps({"seeing": seeing, "together": together, "replayed": replayed, "alone": alone, "unread": unread}))
