"""Actions as one of 256 bins per step and element, as in OpenVLA (arXiv 2406.09246).

OpenVLA uses the same tokens for all elements, and so does ``shared``. A small model may then lose count of which element it is
at; with ``separate`` every element has tokens of its own, which say it.

OpenVLA's bins divide each element's range between the 1st and 99th percentile evenly: that is ``uniform`` with the policy's
``quantile`` normalisation. ``quantile`` spacing puts equally many training actions into each bin instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gf_core.contracts import Bools, Doubles, Floats
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Backbone, HeadShape

MOST_BEYOND = 0.05
"""Share of an element's actions that may lie beyond uniform bins; quantile normalisation puts 2 % there."""


def make(config: Mapping[str, Any], shape: HeadShape) -> BinsHead:
    """The head for settings as in its spec."""
    return BinsHead(shape, bins=config["bins"], spacing=config["spacing"], separate=config["vocabulary"] == "separate")


class BinsHead(ActionHead):
    """T·A tokens, step by step, each the index of the bin whose centre is nearest.

    A chunk always has all its steps: past the end of an episode, or of what is to be imitated, the repeated last action
    is predicted.

    Args:
        shape: sizes.
        bins: number of bins.
        spacing: ``"uniform"`` or ``"quantile"``.
        separate: whether each element has tokens of its own: A times as many.
    """

    def __init__(self, shape: HeadShape, *, bins: int, spacing: str, separate: bool = False) -> None:
        super().__init__()
        self.horizon, self.action, self.spacing = shape.horizon, shape.action, spacing
        self.bins, self.separate = bins, separate
        self.tokens, self.length = bins * shape.action if separate else bins, shape.horizon * shape.action
        even = (2 * np.arange(bins) + 1) / bins - 1
        self.centres: Doubles | None = np.tile(even, (shape.action, 1)) if spacing == "uniform" else None

    def fit(self, chunks: Iterator[Floats]) -> None:
        """Quantile spacing: the centres are each element's quantiles (i + ½) / bins over all steps. Uniform bins have nothing to
        learn; that they reach the actions is checked.

        Raises:
            GrinningFaceError: there are no chunks to take quantiles of; or more than a twentieth of an element's actions lie
                beyond uniform bins.
        """
        seen = list(chunks)
        if not seen and self.spacing == "quantile":
            raise GrinningFaceError("there are no chunks to take quantiles of", where="gf/bins-v1")
        actions = np.concatenate(seen).astype(np.float64) if seen else np.zeros((1, self.action))
        if self.spacing == "quantile":
            levels = (np.arange(self.bins) + 0.5) / self.bins
            self.centres = np.quantile(actions, levels, axis=0).T
            return
        beyond = (np.abs(actions) > 1 + 1 / self.bins).mean(0)
        if beyond.max() > MOST_BEYOND:
            what = f"uniform bins go from -1 to 1, and {beyond.max():.0%} of element {beyond.argmax()} of the actions lies beyond"
            hint = "normalise actions by quantile or min-max, or set spacing to quantile"
            raise GrinningFaceError(what, where="gf/bins-v1", hint=hint)

    def state(self) -> dict[str, Any]:
        """The quantiles; nothing for uniform bins."""
        return {} if self.spacing == "uniform" or self.centres is None else {"centres": self.centres.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See ActionHead."""
        if self.spacing == "quantile" and state:
            self.centres = np.asarray(state["centres"], np.float64)

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """T·A bins. What lies beyond the outermost centres becomes the outermost bin."""
        centres = self._fitted()
        middles = (centres[:, 1:] + centres[:, :-1]) / 2
        columns = [np.searchsorted(middles[a], actions[:, a], side="right") for a in range(self.action)]
        offsets = self.bins * np.arange(self.action) if self.separate else 0
        return [int(token) for token in (np.stack(columns, 1) + offsets).ravel()]

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> Floats:
        """The bins' centres. Tokens that are missing stand for the middle bin; those too many are left out.

        A token of another element counts by its bin: where it stands says which element it is of.
        """
        centres = self._fitted()
        whole = np.full(self.length, self.bins // 2)
        given = np.asarray(tokens[: self.length], np.int64).clip(0, self.tokens - 1) % self.bins
        whole[: len(given)] = given
        chunk = centres[np.arange(self.action), whole.reshape(self.horizon, self.action)]
        return np.asarray(chunk, np.float32)

    def _fitted(self) -> Doubles:
        if self.centres is None:
            raise GrinningFaceError("quantile bins have to be fitted before they are used", where="gf/bins-v1")
        return self.centres
