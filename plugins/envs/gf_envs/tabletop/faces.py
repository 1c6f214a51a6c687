"""The card faces as textures of a MuJoCo model for rendering."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import mujoco
import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError

MAX_FACES = 900
"""MuJoCo's renderer holds 1,000 textures; some are the scene's own."""
_MAX_SIDE = 256

Face = tuple[str, str]


class FaceBank:
    """Which faces the render model holds. A deck enters whole, because its other cards will be asked for next."""

    def __init__(self, load_deck: Callable[[str], Deck]) -> None:
        self._load_deck = load_deck
        self._decks: dict[str, Deck] = {}
        self.faces: dict[Face, int] = {}

    def include(self, wanted: Iterable[Face]) -> bool:
        """Make sure that these faces are held; returns whether the set changed, so that the model has to be built again.

        Raises:
            GrinningFaceError: for an item that its deck doesn't have.
        """
        missing = [face for face in dict.fromkeys(wanted) if face not in self.faces]
        if not missing:
            return False
        held = list(self.faces)
        for deck_id in dict.fromkeys(deck for deck, _ in missing):
            items = self._deck(deck_id).items
            needed = [item for deck, item in missing if deck == deck_id]
            unknown = [item for item in needed if item not in items]
            if unknown:
                raise GrinningFaceError(f"deck {deck_id} has no item {unknown[0]!r}", where="scene/cards")
            whole = [(deck_id, item) for item in items]
            enough = whole if len(whole) + len(held) <= MAX_FACES else [(deck_id, item) for item in needed]
            held += [face for face in enough if face not in held]
        self.faces = {face: i for i, face in enumerate(held[-MAX_FACES:])}
        return True

    def _deck(self, deck_id: str) -> Deck:
        if deck_id not in self._decks:
            self._decks[deck_id] = self._load_deck(deck_id)
        return self._decks[deck_id]

    def model(self, xml: str) -> tuple[mujoco.MjModel, dict[Face, int]]:
        """The scene with a material per face, and each face's material id."""
        spec = mujoco.MjSpec.from_string(xml)
        for (deck_id, item), i in self.faces.items():
            pixels = on_white(self._deck(deck_id).image(item))
            texture = spec.add_texture(name=f"face{i}", type=mujoco.mjtTexture.mjTEXTURE_2D)
            texture.height, texture.width, texture.nchannel = pixels.shape
            texture.data = pixels.tobytes()
            material = spec.add_material(name=f"face{i}", specular=0.0, shininess=0.0)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"face{i}"
        model = spec.compile()
        return model, {face: model.material(f"face{i}").id for face, i in self.faces.items()}


def on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` of an ``(H, W, 4)`` image laid on white, at most 256 px a side."""
    if max(image.shape[:2]) > _MAX_SIDE:
        from PIL import Image

        scale = _MAX_SIDE / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(Image.fromarray(image, "RGBA").resize(size, Image.Resampling.LANCZOS))
    alpha = image[:, :, 3:4].astype(np.uint16)
    blended = (image[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return np.ascontiguousarray(blended.astype(np.uint8))
