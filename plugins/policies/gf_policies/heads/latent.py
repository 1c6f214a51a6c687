"""Latent actions as tokens: the second stage of LAPA (arXiv 2410.11758), UniVLA (2505.06111) and Moto (2412.04445).

The codes come from an inverse-dynamics model that looks at two frames; predicting them needs no actions. They say what
changes in the picture, not how a robot moves, so this head can't act: a later stage puts another head in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from gf_core.contracts import Bools, Floats
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Backbone, HeadShape


def make(config: Mapping[str, Any], shape: HeadShape) -> LatentHead:
    """The head for settings as in its spec. LAPA has 4 codes of 8 values, UniVLA 4 of 16, Moto 8 of 128."""
    return LatentHead(codes=config["codes"], codebook=config["codebook"])


class LatentHead(ActionHead):
    """One token per code, looked up by the sample's key; the actions themselves are ignored, so zeros do.

    Args:
        codes: number of codes of a sample.
        codebook: values that a code can have.
    """

    def __init__(self, *, codes: int, codebook: int) -> None:
        super().__init__()
        self.tokens, self.length = codebook, codes
        self.table: Mapping[str, Sequence[int]] = {}

    def set_codes(self, table: Mapping[str, Sequence[int]]) -> None:
        """Use these codes from now on: a sample's key to its codes, each 0 … codebook - 1. The mapping is kept, not copied, and
        may compute what it is asked for."""
        self.table = table

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """The sample's codes.

        Raises:
            GrinningFaceError: it has none, too few or too many, or one outside of the codebook.
        """
        if key not in self.table:
            raise GrinningFaceError(
                f"there are no latent codes for sample {key!r}",
                where="gf/latent-v1",
                hint="the stage needs a technique that computes them, such as gf/latent-actions-v1",
            )
        codes = [int(code) for code in self.table[key]]
        if len(codes) != self.length or not all(0 <= code < self.tokens for code in codes):
            raise GrinningFaceError(
                f"sample {key!r} has the codes {codes}, expected {self.length} between 0 and {self.tokens - 1}",
                where="gf/latent-v1",
                hint="codes and codebook must be those of the inverse-dynamics model",
            )
        return codes

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> NoReturn:
        """Latent codes are no actions.

        Raises:
            GrinningFaceError: always.
        """
        raise GrinningFaceError(
            "latent codes aren't actions",
            where="gf/latent-v1",
            hint="set used_at_inference to false, and train another head on real actions in a later stage",
        )
