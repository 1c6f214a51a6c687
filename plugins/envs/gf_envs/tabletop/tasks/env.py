"""gf/tabletop-tasks-v1 as a BatchEnv: the tabletop's physics, control and pictures under other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from gf_core.contracts import Bools, EnvContext, Episode, Slots
from gf_core.specs import EnvSpec
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.scene import Scene
from gf_envs.tabletop.tasks.judge import TaskJudge
from gf_envs.tabletop.tasks.scene import parse_scene
from gf_envs.tabletop.tasks.spec import TABLETOP_TASKS


def make(config: Mapping[str, Any], context: EnvContext) -> TabletopEnv:
    """Entry point of gf/tabletop-tasks-v1."""
    return TabletopEnv(context, TaskRules(context), render=str(config.get("render", "")))


class TaskRules:
    """The rules of gf/tabletop-tasks-v1."""

    spec: EnvSpec = TABLETOP_TASKS

    def __init__(self, context: EnvContext) -> None:
        self.judge = TaskJudge(context.slots, context.control_hz)

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> list[Scene]:
        """Begin these episodes; returns what lies on their tables."""
        scenes = [parse_scene(episode.scene) for episode in episodes]
        self.judge.reset(slots, scenes, [episode.horizon for episode in episodes])
        return [scene.layout for scene in scenes]

    def watch(self, slots: Slots, physics: Physics) -> Bools:
        """Take in what a control step has come to; returns which episodes are done."""
        tool, _ = physics.tool(slots)
        return self.judge.watch(slots, physics.state(slots), tool + g.BASE_POSITION)

    def told(self, slots: Slots) -> dict[str, NDArray[Any]]:
        """Which task each slot's is, as the spec numbers them."""
        return {"task": self.judge.task[slots]}
