"""Writes a suite of an environment that a file describes: an episode for each seed. The environment is tried on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from gf_core.contracts import EnvContext, Episode
from gf_core.errors import GrinningFaceError, PluginError
from gf_core.gymnasium_files.binding import instruction
from gf_core.gymnasium_files.document import Document, env_spec, make_env
from gf_core.gymnasium_files.told import plain_env
from gf_core.registry import one_line
from gf_core.specs import Observes

_STEPS = 12
_SLOT = np.zeros(1, np.int32)


def suite_document(document: Document, seeds: Sequence[int]) -> tuple[dict[str, Any], list[str]]:
    """A suite with an episode for each seed, and what its author should know.

    The environment is made and played for a few steps, so whatever the document says of it is held against it once.

    Args:
        document: complete, of the kind ``gymnasium``.
        seeds: of the episodes, each once.

    Raises:
        GrinningFaceError: the environment can't be made, or isn't what the document says.
    """
    try:
        told = _instructions(document, seeds)
        notes = _tried(document, [_episode(document, seed, text) for seed, text in zip(seeds[:2], told[:2], strict=True)])
    except GrinningFaceError:
        raise
    except Exception as error:  # whatever a stranger's environment raises
        raise PluginError(f"the environment raised {one_line(error)}", where=document["id"]) from error
    name = document["id"].partition("/")[2]
    rates = [{"name": "success", "metric": "success", "description": "By the environment's own rule."}]
    rates += [
        {"name": one["name"], "metric": one["name"], "description": one["description"]}
        for one in document["metrics"]
        if one["kind"] == "bool"
    ]
    suite = {
        "schema_version": "1.0",
        "kind": "suite",
        "id": f"local/{name.rpartition('-v')[0]}@1",
        "summary": f"{len(seeds)} seeds of {name}",
        "license": "CC0-1.0",
        "env": {"id": f"local/{name}", "config": {}},
        "control_hz": document["control_hz"],
        "decks": {},
        "splits": {"all": {"description": f"Seeds {seeds[0]} to {seeds[-1]}."}},
        "metrics": rates,
        "episodes": [
            {
                "id": f"seed-{seed}",
                "split": "all",
                "cluster": f"seed-{seed}",
                "seed": seed,
                "instruction": text,
                "horizon": document["horizon"],
                "factors": {},
                "scene": {},
            }
            for seed, text in zip(seeds, told, strict=True)
        ],
    }
    return suite, notes


def _instructions(document: Document, seeds: Sequence[int]) -> list[str]:
    if "text" in document["instruction"]:
        return [document["instruction"]["text"]] * len(seeds)
    with contextlib.closing(plain_env(document)) as env:
        return [instruction(document, env, *env.reset(seed=seed, options=None)) for seed in seeds]


def _episode(document: Document, seed: int, text: str) -> Episode:
    return Episode(
        id=f"seed-{seed}",
        split="all",
        cluster="",
        env=document["id"],
        seed=seed,
        instruction=text,
        horizon=_STEPS,
        control_hz=document["control_hz"],
        factors={},
        scene={},
    )


def _tried(document: Document, episodes: Sequence[Episode]) -> list[str]:
    """Plays the first episodes: each twice in one environment, and the first once more in another."""
    first = _played(document, [*episodes, *episodes])
    again = _played(document, episodes[:1])
    notes = []
    repeats = first[: len(episodes)] == first[len(episodes) :] and first[0] == again[0]
    if document["replayable"] and not repeats:
        raise PluginError(
            f"it doesn't repeat: {episodes[0].id} with the same actions was observed otherwise the second time",
            where=f"{document['id']}, replayable",
            hint="say false, and runs can't be verified by replay; or decimals, if it is the last bits of rewards that vary",
        )
    if repeats and not document["replayable"]:
        notes.append(f"{_STEPS} steps repeat bit for bit; with replayable true, runs can be verified by replay")
    if len(episodes) > 1 and first[0][0] == first[1][0]:
        notes.append(f"{episodes[0].id} and {episodes[1].id} begin with the same observation: does the seed change anything?")
    return notes


def _played(document: Document, episodes: Sequence[Episode]) -> list[tuple[str, str]]:
    """For each episode, the hashes of what was observed at its start and until its end."""
    spec = env_spec(document)
    context = EnvContext(slots=1, threads=1, control_hz=spec.action.hz, load_deck=_no_deck)
    low, high = np.array(spec.action.field.low), np.array(spec.action.field.high)
    found = []
    with contextlib.closing(make_env({"document": document}, context)) as env:
        for episode in episodes:
            rng = np.random.default_rng(0)
            env.reset(_SLOT, [episode])
            env.observe(_SLOT, Observes(cameras=spec.cameras, size=(64, 64)))
            (start,) = env.state_hash(_SLOT)
            done = False
            while not done:
                done = bool(env.step(_SLOT, rng.uniform(low, high)[None].astype(np.float32)).done[0])
            env.observe(_SLOT, Observes(cameras=spec.cameras, size=(64, 64)))
            env.outcome(_SLOT)
            found.append((start, env.state_hash(_SLOT)[0]))
    return found


def _no_deck(name: str) -> NoReturn:
    raise PluginError(f"there is no deck {name!r} here")
