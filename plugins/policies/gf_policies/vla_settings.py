"""Settings of `gf/vla-v1` and `gf/nano-vla-v1`, apart from the policy so that listing plugins imports no NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["checkpoint"],
    "properties": {
        "checkpoint": {
            "type": "string",
            "minLength": 1,
            "description": "directory that `gf train` wrote; package:NAME/FOLDER is one inside an installed package",
        },
        "backbone": {
            "type": "object",
            "default": {},
            "description": "settings put on top of the recipe's backbone, for weights that lie elsewhere: backbone.model=DIR",
        },
        "device": {"type": "string", "default": "auto", "description": "auto, cpu, cuda, cuda:1, …"},
        "precision": {"enum": ["fp32", "bf16"], "default": "fp32", "description": "bf16: autocast"},
        "batch_size": {
            "type": "integer",
            "minimum": 1,
            "maximum": 256,
            "default": 1,
            "description": "observations of one forward; with more than 1, an action's last bits depend on who shares the batch",
        },
        "threads": {"type": "integer", "minimum": 0, "default": 0, "description": "CPU threads; 0 for torch's own choice"},
    },
}

NANO_SETTINGS: Mapping[str, Any] = {
    **SETTINGS,
    "required": [],
    "properties": {
        **SETTINGS["properties"],
        "checkpoint": {
            "description": "the folder that comes with the program",
            "const": "package:gf_policies/nano/vla",
            "default": "package:gf_policies/nano/vla",
        },
    },
}
