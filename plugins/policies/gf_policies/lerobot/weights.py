"""Whether a model's weights are those of a file. LeRobot's loading only warns of what is missing, or not even that."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open


def not_from_file(model: torch.nn.Module, file: Path) -> list[str]:
    """Parameters and persistent buffers whose values aren't in the file under their name, one name for each tensor.

    A tensor that has several names (tied weights) is stored under one of them. Names in the file may lack ``model.`` in front,
    as in checkpoints that were converted.
    """
    names: dict[tuple[int, torch.Size], list[str]] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        names.setdefault((tensor.data_ptr() or id(tensor), tensor.shape), []).append(name)
    with safe_open(file, framework="pt") as stored:
        known = set(stored.keys())

        def is_there(name: str) -> bool:
            there = [key for key in (name, name.removeprefix("model.")) if key in known]
            return any(_same(tensors[name], stored.get_tensor(key)) for key in there)

        return [same[0] for same in names.values() if not any(is_there(name) for name in same)]


def _same(mine: torch.Tensor, stored: torch.Tensor) -> bool:
    return mine.shape == stored.shape and torch.equal(mine.detach().cpu(), stored.to(mine.dtype))
