"""Registers the techniques."""

from __future__ import annotations

from gf_core.hookspecs import Register, hookimpl
from gf_core.specs import TechniqueSpec
from gf_techniques.specs_stages import STAGES
from gf_techniques.specs_updates import UPDATES

gf_api_version = 1


@hookimpl
def gf_register_techniques(register: Register[TechniqueSpec]) -> None:
    """Register them."""
    for spec in (*UPDATES, *STAGES):
        register(spec)
