"""gf/tabletop-v1 as a BatchEnv: native batch physics, images only on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gf_core.contracts import Bools, Doubles, EnvContext, Episode, Floats, Observation, Outcome, Slots, StepResult
from gf_core.specs import ActionSpec, EnvSpec, Observes
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop import kinematics as k
from gf_envs.tabletop.controller import Controller
from gf_envs.tabletop.judge import Judge
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.render import Renderer, Shot
from gf_envs.tabletop.rotations import to_euler_xyz
from gf_envs.tabletop.scene import Scene, parse_scene
from gf_envs.tabletop.spec import TABLETOP, action_spec


def make(config: Mapping[str, Any], context: EnvContext) -> TabletopEnv:
    """Entry point of gf/tabletop-v1."""
    return TabletopEnv(context, render=str(config.get("render", "")))


class TabletopEnv:
    """N tabletops side by side; a slot's results depend on nothing that happens in the others."""

    spec: EnvSpec = TABLETOP

    def __init__(self, context: EnvContext, *, render: str = "") -> None:
        self.action: ActionSpec = action_spec(context.control_hz)
        self.spec = dataclasses.replace(TABLETOP, action=self.action)
        self._render_override = render
        self._physics = Physics(context.slots, context.threads, context.control_hz)
        self._controller = Controller(context.slots, context.control_hz)
        self._judge = Judge(context.slots, context.control_hz)
        self._renderer = Renderer(context.threads, context.load_deck)
        self._scenes: list[Scene | None] = [None] * context.slots
        self._episodes: list[Episode | None] = [None] * context.slots

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> None:
        """Lay out these episodes in these slots. Raises GrinningFaceError for a scene that contradicts itself."""
        scenes = [parse_scene(episode.scene) for episode in episodes]
        for slot, scene, episode in zip(slots, scenes, episodes, strict=True):
            self._scenes[slot], self._episodes[slot] = scene, episode
        self._physics.reset(slots, scenes)
        self._controller.reset(slots, self._physics.joints(slots))
        self._judge.reset(slots, scenes, [episode.horizon for episode in episodes])

    def observe(self, slots: Slots, wanted: Observes, *, privileged: bool = False) -> Observation:
        """The current observation; renders only the wanted cameras."""
        return Observation(
            slots=np.asarray(slots, np.int32),
            instruction=[self._episode(slot).instruction_at(int(self._judge.steps[slot])) for slot in slots],
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
        return self._judge.watch(slots, self._physics.state(slots))

    def outcome(self, slots: Slots) -> list[Outcome]:
        """How the episodes stand."""
        return [self._judge.outcome(int(slot), self._physics.state_hash(int(slot))) for slot in slots]

    def state_hash(self, slots: Slots) -> list[str]:
        """Hex SHA-256 of each slot's physics: positions, velocities, controls, solver warm start, cards."""
        return [self._physics.state_hash(int(slot)) for slot in slots]

    def provenance(self) -> dict[str, str]:
        """What drew the pictures: OpenGL renderer and version. Opens a context where none is open yet."""
        return self._renderer.provenance()

    def close(self) -> None:
        """Free render threads and their GL contexts."""
        self._renderer.close()

    def _episode(self, slot: int) -> Episode:
        episode = self._episodes[slot]
        if episode is None:
            raise ValueError(f"slot {slot} was never reset")
        return episode

    def _render(self, slots: Slots, camera: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        shots = []
        for slot in slots:
            scene = self._scenes[slot]
            if scene is None:
                raise ValueError(f"slot {slot} was never reset")
            faces = tuple((card.deck, card.item) for card in scene.cards)
            preset = self._render_override or scene.render
            shots.append(Shot(self._physics.qpos[slot], self._physics.mocap[slot], faces, preset))
        return self._renderer.render(shots, camera, size)

    def _proprio(self, slots: Slots) -> Floats:
        position, orientation = self._physics.tool(slots)
        angles = to_euler_xyz(k.relative_orientation(orientation))
        opening = self._physics.opening(slots)[:, None]
        return np.concatenate([position, angles, opening], axis=1).astype(np.float32)

    def _privileged(self, slots: Slots) -> dict[str, NDArray[Any]]:
        cards = np.full((len(slots), g.MAX_CARDS, 3), np.nan)
        target = np.full(len(slots), -1)
        for row, slot in enumerate(slots):
            scene = self._scenes[slot]
            assert scene is not None
            for i, card in enumerate(scene.cards):
                cards[row, i] = np.subtract((card.x, card.y, g.CARD_THICKNESS), g.BASE_POSITION)
            target[row] = -1 if scene.target is None else scene.target
        orientation = self._controller.orientation[slots].reshape(-1, 9)
        return {
            "cube": self._physics.cube(slots),
            "cards": cards,
            "target": target,
            "tool": self._physics.tool(slots)[0],
            "tool_target": np.concatenate([self._controller.position[slots], orientation], axis=1),
            "opening": self._physics.opening(slots),
        }
