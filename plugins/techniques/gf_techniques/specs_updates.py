"""What the techniques are, without importing them."""

from __future__ import annotations

from gf_core.settings import BACKBONE_ROLES, choice, flag, integer, number, roles, settings
from gf_core.specs import TechniqueSpec

_FULL = settings(roles=roles("roles of which every parameter trains"))

_FREEZE = settings(
    roles=roles(
        "roles that this technique decides; what it doesn't name below is frozen. Leave out the roles of other techniques"
    ),
    vision=number(
        0, "share of the vision tower's blocks that train, counted from the last; 0 none, 1 the whole tower", low=0, high=1
    ),
    projector=flag(False, "whether the projector trains"),
    language=choice(
        "which blocks of the language model train, counted by `blocks`; `all` includes embeddings and final norm",
        *("none", "first", "last", "all-but-first", "all"),
    ),
    blocks=integer(0, "number of blocks that `language` speaks of; 0 with none and all", low=0),
)

_LORA = settings(
    roles=roles("roles whose linear layers get adapters", ["language"]),
    r=integer(16, "rank; published: 16 and 64 (arXiv 2605.25802), 32 (OpenVLA)"),
    alpha=number(32, "scale times r; published: 32 (arXiv 2605.25802), 16 (OpenVLA, with r 32)", above=0),
    rslora=flag(False, "scale by alpha / sqrt(r) instead of alpha / r (arXiv 2312.03732)"),
    dora=flag(False, "learn the weights' lengths apart from their directions (arXiv 2402.09353)"),
    dropout=number(0, "dropout before the adapters", low=0, below=1),
    merge=flag(True, "merge the adapters into the weights at the end of the stage; another LoRA stage needs that"),
)

_COTRAIN = settings(
    ["sources"],
    sources={
        "description": "names of vision-language sources; they get equal parts of `share`",
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "uniqueItems": True,
    },
    share=number(0.2, "part of every batch that they make up together; 0.2 is starVLA's 16 : 4", above=0, below=1),
    loss_weight=number(0.1, "factor of their losses; 0.1 is starVLA's 1 : 0.1", above=0),
)

_L2_SP = settings(
    **{
        role: number(
            0.01,
            f"factor alpha of the penalty on the role {role}; 0 for none. No value is published for VLMs: sweep it",
            low=0,
        )
        for role in BACKBONE_ROLES
    }
)

_INTERPOLATION = settings(
    **{
        role: number(
            default,
            f"share of the trained weights in the role {role}; 0 the weights at the stage's start, 1 as trained. Sweep it",
            low=0,
            high=1,
        )
        for role, default in (*((role, 0.5) for role in BACKBONE_ROLES), ("head", 1))
    }
)

_KL = settings(
    weight=number(1, "factor of the loss; no value is published for VLAs: sweep it", above=0),
    samples=choice("samples whose predictions count", "vision-language", "all"),
    positions=choice("tokens whose predictions count", "answer", "prompt", "both"),
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
        config_schema=_L2_SP,
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
        config_schema=_INTERPOLATION,
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
