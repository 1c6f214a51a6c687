"""What the techniques are, without importing them."""

from __future__ import annotations

from gf_core.settings import choice, flag, integer, names, number, roles, settings
from gf_core.specs import TechniqueSpec

_EXTRA = "grinningface[train]"
_LORA = "gf/lora-v1"
_VQA_DOMAINS = ("spatial", "grounding", "planning", "camera", "egocentric", "temporal", "action")
_LANGUAGE_ALONE = ("gf/discretized-actions-v1", "gf/latent-actions-v1", "gf/embodied-vqa-v1", "gf/knowledge-insulation-v1")

DISCRETIZED_ACTIONS = TechniqueSpec(
    id="gf/discretized-actions-v1",
    summary="the VLM predicts actions as tokens of its own, bins or FAST, and nothing else acts",
    entry_point="gf_techniques.discretized_actions:make",
    citation="arXiv:2406.09246",
    extra=_EXTRA,
    conflicts=("gf/knowledge-insulation-v1", "gf/embodied-vqa-v1"),
    config_schema=settings(
        [],
        rows=choice(
            "the action tokens' embeddings at the stage's start: as they are, which at first is the "
            "backbone's own rows at the tail of its vocabulary, or the mean of its other rows",
            "keep",
            "mean",
        ),
    ),
)

LATENT_ACTIONS = TechniqueSpec(
    id="gf/latent-actions-v1",
    summary="three stages: an inverse-dynamics model with a codebook, the VLM predicts its codes, a new action head",
    entry_point="gf_techniques.latent_actions:make",
    citation="arXiv:2410.11758",
    extra=_EXTRA,
    conflicts=("gf/embodied-vqa-v1",),
    config_schema=settings(
        ["phase"],
        phase={
            "enum": ["idm", "predict", "act"],
            "description": "idm trains the inverse-dynamics model alone, predict has the VLM predict its codes and "
            "needs the same settings, act drops it",
        },
        horizon=integer(30, "H, control steps between the two frames; LAPA 30", high=1000),
        camera={"type": "string", "default": "", "description": "whose frames; empty for the policy's first camera"},
        codes=integer(4, "codes of a frame pair; LAPA and UniVLA 4, Moto 8", high=64),
        codebook=integer(8, "entries of the codebook; LAPA 8, UniVLA 16, Moto 128", low=2, high=4096),
        code_dim=integer(32, "width of an entry; LAPA 32", high=1024),
        image_size=integer(64, "frames are resized to this [px]; LAPA 256", low=8, high=512),
        patch=integer(8, "height and width of a patch [px]; divides image_size; LAPA 32", low=2, high=64),
        width=integer(128, "width of encoder and decoder, a multiple of 4; LAPA 1024", low=4, high=2048),
        layers=integer(4, "layers of encoder and decoder each; LAPA 8 spatial and 8 temporal", high=32),
        restart_below=number(
            0.1,
            "an entry used less than this times the even share is put elsewhere; 0 never. Not published: sweep",
            low=0,
            below=1,
        ),
    ),
)

EMBODIED_VQA = TechniqueSpec(
    id="gf/embodied-vqa-v1",
    summary="a stage on questions about robot scenes alone, by domain, with the last part of the vision tower trained",
    entry_point="gf_techniques.embodied_vqa:make",
    citation="arXiv:2605.25802",
    extra=_EXTRA,
    config_schema=settings(
        [],
        domains=names(
            f"domains to keep, of {', '.join(_VQA_DOMAINS)}, or whatever else the records name as vqa/NAME; empty for all"
        ),
        vision=number(
            0.25,
            "share of the vision tower's blocks that train, the last ones; 0 leaves the tower to other techniques",
            low=0,
            high=1,
        ),
    ),
)

ROBOT_PRETRAINING = TechniqueSpec(
    id="gf/robot-pretraining-v1",
    summary="a stage on other robot data, which must share no item, suite or file with the target data",
    entry_point="gf_techniques.robot_pretraining:make",
    citation="arXiv:2605.25802",
    extra=_EXTRA,
    conflicts=("gf/embodied-vqa-v1",),
    config_schema=settings(
        ["source"],
        source={"type": "string", "minLength": 1, "description": "name of the pretraining source in the stage's mixture"},
        targets=names("robot sources that it is compared with; empty for every other one of the recipe"),
        unknown_items=flag(False, "accept sources that don't say which items they show"),
    ),
)

STAGED_LORA = TechniqueSpec(
    id="gf/staged-lora-v1",
    summary="fresh low-rank adapters in every stage, merged in float32 before the next and checked",
    entry_point="gf_techniques.staged_lora:make",
    citation="arXiv:2605.25802",
    extra=_EXTRA,
    conflicts=(_LORA,),
    config_schema=settings(
        [],
        roles=roles("roles whose linear layers get adapters", ["language"]),
        r=integer(64, "rank; 16 and 64 in arXiv 2605.25802", high=4096),
        alpha=number(128, "scale times r; published for r 16 is 32, for 64 none: the default keeps their ratio", above=0),
        rslora=flag(False, "scale by alpha / sqrt(r) instead of alpha / r (arXiv 2312.03732)"),
        dora=flag(False, "learn the weights' lengths apart from their directions (arXiv 2402.09353)"),
        dropout=number(0, "dropout before the adapters", low=0, below=1),
    ),
)

ACTION_AS_LANGUAGE = TechniqueSpec(
    id="gf/action-as-language-v1",
    summary="the VLM writes actions in plain words and units; nothing is added to its vocabulary",
    entry_point="gf_techniques.action_as_language:make",
    citation="arXiv:2509.22195",
    extra=_EXTRA,
    conflicts=_LANGUAGE_ALONE,
    config_schema=settings(
        [],
        state_token=flag(False, "allow a learned token for the proprioceptive state, which VLM2VLA doesn't have"),
    ),
)

STAGES: tuple[TechniqueSpec, ...] = (
    DISCRETIZED_ACTIONS,
    LATENT_ACTIONS,
    EMBODIED_VQA,
    ROBOT_PRETRAINING,
    STAGED_LORA,
    ACTION_AS_LANGUAGE,
)
