"""Probes a checkpoint: loads both models, asks, compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gf_core.canonical import JSON, content_hash
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.suites import Suite, load_suite
from gf_core.specs import to_json
from gf_core.statistics import LEVEL
from gf_core.training.checkpoint import PACKAGES, Loaded, load_checkpoint, read_checkpoint
from gf_core.training.contracts import Backbone
from gf_core.training.distributed import pick_device
from gf_core.training.probe.answers import Normalization, read
from gf_core.training.probe.material import Watch, add_data, add_suite
from gf_core.training.probe.models import Models, pair_up
from gf_core.training.probe.questions import Material, Wordings
from gf_core.training.probe.representations import represent
from gf_core.training.probe.results import (
    Asking,
    accuracies,
    change_json,
    divergences,
    each_answer,
    similarities,
    target_probes,
)
from gf_core.training.probe.weights import block_changes, role_changes
from gf_core.training.sources import open_source

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

DATA_LIMIT = 512
"""Samples of vision-language data, where no limit is given."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is probed, and with what.

    Attributes:
        checkpoint: the directory.
        suite: id or file; ``None`` for none.
        splits: of the suite; none for all.
        data: names to vision-language data.
        limit: most episodes of the suite, and most samples of each data; ``None`` for all episodes and :data:`DATA_LIMIT`
            samples.
        camera: through which scenes are shown; empty for the policy's first.
        wordings: how questions are put.
        candidates: answers to choose from, where a deck or a domain has many; 0 for all.
        normalization: how answers of different lengths are compared.
        backbone: settings put on top of the recipe's, for weights that lie elsewhere.
        batch_size: samples of one forward.
        device: ``auto``, ``cpu``, ``cuda``, …
        half: bf16 autocast.
    """

    checkpoint: Path
    suite: str | None
    splits: tuple[str, ...] = ()
    data: Mapping[str, Path] = field(default_factory=dict)
    limit: int | None = None
    camera: str = ""
    wordings: Wordings = field(default_factory=Wordings)
    candidates: int = 16
    normalization: Normalization = "token"
    backbone: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 16
    device: str = "auto"
    half: bool = False


def probe_checkpoint(request: Request, host: PluginHost, watch: Watch = lambda doing, done, of: None) -> dict[str, JSON]:
    """A document of kind ``probe`` (probe-1.schema.json).

    Raises:
        GrinningFaceError: the checkpoint, its source, the suite or the data can't be used.
    """
    if request.suite is None and not request.data:
        raise GrinningFaceError("there is nothing to ask about", where="gf probe", hint="give --suite or --data")
    described = read_checkpoint(request.checkpoint)
    suite = load_suite(request.suite, host) if request.suite is not None else None
    sources = {name: open_source(name, path) for name, path in request.data.items()}
    watch("loading the checkpoint", 0, 2)
    loaded = load_checkpoint(request.checkpoint, host, backbone_settings=request.backbone)
    material, size, camera = Material(), *_sight(loaded, request.camera)
    if suite is not None:
        add_suite(
            material,
            suite,
            host,
            limit=request.limit,
            splits=request.splits,
            camera=camera,
            size=size,
            wordings=request.wordings,
            candidates=request.candidates,
            watch=watch,
        )
    for source in sources.values():
        add_data(material, source, limit=request.limit or DATA_LIMIT, candidates=request.candidates, watch=watch)
    watch("loading the source", 1, 2)
    models = _models(loaded, host, request)
    return {
        "schema_version": "1.0",
        "kind": "probe",
        "checkpoint": _checkpoint_json(request.checkpoint, described),
        "backbone": _backbone_json(loaded, models),
        "suite": _suite_json(suite),
        "data": [to_json(source.manifest()) for source in sources.values()],
        "settings": _settings_json(request, camera, size),
        "level": LEVEL,
        **_measure(material, models, request, watch),
        "versions": {"trained": described["versions"], "measured": {name: metadata.version(name) for name in PACKAGES}},
    }


def _measure(material: Material, models: Models, request: Request, watch: Watch) -> dict[str, JSON]:
    asking = Asking(material=material, found=read(material, models, watch), how=request.normalization)
    before, after = represent(material, models, watch)
    watch("comparing weights", 0, 1)
    blocks = block_changes(models.before, models.after)
    return {
        "accuracy": accuracies(asking),
        "divergence": divergences(asking),
        "weights": {
            "roles": {role: change_json(change) for role, change in role_changes(models.before, models.after).items()},
            "layers": {role: [change_json(change) for change in changes] for role, changes in blocks.items()},
        },
        "cka": {"scenes": len(material.scenes), **similarities(before, after)},
        "linear_probe": target_probes(material, before, after, watch),
        "answers": each_answer(asking),
    }


def _sight(loaded: Loaded, camera: str) -> tuple[tuple[int, int], str]:
    """Height and width [px] and name of what scenes are seen through."""
    cameras = loaded.vla.cameras
    if not camera and not cameras:
        raise GrinningFaceError("the policy looks through no camera", where="--camera", hint="name one")
    name = camera or cameras[0]
    known = loaded.conventions.cameras
    size = loaded.vla.image_size or known.get(name) or known[cameras[0]]
    return (int(size[0]), int(size[1])), name


def _models(loaded: Loaded, host: PluginHost, request: Request) -> Models:
    part = loaded.links[0].recipe.document["backbone"]
    source: Backbone = host.backbones.load(part["id"])(part["settings"])
    device = pick_device(request.device)
    return pair_up(loaded, source, device=device, batch_size=request.batch_size, half=request.half)


def _checkpoint_json(path: Path, document: Mapping[str, Any]) -> JSON:
    return {
        "path": str(path),
        "sha256": content_hash(document),
        "finished": bool(document["finished"]),
        "recipes": [{"name": str(link["recipe"]["name"]), "sha256": str(link["recipe_sha256"])} for link in document["links"]],
    }


def _backbone_json(loaded: Loaded, models: Models) -> JSON:
    return {
        "id": str(loaded.links[0].recipe.document["backbone"]["id"]),
        "fingerprint": models.before.fingerprint,
        "layers": [models.before.layers, models.after.layers],
        "added_rows": len(models.added),
    }


def _suite_json(suite: Suite | None) -> JSON:
    return None if suite is None else {"id": suite.id, "sha256": suite.sha256}


def _settings_json(request: Request, camera: str, size: tuple[int, int]) -> JSON:
    return {
        "limit": request.limit,
        "splits": list(request.splits),
        "camera": camera,
        "size": list(size),
        "naming": list(request.wordings.naming),
        "which": list(request.wordings.which),
        "candidates": request.candidates,
        "normalization": request.normalization,
        "batch_size": request.batch_size,
        "precision": "bf16" if request.half else "fp32",
    }
