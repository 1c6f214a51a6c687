"""Registers GrinningFace's suites with LeRobot as ``--env.type=grinningface``, and their environment with gymnasium."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gymnasium.envs.registration import register
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from gf_core.serving.lerobot_env import choose

GYM_ID = "lerobot_env_grinningface/Suite-v0"

# Without wrappers, since gymnasium's hide `task_description` from LeRobot 0.4, which would then tell every policy an empty task.
register(
    id=GYM_ID,
    entry_point="gf_core.serving.lerobot_env:LeRobotEnv",
    order_enforce=False,
    disable_env_checker=True,
)


@EnvConfig.register_subclass("grinningface")
@dataclass
class GrinningFaceEnv(EnvConfig):
    """A suite.

    Attributes:
        task: id of the suite, or its ``.json`` file.
        fps: control rate [1/s]; 0 for the suite's.
        split: only this one; empty for all.
        limit: only the first so many episodes; 0 for all.
        cameras: what policies see, separated by commas; empty for the environment's first.
        size: height and width of images [px].
        plugins: files that are loaded as plugins of GrinningFace, separated by commas.
        results: a file to which a line of JSON is added for each episode; empty for none.
        features, features_map: LeRobot's own, filled in.
    """

    task: str | None = "gf/standard@1"
    fps: int = 0
    split: str = ""
    limit: int = 0
    cameras: str = ""
    size: int = 224
    plugins: str = ""
    results: str = ""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Say what is observed, by the names that `gf demos record` writes."""
        self._asked_fps = self.fps
        chosen = choose(self.task or "", self.split, self.limit, self.fps, tuple(_names(self.plugins)))
        self.fps = int(chosen.control_hz)
        self.features = {
            "action": PolicyFeature(FeatureType.ACTION, chosen.spec.action.field.shape),
            "agent_pos": PolicyFeature(FeatureType.STATE, chosen.spec.proprio.shape),
        }
        self.features_map = {"action": "action", "agent_pos": "observation.state"}
        for camera in _names(self.cameras) or chosen.spec.cameras[:1]:
            name = f"observation.images.{camera}"
            self.features[name] = PolicyFeature(FeatureType.VISUAL, (self.size, self.size, 3))
            self.features_map[name] = name

    @property
    def gym_id(self) -> str:
        """Of the environment above."""
        return GYM_ID

    @property
    def package_name(self) -> str:
        """Imported by LeRobot where the environment isn't registered."""
        return "lerobot_env_grinningface"

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment."""
        return {
            "suite": self.task,
            "split": self.split,
            "limit": self.limit,
            "fps": self._asked_fps,  # a suite's own rate needn't be a whole number
            "cameras": _names(self.cameras),
            "size": self.size,
            "plugins": _names(self.plugins),
            "results": self.results,
        }


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
