"""A policy that looks and does nothing: what an evaluation costs apart from the model. `gf run … --plugin
benchmarks/looking_policy.py`."""

import numpy as np

from gf_core.contracts import ActionChunk
from gf_core.hookspecs import hookimpl
from gf_core.specs import Observes, PolicySpec

gf_api_version = 1

SPEC = PolicySpec(
    id="local/looking-v1",
    summary="asks for one 224 px image per chunk and stands still, so every episode lasts its whole horizon",
    entry_point="looking_policy:make_policy",
    observes=Observes(cameras=("third",), size=(224, 224), proprio=True),
    config_schema={
        "type": "object",
        "additionalProperties": False,
        "properties": {"chunk": {"type": "integer", "minimum": 1, "maximum": 50, "default": 8, "description": "steps"}},
    },
)


@hookimpl
def gf_register_policies(register):
    register(SPEC)


def make_policy(config, context):
    return Looking(config["chunk"])


class Looking:
    def __init__(self, chunk):
        self._chunk = chunk

    def reset(self, slots, seeds):
        pass

    def act(self, observation):
        return ActionChunk(actions=np.zeros((len(observation.slots), self._chunk, 7), np.float32))

    def close(self):
        pass
