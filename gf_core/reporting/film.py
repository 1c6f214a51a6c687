"""Pictures of recorded episodes: their controls are driven through the environment again, many side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gf_core.contracts import BatchEnv, Doubles, Episode, Images
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.suites import Suite
from gf_core.registry import one_line
from gf_core.reporting.picture import animation, still
from gf_core.runs import Row
from gf_core.specs import Observes
from gf_core.summary import ENV_ERROR, POLICY_ERROR

if TYPE_CHECKING:
    from gf_core.plugins import PluginHost

FRAMES = 12
"""Of an animation."""

FRAME_SIZE = (160, 160)
STILL_SIZE = (320, 320)
"""Height and width [px]; a still is shown at half its size, so that it is sharp on fine screens."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """An episode to film.

    Attributes:
        episode: at the run's control rate.
        record: its row.
        controls: ``(T, C) float64``.
    """

    episode: Episode
    record: Row
    controls: Doubles


@dataclass(frozen=True, kw_only=True)
class Filmed:
    """What came of it.

    Attributes:
        still: the first frame, as a data URI.
        moving: the episode, as a data URI; empty for one without a step.
        differs: what went otherwise than recorded; empty if nothing did.
    """

    still: str
    moving: str
    differs: str


Watch = Callable[[int, int], None]
"""Is told how many frames are drawn, and of how many."""


def film(
    suite: Suite,
    config: Mapping[str, Any],
    control_hz: float,
    takes: Sequence[Take],
    host: PluginHost,
    watch: Watch = lambda done, of: None,
) -> list[Filmed]:
    """Film episodes of one suite by the environment's first camera.

    Args:
        suite: the suite.
        config: the environment's settings.
        control_hz: control rate [1/s].
        takes: the episodes.
        host: the plugins.
        watch: is told after every drawing.

    Raises:
        GrinningFaceError: the environment has no camera, can't draw here, or breaks.
    """
    with _stage(suite, config, control_hz, len(takes), host) as env:
        stills: list[str] = []
        shots = _play(env, takes, FRAMES, FRAME_SIZE, watch, began=lambda: stills.extend(_stills(env, takes)))
    return [
        Filmed(
            still=first,
            moving=animation(shot.frames, _steps(take) / take.episode.control_hz) if len(shot.frames) > 1 else "",
            differs=shot.differs,
        )
        for take, first, shot in zip(takes, stills, shots, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Shot:
    """Frames ``(H, W, 3) uint8`` RGB from the first state to the last, and what went otherwise than recorded, if anything did."""

    frames: tuple[Images, ...]
    differs: str


def shoot(
    suite: Suite,
    config: Mapping[str, Any],
    control_hz: float,
    takes: Sequence[Take],
    host: PluginHost,
    *,
    frames: int,
    size: tuple[int, int],
) -> list[Shot]:
    """At most so many ``frames`` of each episode, evenly apart, of a height and width [px]. Else as :func:`film`."""
    with _stage(suite, config, control_hz, len(takes), host) as env:
        return _play(env, takes, frames, size)


@contextlib.contextmanager
def _stage(suite: Suite, config: Mapping[str, Any], control_hz: float, slots: int, host: PluginHost) -> Iterator[BatchEnv]:
    with contextlib.closing(make_env(suite, config, control_hz, host, slots=slots, threads=0)) as env:
        if not env.spec.cameras:
            raise GrinningFaceError(f"{env.spec.id} has no camera")
        try:
            yield env
        except GrinningFaceError:
            raise
        except (Exception, SystemExit) as error:
            raise GrinningFaceError(f"{env.spec.id} broke during the replay ({one_line(error)})") from error


def _steps(take: Take) -> int:
    return min(len(take.controls), take.episode.horizon)


def _play(
    env: BatchEnv,
    takes: Sequence[Take],
    count: int,
    size: tuple[int, int],
    watch: Watch = lambda done, of: None,
    began: Callable[[], object] = lambda: None,
) -> list[Shot]:
    """Drive episodes side by side and take frames; ``began`` is called when all stand in their first state."""
    lengths = np.array([_steps(take) for take in takes])
    keep = [set(np.linspace(0, length, count).round().astype(int).tolist()) for length in lengths]
    frames: list[list[Images]] = [[] for _ in takes]
    running = np.arange(len(takes), dtype=np.int32)
    env.reset(running, [take.episode for take in takes])
    began()
    step = 0
    while len(running):
        shown = [slot for slot in running.tolist() if step in keep[slot]]
        for slot, image in zip(shown, _shoot(env, shown, size), strict=True):
            frames[slot].append(image)
        if shown:
            watch(sum(map(len, frames)), sum(map(len, keep)))
        running = running[lengths[running] > step]
        if not len(running):
            break
        env.step_controls(running, np.stack([takes[slot].controls[step] for slot in running.tolist()]))
        step += 1
    outcomes = env.outcome(np.arange(len(takes), dtype=np.int32))
    return [
        Shot(frames=tuple(images), differs=_differs(take.record, outcome.success, outcome.ending))
        for take, images, outcome in zip(takes, frames, outcomes, strict=True)
    ]


def _stills(env: BatchEnv, takes: Sequence[Take]) -> list[str]:
    """First frames; episodes that several runs played begin alike and are drawn once."""
    slots = {take.episode.id: slot for slot, take in reversed(list(enumerate(takes)))}
    wanted = sorted(slots.values())
    drawn = {takes[slot].episode.id: still(image) for slot, image in zip(wanted, _shoot(env, wanted, STILL_SIZE), strict=True)}
    return [drawn[take.episode.id] for take in takes]


def _shoot(env: BatchEnv, slots: Sequence[int], size: tuple[int, int]) -> list[Images]:
    if not slots:
        return []
    camera = env.spec.cameras[0]
    wanted = Observes(cameras=(camera,), size=size, proprio=False)
    return list(env.observe(np.array(slots, np.int32), wanted).images[camera])


def _differs(record: Row, success: bool, ending: str) -> str:
    """State hashes may differ on another platform; how it ends may not."""
    if record["ending"] in (ENV_ERROR, POLICY_ERROR) or (record["success"], record["ending"]) == (success, ending):
        return ""
    return f"recorded as {record['ending']}, replayed as {ending}"
