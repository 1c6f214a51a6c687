"""One type for robot data and vision-language data, and what can be asked of a source of it. NumPy only.

Shapes: ``T`` steps of an action chunk, ``A`` action elements, ``P`` proprio elements, ``H × W`` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from gf_core.contracts import Bools, Floats, Images
from gf_core.specs import ActionSpec, FieldSpec

ROBOT = "robot"
"""Domain of robot data; every other domain is vision-language data, e.g. ``"vqa/grounding"``."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image: ``offset`` in control steps (0 for now, positive for the future), ``image`` ``(H, W, 3) uint8`` RGB."""

    camera: str
    offset: int
    image: Images


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One training example.

    Attributes:
        frames: images in the order in which the model sees them; offset 0 of each camera first, other offsets behind.
        prompt: instruction or question, without any chat template.
        answer: supervised text, or ``None``.
        proprio: ``(P,) float32``, raw, units in the FieldSpec; ``None`` for vision-language data.
        actions: ``(T, A) float32``, raw, units in the ActionSpec; ``None`` where there are none (action-free video too).
        action_mask: ``(T,) bool``, false past the end of an episode, where the last action is repeated, and where the action
            isn't to be imitated.
        domain: ``"robot"``, or the kind of question, e.g. ``"vqa/grounding"``.
        key: where it comes from, ``source/episode/frame`` or ``source/line/turn``; unique within a mixture.
    """

    frames: tuple[Frame, ...]
    prompt: str
    answer: str | None = None
    proprio: Floats | None = None
    actions: Floats | None = None
    action_mask: Bools | None = None
    domain: str = ROBOT
    key: str = ""

    @property
    def is_robot(self) -> bool:
        """Whether it is robot data: it gets proprio and query tokens, and the action heads' losses."""
        return self.domain == ROBOT


def uninterrupted(actions: Floats, mask: Bools) -> tuple[Floats, Bools]:
    """A chunk ``(T, A)`` and its mask ``(T,)`` for whom tells of it as a whole: it ends before its first masked step, and its
    last action is repeated from there on, as past an episode's end. One that begins masked is left as it is.
    """
    if mask.all() or not mask[0]:
        return actions, mask
    end, steps = int(mask.argmin()), np.arange(len(mask))
    return actions[np.minimum(steps, end - 1)], steps < end


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the policy under training asks of a robot source; a vision-language source ignores it.

    Attributes:
        cameras: names of cameras, in the order of the model's images; empty for all that the source has.
        size: image height and width [px]; ``None`` for as stored.
        offsets: control steps of the frames, 0 first; offsets beyond an episode's end give its last frame. Empty for no images.
        horizon: T, steps of an action chunk.
    """

    cameras: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    offsets: tuple[int, ...] = (0,)
    horizon: int = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a source holds, for the checkpoint's record.

    Attributes:
        name: the source's name in the recipe.
        kind: ``"lerobot"`` or ``"conversations"``.
        sha256: hash over its files' hashes.
        samples: number of samples.
        items: decks' items shown or named in it, by deck id; the contamination rules read this. ``None`` where it isn't known.
        details: whatever else identifies it: suite, episodes, generator, seed.
    """

    name: str
    kind: str
    sha256: str
    samples: int
    items: Mapping[str, tuple[str, ...]] | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Per-element statistics of an array over a data set; each value has one number per element."""

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min: tuple[float, ...]
    max: tuple[float, ...]
    q01: tuple[float, ...]
    q99: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """What a robot source's numbers mean: they travel with every checkpoint trained on it.

    Attributes:
        action: the actions, with their rate.
        proprio: the proprioceptive state.
        cameras: cameras to image height and width [px] as stored.
        action_statistics, proprio_statistics: over the whole source.
    """

    action: ActionSpec
    proprio: FieldSpec
    cameras: Mapping[str, tuple[int, int]]
    action_statistics: Statistics
    proprio_statistics: Statistics


@runtime_checkable
class Source(Protocol):
    """Random access to samples; safe to use from several processes and threads."""

    name: str
    conventions: Conventions | None
    """``None`` for vision-language data."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def sample(self, index: int, wanted: Wanted) -> Sample:
        """The sample at ``index``, the same whenever it is asked for."""
        ...

    def manifest(self) -> Manifest:
        """What it holds."""
        ...
