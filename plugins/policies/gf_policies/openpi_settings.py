"""Settings of `gf/openpi-v1`, apart from the policy so that listing plugins imports no WebSockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gf_policies.remote_settings import SETTINGS as REMOTE

_REMOTE = REMOTE["properties"]
_PIXELS = {"type": "integer", "minimum": 1, "maximum": 4096}

SETTINGS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["actions"],
    "properties": {
        "url": {
            "type": "string",
            "pattern": "^wss?://",
            "default": "ws://127.0.0.1:8000",
            "description": "address of the server; a key that it asks for stands in the environment variable GF_TOKEN",
        },
        "timeout": _REMOTE["timeout"],
        "cameras": {
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "default": {"third": "observation/image"},
            "description": "our camera to the key of its image, cameras.third=observation/image; a dot leads into a map",
        },
        "size": {**_PIXELS, "default": 224, "description": "height and width of images as they are sent [px]"},
        "drawn": {
            "type": ["array", "null"],
            "items": _PIXELS,
            "minItems": 2,
            "maxItems": 2,
            "default": None,
            "description": "height and width that they are drawn in [px], before they are fitted into size with black bars",
        },
        "channels": {
            "enum": ["last", "first"],
            "default": "last",
            "description": "where colours are in an image: (H, W, 3), or (3, H, W) as for ALOHA",
        },
        "state": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"const": "all"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ]
            },
            "default": {},
            "description": "key to the elements of proprio that stand under it: names, or all; state.observation/state=all",
        },
        "prompt": {"type": "string", "minLength": 1, "default": "prompt", "description": "key of the instruction"},
        "actions": {
            "enum": ["environment", "ee_delta"],
            "description": "what the server emits: actions as the environment takes them, or deltas of 7 elements as below",
        },
        "position_scale": {
            **_REMOTE["position_scale"],
            "description": "ee_delta: metres of a position element of 1",
        },
        "rotation_scale": {**_REMOTE["rotation_scale"], "description": "ee_delta: radians of a rotation element of 1"},
        "rotation": {"enum": ["axis_angle", "euler_xyz"], "description": "ee_delta: how actions rotate"},
        "gripper": {
            "enum": ["continuous_01", "binary_close_positive", "binary_close_negative", "binary_close_01"],
            "description": "ee_delta: what the last element means; continuous_01: open at 1",
        },
    },
}
