"""What the card of a trained policy can take from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gf_core._shipped import PACKAGE, known_folder
from gf_core.canonical import JSON, canonical_json
from gf_core.runs import read_run
from gf_core.schemas import load_document

CHECKPOINT = "checkpoint.json"
RECIPE_CHARACTERS = 10_000
"""Most that the card's recipe holds."""


def known_fields(runs: Sequence[Path]) -> dict[str, JSON]:
    """Fields of the card that the runs' checkpoint says: backbone, technique, head, parameters, data, cards, recipe.

    Empty where the policy has no setting ``checkpoint`` that names a checkpoint on this machine. Runs of several checkpoints
    (training seeds) fill in what all of them agree on.

    Raises:
        SchemaError: a checkpoint's document is invalid.
    """
    decks = {deck for run in runs for deck in read_run(run).identity["decks"]}
    paths = dict.fromkeys(filter(None, map(_checkpoint, runs)))
    said = [_of(load_document(path, "checkpoint"), decks) for path in paths]
    if not said:
        return {}
    return {name: value for name, value in said[0].items() if all(other.get(name) == value for other in said)}


def _checkpoint(run: Path) -> Path | None:
    setting = read_run(run).identity["policy"]["config"].get("checkpoint")
    folder = known_folder(setting) if isinstance(setting, str) else None
    return folder / CHECKPOINT if folder is not None and (folder / CHECKPOINT).is_file() else None


def _of(document: Mapping[str, Any], decks: set[str]) -> dict[str, JSON]:
    recipes = [link["recipe"] for link in document["links"]]
    stages = [stage for link in document["links"] for stage in link["stages"]]
    last = recipes[-1]
    robot = [source for source in document["sources"] if source["kind"] == "lerobot"]
    questions = [source for source in document["sources"] if source["kind"] == "conversations"]
    found: dict[str, JSON] = {
        "backbone": _backbone(recipes[0]["backbone"], document["links"][0]["backbone_fingerprint"]),
        "technique": "; ".join(_stage(stage) for recipe in recipes for stage in recipe["stages"]),
        "head": _head(last),
        # The most that any stage changed: stages mostly change the same parameters again.
        "trainable_parameters": max(sum(stage["trainable"].values()) for stage in stages),
        "robot_data": [_data(source) for source in robot],
        "vision_language_data": [_data(source) for source in questions],
    }
    if all(source["items"] is not None for source in robot):
        # Of the decks that the runs show: a colour of another deck isn't an emoji.
        items = {item for source in robot for deck, names in source["items"].items() if deck in decks for item in names}
        found["trained_items"] = sorted(items)
    recipe = canonical_json(recipes)
    if len(recipe) <= RECIPE_CHARACTERS:
        found["recipe"] = recipe
    return found


def _backbone(backbone: Mapping[str, Any], fingerprint: str) -> str:
    """The model and its weights. Random ones are called so: their hash would make another backbone of every training seed."""
    random = backbone["settings"].get("init") == "random"
    return f"{_model(backbone)} ({'random weights' if random else f'weights {fingerprint[:12]}'})"


def _model(backbone: Mapping[str, Any]) -> str:
    """The model's name: of a folder its last part, since where it lies is nobody's business; of a plugin's own the plugin's."""
    model = str(backbone["settings"].get("model", PACKAGE))
    if model.startswith(PACKAGE):
        return str(backbone["id"])
    return Path(model).name if Path(model).exists() else model


def _stage(stage: Mapping[str, Any]) -> str:
    techniques = ", ".join(technique["id"] for technique in stage["techniques"]) or "heads only"
    return f"{stage['name']}: {techniques}"


def _head(recipe: Mapping[str, Any]) -> str:
    acting = [head["name"] for head in recipe["stages"][-1]["heads"] if head["used_at_inference"]]
    policy = recipe["policy"]
    names = ", ".join(recipe["heads"][name]["id"] for name in acting) or "none"
    return f"{names}, chunks of {policy['horizon']}, {policy['execute_steps']} played"


def _data(source: Mapping[str, Any]) -> str:
    suite = source["details"].get("suite")
    name = suite["id"] if isinstance(suite, dict) and "id" in suite else source["name"]
    return f"{name} ({source['samples']} samples, {source['sha256'][:12]})"
