"""Description of gf/tabletop-tasks-v1; importing this loads neither mujoco nor gymnasium."""

from __future__ import annotations

import dataclasses

from gf_core.specs import FieldSpec, MetricSpec
from gf_envs.tabletop.spec import PRIVILEGED, TABLETOP
from gf_envs.tabletop.tasks.scene import SCENE_SCHEMA, TASKS

TASK_STATE = (
    *PRIVILEGED,
    FieldSpec(name="task", shape=(), dtype="int64", description=f"What is to be done: index of {', '.join(TASKS)}."),
)
METRICS = (
    MetricSpec(name="executed", kind="bool", description="What the task asks for was done, on whichever card."),
    MetricSpec(name="chosen", kind="int", description="The card where it was done; null without one, and for a pick."),
    MetricSpec(name="recognized", kind="bool", description="Chosen card is the target; null without choice or target."),
    MetricSpec(name="grasped", kind="bool", description="The block was between the fingers at some step; ends a push."),
    MetricSpec(name="state_sha256", kind="str", description="Hash of the simulation state after the last step."),
)

TABLETOP_TASKS = dataclasses.replace(
    TABLETOP,
    id="gf/tabletop-tasks-v1",
    summary="reach, push, pick and place on the tabletop, with camera, base pose, colours and light of each episode's own",
    entry_point="gf_envs.tabletop.tasks.env:make",
    citation="arXiv:2605.25802",
    privileged=TASK_STATE,
    metrics=METRICS,
    scene_schema=SCENE_SCHEMA,
    scene_check="gf_envs.tabletop.tasks.scene:contradictions",
)
