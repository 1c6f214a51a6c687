"""Actions as plain text in physical units, after VLM2VLA (arXiv 2509.22195), in words of the backbone's own vocabulary.

The format is our own: steps separated by ``"; "``, elements in the order of the action's field, lengths in centimetres,
angles in degrees, everything else in its own unit. ``plain``: ``"0.52 -1.10 0.00 0.0 0.0 5.0 1.00; …"``; ``named``:
``"dx 0.52 cm, dy -1.10 cm, …; …"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gf_core.contracts import Bools, Floats
from gf_core.training.contracts import ActionHead, Backbone, HeadShape

SHOWN = {"m": ("cm", 100.0), "m/s": ("cm/s", 100.0), "rad": ("degrees", 180 / math.pi), "rad/s": ("degrees/s", 180 / math.pi)}
"""Units that are written as others: name and factor."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"


@dataclass(frozen=True, kw_only=True)
class Element:
    """How an element of an action is written.

    Attributes:
        name: its name.
        unit: the unit that it is written in; ``"1"`` for none.
        factor: from its own unit to that one.
        decimals: digits behind the point.
        low, high, mean: of the training data, in its own unit.
    """

    name: str
    unit: str
    factor: float
    decimals: int
    low: float
    high: float
    mean: float

    def written(self, value: float) -> str:
        """The number alone."""
        text = f"{value * self.factor:.{self.decimals}f}"
        return text.removeprefix("-") if float(text) == 0 else text

    def longest(self) -> float:
        """The training data's value that is longest in writing."""
        return max((self.low, self.high), key=lambda value: len(self.written(value)))


def make(config: Mapping[str, Any], shape: HeadShape) -> TextHead:
    """The head for settings as in its spec."""
    field, statistics = shape.conventions.action.field, shape.conventions.action_statistics
    units = field.unit if len(field.unit) == shape.action else field.unit[:1] * shape.action
    elements = []
    for index, own in enumerate(units):
        unit, factor = SHOWN.get(own, (own, 1.0))
        kind = "length" if unit.startswith("cm") else "angle" if unit.startswith("degrees") else "other"
        elements.append(
            Element(
                name=field.names[index] if field.names else f"a{index}",
                unit=unit,
                factor=factor,
                decimals=config[f"{kind}_decimals"],
                low=statistics.min[index],
                high=statistics.max[index],
                mean=statistics.mean[index],
            )
        )
    return TextHead(elements, horizon=shape.horizon, named=config["style"] == "named")


class TextHead(ActionHead):
    """A chunk as one line of text.

    Only steps before the end of an episode, or of what is to be imitated, are written, so what lies past it has no loss.

    Args:
        elements: how each element is written.
        horizon: T.
        named: whether each number has its name and unit.
    """

    words = True
    raw = True
    ends = True

    def __init__(self, elements: Sequence[Element], *, horizon: int, named: bool) -> None:
        super().__init__()
        self.elements, self.horizon, self.named = tuple(elements), horizon, named
        longest = [element.longest() for element in self.elements]
        # No tokenizer needs more tokens than characters, but some begin a text with one of their own.
        self.length = len(self.write(np.tile(np.asarray(longest, np.float32), (horizon, 1)))) + 1

    def write(self, actions: Floats) -> str:
        """The text of ``(n, A)`` actions in their own units."""
        return "; ".join(self._step(row) for row in actions)

    def _step(self, values: Floats) -> str:
        numbers = [element.written(float(value)) for element, value in zip(self.elements, values, strict=True)]
        if not self.named:
            return " ".join(numbers)
        units = [f" {element.unit}" if element.unit != "1" else "" for element in self.elements]
        return ", ".join(f"{e.name} {number}{unit}" for e, number, unit in zip(self.elements, numbers, units, strict=True))

    def read(self, text: str) -> Floats:
        """The ``(T, A)`` actions of a text in their own units, clipped to the training data's range.

        Any text gives a chunk: a number that is missing is as in the step before, in the first step the training data's
        mean; steps that are missing repeat the last one; what is too much is left out.
        """
        steps: list[list[float]] = []
        before = [element.mean for element in self.elements]
        for part in re.split(r"[;\n]", text.replace("−", "-")):
            found = self._numbers(part)
            if any(value is not None for value in found):
                before = [old if value is None else value for old, value in zip(before, found, strict=True)]
                steps.append(before)
        steps = (steps or [before])[: self.horizon]
        steps += [steps[-1]] * (self.horizon - len(steps))
        limits = [element.low for element in self.elements], [element.high for element in self.elements]
        return np.clip(np.asarray(steps, np.float64), *limits).astype(np.float32)

    def _numbers(self, step: str) -> list[float | None]:
        if self.named:
            matches = [re.search(rf"(?<!\w){re.escape(e.name)}[\s:=]+({NUMBER})", step) for e in self.elements]
            texts = [match[1] if match else None for match in matches]
        else:
            texts = [*re.findall(NUMBER, step)[: len(self.elements)]]
            texts += [None] * (len(self.elements) - len(texts))
        return [None if text is None else float(text) / e.factor for text, e in zip(texts, self.elements, strict=True)]

    def encode(self, actions: Floats, mask: Bools, key: str, backbone: Backbone) -> list[int]:
        """The token ids of the text of the steps before the end."""
        return backbone.tokenize(self.write(actions[mask]))

    def decode(self, tokens: Sequence[int], backbone: Backbone) -> Floats:
        """The chunk that the text says, in the actions' own units."""
        return self.read(backbone.detokenize(tokens))
