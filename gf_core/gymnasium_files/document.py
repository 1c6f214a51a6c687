"""The document in a file: checked, completed, and as the spec of an environment."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._problems import Problem, refuse, show
from gf_core.hookspecs import Register, hookimpl
from gf_core.schemas import load_document, load_schema, validate, validate_config
from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, MetricSpec

if TYPE_CHECKING:
    from gf_core.contracts import BatchEnv, EnvContext

Document = Mapping[str, Any]

TOTAL_REWARD = "total_reward"
STATE = "state_sha256"
_SUCCESSES = ("info", "observation", "reward", "total_reward", "terminated")
_OWN = ("success", "ending", "steps", TOTAL_REWARD, STATE)
_SCENE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "options": {"type": "object", "description": "What reset is told beside the episode's seed; nothing by default."}
    },
}


def read(path: Path) -> dict[str, Any]:
    """The document in a file, checked and complete.

    Raises:
        SchemaError: every problem that it has, one line each.
    """
    return complete(load_document(path, "gymnasium"), source=str(path))


def complete(document: Document, *, source: str) -> dict[str, Any]:
    """A document with its defaults. Raises SchemaError: what is wrong with it, with its place."""
    validate(document, "gymnasium", source=source)
    schema = load_schema("gymnasium")
    whole = validate_config(document, schema, source=source)
    camera = {**schema["properties"]["cameras"]["additionalProperties"], "$defs": schema["$defs"]}
    for name, one in whole["cameras"].items():
        whole["cameras"][name] = validate_config(one, camera, source=source, at=("cameras", name))
    if problems := list(_problems(whole)):
        refuse(problems, source)
    return whole


def _problems(whole: Document) -> Iterator[Problem]:
    """What the schema can't say."""
    yield from _one_of(whole["success"], _SUCCESSES, ("success",))
    for name, camera in whole["cameras"].items():
        yield from _one_of(camera, ("observation", "render"), ("cameras", name))
    for number, part in enumerate(whole["proprio"]):
        if "indices" in part and len(part["indices"]) != len(part["names"]):
            what = f"there are {len(part['names'])} names for {len(part['indices'])} indices"
            yield Problem(path=("proprio", number, "names"), what=what)
    action = whole["action"]
    for number, element in enumerate(action["elements"]):
        if element["low"] >= element["high"]:
            yield Problem(path=("action", "elements", number, "high"), what="it isn't greater than low")
        if not element["scale"]:
            yield Problem(path=("action", "elements", number, "scale"), what="with 0, the element would do nothing")
    elements = [(("action", "elements", number, "index"), one["index"]) for number, one in enumerate(action["elements"])]
    constants = [(("action", "constants", number, "index"), one["index"]) for number, one in enumerate(action["constants"])]
    yield from _repeats([*elements, *constants])
    yield from _repeats((("action", "elements", number, "name"), one["name"]) for number, one in enumerate(action["elements"]))
    names = [name for part in whole["proprio"] for name in part["names"]]
    yield from _repeats((("proprio",), name) for name in names)
    metrics = [(("metrics", number, "name"), one["name"]) for number, one in enumerate(whole["metrics"])]
    yield from _repeats(metrics)
    for path, name in metrics:
        if name in _OWN:
            yield Problem(path=path, what=f"{show(name)} is always reported", hint="give it another name")


def _one_of(found: Document, choices: tuple[str, ...], at: tuple[str | int, ...]) -> Iterator[Problem]:
    given = [name for name in choices if name in found]
    if len(given) != 1:
        yield Problem(path=at, what=f"it says {', '.join(given) or 'none'} of {', '.join(choices)}", hint="say exactly one")


def _repeats(found: Iterable[tuple[tuple[str | int, ...], Hashable]]) -> Iterator[Problem]:
    seen: set[Hashable] = set()
    for path, value in found:
        if value in seen:
            yield Problem(path=path, what=f"{show(value)} stands there twice", hint="each may occur once")
        seen.add(value)


def env_spec(document: Document) -> EnvSpec:
    """The environment that a document describes, under its own id."""
    elements, parts = document["action"]["elements"], document["proprio"]
    action = FieldSpec(
        name="action",
        shape=(len(elements),),
        names=tuple(one["name"] for one in elements),
        unit=tuple(one["unit"] for one in elements),
        frame=document["action"].get("frame", ""),
        low=tuple(float(one["low"]) for one in elements),
        high=tuple(float(one["high"]) for one in elements),
    )
    names = tuple(name for part in parts for name in part["names"])
    units = tuple(part["unit"] for part in parts for _ in part["names"])
    replayable = document.get("replayable", False)
    metrics = [
        MetricSpec(name=one["name"], kind=one["kind"], description=one["description"]) for one in document.get("metrics", ())
    ]
    metrics.append(MetricSpec(name=TOTAL_REWARD, kind="float", description="Sum of the rewards."))
    if replayable:
        what = "Hash of all that was observed and rewarded until the end."
        metrics.append(MetricSpec(name=STATE, kind="str", description=what))
    return EnvSpec(
        id=document["id"],
        summary=document["summary"],
        citation=document.get("citation", ""),
        entry_point="gf_core.gymnasium_files:make_env",
        config_schema={
            "type": "object",
            "additionalProperties": False,
            "properties": {"document": {"const": document, "default": document, "description": "what its file says"}},
        },
        action=ActionSpec(
            field=action,
            hz=float(document["control_hz"]),
            representation=document["action"]["representation"],
            reference=document["action"].get("reference", "measured"),
            rotation=document["action"].get("rotation", "none"),
        ),
        control_hz=(float(document["control_hz"]),),
        controls=dataclasses.replace(action, name="controls", dtype="float64"),
        cameras=tuple(document.get("cameras", {})),
        proprio=FieldSpec(name="proprio", shape=(len(names),), names=names, unit=units),
        metrics=tuple(metrics),
        scene_schema=_SCENE,
        replayable=replayable,
    )


def make_env(config: Mapping[str, Any], context: EnvContext) -> BatchEnv:
    """The environment in the setting ``document``.

    Raises:
        MissingDependencyError: its package isn't installed.
        GrinningFaceError: it can't be made, or its action space isn't what the document says.
    """
    from gf_core.gymnasium_adapter import batch
    from gf_core.gymnasium_files.binding import binding
    from gf_core.gymnasium_files.told import plain_env

    document = complete(config["document"], source=config["document"]["id"])
    with contextlib.closing(plain_env(document)) as one:
        bound = binding(document, one)
    return batch(lambda: plain_env(document), env_spec(config["document"]), context, bound)


class FilePlugin:
    """What a file registers: one environment, in the namespace of files."""

    def __init__(self, document: Document, namespace: str) -> None:
        name = document["id"].partition("/")[2]
        self._spec = env_spec({**document, "id": f"{namespace}/{name}"})

    @hookimpl
    def gf_register_envs(self, register: Register[EnvSpec]) -> None:
        """Register it."""
        register(self._spec)
