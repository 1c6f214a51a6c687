"""Rows that a policy adds to its backbone's vocabulary, and placeholders whose embeddings it computes.

The rows stand at the tail of the vocabulary, as OpenVLA's action tokens do (arXiv 2406.09246), but live in a
module of their own: forward hooks on the
embeddings replace the tail rows by them. So they train with frozen, adapted and fully trained backbones alike, tied or
untied, and a checkpoint can
hold them without the embedding matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gf_core.training.contracts import Backbone


class TokenRows(nn.Module):
    """Input and output embeddings of ``count`` tokens ``first … first + count - 1``, starting as copies of the backbone's rows.

    Args:
        backbone: whose embeddings are replaced; the hooks stay until :meth:`remove`.
        ids: consecutive token ids.
    """

    def __init__(self, backbone: Backbone, ids: range) -> None:
        super().__init__()
        self.first, self.count = ids.start, len(ids)
        inputs, outputs = backbone.input_embeddings(), backbone.output_embeddings()
        with torch.no_grad():  # through the module: Gemma 3's scales its rows
            self.input = nn.Parameter(inputs(torch.arange(ids.start, ids.stop)).detach().clone())
        self.output = nn.Parameter(_weight(outputs)[ids.start : ids.stop].detach().clone())
        self._placed: list[tuple[Tensor, Tensor]] = []
        self._hooks = (inputs.register_forward_hook(self._embed), outputs.register_forward_hook(self._score))

    def remove(self) -> None:
        """Give the backbone its own rows back."""
        for hook in self._hooks:
            hook.remove()

    @contextmanager
    def placed(self, *values: tuple[Tensor, Tensor]) -> Iterator[None]:
        """While it lasts, the embeddings at ``mask`` ``(B, S) bool`` are ``values`` ``(mask.sum(), D)``, for each pair
        given."""
        self._placed = list(values)
        try:
            yield
        finally:
            self._placed = []

    def _embed(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        ids = arguments[0]
        mine = (ids >= self.first) & (ids < self.first + self.count)
        rows = self.input[(ids - self.first).clamp(0, self.count - 1)].to(output.dtype)
        output = torch.where(mine.unsqueeze(-1), rows, output)
        for mask, values in self._placed:
            new = ids.shape[1] - mask.shape[1]  # decoding with a cache asks for the new token alone, without one for all
            if new >= 0:
                where = nn.functional.pad(mask, (0, new))
                output = output.masked_scatter(where.unsqueeze(-1), values.to(output.dtype))
        return output

    def _score(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        own = torch.nn.functional.linear(arguments[0], self.output.to(arguments[0].dtype))
        return torch.cat([output[..., : self.first], own, output[..., self.first + self.count :]], dim=-1)


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(module).__name__} has no weight")
    return weight
