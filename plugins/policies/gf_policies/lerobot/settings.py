"""Settings of `gf/lerobot-v1`, apart from the policy so that listing plugins imports nothing of it."""

from __future__ import annotations

from gf_core.settings import choice, flag, integer, settings

SETTINGS = settings(
    ["checkpoint"],
    checkpoint={
        "type": "string",
        "minLength": 1,
        "description": "folder with config.json and model.safetensors (pretrained_model of lerobot-train), or ORG/NAME@COMMIT",
    },
    cameras={
        "type": "object",
        "additionalProperties": {"type": "string", "minLength": 1},
        "default": {},
        "description": "our camera to the checkpoint's feature, cameras.third=observation.images.top; others by their own names",
    },
    conventions={
        "type": "string",
        "default": "",
        "description": "what its numbers mean: meta/grinningface.json of the data set that it was trained on; "
        "by default grinningface.json in the checkpoint, and without one they are taken for the environment's",
    },
    play=choice(
        "ask for chunks, or at every step as lerobot-eval does; auto: chunks where that is the same", "auto", "chunks", "steps"
    ),
    device={"type": "string", "default": "auto", "description": "auto (the checkpoint's, if it is there), cpu, cuda, cuda:1, …"},
    threads=integer(0, "CPU threads; 0 for torch's own choice", low=0),
    downloads=flag(False, "let LeRobot fetch what the checkpoint names beside itself, such as a tokenizer; not pinned"),
    trust_remote_code=flag(False, "let the checkpoint choose code that is run: of the hub, or of installed packages"),
)
