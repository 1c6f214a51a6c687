"""What the techniques are, without importing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gf_core.specs import TechniqueSpec

_ROLES = ("vision", "projector", "language")


def _settings(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _roles(description: str, default: Sequence[str] = _ROLES) -> Mapping[str, Any]:
    return {
        "description": description,
        "type": "array",
        "items": {"enum": list(_ROLES)},
        "minItems": 1,
        "uniqueItems": True,
        "default": list(default),
    }


_FULL = _settings(roles=_roles("roles of which every parameter trains"))

_FREEZE = _settings(
    roles=_roles(
        "roles that this technique decides; what it doesn't name below is frozen. Leave out the roles of other techniques"
    ),
    vision={
        "description": "share of the vision tower's blocks that train, counted from the last; 0 none, 1 the whole tower",
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0,
    },
    projector={"description": "whether the projector trains", "type": "boolean", "default": False},
    language={
        "description": "which blocks of the language model train, counted by `blocks`; `all` includes embeddings and final norm",
        "enum": ["none", "first", "last", "all-but-first", "all"],
        "default": "none",
    },
    blocks={
        "description": "number of blocks that `language` speaks of; 0 with none and all",
        "type": "integer",
        "minimum": 0,
        "default": 0,
    },
)

_LORA = _settings(
    roles=_roles("roles whose linear layers get adapters", ("language",)),
    r={
        "description": "rank; published: 16 and 64 (arXiv 2605.25802), 32 (OpenVLA)",
        "type": "integer",
        "minimum": 1,
        "default": 16,
    },
    alpha={
        "description": "scale times r; published: 32 (arXiv 2605.25802), 16 (OpenVLA, with r 32)",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 32,
    },
    rslora={
        "description": "scale by alpha / sqrt(r) instead of alpha / r (arXiv 2312.03732)",
        "type": "boolean",
        "default": False,
    },
    dora={
        "description": "learn the weights' lengths apart from their directions (arXiv 2402.09353)",
        "type": "boolean",
        "default": False,
    },
    dropout={"description": "dropout before the adapters", "type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0},
    merge={
        "description": "merge the adapters into the weights at the end of the stage; another LoRA stage needs that",
        "type": "boolean",
        "default": True,
    },
)

_COTRAIN = {"required": ["sources"]} | _settings(
    sources={
        "description": "names of vision-language sources; they get equal parts of `share`",
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "uniqueItems": True,
    },
    share={
        "description": "part of every batch that they make up together; 0.2 is starVLA's 16 : 4",
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
    },
    loss_weight={
        "description": "factor of their losses; 0.1 is starVLA's 1 : 0.1",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
    },
)


def _alpha(role: str) -> Mapping[str, Any]:
    text = f"factor alpha of the penalty on the role {role}; 0 for none. No value is published for VLMs: sweep it"
    return {"description": text, "type": "number", "minimum": 0, "default": 0.01}


def _trained(role: str, default: float) -> Mapping[str, Any]:
    text = f"share of the trained weights in the role {role}; 0 the weights at the stage's start, 1 as trained. Sweep it"
    return {"description": text, "type": "number", "minimum": 0, "maximum": 1, "default": default}


_KL = _settings(
    weight={
        "description": "factor of the loss; no value is published for VLAs: sweep it",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1,
    },
    samples={"description": "samples whose predictions count", "enum": ["vision-language", "all"], "default": "vision-language"},
    positions={"description": "tokens whose predictions count", "enum": ["answer", "prompt", "both"], "default": "answer"},
)

UPDATES: tuple[TechniqueSpec, ...] = (
    TechniqueSpec(
        id="gf/full-finetune-v1",
        summary="every parameter of the chosen roles trains",
        entry_point="gf_techniques.full_finetune:make",
        config_schema=_FULL,
        citation="arXiv:2406.09246",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/freeze-v1",
        summary="the backbone is frozen but for what is named: projector, last or first blocks, part of the vision tower",
        entry_point="gf_techniques.freeze:make",
        config_schema=_FREEZE,
        citation="arXiv:2511.06619",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/lora-v1",
        summary="low-rank adapters on the linear layers of the chosen roles, merged at the end of the stage",
        entry_point="gf_techniques.lora:make",
        config_schema=_LORA,
        citation="arXiv:2106.09685",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/cotrain-v1",
        summary="vision-language data in every batch beside the robot data",
        entry_point="gf_techniques.cotrain:make",
        config_schema=_COTRAIN,
        citation="arXiv:2307.15818",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/l2-sp-v1",
        summary="a penalty towards the weights at the stage's start",
        entry_point="gf_techniques.l2_sp:make",
        config_schema=_settings(**{role: _alpha(role) for role in _ROLES}),
        citation="arXiv:1802.01483",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/kl-to-source-v1",
        summary="a penalty on how far next-token predictions move from the VLM's at the stage's start",
        entry_point="gf_techniques.kl_to_source:make",
        config_schema=_KL,
        citation="arXiv:1606.09282",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/weight-interpolation-v1",
        summary="moves the weights part of the way back to the stage's start when it ends",
        entry_point="gf_techniques.weight_interpolation:make",
        config_schema=_settings(**{role: _trained(role, 0.5) for role in _ROLES}, head=_trained("head", 1)),
        citation="arXiv:2512.08333",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/dual-encoder-v1",
        summary="a frozen copy of the vision tower beside the one that trains",
        entry_point="gf_techniques.dual_encoder:make",
        citation="arXiv:2509.11417",
        extra="grinningface[train]",
    ),
    TechniqueSpec(
        id="gf/knowledge-insulation-v1",
        summary="continuous heads' gradients stop before the VLM, which learns from a token head instead",
        entry_point="gf_techniques.knowledge_insulation:make",
        citation="arXiv:2505.23705",
        extra="grinningface[train]",
    ),
)
"""Parameter updates. Two techniques that decide the same role contradict each other by their ``updates``; what else a technique
needs of its stage depends on settings, so ``setup`` checks it, before the first step. No id excludes or needs another as such."""
