"""How far a backbone's weights moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gf_core.training.contracts import Backbone


@dataclass(frozen=True, kw_only=True)
class Change:
    """Of some parameters.

    Attributes:
        numbers: how many numbers they hold.
        relative: ``||w - w0|| / ||w0||`` (Frobenius norms over all of them); ``None`` where all are zero.
        missing: parameters of the source that the checkpoint hasn't got; they aren't counted.
    """

    numbers: int
    relative: float | None
    missing: int


def role_changes(before: Backbone, after: Backbone) -> dict[str, Change]:
    """Role to the change of its parameters."""
    return {role: _change(names, *_parameters(before, after)) for role, names in before.roles().items()}


def block_changes(before: Backbone, after: Backbone) -> dict[str, list[Change]]:
    """Role to the change of each of its layers, first to last; without roles that have no layers."""
    old, new = _parameters(before, after)
    found: dict[str, list[Change]] = {}
    for role in before.roles():
        blocks = [[name for name in old if name.startswith(f"{block}.")] for block in before.blocks(role)]
        if blocks:
            found[role] = [_change(names, old, new) for names in blocks]
    return found


def _parameters(before: Backbone, after: Backbone) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Names to values; an adapter that isn't merged keeps the weights that it adapts under ``base_layer``."""
    old, new = (dict(model.module.named_parameters()) for model in (before, after))
    return dict(old), {name.replace(".base_layer.", "."): value for name, value in new.items()}


def _change(names: Iterable[str], old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Change:
    moved = size = 0.0
    numbers = missing = 0
    with torch.no_grad():
        for name in names:
            if name not in new or new[name].shape != old[name].shape:
                missing += 1
                continue
            first, last = old[name].double(), new[name].double()
            moved += float((last - first).square().sum())
            size += float(first.square().sum())
            numbers += first.numel()
    return Change(numbers=numbers, relative=(moved / size) ** 0.5 if size else None, missing=missing)
