"""A plugin: a technique that ends the process in the middle of a step, for as long as a file is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gf_core.hookspecs import hookimpl
from gf_core.specs import TechniqueSpec
from gf_core.training.contracts import Technique
from gf_core.training.model import VLA

gf_api_version = 1


@hookimpl
def gf_register_techniques(register: Any) -> None:
    settings = {"file": {"type": "string", "description": "deadly while it is there"}}
    schema = {"type": "object", "additionalProperties": False, "required": ["file"], "properties": settings}
    register(TechniqueSpec(id="local/deadly-v1", summary="deadly", entry_point=f"{__name__}:make", config_schema=schema))


class Deadly(Technique):
    def __init__(self, file: Path) -> None:
        self._file = file

    def after_step(self, vla: VLA, step: int) -> None:
        if self._file.exists():
            os.kill(os.getpid(), signal.SIGKILL)


def make(config: Mapping[str, Any]) -> Deadly:
    return Deadly(Path(config["file"]))
