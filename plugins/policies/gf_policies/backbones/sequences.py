"""Sequences of tokens with their segments, and batches of them. Touches no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gf_core.training.contracts import STRIDE, Segment

TYPES = ("token_type_ids", "mm_token_type_ids")
"""Per-token inputs beside ids and attention mask that some processors give and some models take."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A sample's sequence.

    Attributes:
        ids: token ids.
        segments: a :class:`~gf_core.training.contracts.Segment` for each.
        types: by name of :data:`TYPES`, a type for each.
        media: whatever else the processor gave, e.g. ``pixel_values``; the first axis is images, patches or samples.
    """

    ids: tuple[int, ...]
    segments: tuple[int, ...]
    types: Mapping[str, tuple[int, ...]]
    media: Mapping[str, Tensor]

    def extended(self, ids: Sequence[int], segment: Segment, token_type: int) -> Row:
        """The row with tokens behind it."""
        count = len(ids)
        return Row(
            ids=(*self.ids, *ids),
            segments=(*self.segments, *[int(segment)] * count),
            types={name: (*values, *[token_type] * count) for name, values in self.types.items()},
            media=self.media,
        )


def prefix_row(given: Mapping[str, Tensor], image_id: int, replacements: Mapping[int, Sequence[int]]) -> Row:
    """The row of what a processor gave for one sample.

    Args:
        given: the processor's output, with a batch of one.
        image_id: the id whose embeddings are image features.
        replacements: ids to the ids that are read in their place.
    """
    ids = given["input_ids"][0].tolist()
    columns = [(new, index) for index, old in enumerate(ids) for new in replacements.get(old, (old,))]
    types = {name: given[name][0].tolist() for name in TYPES if name in given}
    return Row(
        ids=tuple(token for token, _ in columns),
        segments=tuple(int(Segment.IMAGE if token == image_id else Segment.PROMPT) for token, _ in columns),
        types={name: tuple(values[index] for _, index in columns) for name, values in types.items()},
        media={name: value for name, value in given.items() if name not in ("input_ids", "attention_mask", *TYPES)},
    )


def collate(rows: Sequence[Row], *, pad_id: int, pad_type: int, left: bool) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs and segments ``(B, S) uint8`` of a batch, padded on the right; for decoding on the left, to a multiple of STRIDE."""
    length = max(len(row.ids) for row in rows)
    if left:
        length = -(-length // STRIDE) * STRIDE

    def padded(values: Sequence[int], filler: int) -> list[int]:
        missing = [filler] * (length - len(values))
        return [*missing, *values] if left else [*values, *missing]

    segments = torch.tensor([padded(row.segments, int(Segment.PADDING)) for row in rows], dtype=torch.uint8)
    inputs = {
        "input_ids": torch.tensor([padded(row.ids, pad_id) for row in rows]),
        "attention_mask": (segments != int(Segment.PADDING)).long(),
    }
    for name in TYPES:
        if any(name in row.types for row in rows):
            values = [row.types.get(name, (0,) * len(row.ids)) for row in rows]
            inputs[name] = torch.tensor([padded(each, pad_type) for each in values])
    names = sorted({name for row in rows for name in row.media})
    return inputs | {name: _joined([row.media[name] for row in rows if name in row.media]) for name in names}, segments


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenated along the first axis; the other axes are padded with zeros, which the models know as no image."""
    shape = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    if all(list(part.shape[1:]) == shape for part in parts):
        return torch.cat(list(parts))
    joined = parts[0].new_zeros(sum(len(part) for part in parts), *shape)
    start = 0
    for part in parts:
        joined[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return joined
