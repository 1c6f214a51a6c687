"""gf/tabletop-v1 as a BatchEnv: the block is to be set down on the named card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from gf_core.contracts import Bools, EnvContext, Episode, Slots
from gf_core.specs import EnvSpec
from gf_envs.tabletop.batch import TabletopEnv
from gf_envs.tabletop.judge import Judge
from gf_envs.tabletop.physics import Physics
from gf_envs.tabletop.scene import Scene, parse_scene
from gf_envs.tabletop.spec import TABLETOP


def make(config: Mapping[str, Any], context: EnvContext) -> TabletopEnv:
    """Entry point of gf/tabletop-v1."""
    return TabletopEnv(context, CardRules(context), render=str(config.get("render", "")))


class CardRules:
    """The rules of gf/tabletop-v1."""

    spec: EnvSpec = TABLETOP

    def __init__(self, context: EnvContext) -> None:
        self.judge = Judge(context.slots, context.control_hz)

    def reset(self, slots: Slots, episodes: Sequence[Episode]) -> list[Scene]:
        """Begin these episodes; returns what lies on their tables."""
        scenes = [parse_scene(episode.scene) for episode in episodes]
        self.judge.reset(slots, scenes, [episode.horizon for episode in episodes])
        return scenes

    def watch(self, slots: Slots, physics: Physics) -> Bools:
        """Take in what a control step has come to; returns which episodes are done."""
        return self.judge.watch(slots, physics.state(slots))

    def told(self, slots: Slots) -> dict[str, NDArray[Any]]:
        """Nothing beyond what every environment on this table tells."""
        return {}
