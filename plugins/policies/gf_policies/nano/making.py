"""From decks to a nano model's folder: training, writing, measuring, the card."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gf_core.canonical import sha256
from gf_core.contracts import Deck
from gf_core.training.job import METRICS
from gf_policies.backbones.hf_vlm import make as make_backbone
from gf_policies.nano.architecture import write_model
from gf_policies.nano.batches import Settings
from gf_policies.nano.card import write_card
from gf_policies.nano.measuring import measure
from gf_policies.nano.pretraining import Progress, pretrain
from gf_policies.nano.things import things_of

WEIGHTS = "model.safetensors"
PACKAGES = ("torch", "transformers", "numpy", "pillow")
"""Whose versions decide about the weights' bits."""


def make(
    decks: Sequence[Deck],
    settings: Settings,
    out: Path,
    *,
    workers: int,
    save_every: int,
    test_pages: int,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Train (or go on), write ``out/model``, measure what was written, and return what the card says.

    Raises:
        GrinningFaceError: see :func:`~gf_policies.nano.pretraining.pretrain`.
    """
    things = things_of(decks)
    identity = {
        "decks": {deck.id: deck.sha256 for deck in decks},
        "versions": {name: version(name) for name in PACKAGES},
    }
    model, tokenizer = pretrain(things, identity, settings, out, workers=workers, save_every=save_every, progress=progress)
    directory = out / "model"
    write_model(model, tokenizer, directory)
    tell(f"measuring on {test_pages} pages")
    # Through the adapter and from the folder: what a user of it gets, rounded to float16.
    backbone = make_backbone(local_settings(directory))
    results = measure(backbone, things, settings.seed, test_pages)
    rows = [json.loads(line) for line in (out / METRICS).read_text(encoding="utf-8").splitlines()]
    write_card(
        directory,
        settings=settings,
        identity=identity,
        weights_sha256=sha256((directory / WEIGHTS).read_bytes()),
        parameters=sum(value.numel() for value in model.parameters()),
        results=results,
        pages=test_pages,
        metrics=rows,
    )
    document: dict[str, Any] = json.loads((directory / "pretraining.json").read_text(encoding="utf-8"))
    return document


def local_settings(directory: Path) -> dict[str, Any]:
    """Settings of gf/hf-vlm-v1 for a model's folder."""
    return {
        "model": str(directory.resolve()),
        "revision": "main",
        "local_files_only": True,
        "init": "pretrained",
        "seed": 0,
        "layers": 0,
        "attention": "auto",
        "image_options": {},
        "prompt_format": "",
    }
