"""A small policy reproduces a few random chunks: targets, losses, decoding and units fit together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gf_core.contracts import Floats
from gf_core.training.model import VLA
from gf_core.training.samples import Sample

from .tiny import HIGH, LOW, act, make_head, make_samples, make_vla, train

RANGE = HIGH - LOW


def chunks(vla: VLA, samples: list[Sample]) -> Iterator[Floats]:
    return (vla.action_normalizer.normalize(sample.actions) for sample in samples if sample.actions is not None)


def worst(actions: np.ndarray, samples: list[Sample]) -> float:
    """Largest error, as a part of the element's range."""
    return float((np.abs(actions - np.stack([sample.actions for sample in samples])) / RANGE).max())


@pytest.mark.parametrize("readout", ["query", "mean", "last", "attention", "pooled"])
def test_regression(readout: str) -> None:
    vla, samples = make_vla(act=make_head("gf/regression-v1", readout=readout, width=64)), make_samples(3)
    train(vla, samples, steps=320 if readout == "attention" else 80)
    assert worst(act(vla, samples), samples) < 0.05


def test_flow() -> None:
    vla, samples = make_vla(act=make_head("gf/flow-v1", width=64, depth=2, attention_heads=4, draws=16)), make_samples(3)
    train(vla, samples, steps=150)
    assert worst(act(vla, samples), samples) < 0.15


@pytest.mark.parametrize(
    ("id", "settings", "steps", "resolution"),
    [
        ("gf/bins-v1", {}, 80, 0.5 / 256),
        ("gf/bins-v1", {"spacing": "quantile", "bins": 64}, 80, 0.05),
        ("gf/bins-v1", {"bins": 64, "vocabulary": "separate"}, 80, 0.5 / 64),
        # Rounding leaves each of 4 coefficients an error of at most 0.05 of half a range.
        ("gf/fast-v1", {"vocabulary": 200}, 100, 0.05),
        ("gf/text-v1", {"length_decimals": 1, "angle_decimals": 0}, 160, 0.02),
    ],
)
def test_tokens(id: str, settings: dict[str, object], steps: int, resolution: float) -> None:
    vla, samples = make_vla(act=make_head(id, **settings)), make_samples(3)
    vla.head("act").fit(chunks(vla, make_samples(60)))
    loss = train(vla, samples, steps=steps)
    assert loss < 0.1
    assert worst(act(vla, samples), samples) <= resolution + 1e-6
