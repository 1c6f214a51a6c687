"""The recipe of each training of a study, and what the recipes of several have in common at the front."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gf_core.canonical import content_hash
from gf_core.errors import GrinningFaceError
from gf_core.studies.document import Arm, Cell, Study, Sweep
from gf_core.training.recipe import Recipe, change, complete, places

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

Document = dict[str, Any]
_NAME_LENGTH = 12


@dataclass(frozen=True)
class Training:
    """What is trained on what.

    Attributes:
        recipe: the recipe.
        data: source of the recipe to name of the study's data.
    """

    recipe: Recipe
    data: Mapping[str, str]

    @cached_property
    def key(self) -> str:
        """A hash: trainings with the same one have the same outcome."""
        return content_hash({"recipe": self.recipe.sha256, "data": dict(self.data)})

    @property
    def folder(self) -> str:
        """Of a front, within ``fronts/``."""
        return self.key[:_NAME_LENGTH]

    def front(self, stages: int) -> Training:
        """The first stages as a training of their own: they depend on nothing behind them."""
        document = {**self.recipe.document, "name": "front", "description": "What several trainings begin with.", "citation": ""}
        evaluation = {**document["evaluation"], "every": 0}
        recipe = Recipe({**document, "stages": document["stages"][:stages], "evaluation": evaluation})
        return Training(recipe, {source: self.data[source] for source in recipe.sources})

    def last_of(self, robots: Collection[str]) -> str | None:
        """The last source, in the recipe's order, whose data is among these."""
        return next((source for source in reversed(self.recipe.sources) if self.data[source] in robots), None)


def cell_training(study: Study, cell: Cell, host: PluginHost, value: float | None = None) -> Training:
    """The training of a cell: the base, with what protocol, backbone, head and arm change, the sweep's value and the seed.

    Args:
        study: the study.
        cell: which cell.
        host: the plugins.
        value: of the sweep; ``None`` without one.

    Raises:
        GrinningFaceError: a change leads nowhere, no head acts, the outcome isn't a valid recipe, or a source has no data.
    """
    arm = study.arms[cell.arm]
    document = copy.deepcopy(arm.recipe or study.protocol["recipe"])
    _change(document, study.protocol["set"])
    backbone, head = study.backbones[cell.backbone], study.heads[cell.head]
    document["backbone"] = {"id": backbone["id"], "settings": copy.deepcopy(backbone["settings"])}
    _change(document, backbone["set"])
    document["heads"][_acting(document)] = {"id": head["id"], "settings": copy.deepcopy(head["settings"])}
    _change(document, head["set"])
    _change(document, arm.changes)
    if study.sweep is not None and value is not None:
        _put_value(document, study.sweep, value, arm)
    _change(document, dict.fromkeys(("seed", *arm.seeded), cell.seed))
    recipe = complete({**document, "name": arm.name, "description": arm.description}, host, source=f"arm {arm.name}")
    return Training(recipe, _bindings(study, arm, recipe))


def is_swept(study: Study, cell: Cell) -> bool:
    """Whether a value is chosen for the cell."""
    return study.sweep is not None and study.arms[cell.arm].sweep


def shared_fronts(trainings: Iterable[Training], robots: Collection[str]) -> dict[str, Training]:
    """The key of each training that shares its first stages with another one, to the longest such front.

    Args:
        trainings: those that are to be done.
        robots: names of the data that is robot data. Normalisation is that of the last of them, so it must be the front's too.
    """
    fronts: dict[str, list[Training]] = {}
    for whole in trainings:
        shorter = [whole.front(stages) for stages in range(1, len(whole.recipe.stages))]
        fronts[whole.key] = [front for front in shorter if front.last_of(robots) == whole.last_of(robots)]
    users = Counter(front.key for found in fronts.values() for front in found)
    longest = {key: [front for front in found if users[front.key] > 1] for key, found in fronts.items()}
    return {key: found[-1] for key, found in longest.items() if found}


def _bindings(study: Study, arm: Arm, recipe: Recipe) -> dict[str, str]:
    where = f"arm {arm.name}"
    if extra := [source for source in arm.data if source not in recipe.sources]:
        raise GrinningFaceError(f"its recipe names no source {extra[0]!r}", where=where, hint="leave it out of data")
    found = {source: arm.data.get(source, source) for source in recipe.sources}
    if missing := [name for name in found.values() if name not in study.data]:
        hint = f"add it to data, which has {', '.join(study.data)}"
        raise GrinningFaceError(f"its recipe needs data {missing[0]!r}", where=where, hint=hint)
    return found


def _change(document: Document, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        change(document, key, value)


def _acting(document: Document) -> str:
    heads = document["stages"][-1].get("heads", [])
    acting = [str(head["name"]) for head in heads if head.get("used_at_inference", True)]
    if len(acting) != 1:
        hint = "used_at_inference must be true of exactly one"
        raise GrinningFaceError(f"{len(acting)} heads act in the last stage of {document['name']!r}", hint=hint)
    return acting[0]


def _put_value(document: Document, sweep: Sweep, value: float, arm: Arm) -> None:
    found = {(id(place), name): (place, name) for key in sweep.keys for place, name in places(document, key)}  # each once
    if not found:
        hint = 'give the arm "sweep": false, or add a key that its recipe has'
        raise GrinningFaceError(f"its recipe has none of {', '.join(sweep.keys)}", where=f"arm {arm.name}", hint=hint)
    for place, name in found.values():
        if sweep.mode == "replace":
            place[name] = value
        elif isinstance(place[name], (int, float)) and not isinstance(place[name], bool):
            place[name] *= value
        else:
            raise GrinningFaceError(f"{name} is no number that could be scaled", where=f"arm {arm.name}", hint="use mode replace")
