"""The card faces as textures: few enough to start at once, swapped as episodes need them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Deck
from gf_core.errors import GrinningFaceError
from gf_envs.tabletop.bindings import mujoco

SIDE = 128
"""Side of a face's texture [px]; a card is about 30 px wide in a 224 px image, and 130 px in the wrist camera's."""
POOL = 48
"""Textures that a context holds: the cards of 16 slots. More slots swap more often, at 0.2 ms a face."""
_CACHED = 1024

Face = tuple[str, str]
Pixels = NDArray[np.uint8]


class Faces:
    """Pixels of faces, read from their decks; shared by all render threads."""

    def __init__(self, load_deck: Callable[[str], Deck]) -> None:
        self._load_deck = load_deck
        self._decks: dict[str, Deck] = {}
        self._pixels: OrderedDict[Face, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def pixels(self, face: Face) -> Pixels:
        """``(SIDE, SIDE, 3)`` RGB of a face on white.

        Raises:
            GrinningFaceError: for an item that its deck doesn't have.
        """
        with self._lock:
            if face not in self._pixels:
                self._pixels[face] = on_white(self._image(face))
                if len(self._pixels) > _CACHED:
                    self._pixels.popitem(last=False)
            self._pixels.move_to_end(face)
            return self._pixels[face]

    def _image(self, face: Face) -> Pixels:
        deck_id, item = face
        if deck_id not in self._decks:
            self._decks[deck_id] = self._load_deck(deck_id)
        deck = self._decks[deck_id]
        if item not in deck.items:
            raise GrinningFaceError(f"deck {deck_id} has no item {item!r}", where="scene/cards")
        return deck.image(item)


def on_white(image: Pixels) -> Pixels:
    """``(SIDE, SIDE, 3)`` of an ``(H, W, 4)`` image laid on white and centred, its proportions kept."""
    if image.shape[:2] != (SIDE, SIDE):
        from PIL import Image

        scale = SIDE / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        canvas = Image.new("RGBA", (SIDE, SIDE))
        small = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        canvas.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
        image = np.asarray(canvas)
    alpha = image[:, :, 3:4].astype(np.uint16)
    blended = (image[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return blended.astype(np.uint8)


def with_textures(xml: str) -> mujoco.MjModel:
    """The scene with POOL blank face textures, a material each."""
    spec = mujoco.MjSpec.from_string(xml)
    blank = np.full((SIDE, SIDE, 3), 255, np.uint8).tobytes()
    for i in range(POOL):
        texture = spec.add_texture(name=f"face{i}", type=mujoco.mjtTexture.mjTEXTURE_2D)
        texture.height, texture.width, texture.nchannel, texture.data = SIDE, SIDE, 3, blank
        material = spec.add_material(name=f"face{i}", specular=0.0, shininess=0.0)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"face{i}"
    return spec.compile()


class TexturePool:
    """Which faces one context's textures hold; the one that went longest unused makes room."""

    def __init__(self, model: mujoco.MjModel, context: mujoco.MjrContext, faces: Faces) -> None:
        self._model, self._context, self._faces = model, context, faces
        self._textures = [model.texture(f"face{i}").id for i in range(POOL)]
        self._materials = [model.material(f"face{i}").id for i in range(POOL)]
        self._held: OrderedDict[Face, int] = OrderedDict()

    def materials(self, wanted: Sequence[Face]) -> list[int]:
        """Material ids of up to MAX_CARDS faces, uploaded where they aren't held; call with the context current."""
        for face in wanted:
            if face not in self._held:
                spot = len(self._held) if len(self._held) < POOL else self._held.popitem(last=False)[1]
                self._upload(self._textures[spot], self._faces.pixels(face))
                self._held[face] = spot
            self._held.move_to_end(face)
        return [self._materials[self._held[face]] for face in wanted]

    def _upload(self, texture: int, pixels: Pixels) -> None:
        start = self._model.tex_adr[texture]
        self._model.tex_data[start : start + pixels.size] = pixels.reshape(-1)
        mujoco.mjr_uploadTexture(self._model, self._context, texture)
