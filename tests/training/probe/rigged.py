"""Backbones whose answers are known, and questions about images of one colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import Batch, Context, Segment
from gf_core.training.probe.models import Models
from gf_core.training.probe.questions import Material, Scene, Wordings, which_card
from gf_core.training.samples import Frame

SIZE = 32
LABELS = ("gift", "ghost", "woman with headscarf")


def quiet(doing: str, done: int, of: int) -> None:
    """A Watch that doesn't."""


def picture(colour: int, shade: int = 255) -> tuple[Frame, ...]:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[..., colour] = shade
    return (Frame(camera="third", offset=0, image=image),)


def which_material(count: int, seed: int = 0) -> Material:
    """Questions which card is meant; the image's colour is the right place, each as often."""
    rng = np.random.default_rng(seed)
    material = Material()
    for number in range(count):
        right = number % 3
        image = material.show(picture(right, int(rng.integers(100, 256))))
        cluster = f"c{number // 3}"
        question = which_card(
            Wordings().which, LABELS[number // 3 % 3], 3, right, key=f"e{number}", split="val", cluster=cluster, image=image
        )
        material.questions.append(question)
        material.scenes.append(Scene(image=image, prompt=f"go {number}", cluster=cluster, target=right, cards=3))
    return material


class Rigged(SmallBackbone):
    """Finds every token of the answer that ``says`` gives likely, and all others alike.

    ``says`` is told which channel of the image is the strongest (0 for a grey one) and the candidates' text.
    """

    def __init__(self, says: Callable[[int, str], bool]) -> None:
        super().__init__(SmallConfig())
        self._says = says

    def encode(self, batch: Batch) -> Context:
        context = super().encode(batch)
        ids, answer = batch.input_ids, batch.segments == int(Segment.ANSWER)
        scores = torch.zeros(*ids.shape, self.vocabulary)
        for row in range(len(ids)):
            colour = int(batch.inputs["pixel_values"][row].reshape(-1, 3).mean(0).argmax())
            if self._says(colour, self.detokenize(ids[row][answer[row]].tolist())):
                for place in (answer[row].nonzero()[:, 0] - 1).tolist():
                    scores[row, place, ids[row, place + 1]] = 10.0
        return Context(hidden=(*context.hidden[:-1], scores), segments=context.segments, features={})

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden.float()


def models(before: SmallBackbone, after: SmallBackbone, batch_size: int = 8) -> Models:
    added = before.reserve(4)
    return Models(before=before, after=after, added=added, device=torch.device("cpu"), batch_size=batch_size)
