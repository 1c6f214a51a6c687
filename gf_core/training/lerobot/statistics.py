"""Statistics of arrays, for our own use and in the form of LeRobot's ``stats.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Doubles, Images
from gf_core.training.samples import Statistics

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""As LeRobot 0.4 writes them."""
PIXEL_STRIDE = 4
"""Image statistics are over every fourth pixel along each axis; LeRobot samples too."""

FeatureStats = Mapping[str, list[Any]]
"""Name of a statistic to its value: a list with one number for each element, for images ``(3, 1, 1)``; ``count`` is ``[n]``."""


def statistics_of(values: NDArray[Any]) -> Statistics:
    """Statistics of ``(n, elements)``, n ≥ 1, computed in float64."""
    rows = np.asarray(values, np.float64)
    low, high = np.quantile(rows, (0.01, 0.99), axis=0)
    parts = {"mean": rows.mean(0), "std": rows.std(0), "min": rows.min(0), "max": rows.max(0), "q01": low, "q99": high}
    return Statistics(count=len(rows), **{name: tuple(part.tolist()) for name, part in parts.items()})


def feature_stats(values: NDArray[Any]) -> FeatureStats:
    """LeRobot's statistics of a numerical feature ``(n,)`` or ``(n, elements)``."""
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    found.update(zip(QUANTILES, quantiles, strict=True))
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(rows)]}


def image_histogram(image: Images) -> Doubles:
    """``(3, 256) float64``: how often each value occurs in each channel of some pixels of an image ``(H, W, 3)``."""
    pixels = image[::PIXEL_STRIDE, ::PIXEL_STRIDE].reshape(-1, 3)
    return np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)]).astype(np.float64)


def image_stats(histogram: Doubles, count: int) -> FeatureStats:
    """LeRobot's statistics of images, values scaled to [0, 1].

    Args:
        histogram: ``(3, 256)``, the sum of their :func:`image_histogram`.
        count: how many images.
    """
    values = np.arange(256) / 255.0
    share = histogram / histogram.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    below = share.cumsum(1)
    found = {"min": values[(histogram > 0).argmax(1)], "max": values[255 - (histogram[:, ::-1] > 0).argmax(1)]}
    found |= {"mean": mean, "std": std}
    found |= {name: values[np.minimum((below < q - 1e-12).sum(1), 255)] for name, q in QUANTILES.items()}
    return {**{name: value.reshape(3, 1, 1).tolist() for name, value in found.items()}, "count": [count]}


def merged_image_stats(parts: Sequence[FeatureStats]) -> FeatureStats:
    """Statistics of all images from those of each episode.

    Mean and standard deviation are exact; quantiles are the episodes' averages, weighted by their images, as LeRobot merges them.
    """
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()

    def stacked(name: str) -> Doubles:
        return np.array([part[name] for part in parts], np.float64)

    means = stacked("mean")
    mean = np.tensordot(weights, means, 1)
    variance = np.tensordot(weights, stacked("std") ** 2 + (means - mean) ** 2, 1)
    found = {"min": stacked("min").min(0), "max": stacked("max").max(0), "mean": mean, "std": np.sqrt(variance)}
    found |= {name: np.tensordot(weights, stacked(name), 1) for name in QUANTILES}
    return {**{name: value.tolist() for name, value in found.items()}, "count": [int(counts.sum())]}
