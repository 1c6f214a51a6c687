"""Checkpoints as LeRobot 0.4.4 writes them, without LeRobot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]

VISUAL = {"type": "VISUAL", "shape": [3, 48, 48]}
STATE = {"type": "STATE", "shape": [7]}
SEES = {"observation.state": STATE, "observation.images.third": VISUAL}
NORMALIZER = {"registry_name": "normalizer_processor", "config": {"eps": 1e-08}, "state_file": "normalizer.safetensors"}
STEPS = [
    {"registry_name": "to_batch_processor", "config": {}},
    {"registry_name": "device_processor", "config": {"device": "cpu"}},
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a checkpoint; keywords change its config.json, and ``steps`` its preprocessor's."""

    def build(name: str = "checkpoint", *, steps: list[Any] | None = None, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        config = {
            "type": "act",
            "n_obs_steps": 1,
            "chunk_size": 8,
            "n_action_steps": 5,
            "temporal_ensemble_coeff": None,
            "use_peft": False,
            "input_features": SEES,
            "output_features": {"action": {"type": "ACTION", "shape": [7]}},
            **changes,
        }
        (folder / "config.json").write_text(json.dumps(config))
        before = {"name": "policy_preprocessor", "steps": [*STEPS, NORMALIZER] if steps is None else steps}
        (folder / "policy_preprocessor.json").write_text(json.dumps(before))
        (folder / "policy_postprocessor.json").write_text(json.dumps({"name": "policy_postprocessor", "steps": []}))
        for file in ("model.safetensors", "normalizer.safetensors"):
            (folder / file).write_bytes(file.encode())
        return folder

    return build
