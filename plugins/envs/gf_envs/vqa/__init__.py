"""Questions and answers about the tabletop, from the simulator's ground truth (`gf vqa`).

The seven domains of arXiv 2605.25802, and two of what GrinningFace measures: naming a card, and finding a named one.
"""

from __future__ import annotations

DOMAINS = {
    "naming": "what a card shows",
    "which-card": "which card shows a thing, and whether one does",
    "spatial": "where things lie relative to each other",
    "grounding": "boxes and points in the image",
    "planning": "what comes next, and whether it is done",
    "camera": "where the camera is, and one scene from two sides",
    "egocentric": "the table as the arm's base or its gripper camera sees it",
    "temporal": "what came first, and what happened in between",
    "action": "motions of the gripper in words, with centimetres",
}
"""Domain to what its questions are about; in records it is written ``vqa/<domain>``."""

PREFIX = "vqa/"
GENERATOR = "gf_envs.vqa 2"
"""Name and version of the generator; another version may write other questions for the same seed."""

GRID = 1000
"""Boxes ``[x1, y1, x2, y2]`` and points ``[x, y]`` are whole thousandths of the image's width and height from its upper left
corner, as Qwen3-VL and InternVL write them."""
