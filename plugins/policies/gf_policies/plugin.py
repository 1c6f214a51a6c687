"""Registers the policies, backbones and heads."""

from __future__ import annotations

from gf_core.hookspecs import Register, hookimpl
from gf_core.specs import BackboneSpec, HeadSpec, Observes, PolicySpec
from gf_policies.backbones.specs import BACKBONES
from gf_policies.heads.specs import HEADS
from gf_policies.lerobot.settings import SETTINGS as LEROBOT_SETTINGS
from gf_policies.openpi_settings import SETTINGS as OPENPI_SETTINGS
from gf_policies.remote_settings import ISOLATED
from gf_policies.remote_settings import SETTINGS as REMOTE_SETTINGS
from gf_policies.vla_settings import NANO_SETTINGS
from gf_policies.vla_settings import SETTINGS as VLA_SETTINGS

gf_api_version = 1

_STATE = ("cube", "cards", "target", "tool", "tool_target")
_BLIND = Observes(cameras=(), proprio=False)

DEMONSTRATOR_SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "retries": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0,
            "description": "Share of episodes in which the gripper first closes beside the cube, and the grasp is tried again.",
        },
        "perturb": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0,
            "description": "Share of episodes in which the arm first moves at random, up to 10 cm along each axis.",
        },
        "unnoticed": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0,
            "description": "Share of missed grasps after which the empty gripper goes on towards the card, for up to 2.2 s.",
        },
    },
}

POLICIES = (
    PolicySpec(
        id="gf/expert-v1",
        summary="scripted expert with the simulator's state: the ceiling that execution allows",
        entry_point="gf_policies.expert:make_expert",
        privileged=True,
        reads=_STATE,
        observes=_BLIND,
        citation="arXiv:2511.06619",
    ),
    PolicySpec(
        id="gf/random-card-v1",
        summary="the expert on a card drawn at random: execution without recognition",
        entry_point="gf_policies.expert:make_random_card",
        privileged=True,
        reads=_STATE,
        observes=_BLIND,
    ),
    PolicySpec(
        id="gf/touring-v1",
        summary="the expert on every card in turn: gains nothing where the first placement counts",
        entry_point="gf_policies.expert:make_touring",
        privileged=True,
        reads=_STATE,
        observes=_BLIND,
    ),
    PolicySpec(
        id="gf/demonstrator-v1",
        summary="the expert behind random starts and missed grasps, for demonstrations; never scored",
        entry_point="gf_policies.demonstrator:make_demonstrator",
        config_schema=DEMONSTRATOR_SETTINGS,
        privileged=True,
        reads=_STATE,
        observes=_BLIND,
        citation="arXiv:1703.09327",
    ),
    PolicySpec(
        id="gf/tasks-expert-v1",
        summary="scripted expert for reach, push, pick and place, with the simulator's state",
        entry_point="gf_policies.tasks_expert:make_tasks_expert",
        privileged=True,
        reads=(*_STATE, "task"),
        observes=_BLIND,
        citation="arXiv:2605.25802",
    ),
    PolicySpec(
        id="gf/vla-v1",
        summary="a checkpoint of `gf train`",
        entry_point="gf_policies.vla:make_vla",
        interface="gf_policies.vla:interface",
        config_schema=VLA_SETTINGS,
        extra="grinningface[train]",
    ),
    PolicySpec(
        id="gf/nano-vla-v1",
        summary="the small vision-language-action model that comes with the program, made of gf/nano-v1",
        entry_point="gf_policies.vla:make_vla",
        interface="gf_policies.vla:interface",
        config_schema=NANO_SETTINGS,
        extra="grinningface[train]",
    ),
    PolicySpec(
        id="gf/remote-v1",
        summary="a policy behind `gf serve`, or behind any model server of vla-eval",
        entry_point="gf_policies.remote:make_remote",
        interface="gf_policies.remote:interface",
        config_schema=REMOTE_SETTINGS,
    ),
    PolicySpec(
        id="gf/openpi-v1",
        summary="a policy behind openpi's websocket server",
        entry_point="gf_policies.openpi:make_openpi",
        interface="gf_policies.openpi:interface",
        config_schema=OPENPI_SETTINGS,
        citation="arXiv:2410.24164",
    ),
    PolicySpec(
        id="gf/isolated-v1",
        summary="a policy in an environment of its own: what `gf run --isolate` plays",
        entry_point="gf_policies.isolated:make_isolated",
        interface="gf_policies.isolated:interface",
        config_schema=ISOLATED,
    ),
    PolicySpec(
        id="gf/lerobot-v1",
        summary="a checkpoint of LeRobot",
        entry_point="gf_policies.lerobot.policy:make_lerobot",
        interface="gf_policies.lerobot.policy:interface",
        config_schema=LEROBOT_SETTINGS,
        extra="grinningface[lerobot]",
    ),
    PolicySpec(id="gf/null-v1", summary="holds still", entry_point="gf_policies.controls:make_null", observes=_BLIND),
    PolicySpec(
        id="gf/random-v1",
        summary="actions drawn uniformly within the bounds",
        entry_point="gf_policies.controls:make_random",
        observes=_BLIND,
    ),
)


@hookimpl
def gf_register_policies(register: Register[PolicySpec]) -> None:
    """Register them."""
    for spec in POLICIES:
        register(spec)


@hookimpl
def gf_register_backbones(register: Register[BackboneSpec]) -> None:
    """Register them."""
    for spec in BACKBONES:
        register(spec)


@hookimpl
def gf_register_heads(register: Register[HeadSpec]) -> None:
    """Register them."""
    for spec in HEADS:
        register(spec)
