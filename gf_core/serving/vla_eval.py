"""A suite as a benchmark of vla-eval 0.8: its harness names this class in its YAML, by import string.

.. code-block:: yaml

   benchmarks:
     - benchmark: "gf_core.serving.vla_eval:GrinningFaceBenchmark"
       params: {suite: gf/standard@1, split: val}

Imported by vla-eval alone, in an environment that has both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from vla_eval.benchmarks.base import StepBenchmark, StepResult
from vla_eval.specs import DimSpec

from gf_core.contracts import BatchEnv, Episode
from gf_core.errors import GrinningFaceError
from gf_core.evaluation.environment import make_env
from gf_core.evaluation.suites import load_suite
from gf_core.plugins import load_plugins
from gf_core.schemas import validate_config
from gf_core.serving.opening import vla_eval_specs
from gf_core.specs import Observes, PolicyInterface

_SLOT = np.zeros(1, np.int32)


class GrinningFaceBenchmark(StepBenchmark):  # type: ignore[misc]
    """Every episode of a suite is a task, to be played once (``episodes_per_task: 1``).

    Args:
        suite: id of the suite, or its file.
        split: only this one; empty for all.
        limit: only the first so many episodes; 0 for all.
        cameras: what policies are shown; by default the environment's first.
        size: height and width of images [px].
        plugins: files that are loaded as plugins, too.
    """

    render_backends: ClassVar[frozenset[str]] = frozenset({"gpu", "cpu"})

    @classmethod
    def configure_render(cls, mode: str) -> dict[str, str]:
        """Nothing: MuJoCo's renderer is chosen by MUJOCO_GL, and draws the same on either."""
        return {}

    def __init__(
        self,
        suite: str = "gf/standard@1",
        split: str = "",
        limit: int = 0,
        cameras: Sequence[str] = (),
        size: int = 224,
        plugins: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._host = load_plugins([Path(file) for file in plugins])
        self._suite = load_suite(suite, self._host)
        if split and split not in self._suite.splits:
            raise GrinningFaceError(
                f"{suite} has no split {split!r}", where="split", hint=f"it has {', '.join(self._suite.splits)}"
            )
        chosen = [episode for episode in self._suite.episodes if split in ("", episode.split)]
        self._episodes = {episode.id: episode for episode in chosen[: limit or None]}
        self._spec = self._host.envs.get(self._suite.env)
        self._wanted = Observes(cameras=tuple(cameras) or self._spec.cameras[:1], size=(size, size))
        self._env: BatchEnv | None = None
        self._episode: Episode | None = None
        self._step = 0

    def get_tasks(self) -> list[dict[str, Any]]:
        """An episode each."""
        return [
            {"name": episode.id, "split": episode.split, "cluster": episode.cluster, "instruction": episode.instruction_at(0)}
            for episode in self._episodes.values()
        ]

    def reset(self, task: Mapping[str, Any]) -> None:
        """Lay the episode out."""
        if self._env is None:
            config = validate_config(self._suite.env_config, self._spec.config_schema, source=self._suite.source)
            self._env = make_env(self._suite, config, self._suite.control_hz, self._host, slots=1, threads=1)
        self._episode, self._step = self._episodes[task["name"]], 0
        self._env.reset(_SLOT, [self._episode])

    def step(self, action: Mapping[str, Any]) -> StepResult:
        """One control step. Raises GrinningFaceError: not A finite numbers."""
        env, episode = self._running()
        actions, width = np.asarray(action["actions"], np.float32), env.action.field.shape[0]
        if actions.shape != (width,) or not np.isfinite(actions).all():
            raise GrinningFaceError(f"an action of shape {actions.shape}; {width} finite numbers are needed", where=episode.id)
        result = env.step(_SLOT, actions[None])
        self._step += 1
        done = bool(result.done[0])
        return StepResult(obs=None, reward=float(done and env.outcome(_SLOT)[0].success), done=done, info={})

    def make_obs(self, raw_obs: Any, task: Mapping[str, Any]) -> dict[str, Any]:
        """What the policy is shown, drawn now."""
        env, episode = self._running()
        seen = env.observe(_SLOT, self._wanted)
        assert seen.proprio is not None
        return {
            "images": {camera: images[0] for camera, images in seen.images.items()},
            "task_description": episode.instruction_at(self._step),
            "state": seen.proprio[0],
        }

    def get_step_result(self, step_result: StepResult) -> dict[str, Any]:
        """The outcome with the environment's metrics that are true or false; ``None`` ones are left out."""
        env, _ = self._running()
        (outcome,) = env.outcome(_SLOT)
        told = {name: value for name, value in outcome.metrics.items() if isinstance(value, bool)}
        return {"success": outcome.success, "ending": outcome.ending, **told}

    def get_metric_keys(self) -> dict[str, str]:
        """Rates over all episodes; those over some of them (recognition given execution) vla-eval can't aggregate."""
        whole = [metric.metric for metric in self._suite.metrics if not metric.given and metric.metric != "success"]
        return {"success": "mean", **dict.fromkeys(whole, "mean")}

    def get_metadata(self) -> dict[str, Any]:
        """The suite and its hash."""
        horizon = max(episode.horizon for episode in self._episodes.values())
        return {"suite": self._suite.id, "suite_sha256": self._suite.sha256, "max_steps": horizon}

    def get_action_spec(self) -> dict[str, DimSpec]:
        """What the environment takes."""
        return self._declared("action_spec")

    def get_observation_spec(self) -> dict[str, DimSpec]:
        """What policies are shown."""
        return self._declared("observation_spec")

    def cleanup(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _declared(self, which: str) -> dict[str, DimSpec]:
        told = vla_eval_specs(self._spec.action, PolicyInterface(observes=self._wanted, action=None), self._spec)[which]
        return {name: DimSpec.from_dict(one) for name, one in told.items()}

    def _running(self) -> tuple[BatchEnv, Episode]:
        if self._env is None or self._episode is None:
            raise GrinningFaceError("no episode was begun")
        return self._env, self._episode
