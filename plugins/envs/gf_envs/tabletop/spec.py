"""Description of gf/tabletop-v1; importing this loads neither mujoco nor gymnasium."""

from __future__ import annotations

from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, MetricSpec
from gf_envs.tabletop import geometry as g
from gf_envs.tabletop.scene import SCENE_SCHEMA

CAMERAS = ("third", "wrist", "demo")
CONTROL_HZ = (20.0, 10.0, 5.0)

_POSE = ("x", "y", "z")


def action_spec(control_hz: float) -> ActionSpec:
    """Actions at a control rate [1/s]. The published ±0.1 m and ±0.1 rad a step hold at 20 Hz; other rates keep the speed."""
    scale = g.CONTROL_HZ / control_hz
    position, rotation = g.MAX_DELTA_POSITION * scale, g.MAX_DELTA_ROTATION * scale
    bounds = (position,) * 3 + (rotation,) * 3
    return ActionSpec(
        field=FieldSpec(
            name="action",
            shape=(7,),
            names=("dx", "dy", "dz", "rx", "ry", "rz", "opening"),
            unit=("m",) * 3 + ("rad",) * 3 + ("1",),
            frame="robot base",
            low=(*(-b for b in bounds), 0.0),
            high=(*bounds, 1.0),
            description="Delta of the tool pose (rotation vector, left-multiplied) and gripper opening, 0 closed to 1 open.",
        ),
        hz=control_hz,
        representation="ee_delta",
        reference="previous_target",
        rotation="rotvec",
    )


PROPRIO = FieldSpec(
    name="proprio",
    shape=(7,),
    names=("x", "y", "z", "roll", "pitch", "yaw", "opening"),
    unit=("m",) * 3 + ("rad",) * 3 + ("1",),
    frame="robot base",
    description="Measured tool pose; orientation relative to pointing down (R·R_downᵀ, extrinsic xyz); gripper opening.",
)
CONTROLS = FieldSpec(
    name="controls",
    shape=(7,),
    dtype="float64",
    names=("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "finger"),
    unit=("rad",) * 6 + ("m",),
    description="Targets of the joint position servos, rounded to 1e-6.",
)
PRIVILEGED = (
    FieldSpec(name="cube", shape=(7,), dtype="float64", frame="robot base", unit=("m",) * 3 + ("1",) * 4,
              names=("x", "y", "z", "qw", "qx", "qy", "qz"), description="Cube pose."),
    FieldSpec(name="cards", shape=(g.MAX_CARDS, 3), dtype="float64", frame="robot base", unit=("m",), names=_POSE,
              description="Centres of the cards' upper faces; NaN where there is no card."),
    FieldSpec(name="target", shape=(), dtype="int64", description="Index of the instructed card, -1 for none."),
    FieldSpec(name="tool", shape=(3,), dtype="float64", frame="robot base", unit=("m",), names=_POSE,
              description="Measured position of the tool."),
    FieldSpec(name="tool_target", shape=(12,), dtype="float64", frame="robot base", unit=("m",) * 3 + ("1",) * 9,
              names=(*_POSE, *(f"r{i}{j}" for i in range(3) for j in range(3))),
              description="Pose that the next delta is relative to: position and rotation matrix, row by row."),
    FieldSpec(name="opening", shape=(), dtype="float64", description="Gripper opening, 0 closed to 1 open."),
)  # fmt: skip
METRICS = (
    MetricSpec(name="executed", kind="bool", description="The released cube rests on a card."),
    MetricSpec(name="chosen", kind="int", description="Card of the first settled placement; null without one."),
    MetricSpec(name="recognized", kind="bool", description="Chosen card is the target; null without placement or target."),
    MetricSpec(name="intended", kind="int", description="Nearest card to the carried cube at release, else at closest approach."),
    MetricSpec(name="intent_correct", kind="bool", description="Intended card is the target; false without a grasp."),
    MetricSpec(name="success_on_card", kind="bool", description="Settled inside the target's square, released."),
    MetricSpec(name="success_paper", kind="bool", description="The released benchmark's rule held at some step."),
    MetricSpec(name="slip", kind="float", description="Furthest that the cube moved in the grip while carried [m]."),
    MetricSpec(name="state_sha256", kind="str", description="Hash of the simulation state after the last step."),
)

TABLETOP = EnvSpec(
    id="gf/tabletop-v1",
    summary="WidowX 250 S, a cube and cards with pictures; MuJoCo, published GrinningFace geometry",
    entry_point="gf_envs.tabletop.env:make",
    config_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "render": {
                "enum": ["", "fast", "pretty", "scored"],
                "default": "",
                "description": "Render preset that replaces every scene's own; anything but the scored one is unranked.",
            }
        },
    },
    citation="arXiv:2511.06619",
    doctor="gf_envs.doctor:findings",
    action=action_spec(g.CONTROL_HZ),
    control_hz=CONTROL_HZ,
    controls=CONTROLS,
    cameras=CAMERAS,
    proprio=PROPRIO,
    privileged=PRIVILEGED,
    metrics=METRICS,
    scene_schema=SCENE_SCHEMA,
    scene_check="gf_envs.tabletop.scene:contradictions",
    replayable=True,
)
