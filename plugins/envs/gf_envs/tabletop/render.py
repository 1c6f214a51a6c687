"""Images of the scene, drawn by a pool of threads that each own their OpenGL contexts."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Deck, Doubles
from gf_core.errors import GrinningFaceError
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import gl
from gf_envs.tabletop.bindings import mujoco
from gf_envs.tabletop.dresser import Dresser
from gf_envs.tabletop.faces import Face, Faces, TexturePool, with_textures
from gf_envs.tabletop.look import Look
from gf_envs.tabletop.model import CAMERA, card_quaternion, scene_xml
from gf_envs.tabletop.presets import PRESETS
from gf_envs.tabletop.spec import CAMERAS

MAX_SIZE = 1024
Pixels = NDArray[np.uint8]
_Key = tuple[str, int, int]


@dataclass(frozen=True)
class Shot:
    """One image's state: ``qpos (nq,)``, ``mocap (MAX_CARDS, 3)``, the cards' faces, the preset's name, how far all cards are
    turned [rad], and the look (``None`` for the published scene's)."""

    qpos: Doubles
    mocap: Doubles
    faces: tuple[Face, ...]
    preset: str
    cards_yaw: float = 0.0
    look: Look | None = None


class Renderer:
    """Renders shots. The model and the contexts are made when first needed and kept until ``close``."""

    def __init__(self, threads: int, load_deck: Callable[[str], Deck]) -> None:
        count = threads or os.cpu_count() or 1
        # One single-threaded pool per worker, because a context belongs to the thread that made it.
        self._pools = [ThreadPoolExecutor(1, thread_name_prefix=f"gf-render-{i}") for i in range(count)]
        self._filter = ThreadPoolExecutor(1, thread_name_prefix="gf-filter")
        self._workers: list[dict[_Key, _Canvas]] = [{} for _ in range(count)]
        self._faces = Faces(load_deck)
        self._model: mujoco.MjModel | None = None

    def render(self, shots: Sequence[Shot], camera: str, size: tuple[int, int]) -> Pixels:
        """``(n, H, W, 3) uint8`` RGB images of a camera.

        Raises:
            GrinningFaceError: for an unknown camera or a size that can't be rendered (a wrong id would end the process).
            MissingDependencyError: where there is no OpenGL.
        """
        height, width = size
        if camera not in CAMERAS:
            raise GrinningFaceError(f"no camera {camera!r}", where="observes/cameras", hint=f"there are {', '.join(CAMERAS)}")
        if not (1 <= height <= MAX_SIZE and 1 <= width <= MAX_SIZE):
            raise GrinningFaceError(f"an image can't be {height} x {width} px", where="observes/size", hint=f"1 to {MAX_SIZE}")
        if self._model is None:
            self._model = with_textures(scene_xml())
        images = np.empty((len(shots), height, width, 3), np.uint8)
        count = self._drawing_threads(len(shots))
        jobs: list[Future[list[Future[None]]]] = [
            self._pools[i].submit(self._draw, self._workers[i], shots, range(i, len(shots), count), camera, images)
            for i in range(count)
        ]
        for job in jobs:
            for filtered in job.result():
                filtered.result()
        return images

    def _drawing_threads(self, shots: int) -> int:
        """How many threads draw: one where the driver lets only one draw at a time (see :func:`gl.drawing`), and for a few
        images, which wouldn't wait the 0.1 s that a second context costs."""
        if gl.backend() == "" or gl.is_software():
            return min(1, shots)
        return min(len(self._workers), -(-shots // 4))

    def provenance(self) -> dict[str, str]:
        """OpenGL renderer, version and backend."""
        return self._pools[0].submit(gl_strings).result()

    def close(self) -> None:
        """Free every context in its own thread."""
        for pool, canvases in zip(self._pools, self._workers, strict=True):
            for canvas in canvases.values():
                pool.submit(canvas.close).result()
            canvases.clear()
            pool.shutdown()
        self._filter.shutdown()

    def _draw(
        self, canvases: dict[_Key, _Canvas], shots: Sequence[Shot], rows: range, camera: str, images: Pixels
    ) -> list[Future[None]]:
        """Draw these rows' shots in one worker's thread, while another one filters them into ``images``."""
        filtered = []
        for row in rows:
            key = (shots[row].preset, images.shape[1], images.shape[2])
            if key not in canvases:
                canvases[key] = _Canvas(self._model, self._faces, *key)
            pixels = canvases[key].draw(shots[row], camera)
            filtered.append(self._filter.submit(_shrink, pixels, PRESETS[key[0]].supersample, images[row]))
        return filtered


class _Canvas:
    """A context that draws one preset at one size."""

    def __init__(self, model: mujoco.MjModel, faces: Faces, preset: str, height: int, width: int) -> None:
        self._preset = PRESETS[preset]
        self._height, self._width = height * self._preset.supersample, width * self._preset.supersample
        # A copy of its own: textures are written into it, and the quality settings are read from it.
        self._model = model = copy.copy(model)
        model.vis.global_.offwidth, model.vis.global_.offheight = self._width, self._height
        model.vis.quality.offsamples = self._preset.samples
        model.vis.quality.shadowsize = self._preset.shadow
        with gl.lock():
            self._gl = gl.make_context(self._width, self._height)
            # MuJoCo looks up OpenGL's functions here, once for the whole process: two threads at it at once crash.
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._pool = TexturePool(model, self._context, faces)
        self._dresser = Dresser(model)
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._preset.shadow > 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._rect = mujoco.MjrRect(0, 0, self._width, self._height)
        self._cards = {model.geom(f"card{i}").id: i for i in range(g.MAX_CARDS)}

    def draw(self, shot: Shot, camera: str) -> Pixels:
        """A shot, before it is filtered: ``(H, W, 3)`` at the preset's multiple of the size, rows upwards."""
        pixels = np.empty((self._height, self._width, 3), np.uint8)
        self._data.qpos[:] = shot.qpos
        self._data.mocap_pos[:] = shot.mocap
        self._data.mocap_quat[:] = card_quaternion(shot.cards_yaw)
        self._dresser.wear(shot.look)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        # The table fills the published third-person view; a sky that nobody sees would cost half of a fast frame.
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = camera != CAMERA or shot.look is not None
        self._camera.fixedcamid = self._model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, self._camera, everything, self._scene)
        with gl.drawing():
            self._gl.make_current()
            materials = self._pool.materials(shot.faces)
            for geom in self._scene.geoms[: self._scene.ngeom]:
                card = self._cards.get(geom.objid, -1)
                if 0 <= card < len(materials) and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                    geom.matid = materials[card]
            mujoco.mjr_render(self._rect, self._scene, self._context)
            mujoco.mjr_readPixels(pixels, None, self._rect, self._context)
        return pixels

    def close(self) -> None:
        """Free the context."""
        with gl.lock():
            self._gl.make_current()
            self._context.free()
            self._gl.free()


def _shrink(pixels: Pixels, factor: int, image: Pixels) -> None:
    """Box-filter ``pixels``, whose rows run upwards, into ``image``, rounding halves up."""
    if factor == 1:
        image[:] = pixels[::-1]
        return
    total = np.full(image.shape, factor * factor // 2, np.uint16)
    for dy in range(factor):
        for dx in range(factor):
            total += pixels[dy::factor, dx::factor]
    np.floor_divide(total, factor * factor, out=total)
    image[:] = total[::-1]


def gl_strings() -> dict[str, str]:
    """OpenGL renderer, version and backend, from a context of its own. Raises MissingDependencyError where there is none."""
    context = gl.make_context(16, 16)
    try:
        from OpenGL import GL

        names = {"gl_renderer": GL.GL_RENDERER, "gl_version": GL.GL_VERSION}
        strings = {key: GL.glGetString(name).decode(errors="replace") for key, name in names.items()}
    finally:
        with gl.lock():
            context.free()
    return {**strings, "gl_backend": gl.backend()}
