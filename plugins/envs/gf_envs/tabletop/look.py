"""How a scene looks: where the third-person camera stands, the light, and the colours of table and cube."""

from __future__ import annotations

from dataclasses import dataclass

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """What an episode changes of the picture.

    Attributes:
        eye, target: where the third-person camera stands and what it looks at, upright [m, the simulation's world].
        fovy: its vertical field of view [rad].
        table, cube: colours, sRGB from 0 to 1.
        sun: direction in which the directional light shines [the simulation's world], of any length.
    """

    eye: Vector
    target: Vector
    fovy: float
    table: Vector
    cube: Vector
    sun: Vector
