"""Actions as compressed frequencies: FAST (arXiv 2501.09747, section V-B).

The chunk's discrete cosine transform along time, times a scale, rounded; the integers flattened with all elements' lowest
frequency first; then byte-pair encoding, with the integers as its alphabet, fitted on the training chunks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from gf_core.contracts import Bools, Floats
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import ActionHead, Backbone, HeadShape

FIRST_LETTER = 0xE000
"""The lowest integer is written as this code point; Unicode's private area has 6400, and none that a tokenizer would change."""


def make(config: Mapping[str, Any], shape: HeadShape) -> FastHead:
    """The head for settings as in its spec."""
    return FastHead(shape, scale=config["scale"], vocabulary=config["vocabulary"])


class FastHead(ActionHead):
    """A varying number of tokens per chunk, ended by the backbone's end token.

    A chunk always has all its steps: past the end of an episode, or of what is to be imitated, the repeated last action
    is part of the transform.

    Args:
        shape: sizes.
        scale: factor of the coefficients before rounding.
        vocabulary: most tokens.
    """

    ends = True

    def __init__(self, shape: HeadShape, *, scale: float, vocabulary: int) -> None:
        super().__init__()
        self.horizon, self.action, self.scale = shape.horizon, shape.action, scale
        self.tokens, self.length = vocabulary, shape.horizon * shape.action
        self.low = self.high = 0
        self.tokenizer: Tokenizer | None = None
        self.pieces: list[str] = []

    def fit(self, chunks: Iterator[Floats]) -> None:
        """Learn the pairs of the training chunks. The alphabet is every integer between the lowest and highest that occur.

        Raises:
            GrinningFaceError: there are no chunks, or more integers than the vocabulary has tokens.
        """
        rows = [self.coefficients(chunk) for chunk in chunks]
        if not rows:
            raise GrinningFaceError("there are no chunks to fit the encoding on", where="gf/fast-v1")
        self.low, self.high = min(int(row.min()) for row in rows), max(int(row.max()) for row in rows)
        if self.high - self.low >= self.tokens:
            raise GrinningFaceError(
                f"the rounded coefficients go from {self.low} to {self.high}, more integers than the vocabulary of {self.tokens}",
                where="gf/fast-v1",
                hint="lower scale, raise vocabulary, or check the actions' normalisation",
            )
        alphabet = [chr(FIRST_LETTER + index) for index in range(self.high - self.low + 1)]
        tokenizer = Tokenizer(BPE())
        trainer = BpeTrainer(vocab_size=self.tokens, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator((self._written(row) for row in rows), trainer, length=len(rows))
        self._take(tokenizer)

    def state(self) -> dict[str, Any]:
        """The range of integers, and the encoding in the format of the ``tokenizers`` library."""
        if self.tokenizer is None:
            return {}
        return {"low": self.low, "high": self.high, "tokenizer": json.loads(self.tokenizer.to_str())}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See ActionHead."""
        if state:
            self.low, self.high = int(state["low"]), int(state["high"])
            self._take(Tokenizer.from_str(json.dumps(state["tokenizer"])))

    def coefficients(self, actions: Floats) -> NDArray[np.int64]:
        """The ``T·A`` rounded, scaled coefficients of a chunk's orthonormal type-II transform, lowest frequency first."""
        rounded = np.rint(dct(actions.astype(np.float64), axis=0, norm="ortho") * self.scale)
        return np.asarray(rounded, np.int64).ravel()

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """At most T·A tokens. Coefficients beyond those of the training chunks are clipped to them."""
        ids: list[int] = self._fitted().encode(self._written(self.coefficients(actions))).ids
        return ids

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> Floats:
        """The chunk of the coefficients that the tokens stand for. Those that are missing, the highest frequencies, are 0; those
        too many are left out; ids that the fit didn't use stand for nothing."""
        self._fitted()
        letters = "".join(self.pieces[token] for token in tokens if 0 <= token < len(self.pieces))
        given = np.array([ord(letter) - FIRST_LETTER + self.low for letter in letters[: self.length]], np.float64)
        whole = np.zeros(self.length)
        whole[: len(given)] = given
        chunk = idct(whole.reshape(self.horizon, self.action) / self.scale, axis=0, norm="ortho")
        return np.asarray(chunk, np.float32)

    def _written(self, coefficients: NDArray[np.int64]) -> str:
        return "".join(chr(FIRST_LETTER + value) for value in (coefficients.clip(self.low, self.high) - self.low).tolist())

    def _take(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        by_id = {token: piece for piece, token in tokenizer.get_vocab().items()}
        self.pieces = [by_id[token] for token in range(len(by_id))]

    def _fitted(self) -> Tokenizer:
        if self.tokenizer is None:
            raise GrinningFaceError("the encoding has to be fitted before it is used", where="gf/fast-v1")
        return self.tokenizer
