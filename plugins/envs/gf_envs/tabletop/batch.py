"""What every environment on this table is: a BatchEnv of native batch physics, with images only on demand, under some rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Bools, Doubles, EnvContext, Episode, Floats, Images, Observation, Outcome, Slots, StepResult
from gf_core.specs import ActionSpec, EnvSpec, Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.controller import Controller
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.render import Renderer, Shot
from gf_envs.tabletop.rotations import to_euler_xyz
from gf_envs.tabletop.scene import Scene
from gf_envs.tabletop.spec import action_spec

PRINT_HEIGHT = 0.0005
"""Upper face of a printed card, as drawn [m]: a print has no height, and two surfaces at one would flicker."""


class Scorer(Protocol):
    """What a judge tells: control steps so far ``(slots,) int64``, and how an episode stands."""

    steps: NDArray[np.int64]

    def outcome(self, slot: int, state_sha256: str) -> Outcome:
        """The outcome of one slot."""
        ...


class Rules(Protocol):
    """What the environments on this table differ in: the reading of scenes, and what counts as done."""

    spec: EnvSpec

    @property
    def judge(self) -> Scorer:
        """Who remembers the episodes."""
        ...

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> list[Scene]:
        """Begin these episodes; returns what lies on their tables."""
        ...

    def watch(self, slots: Slots, physics: Physics) -> Bools:
        """Take in what a control step has come to; returns which episodes are done."""
        ...

    def told(self, slots: Slots) -> dict[str, NDArray[Any]]:
        """What these rules add to the privileged state."""
        ...


class TabletopEnv:
    """N tables side by side; a slot's results depend on nothing that happens in the others."""

    def __init__(self, context: EnvContext, rules: Rules, *, render: str = "") -> None:
        self.action: ActionSpec = action_spec(context.control_hz)
        self.spec: EnvSpec = dataclasses.replace(rules.spec, action=self.action)
        self._rules = rules
        self._render_override = render
        self._physics = Physics(context.slots, context.threads, context.control_hz)
        self._controller = Controller(context.slots, context.control_hz)
        self._renderer = Renderer(context.threads, context.load_deck)
        self._playing: list[tuple[Episode, Scene] | None] = [None] * context.slots

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> None:
        """Lay out these episodes in these slots. Raises GrinningFaceError for a scene that contradicts itself."""
        scenes = self._rules.reset(slots, episodes)
        for slot, episode, scene in zip(slots, episodes, scenes, strict=True):
            self._playing[slot] = episode, scene
        self._physics.reset(slots, scenes)
        self._controller.reset(slots, self._physics.joints(slots))

    def observe(self, slots: Slots, wanted: Observes, *, privileged: bool = False) -> Observation:
        """The current observation; renders only the wanted cameras."""
        playing = self._at(slots)
        steps = self._rules.judge.steps[slots].tolist()
        return Observation(
            slots=np.asarray(slots, np.int32),
            instruction=[episode.instruction_at(step) for (episode, _), step in zip(playing, steps, strict=True)],
            images={camera: self._render(slots, camera, wanted.size) for camera in wanted.cameras},
            proprio=self._proprio(slots) if wanted.proprio else None,
            privileged=self._privileged(slots) if privileged else {},
        )

    def step(self, slots: Slots, actions: Floats) -> StepResult:
        """One control step with actions ``(n, 7)``. Raises ValueError on an action that isn't finite."""
        controls, clipped = self._controller.controls(slots, actions)
        return StepResult(done=self._play(slots, controls), controls=controls, clipped=clipped)

    def step_controls(self, slots: Slots, controls: Doubles) -> Bools:
        """One control step with recorded controls ``(n, 7)``; returns done.

        Raises:
            ValueError: on controls that no action gives: not finite, or beyond what the joints are commanded to.
        """
        done = self._play(slots, controls)
        # An action that follows is relative to what was commanded here.
        self._controller.reset(slots, controls[:, :6])
        return done

    def _play(self, slots: Slots, controls: Doubles) -> Bools:
        self._physics.step(slots, controls)
        return self._rules.watch(slots, self._physics)

    def outcome(self, slots: Slots) -> list[Outcome]:
        """How the episodes stand."""
        return [self._rules.judge.outcome(int(slot), self._physics.state_hash(int(slot))) for slot in slots]

    def state_hash(self, slots: Slots) -> list[str]:
        """Hex SHA-256 of each slot's physics: positions, velocities, controls, solver warm start, cards."""
        return [self._physics.state_hash(int(slot)) for slot in slots]

    def provenance(self) -> dict[str, str]:
        """What drew the pictures: OpenGL renderer and version. Opens a context where none is open yet."""
        return self._renderer.provenance()

    def close(self) -> None:
        """Free render threads and their GL contexts."""
        self._renderer.close()

    def _at(self, slots: Slots) -> list[tuple[Episode, Scene]]:
        playing = [self._playing[slot] for slot in slots]
        found = [one for one in playing if one is not None]
        if len(found) < len(playing):
            raise ValueError(f"slot {int(slots[playing.index(None)])} was never reset")
        return found

    def _render(self, slots: Slots, camera: str, size: tuple[int, int]) -> Images:
        shots = []
        for slot, (_, scene) in zip(slots, self._at(slots), strict=True):
            mocap = self._physics.mocap[slot]
            if scene.printed:
                mocap = mocap.copy()
                mocap[: len(scene.cards), 2] = PRINT_HEIGHT - g.CARD_THICKNESS / 2
            faces = tuple((card.deck, card.item) for card in scene.cards)
            preset = self._render_override or scene.render
            shots.append(Shot(self._physics.qpos[slot], mocap, faces, preset, scene.cards[0].yaw, scene.look))
        return self._renderer.render(shots, camera, size)

    def _proprio(self, slots: Slots) -> Floats:
        position, orientation = self._physics.tool(slots)
        angles = to_euler_xyz(k.relative_orientation(orientation))
        opening = self._physics.opening(slots)[:, None]
        return np.concatenate([position, angles, opening], axis=1).astype(np.float32)

    def _privileged(self, slots: Slots) -> dict[str, NDArray[Any]]:
        cards = np.full((len(slots), g.MAX_CARDS, 3), np.nan)
        target = np.full(len(slots), -1)
        for row, (_, scene) in enumerate(self._at(slots)):
            height = 0.0 if scene.printed else g.CARD_THICKNESS
            for i, card in enumerate(scene.cards):
                cards[row, i] = np.subtract((card.x, card.y, height), g.BASE_POSITION)
            target[row] = -1 if scene.target is None else scene.target
        orientation = self._controller.orientation[slots].reshape(-1, 9)
        return {
            "cube": self._physics.cube(slots),
            "cards": cards,
            "target": target,
            "tool": self._physics.tool(slots)[0],
            "tool_target": np.concatenate([self._controller.position[slots], orientation], axis=1),
            "opening": self._physics.opening(slots),
            **self._rules.told(slots),
        }
