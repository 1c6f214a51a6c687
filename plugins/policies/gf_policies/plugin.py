"""Registers the expert and control policies."""

from __future__ import annotations

from gf_core.hookspecs import Register, hookimpl
from gf_core.specs import Observes, PolicySpec

gf_api_version = 1

_STATE = ("cube", "cards", "target", "tool", "tool_target")
_BLIND = Observes(cameras=(), proprio=False)

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
