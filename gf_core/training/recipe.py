"""Recipes: stages as data, checked, completed with every default, and hashed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core._json import load_json
from gf_core._settings import parse_setting
from gf_core._shipped import find_shipped, shipped
from gf_core.canonical import content_hash
from gf_core.errors import SchemaError, did_you_mean
from gf_core.schemas import load_schema, validate, validate_config
from gf_core.training.mixture import Mixture, Share
from gf_core.training.model import StageHead

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Document = dict[str, Any]
SHIPPED = "grinningface.recipes"
"""Entry-point group of packages that hold recipes: ``name = "package:folder"``."""


@dataclass(frozen=True)
class Stage:
    """A stage of a recipe: its completed document and what is read from it."""

    number: int
    document: Document

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["name"])

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return int(self.document["steps"])

    @property
    def batch_size(self) -> int:
        """Samples of a batch, per process."""
        return int(self.document["batch_size"])

    @property
    def accumulate(self) -> int:
        """Batches whose gradients make one step."""
        return int(self.document["accumulate"])

    @property
    def heads(self) -> tuple[StageHead, ...]:
        """How it uses heads."""
        return tuple(StageHead(**head) for head in self.document["heads"])

    @property
    def mixture(self) -> Mixture:
        """Its data, before techniques have had their say."""
        return Mixture(shares=tuple(Share(**share) for share in self.document["mixture"]))


@dataclass(frozen=True)
class Recipe:
    """A recipe with every default filled in. ``sha256`` is the hash of its canonical JSON."""

    document: Document

    @property
    def sha256(self) -> str:
        """Hash of the completed document."""
        return content_hash(self.document)

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.document["seed"])

    @property
    def policy(self) -> Document:
        """What the policy sees and how it acts."""
        return dict(self.document["policy"])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its stages."""
        return tuple(Stage(number, stage) for number, stage in enumerate(self.document["stages"]))

    @property
    def acting(self) -> tuple[str, ...]:
        """Names of the heads that act in its last stage: one, or none where it only makes a parent for another recipe."""
        return tuple(head.name for head in self.stages[-1].heads if head.used_at_inference)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that its mixtures name, and techniques by their setting ``sources``, in order."""
        named: list[str] = []
        for stage in self.document["stages"]:
            named += [share["source"] for share in stage["mixture"]]
            for technique in stage["techniques"]:
                named += technique["settings"].get("sources", [])
        return tuple(dict.fromkeys(named))


def load_recipe(reference: str, host: PluginHost, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or file, with ``KEY=VALUE`` settings put on top.

    Args:
        reference: the name of a shipped recipe, or the path of a JSON file.
        host: the plugins.
        settings: ``seed=1``, ``backbone.settings.model=DIR``, ``stages.robot.steps=100`` (a stage by name or number; ``*``
            for all).

    Raises:
        SchemaError: what is wrong with the document or a setting, with its place.
        GrinningFaceError: there is no such recipe.
    """
    path = find_recipe(reference)
    document = load_json(path)
    if not isinstance(document, dict):
        raise SchemaError("isn't a recipe", where=str(path))
    for pair in settings:
        change(document, *parse_setting(pair))
    return complete(document, host, source=reference)


def complete(document: Document, host: PluginHost, *, source: str) -> Recipe:
    """Check a recipe's document against its schema and every part's settings against the part's own, and fill in defaults.

    Raises:
        SchemaError: naming each problem and its place.
        UnknownIdError: a backbone, head or technique that no plugin brings.
    """
    validate(document, "recipe", source=source)
    whole = validate_config(document, load_schema("recipe"), source=source)
    _complete_part(whole["backbone"], host.backbones.get(whole["backbone"]["id"]).config_schema, source, ("backbone",))
    for name, head in whole["heads"].items():
        _complete_part(head, host.heads.get(head["id"]).config_schema, source, ("heads", name))
    names: set[str] = set()
    for number, stage in enumerate(whole["stages"]):
        at = ("stages", str(number))
        if stage["name"] in names:
            raise SchemaError(
                f"two stages are called {stage['name']!r}", where=f"{source}#/stages/{number}/name", hint="rename one"
            )
        names.add(stage["name"])
        for place, technique in enumerate(stage["techniques"]):
            schema = host.techniques.get(technique["id"]).config_schema
            _complete_part(technique, schema, source, (*at, "techniques", str(place)))
        for place, head in enumerate(stage["heads"]):
            if head["name"] not in whole["heads"]:
                hint = did_you_mean(head["name"], whole["heads"]) or f"it has {', '.join(whole['heads']) or 'none'}"
                raise SchemaError(
                    f"the recipe has no head {head['name']!r}", where=f"{source}#/stages/{number}/heads/{place}", hint=hint
                )
    if whole["policy"]["execute_steps"] > whole["policy"]["horizon"]:
        raise SchemaError(
            f"{whole['policy']['execute_steps']} steps can't be played of a chunk of {whole['policy']['horizon']}",
            where=f"{source}#/policy/execute_steps",
            hint="lower it, or raise the horizon",
        )
    recipe = Recipe(whole)
    _check_acting(recipe, source)
    return recipe


def _check_acting(recipe: Recipe, source: str) -> None:
    if len(recipe.acting) > 1:
        raise SchemaError(
            f"heads {' and '.join(map(repr, recipe.acting))} act in the last stage, but only one can",
            where=f"{source}#/stages/{len(recipe.stages) - 1}/heads",
            hint="set used_at_inference to false for all but one",
        )
    if not recipe.acting and recipe.document["evaluation"]["every"]:
        raise SchemaError(
            "no head acts in the last stage, so there is nothing to evaluate on the way",
            where=f"{source}#/evaluation/every",
            hint="set it to 0, or give the last stage a head with used_at_inference",
        )


def find_recipe(reference: str) -> Path:
    """The file of a recipe: a path, or the name of a shipped one. Raises GrinningFaceError: there is none."""
    return find_shipped(reference, SHIPPED, "recipe")


def shipped_recipes() -> dict[str, Path]:
    """Recipes of installed packages: name to file."""
    return shipped(SHIPPED)


def _complete_part(part: Document, schema: Mapping[str, Any] | None, source: str, at: tuple[str, ...]) -> None:
    part["settings"] = validate_config(part.get("settings", {}), schema, source=source, at=(*at, "settings"))


def change(document: Document, key: str, value: object) -> None:
    """Put a value at a path of a recipe's document: ``stages.robot.steps``, with a stage by name or number.

    ``*`` stands for all that is there: a list's items, an object's keys.

    Raises:
        SchemaError: a list has no such item, ``*`` stands for nothing, or the path leads through something that has no parts.
    """
    _assign(document, key.split("."), value, key)


def places(document: Document, key: str) -> list[tuple[Document, str]]:
    """What there is at a path, as objects and their keys; ``*`` also stands for any key. Empty where there is nothing."""
    *path, last = key.split(".")
    found: list[Any] = [document]
    for first in path:
        found = [inner for place in found for inner in _within(place, first)]
    objects = [place for place in found if isinstance(place, dict)]
    return [(place, name) for place in objects for name in place if last in ("*", name)]


def _within(place: object, first: str) -> list[Any]:
    if isinstance(place, list):
        return [item for number, item in enumerate(place) if first in ("*", str(number)) or first in _names(item)]
    return [item for name, item in place.items() if first in ("*", name)] if isinstance(place, dict) else []


def _assign(place: Any, path: Sequence[str], value: object, key: str) -> None:
    first, *rest = path
    if isinstance(place, list):
        found = [item for number, item in enumerate(place) if first in ("*", str(number)) or first in _names(item)]
        if not found or not rest:
            hint = f"it has {', '.join(filter(None, (_names(item)[0] for item in place)))}; a number or * does too"
            raise SchemaError(f"there is no {first!r} in the list", where=f"--set {key}", hint=hint)
        for item in found:
            _assign(item, rest, value, key)
    elif isinstance(place, dict):
        if first == "*" and not place:
            raise SchemaError("* stands for what is there, and nothing is", where=f"--set {key}", hint="name the key")
        for name in list(place) if first == "*" else [first]:
            if rest:
                _assign(place.setdefault(name, {}), rest, value, key)
            else:
                place[name] = copy.deepcopy(value)
    else:
        raise SchemaError(f"{first!r} isn't within an object", where=f"--set {key}")


def _names(item: object) -> list[str]:
    if not isinstance(item, dict):
        return [""]
    return [str(item[key]) for key in ("name", "id", "source") if key in item] or [""]
