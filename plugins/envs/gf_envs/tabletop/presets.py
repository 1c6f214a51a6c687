"""Render presets. The scored one is part of the benchmark: it changes only with the suites' version."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """How an image is made.

    Attributes:
        supersample: rendered at this multiple of the size asked for, then box-filtered down.
        samples: multisampling of each rendered pixel; 0 for none.
        shadow: resolution of the shadow map [px]; 0 for no shadows.
    """

    supersample: int
    samples: int
    shadow: int


PRESETS = {
    "scored": Preset(supersample=2, samples=0, shadow=0),
    "fast": Preset(supersample=1, samples=0, shadow=0),
    "pretty": Preset(supersample=2, samples=4, shadow=4096),
}
