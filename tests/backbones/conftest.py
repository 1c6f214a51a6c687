from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gf_core.schemas import validate_config
from gf_policies.backbones.hf_vlm import HFVLM, make
from gf_policies.backbones.specs import BACKBONES
from gf_policies.backbones.tiny import write_tiny

Folder = Callable[[str], Path]
Load = Callable[..., HFVLM]


def completed(**settings: Any) -> Mapping[str, Any]:
    """Settings of the backbone, completed with their defaults."""
    return validate_config(settings, BACKBONES[0].config_schema, source="test")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Family to the directory of its tiny model, written once."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tiny")

    def written(family: str) -> Path:
        if family == "smolvlm" and importlib.util.find_spec("num2words") is None:
            pytest.skip("SmolVLM's processor needs num2words")
        if not (root / family).exists():
            write_tiny(family, root / family, seed=1)
        return root / family

    return written


@pytest.fixture(scope="session")
def load(folder: Folder) -> Load:
    """Family and settings to a backbone of its own."""

    def loaded(family: str, **settings: Any) -> HFVLM:
        return make(completed(model=str(folder(family)), **settings))

    return loaded


@pytest.fixture(scope="session")
def shared(load: Load) -> Callable[[str], HFVLM]:
    """Family to a backbone that tests share and don't change, with 1400 reserved rows."""
    found: dict[str, HFVLM] = {}

    def get(family: str) -> HFVLM:
        if family not in found:
            found[family] = load(family)
            found[family].reserve(1400)
        return found[family]

    return get
