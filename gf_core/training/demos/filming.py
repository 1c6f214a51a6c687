"""Plays recorded episodes again, many side by side, before the cameras; images are encoded while the next ones are drawn."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from PIL import Image

from gf_core.contracts import BatchEnv, Bools, Doubles, Episode, Floats, Images, Observation, Policy, Slots
from gf_core.errors import PluginError
from gf_core.evaluation.driver import differences, other_controls
from gf_core.runs import Row
from gf_core.specs import Observes
from gf_core.training.lerobot.statistics import image_histogram
from gf_core.training.lerobot.writing import Recorded
from gf_core.trajectories import Trajectory

Format = Literal["png", "webp", "jpeg"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SAVE: Mapping[Format, Mapping[str, object]] = {
    "png": {"format": "PNG", "compress_level": 6},
    "webp": {"format": "WEBP", "lossless": True, "method": 1, "quality": 0},
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}
STATISTICS_EVERY = 8
"""Image statistics are over every so many frames of an episode."""


@runtime_checkable
class Demonstrator(Policy, Protocol):
    """A policy that knows which of its actions aren't to be imitated."""

    def imitable(self, slots: Slots) -> Bools:
        """``(B,) bool``: whether the last chunk in each of these slots is one to imitate."""
        ...


@dataclass(frozen=True, kw_only=True)
class Take:
    """An episode to play: its number among those that are kept, its row, its recording and its policy's seed."""

    number: int
    episode: Episode
    record: Row
    trajectory: Trajectory
    seed: int


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """What is filmed: names, height and width [px], and how images are encoded."""

    names: tuple[str, ...]
    size: tuple[int, int]
    format: Format


_Encoded = Future[tuple[bytes, Doubles | None]]


@dataclass(kw_only=True, eq=False)
class _Reel:
    """An episode that is being played."""

    take: Take
    slot: int
    step: int = 0
    states: list[Floats] = field(default_factory=list)
    imitate: list[bool] = field(default_factory=list)
    images: dict[str, list[_Encoded]] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether its policy was asked at this step."""
        return self.step in self.take.trajectory.chunk_starts

    def developed(self) -> Recorded:
        images: dict[str, list[bytes]] = {}
        histograms: dict[str, tuple[Doubles, int]] = {}
        for camera, jobs in self.images.items():
            done = [job.result() for job in jobs]
            images[camera] = [data for data, _ in done]
            counted = [histogram for _, histogram in done if histogram is not None]
            histograms[camera] = np.sum(counted, axis=0), len(counted)
        return Recorded(
            tasks=[self.take.episode.instruction_at(step) for step in range(self.step)],
            states=np.array(self.states, np.float32),
            actions=self.take.trajectory.actions,
            imitate=np.array(self.imitate, np.bool_),
            images=images,
            histograms=histograms,
        )


def encode(image: Images, format: Format) -> bytes:
    """An image ``(H, W, 3) uint8`` RGB as a file. PNG and WebP lose nothing, JPEG has quality 95 and full colour."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, **_SAVE[format])  # type: ignore[arg-type]
    return file.getvalue()


class Filming:
    """Plays takes.

    Args:
        env: as the run was played in.
        cameras: what is filmed.
        demonstrator: who is asked which actions are to be imitated; ``None`` where all are.
        proprio: whether the demonstrator is told the proprioceptive state, as in the run.
        slots: episodes side by side.
        threads: that encode; 0 for all that the machine has.
    """

    def __init__(
        self,
        env: BatchEnv,
        cameras: Cameras,
        demonstrator: Demonstrator | None,
        *,
        proprio: bool,
        slots: int,
        threads: int = 0,
    ) -> None:
        self._env, self._cameras, self._demonstrator, self._slots = env, cameras, demonstrator, slots
        self._proprio = proprio
        self._threads = threads or os.cpu_count() or 1
        self._live: list[_Reel] = []

    def play(self, takes: Iterator[Take]) -> Generator[tuple[Take, Recorded]]:
        """Every take with what was filmed, in the order in which they end.

        Raises:
            PluginError: an episode doesn't go as recorded.
        """
        encoders = ThreadPoolExecutor(self._threads, thread_name_prefix="gf-encode")
        pending: deque[list[_Encoded]] = deque()
        try:
            while True:
                self._begin(takes)
                if not self._live:
                    return
                pending.append(self._shoot(encoders))
                if len(pending) > 2:  # drawing doesn't run away from encoding
                    for job in pending.popleft():
                        job.result()
                yield from [(reel.take, reel.developed()) for reel in self._step()]
        finally:
            encoders.shutdown(wait=True, cancel_futures=True)

    def _begin(self, takes: Iterator[Take]) -> None:
        taken = {reel.slot for reel in self._live}
        free = [slot for slot in range(self._slots) if slot not in taken]
        new = [_Reel(take=take, slot=slot) for slot, take in zip(free, takes, strict=False)]
        if not new:
            return
        self._live = sorted(self._live + new, key=lambda reel: reel.slot)
        self._env.reset(_slots(new), [reel.take.episode for reel in new])
        if self._demonstrator is not None:
            self._demonstrator.reset(_slots(new), [reel.take.seed for reel in new])

    def _shoot(self, encoders: ThreadPoolExecutor) -> list[_Encoded]:
        """Note what is seen before this step; images are handed to the encoders."""
        live, cameras = self._live, self._cameras
        wanted = Observes(cameras=cameras.names, size=cameras.size)
        seen = self._env.observe(_slots(live), wanted, privileged=self._demonstrator is not None)
        if seen.proprio is None:
            raise PluginError(f"{self._env.spec.id} told no proprio")
        flags = self._flags(seen)
        jobs = []
        for row, reel in enumerate(live):
            reel.states.append(seen.proprio[row].copy())
            reel.imitate.append(flags[reel.slot] if reel.slot in flags else reel.imitate[-1])
            for camera in cameras.names:
                image = seen.images[camera][row].copy()
                job = encoders.submit(_develop, image, cameras.format, reel.step % STATISTICS_EVERY == 0)
                reel.images.setdefault(camera, []).append(job)
                jobs.append(job)
        return jobs

    def _flags(self, seen: Observation) -> dict[int, bool]:
        """Slot to whether what its policy does now is to be imitated, for those that were asked now."""
        asked = [row for row, reel in enumerate(self._live) if reel.asked]
        reels = [self._live[row] for row in asked]
        if self._demonstrator is None or not reels:
            return {reel.slot: True for reel in reels}
        part = Observation(
            slots=_slots(reels),
            instruction=[seen.instruction[row] for row in asked],
            proprio=seen.proprio[asked] if self._proprio and seen.proprio is not None else None,
            privileged={name: values[asked] for name, values in seen.privileged.items()},
        )
        actions = np.asarray(self._demonstrator.act(part).actions, np.float32)
        for reel, chunk in zip(reels, actions, strict=True):
            if not np.array_equal(chunk[0], reel.take.trajectory.actions[reel.step]):
                raise _otherwise(reel, "the policy acts otherwise")
        flags = self._demonstrator.imitable(part.slots)
        return {reel.slot: bool(flag) for reel, flag in zip(reels, flags, strict=True)}

    def _step(self) -> list[_Reel]:
        """One control step in every slot. Returns the episodes that ended."""
        live = self._live
        result = self._env.step(_slots(live), np.stack([reel.take.trajectory.actions[reel.step] for reel in live]))
        for reel, controls in zip(live, np.asarray(result.controls, np.float64), strict=True):
            if what := other_controls(reel.take.trajectory.controls[reel.step], controls):
                raise _otherwise(reel, what)
            reel.step += 1
        over = [reel for reel in live if reel.step == len(reel.take.trajectory.actions)]
        if over:
            self._compare(over)
            self._live = [reel for reel in live if reel not in over]
        return over

    def _compare(self, over: Sequence[_Reel]) -> None:
        for reel, outcome in zip(over, self._env.outcome(_slots(over)), strict=True):
            if wrong := differences(reel.take.record, outcome, exact=True):
                raise _otherwise(reel, wrong[0])


def _develop(image: Images, format: Format, counted: bool) -> tuple[bytes, Doubles | None]:
    return encode(image, format), image_histogram(image) if counted else None


def _otherwise(reel: _Reel, what: str) -> PluginError:
    return PluginError(
        f"it doesn't go as it was played: {what}",
        where=f"{reel.take.episode.id}, step {reel.step}",
        hint="record into another --out, all of it on one machine",
    )


def _slots(reels: Sequence[_Reel]) -> Slots:
    return np.array([reel.slot for reel in reels], np.int32)
