"""What a recording says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gf_core.canonical import sha256
from gf_core.contracts import Episode
from gf_core.evaluation import Plan
from gf_core.runs import EPISODES, Row, Run
from gf_core.schemas import validate
from gf_core.specs import EnvSpec, to_json
from gf_core.training.demos.filming import Cameras
from gf_core.training.lerobot.files import CONVENTIONS
from gf_core.training.lerobot.writing import IMAGES, IMITATE


def tell(
    plan: Plan,
    env: EnvSpec,
    run: Run,
    kept: Sequence[Row],
    cameras: Cameras,
    runtime: Mapping[str, str],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """The content of meta/grinningface.json (schema ``demos-1``).

    Args:
        plan: what was played.
        env: the environment, its rate and bounds resolved.
        run: what came of it.
        kept: rows of the episodes that were written, in order.
        cameras: what was filmed.
        runtime: what drew it.
        versions: what it was written with.
    """
    episodes = {episode.id: episode for episode in plan.episodes}
    names = {row["episode"] for row in kept}
    document = {
        "schema_version": "1.0",
        "kind": "demos",
        "action": to_json(env.action),
        "proprio": to_json(env.proprio),
        "cameras": [{"name": camera, "feature": f"{IMAGES}{camera}"} for camera in cameras.names],
        "features": {"imitate": IMITATE},
        "episodes": [_episode(episodes[row["episode"]]) for row in kept],
        "recording": {
            "suite": {"id": plan.suite.id, "sha256": plan.suite.sha256},
            "environment": {"id": env.id, "config": to_json(plan.env_config)},
            "policy": {"id": plan.policy.id, "config": to_json(plan.policy_config), "seed": plan.request.policy_seed},
            "run_sha256": sha256((run.path / EPISODES).read_bytes()),
            "format": cameras.format,
            "size": list(cameras.size),
            "left_out": [{"id": row["episode"], "ending": row["ending"]} for row in run.records if row["episode"] not in names],
            "runtime": dict(runtime),
            "versions": dict(versions),
        },
    }
    validate(document, "demos", source=str(CONVENTIONS))
    return document


def _episode(episode: Episode) -> dict[str, Any]:
    items = list(faces(episode.scene))
    target = [face for face in items if face["item"] == episode.factors.get("target")]
    known = {"id": episode.id, "items": items, "factors": to_json(episode.factors)}
    return {**known, "target": target[0]} if target else known


def faces(scene: object) -> Iterator[dict[str, str]]:
    """Whatever in a scene has a ``deck`` and an ``item`` is a card's face (:class:`gf_core.contracts.Episode`)."""
    if isinstance(scene, Mapping):
        deck, item = scene.get("deck"), scene.get("item")
        if isinstance(deck, str) and isinstance(item, str):
            yield {"deck": deck, "item": item}
        for value in scene.values():
            yield from faces(value)
    elif isinstance(scene, list | tuple):
        for value in scene:
            yield from faces(value)
