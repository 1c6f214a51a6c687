"""Puts a policy together from a recipe: backbone, heads, and each stage's techniques; contradictions end before it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from gf_core.canonical import derive_seed
from gf_core.errors import GrinningFaceError, MismatchError
from gf_core.training.contracts import ActionHead, Backbone, HeadShape, Technique
from gf_core.training.model import VLA
from gf_core.training.normalizer import STILL, Normalizer
from gf_core.training.recipe import Recipe, Stage
from gf_core.training.samples import Conventions, Source

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost


def make_techniques(stage: Stage, host: PluginHost) -> list[Technique]:
    """A stage's techniques, in the order of the recipe.

    Raises:
        GrinningFaceError: one is there twice, lacks one that it requires, or contradicts another.
    """
    entries = stage.document["techniques"]
    ids = [entry["id"] for entry in entries]
    where = f"stage {stage.name!r}"
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise GrinningFaceError(f"{twice[0]} is there twice", where=where, hint="keep one")
    for one in ids:
        spec = host.techniques.get(one)
        if missing := [other for other in spec.requires if other not in ids]:
            raise GrinningFaceError(f"{one} requires {missing[0]}", where=where, hint="add it to the stage's techniques")
        if clashing := [other for other in spec.conflicts if other in ids]:
            raise GrinningFaceError(
                f"{one} conflicts with {clashing[0]}", where=where, hint="leave one of them out, or use two stages"
            )
    techniques: list[Technique] = [host.techniques.load(entry["id"])(entry["settings"]) for entry in entries]
    decided: dict[str, str] = {}
    for one, technique in zip(ids, techniques, strict=True):
        for role in technique.updates:
            if role in decided:
                raise GrinningFaceError(
                    f"{decided[role]} and {one} both decide how {role!r} trains", where=where, hint="give each its own roles"
                )
            decided[role] = one
    return techniques


def make_policy(recipe: Recipe, host: PluginHost, conventions: Conventions, backbone: Backbone | None = None) -> VLA:
    """The policy of a recipe before its first stage; initial weights of heads depend on the recipe's seed alone.

    Args:
        recipe: the recipe.
        host: the plugins.
        conventions: of the robot data.
        backbone: one that is loaded already, instead of the recipe's.

    Raises:
        GrinningFaceError: a part can't be made.
    """
    part = recipe.document["backbone"]
    if backbone is None:
        loaded: Backbone = host.backbones.load(part["id"])(part["settings"])
        backbone = loaded
    policy = recipe.policy
    shape = HeadShape(
        dim=backbone.dim,
        layers=backbone.layers,
        horizon=policy["horizon"],
        action=conventions.action.field.shape[0],
        proprio=conventions.proprio.shape[0] if policy["proprio"] else 0,
        conventions=conventions,
    )
    with torch.random.fork_rng(devices=[]):
        heads: dict[str, ActionHead] = {}
        for name, head in recipe.document["heads"].items():
            torch.manual_seed(derive_seed(recipe.seed, "head", name))
            heads[name] = host.heads.load(head["id"])(head["settings"], shape)
        torch.manual_seed(derive_seed(recipe.seed, "policy"))
        kinds = policy["normalization"]
        names = conventions.action.field.names
        return VLA(
            backbone,
            heads,
            conventions,
            actions=Normalizer.fit(kinds["actions"], conventions.action_statistics, names, still=STILL),
            proprio=Normalizer.fit(kinds["proprio"], conventions.proprio_statistics, conventions.proprio.names)
            if policy["proprio"]
            else None,
            horizon=policy["horizon"],
            cameras=policy["cameras"],
            image_size=(policy["size"][0], policy["size"][1]) if policy["size"] else None,
        )


def common_conventions(sources: Mapping[str, Source], order: Sequence[str]) -> Conventions:
    """The conventions of a recipe's robot data; normalisation is that of the last robot source named in ``order``.

    Raises:
        MismatchError: two robot sources disagree about actions or proprio, naming both and the field.
        GrinningFaceError: there is no robot data.
    """
    found = [(name, conventions) for name in order if (conventions := sources[name].conventions) is not None]
    if not found:
        raise GrinningFaceError(
            "none of the sources is robot data", hint="bind one with --data NAME=DIR, where DIR holds a LeRobot data set"
        )
    last_name, last = found[-1]
    for name, other in found[:-1]:
        for what, a, b in (("action", other.action, last.action), ("proprio", other.proprio, last.proprio)):
            if a != b:
                raise MismatchError(
                    f"sources {name!r} and {last_name!r} disagree about {what}: {a} and {b}",
                    hint="train on them in different jobs",
                )
    return last


def check_sight(recipe: Recipe, conventions: Conventions) -> None:
    """Whether the robot data has the cameras that the policy looks through.

    Raises:
        MismatchError: naming the camera.
    """
    for camera in recipe.policy["cameras"]:
        if camera not in conventions.cameras:
            has = ", ".join(conventions.cameras) or "none"
            raise MismatchError(
                f"the policy looks through camera {camera!r}, the data has {has}",
                where="policy/cameras",
                hint="--set policy.cameras='[…]'",
            )
