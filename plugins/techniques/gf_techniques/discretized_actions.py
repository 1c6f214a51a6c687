"""Discretized actions: the VLM predicts actions as tokens of its own (OpenVLA, arXiv 2406.09246).

What the tokens are is the head's choice: 256 bins (``gf/bins-v1``) or compressed chunks (``gf/fast-v1``). This technique
makes that head the only one, makes it act, and says where the tokens' embeddings start from. That the language model trains is
checked: with a frozen one only the new rows would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Technique
from gf_core.training.model import VLA, StageHead
from gf_techniques.checks import require_trained_language

ID = "gf/discretized-actions-v1"
Rows = Literal["keep", "mean"]


class DiscretizedActions(Technique):
    """See the module's docstring.

    Args:
        rows: what the action tokens' embeddings are at the stage's start: ``keep`` leaves them as they are, which at first is the
            backbone's own rows at the tail of its vocabulary (OpenVLA), later what an earlier stage made of them;
            ``mean`` makes them the mean of the backbone's input rows, and of its output rows.
    """

    order = 10

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def setup(self, vla: VLA) -> None:
        """Make the stage's token head act and set its rows.

        Raises:
            GrinningFaceError: there is no such head, there are others too, or the language model is frozen.
        """
        speaker = self._speaker(vla)
        vla.stage_heads = (replace(speaker, used_at_inference=True),)
        require_trained_language(vla, ID, "predict action tokens")
        if self._rows == "mean":
            _reset_to_mean(vla, speaker.name)

    def _speaker(self, vla: VLA) -> StageHead:
        tokens = [head for head in vla.stage_heads if vla.head(head.name).tokens]
        if len(tokens) != 1:
            hint = "give the stage a head such as gf/bins-v1 or gf/fast-v1"
            raise GrinningFaceError(f"the stage needs one head with tokens of its own, not {len(tokens)}", where=ID, hint=hint)
        if others := [head.name for head in vla.stage_heads if head is not tokens[0]]:
            hint = "leave it out; gf/knowledge-insulation-v1 trains a token head beside a continuous one"
            raise GrinningFaceError(f"head {others[0]!r} doesn't predict tokens", where=ID, hint=hint)
        return tokens[0]


@torch.no_grad()
def _reset_to_mean(vla: VLA, head: str) -> None:
    ids = vla.token_ids[head]
    own = slice(ids.start - vla.rows.first, ids.stop - vla.rows.first)
    rows = torch.arange(vla.rows.first, device=vla.rows.input.device)  # all that lie in front of the added ones
    vla.rows.input[own] = vla.backbone.input_embeddings()(rows).mean(0)
    output = vla.backbone.output_embeddings().weight
    if not isinstance(output, torch.Tensor):
        raise TypeError("the backbone's output embeddings have no weight")
    vla.rows.output[own] = output[: vla.rows.first].mean(0)


def make(config: Mapping[str, Any]) -> DiscretizedActions:
    """Entry point of gf/discretized-actions-v1."""
    return DiscretizedActions(rows=config["rows"])
