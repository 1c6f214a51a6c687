"""Which samples a step sees: a pure function of (seed, step, rank), so that stopping and resuming changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.errors import GrinningFaceError
from gf_core.training.samples import Sample, Source, Wanted


@dataclass(frozen=True, kw_only=True)
class Share:
    """A source's part of every batch.

    Attributes:
        source: name of the source.
        weight: its samples in a batch, relative to the other shares' weights.
        loss_weight: factor of its samples' losses.
    """

    source: str
    weight: float = 1.0
    loss_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Weighted sources. Every batch holds the same number of each, so every process of a group has every loss in every step."""

    shares: tuple[Share, ...]

    def quotas(self, batch_size: int) -> dict[str, int]:
        """Samples of each source in a batch of this size: largest remainders, and at least one of each.

        Raises:
            GrinningFaceError: there are more sources than samples in a batch, or a weight isn't positive.
        """
        if any(not share.weight > 0 for share in self.shares):
            raise GrinningFaceError("a source's weight isn't positive", hint="leave the source out instead")
        if not self.shares or batch_size < len(self.shares):
            raise GrinningFaceError(
                f"a batch of {batch_size} can't hold {len(self.shares)} sources", hint="raise batch_size, or leave a source out"
            )
        total = sum(share.weight for share in self.shares)
        ideal = [share.weight / total * batch_size for share in self.shares]
        counts = [max(1, int(value)) for value in ideal]
        while sum(counts) < batch_size:
            counts[max(range(len(counts)), key=lambda i: (ideal[i] - counts[i], -i))] += 1
        while sum(counts) > batch_size:
            counts[max((i for i, c in enumerate(counts) if c > 1), key=lambda i: (counts[i] - ideal[i], -i))] -= 1
        return {share.source: count for share, count in zip(self.shares, counts, strict=True)}

    def indices(self, sizes: Mapping[str, int], batch_size: int, *, seed: int, step: int, rank: int, world: int) -> list[Draw]:
        """What the batch of a process holds, in order of the shares.

        Each source is walked in one random order after another: sample ``k`` of the source's stream is entry ``k mod n`` of the
        permutation of epoch ``k // n``; step and rank say which part of the stream a process takes.
        """
        drawn = []
        for share in self.shares:
            quota, size = self.quotas(batch_size)[share.source], sizes[share.source]
            first = (step * world + rank) * quota
            orders = {epoch: _order(seed, share.source, epoch, size) for epoch in {(first + i) // size for i in range(quota)}}
            drawn += [
                Draw(source=share.source, index=int(orders[k // size][k % size]), loss_weight=share.loss_weight)
                for k in range(first, first + quota)
            ]
        return drawn


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One sample of a batch: its source, its index there, the factor of its losses."""

    source: str
    index: int
    loss_weight: float


def read(draws: Sequence[Draw], sources: Mapping[str, Source], wanted: Wanted) -> list[Sample]:
    """The samples of a batch."""
    return [sources[draw.source].sample(draw.index, wanted) for draw in draws]


@lru_cache(maxsize=16)
def _order(seed: int, source: str, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, f"{source}/{epoch}")).permutation(size)
