"""How legible the cards are under each render preset, and what a frame costs: the ground on which the scored preset is chosen.

For every emoji at every card position of the published scene, the 224 px image's card is cut out along its projected corners, and
the 328 atlas tiles are ranked by normalised correlation with the cut. The share of cards whose own tile ranks first is compared
with that of a 1024 px image reduced to 224 px by an area filter (the published pipeline renders at 1024).

    python benchmarks/legibility.py [--items 328] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from gf_core.contracts import EnvContext, Episode
from gf_core.plugins import load_plugins
from gf_core.specs import Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.env import make
from gf_envs.tabletop.faces import on_white
from gf_envs.tabletop.presets import PRESETS, Preset

DECK = "gf/emoji-noto@1"
SIZE = 224
PATCH = 24
CANDIDATES = {
    "no anti-aliasing": Preset(supersample=1, samples=0, shadow=0),
    "4 samples": Preset(supersample=1, samples=4, shadow=0),
    "2x supersampling": Preset(supersample=2, samples=0, shadow=0),
    "2x supersampling, 4 samples": Preset(supersample=2, samples=4, shadow=0),
    "3x supersampling": Preset(supersample=3, samples=0, shadow=0),
    "4x supersampling": Preset(supersample=4, samples=0, shadow=0),
}


def project(points: np.ndarray, size: int) -> np.ndarray:
    """Pixel coordinates ``(N, 2)`` (x right, y down) of world points ``(N, 3)`` in the third-person camera."""
    eye, target = np.array(g.CAMERA_EYE), np.array(g.CAMERA_TARGET)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    local = points - eye
    depth = local @ forward
    focal = size / 2 / np.tan(g.CAMERA_FOVY / 2)
    return np.stack([size / 2 + focal * (local @ right) / depth, size / 2 - focal * (local @ up) / depth], axis=-1)


def cut(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The card's face ``(PATCH, PATCH, 3)``, seen from above, upright: bilinear samples at its projected grid."""
    steps = (np.arange(PATCH) + 0.5) / PATCH * 2 - 1
    across, away = np.meshgrid(-steps * g.CARD_HALF_SIZE, -steps * g.CARD_HALF_SIZE)
    world = np.stack([x + away, y + across, np.full_like(across, g.CARD_THICKNESS)], axis=-1).reshape(-1, 3)
    pixels = project(world, image.shape[0]) - 0.5
    corner = np.floor(pixels).astype(int)
    weight = pixels - corner
    values = np.zeros((len(pixels), 3))
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - weight[:, 0]) * np.abs(1 - dy - weight[:, 1])
            values += share[:, None] * image[corner[:, 1] + dy, corner[:, 0] + dx]
    return values.reshape(PATCH, PATCH, 3)


def normalise(patches: np.ndarray) -> np.ndarray:
    """Patches as unit vectors without mean."""
    flat = patches.reshape(len(patches), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def episode(items: list[str], render: str) -> Episode:
    """The published layout without jitter, the cube at its nominal place."""
    cards = [{"deck": DECK, "item": item, "x": g.CARD_X, "y": y} for item, y in zip(items, g.CARD_Y, strict=True)]
    scene = {
        "cards": cards,
        "target": None,
        "cube": {"x": g.CUBE_X, "y": g.CUBE_Y, "yaw": 0.0},
        "success_rule": "card",
        "render": render,
    }
    return Episode(
        id="legibility", split="all", cluster="all", env="gf/tabletop-v1", seed=0, instruction="", horizon=1,
        control_hz=20.0, factors={}, scene=scene,
    )  # fmt: skip


def measure(names: list[str], load_deck: object, render: str, size: int) -> tuple[np.ndarray, float]:
    """Cuts ``(items, 3 positions, PATCH, PATCH, 3)`` under a preset, and CPU milliseconds per frame (median of batches)."""
    env = make({}, EnvContext(slots=1, threads=1, control_hz=20.0, load_deck=load_deck))
    slots = np.zeros(1, np.int32)
    cuts, cost = [], []
    for i in range(len(names)):
        # Each emoji visits each position as the deck is walked through.
        items = [names[(i + k) % len(names)] for k in range(3)]
        env.reset(slots, [episode(items, render)])
        start = time.process_time()
        image = env.observe(slots, Observes(cameras=("third",), size=(size, size))).images["third"][0]
        cost.append((time.process_time() - start) * 1e3)
        if size != SIZE:
            image = np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BOX))
        cuts.append([cut(image.astype(float), g.CARD_X, y) for y in g.CARD_Y])
    env.close()
    return np.array(cuts), statistics.median(cost[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=328, help="how many of the deck's emojis")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    deck = load_plugins().decks.load(DECK)({})
    names = list(deck.items)[: arguments.items]
    tiles = [Image.fromarray(on_white(deck.image(name))).resize((PATCH, PATCH), Image.Resampling.BOX) for name in names]
    templates = normalise(np.array([np.asarray(tile, float) for tile in tiles]))
    PRESETS.update({f"trial: {name}": preset for name, preset in CANDIDATES.items()})
    PRESETS["trial: reference"] = Preset(supersample=1, samples=4, shadow=0)
    rows = []
    for name in ["reference", *CANDIDATES]:
        size = 1024 if name == "reference" else SIZE
        cuts, cost = measure(names, lambda _: deck, f"trial: {name}", size)
        truth = (np.arange(len(names))[:, None] + np.arange(3)[None]) % len(names)
        ranks = (normalise(cuts.reshape(-1, PATCH, PATCH, 3)) @ templates.T).argmax(axis=1).reshape(-1, 3)
        hits = (ranks == truth).mean(axis=0)
        rows.append({"preset": name, "retrieved": float(hits.mean()), "left": hits[0], "middle": hits[1], "right": hits[2],
                     "cpu_ms": cost})  # fmt: skip
        print(f"{name:30s} retrieved {hits.mean():6.1%}  (left, middle, right {hits.round(3)})  {cost:6.2f} ms CPU per frame")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
