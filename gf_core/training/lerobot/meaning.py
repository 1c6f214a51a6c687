"""What a data set's numbers mean: its ``meta/grinningface.json``, or a file that says the same for one of other origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core._spec_checks import type_problems
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.schemas import load_document
from gf_core.specs import ActionSpec, FieldSpec
from gf_core.training.conventions import action_from_json, field_from_json
from gf_core.training.lerobot.files import CONVENTIONS
from gf_core.training.lerobot.metadata import Metadata


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the features of a data set are.

    Attributes:
        action, proprio: what the numbers mean.
        cameras: camera to feature.
        action_feature, proprio_feature: their names in the data set.
        imitate_feature: whether an action is to be imitated; empty where all are.
        episodes: what is known of each, by place; empty where nothing is.
        recording: how it was recorded; empty for a data set of other origin.
    """

    action: ActionSpec
    proprio: FieldSpec
    cameras: Mapping[str, str]
    action_feature: str
    proprio_feature: str
    imitate_feature: str
    episodes: tuple[Mapping[str, Any], ...]
    recording: Mapping[str, Any]


def read_meaning(metadata: Metadata, path: Path | None) -> Meaning:
    """What a data set's features mean.

    Args:
        metadata: of the data set.
        path: a file (schema ``demos-1``) to read instead of the data set's own.

    Raises:
        GrinningFaceError: there is none, it isn't what its schema says, its names or units don't fit its shapes, or it names
            features that the data set doesn't have or that hold something else.
        MismatchError: it and the data set disagree about shapes or the rate.
    """
    source = path or metadata.root / CONVENTIONS
    if not source.is_file():
        raise _unsaid(metadata, source)
    document = load_document(source, "demos")
    features = document.get("features", {})
    found = Meaning(
        action=action_from_json(document["action"]),
        proprio=field_from_json(document["proprio"]),
        cameras={camera["name"]: camera["feature"] for camera in document["cameras"]},
        action_feature=features.get("action", "action"),
        proprio_feature=features.get("proprio", "observation.state"),
        imitate_feature=features.get("imitate") or "",
        episodes=tuple(document.get("episodes", ())),
        recording=document.get("recording", {}),
    )
    for what, names in (
        ("camera", [camera["name"] for camera in document["cameras"]]),
        ("episode", [episode["id"] for episode in found.episodes]),
    ):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise GrinningFaceError(f"two {what}s are called {twice[0]!r}", where=str(source), hint="rename one")
    _check(found, metadata, str(source))
    return found


def _unsaid(metadata: Metadata, source: Path) -> GrinningFaceError:
    """What is missing, with what the data set has."""
    told = [name for name in metadata.features if name.startswith(("action", "observation"))]
    has = ", ".join(f"{name} {list(metadata.features[name]['shape'])}" for name in told) or "neither actions nor observations"
    return GrinningFaceError(
        f"nothing says what its numbers mean; at {metadata.fps:g} Hz it has {has}",
        where=str(source),
        hint='write the file, with "action", "proprio" (names, units, frame) and "cameras": docs/data.md has one to start from',
    )


def _check(meaning: Meaning, metadata: Metadata, source: str) -> None:
    named = [meaning.action_feature, meaning.proprio_feature, *meaning.cameras.values()]
    for name in [*named, *filter(None, [meaning.imitate_feature])]:
        if name not in metadata.features:
            hint = did_you_mean(name, metadata.features) or f"it has {', '.join(metadata.features)}"
            raise GrinningFaceError(f"the data set has no feature {name!r}", where=source, hint=hint)
    for camera, name in meaning.cameras.items():
        feature = metadata.features[name]
        if feature["dtype"] not in ("image", "video") or len(feature["shape"]) < 2:
            raise GrinningFaceError(f"the feature {name!r} of camera {camera!r} holds no images", where=source)
    for what, field, name in (
        ("action", meaning.action.field, meaning.action_feature),
        ("proprio", meaning.proprio, meaning.proprio_feature),
    ):
        shape = tuple(int(n) for n in metadata.features[name]["shape"])
        if field.shape != shape:
            said = f"{what} has the shape {list(field.shape)} there, and {name!r} of the data set {list(shape)}"
            raise MismatchError(said, where=source)
        for problem in type_problems(field, FieldSpec, what):
            raise GrinningFaceError(problem, where=source)
    if name := meaning.imitate_feature:
        dtype, shape = metadata.features[name]["dtype"], metadata.features[name]["shape"]
        if (dtype, shape) != ("bool", [1]):
            raise GrinningFaceError(f"the feature {name!r} is {dtype} {shape}, and imitate is bool [1]", where=source)
    if meaning.action.hz != metadata.fps:
        raise MismatchError(
            f"action.hz is {meaning.action.hz:g} there, and the data set has {metadata.fps:g} frames per second", where=source
        )
    if meaning.episodes and len(meaning.episodes) != len(metadata.entries):
        raise MismatchError(
            f"it tells of {len(meaning.episodes)} episodes, and the data set has {len(metadata.entries)}", where=source
        )
