"""What this distribution brings. Every `gf` command imports it, so it imports neither NumPy nor the things themselves."""

from gf_core.hookspecs import Register, hookimpl
from gf_core.specs import ActionSpec, EnvSpec, FieldSpec, MetricSpec, Observes, PolicySpec, SuiteSpec
from gf_example_shelf.palette import COLOURS, SIZE_M, STEP_M

gf_api_version = 1

ACTION = ActionSpec(
    field=FieldSpec(
        name="action",
        shape=(2,),
        names=("dx", "dy"),
        unit=("m",),
        frame="shelf",
        low=(-STEP_M,),
        high=(STEP_M,),
        description="how far the commanded position moves in one control step",
    ),
    hz=20.0,
    representation="ee_delta",
    reference="previous_target",
    rotation="none",
)

_POINT = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": SIZE_M}, "minItems": 2, "maxItems": 2}
_BALL = {
    "type": "object",
    "required": ["colour", "position"],
    "properties": {
        "colour": {"enum": list(COLOURS), "description": "its colour"},
        "position": {**_POINT, "description": "its centre, x and y [m]"},
    },
}

SHELF = EnvSpec(
    id="gf-example-shelf/shelf-v1",
    summary="coloured balls on a shelf, and a pointer that has to stay on one of them",
    entry_point="gf_example_shelf.env:make_env",
    action=ACTION,
    control_hz=(20.0,),
    controls=FieldSpec(
        name="command", shape=(2,), dtype="float64", names=("x", "y"), unit=("m",), frame="shelf", low=(0.0,), high=(SIZE_M,)
    ),
    cameras=("front",),
    proprio=FieldSpec(name="position", shape=(2,), names=("x", "y"), unit=("m",), frame="shelf"),
    privileged=(FieldSpec(name="target_position", shape=(2,), names=("x", "y"), unit=("m",), frame="shelf"),),
    metrics=(
        MetricSpec(name="executed", kind="bool", description="the pointer stayed on some ball"),
        MetricSpec(name="chosen_target", kind="bool", description="that ball was the one asked for"),
        MetricSpec(name="chosen", kind="int", description="index of that ball; null for none"),
        MetricSpec(name="distance", kind="float", description="from the pointer to the target at the end [m]"),
    ),
    config_schema={
        "type": "object",
        "properties": {
            "lag": {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.5,
                "description": "share of the way to the commanded position that is left after a control step",
            }
        },
    },
    scene_schema={
        "type": "object",
        "required": ["start", "balls", "target"],
        "properties": {
            "start": {**_POINT, "description": "where the pointer starts, x and y [m]"},
            "balls": {"type": "array", "minItems": 2, "maxItems": 6, "items": _BALL, "description": "what lies on the shelf"},
            "target": {"type": "integer", "minimum": 0, "maximum": 5, "description": "index of the ball that is asked for"},
        },
    },
    replayable=True,
)

SEEKER = PolicySpec(
    id="gf-example-shelf/colour-seeker-v1",
    summary="finds the colour that the instruction names in the image and goes there",
    entry_point="gf_example_shelf.policy:make_policy",
    observes=Observes(cameras=("front",), size=(96, 96), proprio=True),
    action=ACTION,
    config_schema={
        "type": "object",
        "properties": {
            "chunk": {
                "type": "integer",
                "minimum": 1,
                "maximum": 50,
                "default": 5,
                "description": "steps that are played before the image is looked at again",
            }
        },
    },
)

REACH = SuiteSpec(
    id="gf-example-shelf/reach@1",
    summary="reach the ball of the named colour: 24 episodes, spread and crowded",
    entry_point="gf_example_shelf:suites/reach-1.json",
    sha256="49bc98ed425856ff74ca56454dea10293d55d8db3cc9bbe03d17e9632481f5c0",
)


@hookimpl
def gf_register_envs(register: Register[EnvSpec]) -> None:
    register(SHELF)


@hookimpl
def gf_register_policies(register: Register[PolicySpec]) -> None:
    register(SEEKER)


@hookimpl
def gf_register_suites(register: Register[SuiteSpec]) -> None:
    register(REACH)
