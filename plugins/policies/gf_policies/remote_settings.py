"""Settings of `gf/remote-v1`, apart from the policy so that listing plugins imports no WebSockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {
            "type": "string",
            "pattern": "^wss?://",
            "default": "ws://127.0.0.1:8000",
            "description": "address of the server; a token that it asks for stands in the environment variable GF_TOKEN",
        },
        "images": {
            "enum": ["raw", "png", "jpeg"],
            "default": "raw",
            "description": "how images are sent: raw is fastest on one machine, png is smaller, jpeg loses",
        },
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 3600,
            "default": 60,
            "description": "for connecting, and for an answer [s]",
        },
        "cameras": {
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "default": {"third": "third"},
            "description": "servers of other programs: our camera to what the server calls it, cameras.third=agentview",
        },
        "size": {
            "type": "integer",
            "minimum": 1,
            "maximum": 4096,
            "default": 224,
            "description": "servers of other programs: height and width of images [px]",
        },
        "state": {"type": "boolean", "default": False, "description": "servers of other programs: send the robot's state"},
        "position_scale": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "servers of other programs, which need it: metres of a position element of 1",
        },
        "rotation_scale": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "servers of other programs, which need it: radians of a rotation element of 1",
        },
        "rotation": {
            "enum": ["declared", "axis_angle", "euler_xyz"],
            "default": "declared",
            "description": "servers of other programs: how actions rotate, if the server doesn't say",
        },
        "gripper": {
            "enum": ["declared", "continuous_01", "binary_close_positive", "binary_close_negative", "binary_close_01"],
            "default": "declared",
            "description": "servers of other programs: what the last element means, if they don't say; continuous_01: open at 1",
        },
    },
}

ISOLATED: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["policy", "env"],
    "properties": {
        "policy": {"type": "string", "minLength": 1, "description": "id of the policy, in its environment"},
        "settings": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "its settings, KEY=VALUE each",
        },
        "env": {"type": "string", "minLength": 1, "description": "id of the environment whose actions and state it is made for"},
        "requirements": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": [],
            "description": "what pip installs beside this program",
        },
        "plugins": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "files that are loaded as plugins",
        },
    },
}
"""Of `gf/isolated-v1`; `gf run --isolate` writes them."""
