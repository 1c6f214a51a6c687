"""How well a nano model answers about pages that it wasn't trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gf_core.training.contracts import Layout
from gf_core.training.samples import Frame, Sample
from gf_policies.nano.pages import Page, draw_page
from gf_policies.nano.places import CELL, FINE, GRID
from gf_policies.nano.questions import EVERYTHING
from gf_policies.nano.things import Thing

if TYPE_CHECKING:
    from gf_policies.backbones.hf_vlm import HFVLM

TEST_SEED = 2**31
"""Added to the training's seed: pages that it never drew."""
NEAR = 8.0
"""Most pixels from a thing's middle at which a place counts as right: half a patch."""


def kind_of(question: str, answer: str) -> str:
    """What a question asks for: ``everything``, ``where``, ``block``, ``which``, ``yes-no``, ``name``."""
    if question in EVERYTHING:
        return "everything"
    if answer.startswith("<loc"):
        return "block" if " block" in f" {question}" or " cube" in f" {question}" else "where"
    if answer in ("yes", "no"):
        return "yes-no"
    return "name" if "<loc" in question else "which"


def measure(backbone: HFVLM, things: Sequence[Thing], seed: int, pages: int, batch: int = 32) -> dict[str, tuple[int, int]]:
    """Right answers and questions, by kind: places within :data:`NEAR`, everything else to the letter, decoded greedily.

    One question a page of each kind, alone, as a user would ask it.
    """
    asked: list[tuple[Page, str, str]] = []
    for index in range(pages):
        page = draw_page(things, TEST_SEED + seed, index, 8)
        first: dict[str, tuple[str, str]] = {}
        for question, answer in page.turns:
            first.setdefault(kind_of(question, answer), (question, answer))
        first.pop("everything", None)  # it may be said in any order
        asked += [(page, question, answer) for question, answer in first.values()]
    counts: dict[str, tuple[int, int]] = {}
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        for (_, question, answer), said in zip(part, answers_of(backbone, part), strict=True):
            kind = kind_of(question, answer)
            right, total = counts.get(kind, (0, 0))
            counts[kind] = right + is_right(said, answer), total + 1
    return dict(sorted(counts.items()))


def answers_of(backbone: HFVLM, asked: Sequence[tuple[Page, str, str]]) -> list[str]:
    """What the model says to each page's question."""
    samples = [
        Sample(key=str(k), frames=(Frame(camera="page", offset=0, image=page.image),), prompt=question, domain="page")
        for k, (page, question, _) in enumerate(asked)
    ]
    batch = backbone.prepare(samples, Layout(), generate=True)
    decoded = backbone.generate(batch, 12).tolist()
    end = backbone.end_id
    return [backbone.detokenize(row[: row.index(end)] if end in row else row) for row in decoded]


def is_right(said: str, answer: str) -> bool:
    """Whether an answer is right: see :func:`measure`."""
    wanted = point_of(answer)
    if wanted is None:
        return said.strip() == answer
    found = point_of(said)
    return found is not None and bool(np.hypot(found[0] - wanted[0], found[1] - wanted[1]) <= NEAR)


def point_of(text: str) -> tuple[float, float] | None:
    """The point [px] that two place tokens stand for, or ``None``."""
    parts = text.split()
    if len(parts) != 2 or not parts[0].startswith("<loc") or not parts[1].startswith("<sub"):
        return None
    cell, sub = int(parts[0][4:-1]), int(parts[1][4:-1])
    small = CELL / FINE
    return (cell % GRID) * CELL + (sub % FINE + 0.5) * small, (cell // GRID) * CELL + (sub // FINE + 0.5) * small
