"""A study's document: read, completed with every default and with its recipes, hashed, and laid out as cells."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from gf_core._problems import Problem, suggest
from gf_core._shipped import find_shipped
from gf_core.canonical import content_hash
from gf_core.errors import SchemaError
from gf_core.schemas import load_json, load_schema, parse_setting, validate, validate_config

Document = dict[str, Any]
SHIPPED = "grinningface.studies"
"""Entry-point group of packages that hold studies: ``name = "package:folder"``."""
_TABLES = ("data", "backbones", "heads", "arms")
_GIVEN = {"out", "plugin", "json"}
_VERBATIM = "set"
"""The key whose own keys are paths, dots and all."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training and what is measured on it.

    Attributes:
        backbone, arm, head: names in the study.
        seed: of the training.
    """

    backbone: str
    arm: str
    head: str
    seed: int

    @property
    def id(self) -> str:
        """``backbone/arm/head/seed``."""
        return f"{self.backbone}/{self.arm}/{self.head}/{self.seed}"

    @property
    def group(self) -> tuple[str, str, str]:
        """What the cells of all seeds have in common."""
        return self.backbone, self.arm, self.head


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is compared; see the schema ``study-1`` for each field.

    Attributes:
        name: in the study.
        description: in a sentence.
        recipe: its own base; ``None`` for the protocol's.
        changes: path to value, after the protocol's.
        seeded: paths that take the cell's seed too.
        data: source to data of another name.
        heads, backbones: only these; empty for all.
        sweep: whether the sweep's value is put into its recipe.
    """

    name: str
    description: str
    recipe: Document | None
    changes: Mapping[str, Any]
    seeded: tuple[str, ...]
    data: Mapping[str, str]
    heads: tuple[str, ...]
    backbones: tuple[str, ...]
    sweep: bool


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A suite that every policy plays, or a part of it.

    Attributes:
        suite: id or file.
        limit: first episodes of each split; 0 for all.
        splits: only these; empty for all.
    """

    suite: str
    limit: int
    splits: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Of its runs, within ``runs/``."""
        return self.suite.removesuffix(".json").strip("/.").replace("/", ".")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is tried for every arm with the same budget; see the schema ``study-1``."""

    keys: tuple[str, ...]
    values: tuple[float, ...]
    mode: str
    seed: int
    suite: str
    episodes: int
    metric: str


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms that are compared, named before anything is run."""

    first: str
    second: str
    question: str


@dataclass(frozen=True)
class Study:
    """A study's completed document, as it is frozen in its directory."""

    document: Document

    @cached_property
    def sha256(self) -> str:
        """Hash of the document's canonical JSON."""
        return content_hash(self.document)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.document["name"])

    @property
    def question(self) -> str:
        """What it asks."""
        return str(self.document["question"])

    @property
    def data(self) -> Mapping[str, Document]:
        """Name to how it is made."""
        return dict(self.document["data"])

    @property
    def backbones(self) -> Mapping[str, Document]:
        """Name to ``id``, ``settings`` and ``set``."""
        return dict(self.document["backbones"])

    @property
    def heads(self) -> Mapping[str, Document]:
        """Name to ``id``, ``settings`` and ``set``."""
        return dict(self.document["heads"])

    @property
    def protocol(self) -> Document:
        """``recipe`` and ``set``."""
        return dict(self.document["protocol"])

    @cached_property
    def arms(self) -> Mapping[str, Arm]:
        """Name to arm, in the document's order."""
        return {name: _arm(name, entry) for name, entry in self.document["arms"].items()}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds."""
        return tuple(self.document["seeds"])

    @property
    def sweep(self) -> Sweep | None:
        """What is tried first; ``None`` for nothing."""
        entry = self.document["sweep"]
        return None if entry is None else Sweep(**{**entry, "keys": tuple(entry["keys"]), "values": tuple(entry["values"])})

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What every policy plays."""
        return tuple(Evaluation(**{**entry, "splits": tuple(entry["splits"])}) for entry in self.document["evaluate"])

    @property
    def policy(self) -> Mapping[str, Any]:
        """Settings of ``gf/vla-v1``."""
        return dict(self.document["policy"])

    @property
    def probe(self) -> Document | None:
        """What is asked; ``None`` for nothing."""
        entry = self.document["probe"]
        return None if entry is None else dict(entry)

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Named pairs of arms; empty for all."""
        return tuple(Contrast(**entry) for entry in self.document["contrasts"])

    @property
    def keeps_weights(self) -> bool:
        """Whether checkpoints of finished cells stay."""
        return bool(self.document["keep"] == "checkpoints")

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell: all of one seed before the next, so that an early stop leaves a whole matrix."""
        return tuple(
            Cell(backbone=backbone, arm=arm.name, head=head, seed=seed)
            for seed in self.seeds
            for backbone in self.backbones
            for arm in self.arms.values()
            for head in self.heads
            if (not arm.backbones or backbone in arm.backbones) and (not arm.heads or head in arm.heads)
        )


def _arm(name: str, entry: Document) -> Arm:
    return Arm(
        name=name,
        description=entry["description"],
        recipe=entry.get("recipe"),
        changes=entry["set"],
        seeded=tuple(entry["seeded"]),
        data=entry["data"],
        heads=tuple(entry["heads"]),
        backbones=tuple(entry["backbones"]),
        sweep=entry["sweep"],
    )


def load_study(reference: str, settings: Sequence[str] = ()) -> Study:
    """A study by name or file, with ``KEY=VALUE`` settings put on top.

    Args:
        reference: the name of a shipped study, or the path of a JSON file.
        settings: ``seeds=[0]``, ``protocol.set.stages.*.steps=2`` (behind ``set``, the rest is one key).

    Raises:
        SchemaError: everything that is wrong with the document, with its place.
        GrinningFaceError: there is no such study, or no such recipe.
    """
    path = find_study(reference)
    document = load_json(path)
    if not isinstance(document, dict):
        raise SchemaError("isn't a study", where=str(path))
    for pair in settings:
        _put(cast(Document, document), pair)
    return complete_study(cast(Document, document), source=reference)


def complete_study(document: Document, *, source: str) -> Study:
    """Check a document, fill in defaults, and put recipes in the place of their names.

    Raises:
        SchemaError: everything that the schema finds wrong with it, with its place; :func:`name_problems` finds more.
        GrinningFaceError: there is no recipe of a name.
    """
    validate(document, "study", source=source)
    schema = load_schema("study")
    whole = validate_config(document, schema, source=source)
    for table in _TABLES:
        entry_schema = schema["properties"][table]["additionalProperties"]
        for name, entry in whole[table].items():
            whole[table][name] = validate_config(entry, entry_schema, source=source, at=(table, name))
    for place in (whole["protocol"], *whole["arms"].values()):
        if isinstance(place.get("recipe"), str):
            place["recipe"] = _recipe(place["recipe"])
    return Study(whole)


def find_study(reference: str) -> Path:
    """The file of a study: a path, or the name of a shipped one. Raises GrinningFaceError: there is none."""
    return find_shipped(reference, SHIPPED, "study")


def _recipe(reference: str) -> Document:
    from gf_core.training.recipe import find_recipe

    path = find_recipe(reference)
    document = load_json(path)
    validate(document, "recipe", source=str(path))
    return cast(Document, document)


def name_problems(study: Document) -> list[Problem]:
    """What a schema can't find in a completed document: names that nothing in it has, things that contradict each other."""
    return [*_unknown_names(study), *_contradictions(study)]


def _unknown_names(study: Document) -> Iterator[Problem]:
    named: list[tuple[tuple[str | int, ...], str, str]] = []
    for name, arm in study["arms"].items():
        for table in ("heads", "backbones"):
            named += [(("arms", name, table, number), one, table) for number, one in enumerate(arm[table])]
        named += [(("arms", name, "data", source), one, "data") for source, one in arm["data"].items()]
    for number, pair in enumerate(study["contrasts"]):
        named += [(("contrasts", number, side), pair[side], "arms") for side in ("first", "second")]
    named += [(("probe", "data", number), one, "data") for number, one in enumerate((study["probe"] or {}).get("data", ()))]
    for path, name, table in named:
        if name not in study[table]:
            what = f"the study has no {table.removesuffix('s')} {name!r}"
            yield Problem(path=path, what=what, hint=suggest(name, study[table], "it has"))


def _contradictions(study: Document) -> Iterator[Problem]:
    yield from _void_contrasts(study)
    for name, entry in study["data"].items():
        for option in _GIVEN.intersection(entry.get("conversations", {}).get("options", ())):
            yield Problem(path=("data", name, "conversations", "options", option), what="the study gives this itself")
    if "checkpoint" in study["policy"]:
        yield Problem(path=("policy", "checkpoint"), what="the study gives this itself", hint="leave it out")
    yield from _bad_suites(study)
    if (asked := study["probe"]) is None:
        return
    for number, one in enumerate(asked["data"]):
        if "demos" in study["data"].get(one, ()):
            yield Problem(path=("probe", "data", number), what=f"{one!r} is robot data", hint="name conversations")
    if asked["suite"] is None and not asked["data"]:
        yield Problem(path=("probe",), what="it asks about nothing", hint="name a suite or data, or write null")
    if asked["candidates"] == 1:
        yield Problem(path=("probe", "candidates"), what="one label leaves nothing to choose", hint="2 or more, or 0 for all")


def _void_contrasts(study: Document) -> Iterator[Problem]:
    settings: dict[str, set[tuple[str, str]]] = {name: set() for name in study["arms"]}
    for cell in Study(study).cells:
        settings[cell.arm].add((cell.backbone, cell.head))
    for number, pair in enumerate(study["contrasts"]):
        first, second = pair["first"], pair["second"]
        if first == second:
            yield Problem(path=("contrasts", number), what=f"{first!r} is compared with itself")
        elif {first, second} <= settings.keys() and settings[first].isdisjoint(settings[second]):
            what = f"{first!r} and {second!r} have no backbone and head in common"
            yield Problem(path=("contrasts", number), what=what, hint="arms are compared on the same ones")


def _bad_suites(study: Document) -> Iterator[Problem]:
    folders = [Evaluation(suite=entry["suite"], limit=0, splits=()).folder for entry in study["evaluate"]]
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            yield Problem(path=("evaluate", number, "suite"), what=f"{folder!r} is there twice", hint="keep one")
        if study["sweep"] is not None and study["evaluate"][number]["suite"] == study["sweep"]["suite"]:
            what = f"the sweep chooses on {study['sweep']['suite']}: rates on it would be too high"
            yield Problem(path=("evaluate", number, "suite"), what=what, hint="report another suite")


def _put(document: Document, pair: str) -> None:
    key, value = parse_setting(pair)
    place: Any = document
    parts = key.split(".")
    for number, part in enumerate(parts[:-1]):
        if not isinstance(place, dict):
            raise SchemaError(f"{part!r} isn't within an object", where=f"--set {key}")
        place = place.setdefault(part, {})
        if part == _VERBATIM:
            place[".".join(parts[number + 1 :])] = copy.deepcopy(value)
            return
    if not isinstance(place, dict):
        raise SchemaError(f"{parts[-1]!r} isn't within an object", where=f"--set {key}", hint="give the whole list")
    place[parts[-1]] = copy.deepcopy(value)
