"""One episode while it is being played in a slot: which action comes next, when the policy is asked, which frames are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gf_core.contracts import Doubles, Episode, Floats, Images
from gf_core.specs import ActionSpec
from gf_core.trajectories import Trajectory


@dataclass(kw_only=True, eq=False)
class Trial:
    """An attempt at an episode.

    Attributes:
        number: the episode's place in the plan.
        episode: the episode.
        slot: where it is played.
        alone: whether nothing else is played meanwhile, because an earlier attempt was part of a call that broke.
        begun: when it began [s, monotonic].
        step: control steps taken.
        next_ask: the step at which the policy is asked next.
        clipped: steps whose action was clipped.
        ask_seconds: wall-clock time of the policy's calls that it took part in.
        frames: what its policy saw or may still want to see again.
    """

    number: int
    episode: Episode
    slot: int
    alone: bool
    begun: float
    frames: Frames
    step: int = 0
    next_ask: int = 0
    clipped: int = 0
    ask_seconds: float = 0.0
    _playing: Floats | None = None
    _position: int = 0
    _coming: tuple[int, int, Floats] | None = None
    _actions: list[Floats] = field(default_factory=list)
    _controls: list[Doubles] = field(default_factory=list)
    _asked: list[int] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether the policy has to be asked before the next step."""
        return self.step == self.next_ask

    @property
    def is_new(self) -> bool:
        """Whether the policy hasn't heard of it yet."""
        return not self._asked

    @property
    def chunks(self) -> int:
        """How often the policy was asked."""
        return len(self._asked)

    def asked(self) -> None:
        """Note that the policy is asked at this step."""
        self._arrive()
        self._asked.append(self.step)

    def unplayed(self, width: int) -> Floats:
        """``(n, width)``: what is left of the chunk being played."""
        return np.empty((0, width), np.float32) if self._playing is None else self._playing[self._position :]

    def receive(self, actions: Floats, *, execute_steps: int, latency: int) -> None:
        """The policy's answer to what it was asked at this step.

        The first action of a chunk is for the step at which the policy was asked. A chunk that arrives ``latency`` steps later is
        played from the action that is due by then, its last one at the latest; until then the chunk before it goes on. The world
        waits for an episode's first chunk.

        Args:
            actions: ``(T, A)``.
            execute_steps: after how many steps the policy is asked again, at most T; not before the chunk has arrived.
            latency: steps that it takes to arrive.
        """
        late = 0 if self._playing is None else latency
        self._coming = (self.step, self.step + late, actions)
        self.next_ask = self.step + max(min(execute_steps, len(actions)), late)
        self.frames.forget(self.next_ask)

    def _arrive(self) -> None:
        """Take up the chunk that is due."""
        if self._coming is not None and self.step >= self._coming[1]:
            asked, _, self._playing = self._coming
            self._position, self._coming = min(self.step - asked, len(self._playing) - 1), None

    def next_action(self, action: ActionSpec) -> Floats:
        """``(A,)``: what is played at this step; the arm holds still where a late chunk leaves a gap."""
        self._arrive()
        assert self._playing is not None
        if self._position < len(self._playing):
            self._position += 1
            due: Floats = self._playing[self._position - 1]
            return due
        return hold(self._actions[-1], action)

    def stepped(self, played: Floats, controls: Doubles, clipped: bool) -> None:
        """Note one control step: the action ``(A,)``, the controls ``(C,)`` that it became, and whether it was clipped."""
        self._actions.append(played)
        self._controls.append(controls)
        self.clipped += clipped
        self.step += 1

    def trajectory(self, actions: int, controls: int) -> Trajectory:
        """What was done so far, for an action of so many elements and so many controls."""
        return Trajectory(
            actions=np.asarray(self._actions, np.float32).reshape(-1, actions),
            chunk_starts=np.asarray(self._asked, np.int32),
            controls=np.asarray(self._controls, np.float64).reshape(-1, controls),
        )


class Frames:
    """Past camera images of one trial, for a policy that looks back.

    The step at which the policy is asked next is known, so the frames for that are taken when they happen. When it is asked after
    that isn't known, so frames that an earlier question than expected could need are taken too.

    Args:
        offsets: ascending, 0 for now and negative for the past.
    """

    def __init__(self, offsets: tuple[int, ...]) -> None:
        self._offsets = offsets
        self._kept: dict[int, Mapping[str, Images]] = {}

    def wanted(self, step: int, next_ask: int) -> bool:
        """Whether the image at ``step``, before the next question, must be kept."""
        if self._offsets == (0,) or step in self._kept:
            return False
        return step > next_ask + self._offsets[0] or step - next_ask in self._offsets

    def keep(self, step: int, images: Mapping[str, Images]) -> None:
        """Keep the images ``(H, W, 3)`` of a step."""
        if self._offsets != (0,):
            self._kept[step] = {camera: image.copy() for camera, image in images.items()}

    def seen(self, step: int) -> Mapping[str, Images]:
        """Camera to ``(len(offsets), H, W, 3)``, or ``(H, W, 3)`` for one offset, as of ``step``.

        The first frame stands in for those before it.
        """
        at = [self._kept[max(0, step + offset)] for offset in self._offsets]
        if len(at) == 1:
            return at[0]
        return {camera: np.stack([images[camera] for images in at]) for camera in at[0]}

    def forget(self, next_ask: int) -> None:
        """Drop what neither the next question nor any later one can need."""
        oldest = max(0, next_ask + self._offsets[0])
        self._kept = {step: images for step, images in self._kept.items() if step >= oldest}


def hold(last: Floats, action: ActionSpec) -> Floats:
    """The action ``(A,)`` that changes nothing after ``last``.

    Under a delta representation the elements in m or rad are zero; others, such as a gripper's opening, repeat, and so do
    absolute actions.
    """
    if not action.representation.endswith("delta"):
        return last
    units = action.field.unit * len(last) if len(action.field.unit) == 1 else action.field.unit
    held: Floats = np.where([unit in ("m", "rad") for unit in units], np.float32(0), last)
    return held
