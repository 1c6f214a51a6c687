"""Raw numbers to about [-1, 1] and back; fitted on the data, owned by the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from gf_core.contracts import Floats
from gf_core.errors import GrinningFaceError
from gf_core.training.samples import Statistics

Kind = Literal["min-max", "quantile", "z-score", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STILL = 1e-4
"""Elements that vary less than this over a data set [their unit] don't move: their own spread is noise."""


@dataclass(frozen=True)
class Normalizer:
    """``y = (x - shift) / scale`` for each element.

    ``min-max`` maps [min, max] and ``quantile`` [1st, 99th percentile] to [-1, 1], without clipping (OpenVLA, arXiv
    2406.09246, clips; then what
    lies outside can't be told apart); ``z-score`` gives mean 0 and standard deviation 1. An element that moves in so few frames
    that these don't see it is mapped by ``min-max``: else actions of those frames would be thousands.
    """

    kind: Kind
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @staticmethod
    def fit(kind: Kind, statistics: Statistics, names: Sequence[str] = (), *, still: float = 1.0) -> Normalizer:
        """The normaliser of a data set's statistics.

        Args:
            kind: what is mapped where.
            statistics: of the data set.
            names: of the elements, for errors.
            still: scale of elements that don't move in the data, or hardly ever and not farther than this: 1 for what a policy
                reads, so that one which moves later isn't blown up, STILL for what it predicts, so that its error isn't.

        Raises:
            GrinningFaceError: an unknown kind, or statistics that aren't finite.
        """
        low, high = {
            "min-max": (statistics.min, statistics.max),
            "quantile": (statistics.q01, statistics.q99),
            "z-score": (np.subtract(statistics.mean, statistics.std), np.add(statistics.mean, statistics.std)),
            "none": (-np.ones(len(statistics.mean)), np.ones(len(statistics.mean))),
        }.get(kind, (None, None))
        if low is None or high is None:
            raise GrinningFaceError(f"there is no normalisation {kind!r}", hint=f"use one of {', '.join(KINDS)}")
        lows, highs = np.asarray(low, np.float64), np.asarray(high, np.float64)
        if bad := np.flatnonzero(~np.isfinite(lows + highs)).tolist():
            which = ", ".join(names[i] if i < len(names) else str(i) for i in bad)
            raise GrinningFaceError(f"the data set's statistics aren't finite for {which}", hint="record the data set again")
        least, most = np.asarray(statistics.min, np.float64), np.asarray(statistics.max, np.float64)
        rare = (highs - lows < 2 * STILL) & (most - least > 2 * still)
        lows, highs = np.where(rare, least, lows), np.where(rare, most, highs)
        scale = (highs - lows) / 2
        return Normalizer(
            kind=kind,
            shift=tuple(((highs + lows) / 2).tolist()),
            scale=tuple(np.where(scale < STILL, still, scale).tolist()),
        )

    def normalize(self, values: Floats) -> Floats:
        """``(..., n) float32`` to about [-1, 1]."""
        return np.asarray((values - np.asarray(self.shift)) / np.asarray(self.scale), np.float32)

    def denormalize(self, values: Floats) -> Floats:
        """The inverse of :meth:`normalize`."""
        return np.asarray(values * np.asarray(self.scale) + np.asarray(self.shift), np.float32)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the checkpoint."""
        return {"kind": self.kind, "shift": list(self.shift), "scale": list(self.scale)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Normalizer:
        """The inverse of :meth:`to_json`."""
        return Normalizer(document["kind"], tuple(document["shift"]), tuple(document["scale"]))
