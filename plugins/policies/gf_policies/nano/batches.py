"""Batches of pages as tensors, and the settings of the pretraining that decide about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from gf_policies.nano.pages import Page, draw_page
from gf_policies.nano.places import GRID, LOCATIONS
from gf_policies.nano.questions import Look
from gf_policies.nano.things import Thing
from gf_policies.nano.vocabulary import ANSWER, END, IMAGE

COMMON = frozenset({"a", "an", "and", "at", "for", "in", "it", "of", "on", "or", "the", "to", "with"})
"""Words of names that say nothing about a picture."""
IGNORE = -100
NOWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the model is trained.

    Attributes:
        seed: of weights and pages.
        steps: optimiser steps.
        encoder_steps: how many of them, at the start, train the image encoder alone: a name for every patch, no text. Answers
            need an encoder that tells pictures apart, and until it does the decoder's work is lost.
        batch: pages a step.
        turns: questions a page, at most.
        matrix_rate: peak learning rate of Muon, scaled so that updates are as large as AdamW's (arXiv 2502.16982).
        rate: peak learning rate of AdamW.
        warmup: steps until the peak.
        patch_weight: weight of the patches' loss, once there is text.
        look_weight: weight of the loss that teaches where to look.
        shards: parts of a batch whose gradients are computed side by side, each by one thread, and averaged. Threads that share
            each operation instead wait for each other (0.92 s a step of the encoder, against 0.80).
        precision: ``"float32"``, or ``"bf16"`` autocast: 2.9 times as fast on a core with AVX-512 BF16, and 15 times as slow on
            one without.
    """

    seed: int = 0
    steps: int = 3200
    encoder_steps: int = 1600
    batch: int = 24
    turns: int = 4
    matrix_rate: float = 1e-2
    rate: float = 3e-3
    warmup: int = 100
    patch_weight: float = 0.5
    look_weight: float = 1.0
    shards: int = 2
    precision: str = "float32"


@dataclass(frozen=True, kw_only=True)
class PageBatch:
    """Pages as tensors.

    Attributes:
        ids: ``(B, S) int64``.
        labels: ``(B, S) int64``; what token follows, where it belongs to an answer, else -100.
        mask: ``(B, S) int64``.
        looks: ``(B, S) int64``; for a name or a place, the patch that it is about, else -1.
        pixels: ``(B, 3, SIDE, SIDE) float32``.
        cells, centres: ``(B, GRID²) int64``, see :class:`~gf_policies.nano.pages.Page`.
    """

    ids: Tensor
    labels: Tensor
    mask: Tensor
    looks: Tensor
    pixels: Tensor
    cells: Tensor
    centres: Tensor

    def shards(self, count: int) -> list[PageBatch]:
        """The pages in ``count`` parts."""
        parts = {field.name: getattr(self, field.name).chunk(count) for field in fields(self)}
        return [PageBatch(**dict(zip(parts, values, strict=True))) for values in zip(*parts.values(), strict=True)]


class Pages(Dataset[PageBatch]):
    """Batch ``i`` of the pretraining: a function of the seed and ``i``."""

    def __init__(self, things: Sequence[Thing], tokenizer: PreTrainedTokenizerFast, settings: Settings) -> None:
        self._things, self._tokenizer, self._settings = things, tokenizer, settings
        self._answer, self._end, self._image = tokenizer.convert_tokens_to_ids([ANSWER, END, IMAGE])
        self._place = int(tokenizer.convert_tokens_to_ids(LOCATIONS[0]))

    def __len__(self) -> int:
        return self._settings.steps

    def __getitem__(self, index: int) -> PageBatch:
        count, seed = self._settings.batch, self._settings.seed
        alone = index < self._settings.encoder_steps
        turns = 0 if alone else self._settings.turns
        pages = [draw_page(self._things, seed, index * count + k, turns) for k in range(count)]
        return self.batch(pages, alone=alone)

    def batch(self, pages: Sequence[Page], *, alone: bool) -> PageBatch:
        """Pages as tensors; ``alone``: without any text."""
        rows = [([], [], []) if alone else self._row(page) for page in pages]
        length = max(len(ids) for ids, _, _ in rows)
        pad = int(self._tokenizer.pad_token_id)
        images = np.stack([page.image for page in pages]).astype(np.float32) / 127.5 - 1
        return PageBatch(
            ids=_padded([ids for ids, _, _ in rows], pad, length),
            labels=_padded([labels for _, labels, _ in rows], IGNORE, length),
            mask=_padded([[1] * len(ids) for ids, _, _ in rows], 0, length),
            looks=_padded([looks for _, _, looks in rows], NOWHERE, length),
            pixels=torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            cells=torch.from_numpy(np.stack([page.cells for page in pages])),
            centres=torch.from_numpy(np.stack([page.centres for page in pages])),
        )

    def _row(self, page: Page) -> tuple[list[int], list[int], list[int]]:
        """Ids; at each place the token that is to follow; and the patch that it is about."""
        ids = [self._image] * (GRID * GRID)
        asked, looks = [False] * len(ids), [NOWHERE] * len(ids)
        for (question, answer), (named, told) in zip(page.turns, page.looks, strict=True):
            for text, names, last, wanted in ((question, named, self._answer, False), (answer, told, self._end, True)):
                tokens, cells = self._tokens(text, names)
                ids += [*tokens, last]
                looks += [*cells, NOWHERE]
                asked += [wanted] * (len(tokens) + 1)
        labels = [ids[k + 1] if asked[k + 1] else IGNORE for k in range(len(ids) - 1)] + [IGNORE]
        return ids, labels, looks

    def _tokens(self, text: str, names: Sequence[Look]) -> tuple[list[int], list[int]]:
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        cells = []
        for token, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
            if self._place <= token < self._place + GRID * GRID:
                cells.append(token - self._place)
            elif text[start:end].lower() in COMMON:
                cells.append(NOWHERE)
            else:
                cells.append(next((cell for first, behind, cell in names if first <= start < behind), NOWHERE))
        return list(found["input_ids"]), cells


def _padded(rows: Sequence[Sequence[int]], value: int, length: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)
