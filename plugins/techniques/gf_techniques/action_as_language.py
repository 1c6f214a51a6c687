"""Actions as language: the VLM writes actions as text in physical units, with the words that it has (VLM2VLA, arXiv 2509.22195).

It composes with the head ``gf/text-v1``, which writes a chunk as text and reads it back, so that training and acting share
one format; rewriting the data's answers would leave nobody to read them. What this technique adds is the method's claim, that
the VLM's input and output stay what they were: no rows are added to the vocabulary, no learned queries, and no learned token
for the proprioceptive state. Together with gf/lora-v1 it is VLM2VLA's recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Technique
from gf_core.training.model import VLA
from gf_techniques.checks import require_trained_language

ID = "gf/action-as-language-v1"


class ActionAsLanguage(Technique):
    """See the module's docstring.

    Args:
        state_token: allow a learned token for the proprioceptive state.
    """

    order = 10

    def __init__(self, *, state_token: bool) -> None:
        self._state_token = state_token

    def setup(self, vla: VLA) -> None:
        """Make the stage's text head act.

        Raises:
            GrinningFaceError: there is no such head, something but words would be learned, or the language model is frozen.
        """
        speaking = [head for head in vla.stage_heads if vla.head(head.name).words]
        if len(speaking) != 1 or len(vla.stage_heads) != 1:
            names = ", ".join(head.name for head in vla.stage_heads) or "none"
            raise GrinningFaceError(
                f"the stage's only head has to speak in words; it has {names}", where=ID, hint="give it one such as gf/text-v1"
            )
        if vla.state_encoder is not None and not self._state_token:
            raise GrinningFaceError(
                "the policy's state is a learned token, which is no language",
                where=ID,
                hint="set policy.proprio to false, or state_token to true",
            )
        vla.stage_heads = (replace(speaking[0], used_at_inference=True),)
        require_trained_language(vla, ID, "write actions")


def make(config: Mapping[str, Any]) -> ActionAsLanguage:
    """Entry point of gf/action-as-language-v1."""
    return ActionAsLanguage(state_token=config["state_token"])
