"""What the backbones are, without importing them."""

from __future__ import annotations

from typing import Any

from gf_core.specs import BackboneSpec

_FROM_ANYWHERE: dict[str, Any] = {
    "model": {
        "description": "model on the Hugging Face hub, or a local folder: configuration, weights, tokenizer and processor; "
        "package:NAME/FOLDER is a folder inside an installed package",
        "type": "string",
        "minLength": 1,
    },
    "revision": {
        "description": "branch, tag or commit on the hub",
        "type": "string",
        "minLength": 1,
        "default": "main",
    },
    "local_files_only": {
        "description": "use what was downloaded before and ask the hub for nothing",
        "type": "boolean",
        "default": False,
    },
}
_ALWAYS: dict[str, Any] = {
    "init": {
        "description": "pretrained weights, or random ones of the same architecture (training from scratch)",
        "enum": ["pretrained", "random"],
        "default": "pretrained",
    },
    "seed": {
        "description": "of the random weights",
        "type": "integer",
        "minimum": 0,
        "default": 0,
    },
    "layers": {
        "description": "keep the first so many layers of the language model; 0 for all (SmolVLA keeps 16, arXiv 2506.01844)",
        "type": "integer",
        "minimum": 0,
        "default": 0,
    },
    "attention": {
        "description": "implementation of attention; auto is sdpa where the architecture has it",
        "enum": ["auto", "sdpa", "eager"],
        "default": "auto",
    },
    "image_options": {
        "description": "options of the model's image processor, over what the adapter sets for its family, "
        'e.g. {"size": {"height": 448, "width": 448}}',
        "type": "object",
        "default": {},
    },
    "prompt_format": {
        "description": "what the model reads, with {images} and {prompt}, for a model without chat template; empty for its "
        "chat template or its family's own format",
        "type": "string",
        "default": "",
    },
}


def _settings(origin: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": {**origin, **_ALWAYS},
    }


_NANO: dict[str, Any] = {
    "model": {
        "description": "the folder that comes with the program",
        "const": "package:gf_policies/nano/model",
        "default": "package:gf_policies/nano/model",
    },
    "revision": {"description": "there is one", "const": "main", "default": "main"},
    "local_files_only": {"description": "nothing is downloaded", "const": True, "default": True},
}

BACKBONES: tuple[BackboneSpec, ...] = (
    BackboneSpec(
        id="gf/hf-vlm-v1",
        summary="any decoder-only vision-language model of Hugging Face transformers, behind one interface",
        entry_point="gf_policies.backbones.hf_vlm:make",
        config_schema=_settings(_FROM_ANYWHERE, ["model"]),
        extra="grinningface[train]",
    ),
    BackboneSpec(
        id="gf/nano-v1",
        summary="the small vision-language model that comes with the program: 4 million parameters, knows the emojis",
        entry_point="gf_policies.backbones.hf_vlm:make",
        config_schema=_settings(_NANO, []),
        extra="grinningface[train]",
    ),
)
