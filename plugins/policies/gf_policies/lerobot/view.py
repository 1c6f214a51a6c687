"""What of our observations and actions a checkpoint's features are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gf_core.contracts import PolicyContext
from gf_core.errors import GrinningFaceError, MismatchError, did_you_mean
from gf_core.schemas import load_document
from gf_core.specs import ActionSpec, FieldSpec, Observes
from gf_core.training.conventions import action_from_json, field_from_json
from gf_policies.lerobot.checkpoint import CONVENTIONS, Checkpoint

ACTION, STATE, IMAGES = "action", "observation.state", "observation.images."
_ABSENT = f"{IMAGES}empty_camera_"
"""Begins the names of cameras that LeRobot's policies fill in themselves (``empty_cameras`` of their configurations)."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How a checkpoint sees.

    Attributes:
        cameras: our camera to its feature.
        size: height and width of images [px].
        state: whether it is told the proprioceptive state.
    """

    cameras: Mapping[str, str]
    size: tuple[int, int]
    state: bool

    @property
    def observes(self) -> Observes:
        """The same, for the runner. A checkpoint's history is kept by the policy."""
        return Observes(cameras=tuple(self.cameras), size=self.size, proprio=self.state)


def view_of(checkpoint: Checkpoint, renamed: Mapping[str, str]) -> View:
    """How a checkpoint sees.

    Args:
        checkpoint: the checkpoint.
        renamed: our camera to its feature, where their names differ.

    Raises:
        MismatchError: a name that it doesn't have, images of several sizes, or an input that no robot of ours tells.
    """
    where = str(checkpoint.folder)
    images = {name: one for name, one in checkpoint.inputs.items() if one.kind == "VISUAL" and not name.startswith(_ABSENT)}
    given = {ours: theirs if theirs in images else f"{IMAGES}{theirs}" for ours, theirs in renamed.items()}
    for ours, theirs in given.items():
        if theirs not in images:
            hint = did_you_mean(theirs, images) or f"it looks through {', '.join(images) or 'none'}"
            raise MismatchError(f"it has no camera {renamed[ours]!r}", where=f"cameras.{ours}", hint=hint)
    if len(set(given.values())) < len(given):
        raise MismatchError("two cameras have the same feature", where="cameras")
    others = {name.removeprefix(IMAGES): name for name in images if name not in given.values()}
    if both := sorted(given.keys() & others.keys()):
        what = f"{given[both[0]]} and {others[both[0]]} would both be the camera {both[0]!r}"
        raise MismatchError(what, where=f"cameras.{both[0]}", hint="name a camera for each")
    cameras = {**given, **others}
    unnamed = [name for name in cameras if name.startswith("observation.")]
    if unnamed:
        raise MismatchError(f"its image {unnamed[0]!r} names no camera", where=where, hint=f"--set cameras.third={unnamed[0]}")
    for name, one in checkpoint.inputs.items():
        if one.kind != "VISUAL" and name != STATE:
            raise MismatchError(f"it wants {name!r} ({one.kind}), which no policy is told here", where=where)
    shapes = {one.shape for one in images.values()}
    if any(len(shape) != 3 or shape[0] != 3 for shape in shapes) or len({shape[1:] for shape in shapes}) > 1:
        told = ", ".join(f"{name} {list(one.shape)}" for name, one in images.items())
        raise MismatchError(f"its images are {told}; all have to be 3 × H × W of one size", where=where)
    size = next(((shape[1], shape[2]) for shape in shapes), (224, 224))
    return View(cameras=cameras, size=size, state=STATE in checkpoint.inputs)


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """What a checkpoint's actions and state mean."""

    action: ActionSpec
    proprio: FieldSpec


def conventions_of(checkpoint: Checkpoint, given: str) -> Conventions | None:
    """What its numbers mean, where that is said: in a file, or in ``grinningface.json`` beside its weights.

    Raises:
        GrinningFaceError: the file isn't one (schema ``demos-1``).
    """
    path = Path(given).expanduser() if given else checkpoint.folder / CONVENTIONS
    if not given and not path.is_file():
        return None
    if not path.is_file():
        raise GrinningFaceError("there is no such file", where=f"conventions={given}")
    document: Mapping[str, Any] = load_document(path, "demos")
    return Conventions(action=action_from_json(document["action"]), proprio=field_from_json(document["proprio"]))


def check_fit(checkpoint: Checkpoint, view: View, said: Conventions | None, context: PolicyContext) -> None:
    """Raises MismatchError, naming both sides, unless the environment's state and actions have the checkpoint's shapes."""
    where, env = str(checkpoint.folder), context.env
    action = checkpoint.outputs.get(ACTION)
    if action is None:
        raise MismatchError(f"it has no output {ACTION!r}", where=where)
    if action.shape != context.action.field.shape:
        ours = list(context.action.field.shape)
        raise MismatchError(f"its actions have the shape {list(action.shape)}, and those of {env.id} {ours}", where=where)
    if not view.state:
        return
    theirs = checkpoint.inputs[STATE].shape
    if theirs != env.proprio.shape:
        told = f"{list(env.proprio.shape)} ({', '.join(env.proprio.names)})"
        raise MismatchError(f"its {STATE} has the shape {list(theirs)}, and the state of {env.id} {told}", where=where)
    if said is None:
        return
    for name in ("names", "unit", "frame"):
        mine, other = getattr(said.proprio, name), getattr(env.proprio, name)
        if mine != other:
            raise MismatchError(f"its state's {name} is {mine}, and that of {env.id} {other}", where=where)
