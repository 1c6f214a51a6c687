"""The model card of a nano model: what it was trained on, how, with what result, and what it can't do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gf_core.canonical import content_hash
from gf_policies.nano.batches import Settings

KINDS = {
    "where": "where is X: the place, within half a patch of the middle",
    "block": "where is the block of this colour, likewise",
    "name": "what is at this place: the name, to the letter; or its colour, or its kind",
    "which": "which of two to four in a row is X: left, first, …; or on which side of the page",
    "yes-no": "is there an X",
}
ROWS = 12
"""Rows of the table of losses."""


def write_card(
    directory: Path,
    *,
    settings: Settings,
    identity: Mapping[str, Any],
    weights_sha256: str,
    parameters: int,
    results: Mapping[str, tuple[int, int]],
    pages: int,
    metrics: Sequence[Mapping[str, Any]],
) -> None:
    """Write ``README.md`` beside the weights, and the same as ``pretraining.json`` for machines.

    Args:
        directory: the model's.
        settings: how it was trained.
        identity: on what: decks' hashes, versions.
        weights_sha256: hex hash of the weights' file.
        parameters: their number.
        results: right answers and questions by kind, on pages of another seed.
        pages: how many pages they were asked about.
        metrics: a row for each step.
    """
    document = {
        "run_sha256": content_hash({**identity, "settings": asdict(settings)}),
        "settings": asdict(settings),
        "identity": dict(identity),
        "weights_sha256": weights_sha256,
        "parameters": parameters,
        "test_pages": pages,
        "results": {kind: {"right": right, "asked": asked} for kind, (right, asked) in results.items()},
        "curve": [_rounded(row) for row in _some(metrics)],
    }
    (directory / "pretraining.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(_text(document), encoding="utf-8")


def _some(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    stride = max(1, len(metrics) // ROWS)
    return [*metrics[stride - 1 : -1 : stride], metrics[-1]] if metrics else []


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(row[key], 4) for key in ("step", "text", "patches") if key in row}


TEXT = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---

# Nano

A vision-language model of {parameters:,} parameters in LLaVA's architecture, trained from scratch on drawn pages of emojis with
their names, to stand for a large one where only a laptop is at hand.

- **Data:** pages drawn by `gf_policies.nano`: pictures of the decks below, turned, sheared, on cards or not, with coloured blocks
  and clutter; questions about where things are, what they are called, of what kind they are. No robot, no camera, no rendering of
  the benchmark's scenes. All items of the decks occur, also those that robot data holds out: knowing them is the prior that is
  measured.
{decks}
- **Recipe:** {recipe}
- **Made with:** {versions}
- **Made by:** `gf pretrain nano`, run `{run_sha256}` (hash of decks, versions and recipe)
- **Weights:** float16, SHA-256 `{weights_sha256}`
- **Licence:** Apache-2.0 for the weights; what it saw is under the decks' own (`gf show DECK`)

## Measured, on {test_pages} pages of another seed

| question | right | asked | share |
|---|---|---|---|
{results}

## Losses

| step | answers | patches |
|---|---|---|
{curve}

## Limits

It knows the decks' items and no other pictures, their names and a few hundred other words of English, no grammar, and images of
about 160 x 160 px, in which pictures are 16 to 44 px wide: of a larger image it sees the middle. What it says about anything else
means nothing.
"""


def _text(document: Mapping[str, Any]) -> str:
    identity = document["identity"]
    results = [
        f"| {KINDS.get(kind, kind)} | {entry['right']} | {entry['asked']} | {100 * entry['right'] / entry['asked']:.1f} % |"
        for kind, entry in document["results"].items()
    ]
    curve = [f"| {row['step']} | {row.get('text', '')} | {row.get('patches', '')} |" for row in document["curve"]]
    return TEXT.format(
        parameters=document["parameters"],
        decks="\n".join(f"  - `{deck}`, SHA-256 `{value}`" for deck, value in identity["decks"].items()),
        recipe=json.dumps(document["settings"]),
        versions=json.dumps(identity["versions"]),
        run_sha256=document["run_sha256"],
        weights_sha256=document["weights_sha256"],
        test_pages=document["test_pages"],
        results="\n".join(results),
        curve="\n".join(curve),
    )
