"""Where things appear in a camera's image: pinhole projection, and rays that tell what is hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gf_core.contracts import Doubles
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.bindings import mujoco
from gf_envs.tabletop.model import scene_xml
from gf_envs.vqa import GRID

BLOCK, TOOL = "block", "tool"
_LIFT = 0.0002
"""Sampled points lie this far in front of the surface [m], so that a ray to them doesn't end in it by rounding."""
_CLIP = 0.02
"""Nothing nearer to the camera than this is drawn [m] (``znear`` of the scene)."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A thing in an image.

    Attributes:
        box: x1, y1, x2, y2 as shares of the image's width and height, cut off at its edges; of the whole thing, hidden parts too.
        center: x, y of its centre, likewise; may lie outside.
        visible: share of its surface towards the camera that is in the image with nothing in front.
        distance: of its centre from the camera [m].
    """

    box: tuple[float, float, float, float]
    center: tuple[float, float]
    visible: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class View:
    """What a camera sees: ``block``, ``tool`` (the point between the fingertips), and ``0``, ``1``, … for the cards."""

    camera: str
    things: Mapping[str, Seen]

    def card(self, index: int) -> Seen:
        """A card by its index in the scene."""
        return self.things[str(index)]

    def order(self, cards: int) -> list[int]:
        """The cards' indices from the image's left to its right."""
        return sorted(range(cards), key=lambda index: self.card(index).center[0])


class Projector:
    """Computes views of scenes; holds one model."""

    def __init__(self) -> None:
        self._model = mujoco.MjModel.from_xml_string(scene_xml())
        self._data = mujoco.MjData(self._model)
        self._geoms = {str(i): int(self._model.geom(f"card{i}").id) for i in range(g.MAX_CARDS)}
        self._geoms[BLOCK] = int(self._model.geom("cube").id)
        self._tool = int(self._model.site("tool").id)

    def view(self, qpos: Doubles, mocap: Doubles, cards: int, camera: str) -> View:
        """What a camera's square image shows.

        Args:
            qpos: ``(nq,)``.
            mocap: ``(MAX_CARDS, 3)``.
            cards: number of cards on the table.
            camera: its name.
        """
        self._data.qpos[:], self._data.mocap_pos[:] = qpos, mocap
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        names = [*(str(i) for i in range(cards)), BLOCK]
        things = {name: self._thing(self._geoms[name], camera) for name in names}
        point = self._data.site_xpos[self._tool].copy()
        (x, y), depth = (values[0] for values in self._project(point[None], camera))
        shown = float(0 <= x < 1 and 0 <= y < 1 and depth > _CLIP)
        distance = float(np.linalg.norm(point - self._data.camera(camera).xpos))
        things[TOOL] = Seen(
            box=(float(x), float(y), float(x), float(y)), center=(float(x), float(y)), visible=shown, distance=distance
        )
        return View(camera=camera, things=things)

    def _thing(self, geom: int, camera: str) -> Seen:
        center, turn = self._data.geom_xpos[geom], self._data.geom_xmat[geom].reshape(3, 3)
        half = self._model.geom_size[geom]
        corners = center + (np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half) @ turn.T
        pixels, depth = self._project(corners, camera)
        low, high = np.clip(pixels.min(axis=0), 0, 1), np.clip(pixels.max(axis=0), 0, 1)
        middle, _ = self._project(center[None], camera)
        return Seen(
            box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            center=(float(middle[0, 0]), float(middle[0, 1])),
            visible=self._visible(geom, camera) if (depth > _CLIP).all() else 0.0,
            distance=float(np.linalg.norm(center - self._data.camera(camera).xpos)),
        )

    def _project(self, points: Doubles, camera: str) -> tuple[Doubles, Doubles]:
        """Shares of width and height ``(n, 2)``, and depths ``(n,)`` [m]; MuJoCo's cameras look along -z, with y up."""
        eye, fovy = self._data.camera(camera), float(self._model.camera(camera).fovy[0])
        local = (points - eye.xpos) @ eye.xmat.reshape(3, 3)
        depth = -local[:, 2]
        focal = 0.5 / math.tan(math.radians(fovy) / 2)
        ahead = np.where(np.abs(depth) > 1e-6, depth, 1e-6)
        pixels: Doubles = np.stack([0.5 + focal * local[:, 0] / ahead, 0.5 - focal * local[:, 1] / ahead], axis=1)
        return pixels, depth

    def _visible(self, geom: int, camera: str) -> float:
        eye = self._data.camera(camera).xpos.copy()
        points = self._surface(geom, eye)
        pixels, _ = self._project(points, camera)
        inside = ((pixels >= 0) & (pixels < 1)).all(axis=1)
        rays = np.ascontiguousarray(points - eye)
        hits, distances = np.full(len(rays), -1, np.int32), np.zeros(len(rays))
        mujoco.mj_multiRay(
            self._model, self._data, eye, rays.reshape(-1), None, 1, -1, hits, distances, None, len(rays), mujoco.mjMAXVAL
        )
        # A ray that first meets something else behind the point still sees the point.
        free = (hits == geom) | (distances > 1.0)
        return float((inside & free).mean())

    def _surface(self, geom: int, eye: Doubles) -> Doubles:
        """Points spread over the faces of a box that look towards ``eye``, ``(n, 3)``; a card's edges are left out."""
        center, turn = self._data.geom_xpos[geom], self._data.geom_xmat[geom].reshape(3, 3)
        half = self._model.geom_size[geom]
        toward = turn.T @ (eye - center)
        steps = np.linspace(-0.9, 0.9, 7)
        found = []
        for axis in range(3):
            others = [other for other in range(3) if other != axis]
            if abs(toward[axis]) <= half[axis] or min(half[others]) < 0.1 * max(half):
                continue
            u, v = np.meshgrid(steps, steps)
            face = np.empty((u.size, 3))
            face[:, others[0]], face[:, others[1]] = u.reshape(-1) * half[others[0]], v.reshape(-1) * half[others[1]]
            face[:, axis] = math.copysign(half[axis] + _LIFT, toward[axis])
            found.append(center + face @ turn.T)
        return np.concatenate(found)


def box_text(box: tuple[float, float, float, float]) -> str:
    """``[x1, y1, x2, y2]`` in thousandths."""
    return f"[{', '.join(str(round(value * GRID)) for value in box)}]"


def point_text(point: tuple[float, float]) -> str:
    """``[x, y]`` in thousandths."""
    return f"[{', '.join(str(round(value * GRID)) for value in point)}]"
