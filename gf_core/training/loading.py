"""Batches of a stage, in order, prepared by worker processes ahead of the step that needs them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch
from gf_core.training.mixture import Mixture, read
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage
from gf_core.training.samples import Source, Wanted


@dataclass(frozen=True)
class Place:
    """A process among those that train together."""

    rank: int = 0
    world: int = 1


class Batches(Dataset[Batch]):
    """Batch ``i`` of a stage, counted in forward passes: a function of the recipe's seed, ``i`` and the process.

    Args:
        vla: the policy in this stage; only its tokenizer, processor and normalisers are used.
        stage: the stage.
        mixture: its data, after techniques had their say.
        sources: the sources, likewise.
        seed: of the data order.
        place: which process this is.
    """

    def __init__(
        self, vla: VLA, stage: Stage, mixture: Mixture, sources: Mapping[str, Source], *, seed: int, place: Place
    ) -> None:
        self._vla, self._stage, self._mixture, self._sources = vla, stage, mixture, sources
        self._seed, self._place = seed, place
        self._sizes = {share.source: len(sources[share.source]) for share in mixture.shares}
        if empty := [name for name, size in self._sizes.items() if not size]:
            raise GrinningFaceError(f"source {empty[0]!r} holds no samples", where=f"stage {stage.name!r}")
        mixture.quotas(stage.batch_size)

    def __len__(self) -> int:
        return self._stage.steps * self._stage.accumulate

    def __getitem__(self, index: int) -> Batch:
        draws = self._mixture.indices(
            self._sizes, self._stage.batch_size, seed=self._seed, step=index, rank=self._place.rank, world=self._place.world
        )
        samples = read(draws, self._sources, wanted(self._vla))
        return self._vla.prepare(samples, [draw.loss_weight for draw in draws])


def wanted(vla: VLA) -> Wanted:
    """What a policy's stage asks of robot data."""
    offsets = sorted({offset for technique in vla.techniques for offset in technique.offsets} - {0})
    return Wanted(cameras=vla.cameras, size=vla.image_size, offsets=(0, *offsets), horizon=vla.horizon)


def stream(batches: Batches, start: int, workers: int) -> Iterator[Batch]:
    """Batches from ``start`` on.

    Args:
        batches: the batches.
        start: number of the first.
        workers: processes that prepare them; 0 prepares them in this one.

    Raises:
        GrinningFaceError: a worker was killed.
    """
    loader: DataLoader[Batch] = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, len(batches)),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_one_thread if workers else None,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" in str(error) and "exited unexpectedly" in str(error) + str(error.__cause__):
            raise GrinningFaceError(
                f"a process that prepares data was killed ({str(error).splitlines()[0]})",
                hint="often memory: lower --workers or batch_size; the same command goes on from the last saved state",
            ) from error
        raise


def default_workers() -> int:
    """One process less than there are cores, at most 4, at least 1."""
    return min(4, max(1, len(os.sched_getaffinity(0)) - 1))


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
