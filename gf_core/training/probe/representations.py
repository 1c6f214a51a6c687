"""What the layers of both models make of the same scenes, and how alike that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.contracts import Doubles, Floats
from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Backbone, Batch, Context, Segment
from gf_core.training.probe.material import Watch
from gf_core.training.probe.models import Models, to_sample
from gf_core.training.probe.questions import Material

CONSTANT = 1e-6
"""A representation whose deviation from its mean is smaller than this, relative to its size, is the same for every scene."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A model's representations of N scenes, one ``(N, D) float32`` for each layer.

    Attributes:
        vision: outputs of the vision tower's layers, mean over the image's patches.
        image: hidden states of the language model at the image's tokens, mean; the first is what the projector gives.
        answer: its hidden states at the last token of the prompt, where the answer is about to be said.
    """

    vision: tuple[Floats, ...]
    image: tuple[Floats, ...]
    answer: tuple[Floats, ...]


def represent(material: Material, models: Models, watch: Watch) -> tuple[Seen, Seen]:
    """Both models' representations of all scenes.

    Raises:
        GrinningFaceError: the vision tower's output can't be told apart by sample.
    """
    parts: tuple[list[Seen], list[Seen]] = ([], [])
    for start in range(0, len(material.scenes), models.batch_size):
        watch("comparing representations", start, len(material.scenes))
        scenes = material.scenes[start : start + models.batch_size]
        samples = [to_sample(material.images[scene.image], scene.prompt, None, f"{scene.image}") for scene in scenes]
        batch = models.prepare(samples, generate=True)
        for model, found in zip(models.both, parts, strict=True):
            with models.reading():
                found.append(_see(model, batch, len(samples)))
    return _join(parts[0]), _join(parts[1])


def _see(model: Backbone, batch: Batch, count: int) -> Seen:
    with _watched(model, "vision") as outputs:
        context = model.encode(batch)
    images = context.mask(Segment.IMAGE)
    vision = tuple(_by_sample(found, count) for found in outputs if found) if bool(images.any(1).all()) else ()
    return Seen(
        vision=vision,
        image=tuple(_mean(state, images) for state in context.hidden) if bool(images.any(1).all()) else (),
        answer=tuple(_last(context)),
    )


@contextmanager
def _watched(model: Backbone, role: str) -> Iterator[list[list[Tensor]]]:
    """What a role's layers give while it lasts: for each layer, the output of each call."""
    names = model.blocks(role)
    outputs: list[list[Tensor]] = [[] for _ in names]

    def keep(into: list[Tensor]) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, arguments: object, output: object) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor):
                into.append(first)

        return model.module.get_submodule(names[len(handles)]).register_forward_hook(hook)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for into in outputs:
            handles.append(keep(into))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _by_sample(calls: Sequence[Tensor], count: int) -> Floats:
    """``(count, D)``: mean over each sample's patches. Towers give ``(images, N, D)``, or all patches in one row of ``(N, D)``;
    images come in the samples' order, and those of the scenes are alike in size and number."""
    patches = torch.cat([call.float().reshape(-1, call.shape[-1]) for call in calls])
    if len(patches) % count:
        raise GrinningFaceError(
            f"the vision tower gives {len(patches)} patches for {count} samples with images of one size",
            hint="with --data, give images of one size",
        )
    return _numpy(patches.reshape(count, -1, patches.shape[-1]).mean(1))


def _mean(state: Tensor, mask: Tensor) -> Floats:
    weights = mask.float()
    return _numpy((state.float() * weights[..., None]).sum(1) / weights.sum(1, keepdim=True))


def _last(context: Context) -> Iterator[Floats]:
    """Prompts are padded on the left, so the last position is the prompt's last token."""
    for state in context.hidden:
        yield _numpy(state[:, -1].float())


def _numpy(values: Tensor) -> Floats:
    array: Floats = values.cpu().numpy()
    return array


def _join(parts: Sequence[Seen]) -> Seen:
    def joined(name: str) -> tuple[Floats, ...]:
        layers = [getattr(part, name) for part in parts]
        return tuple(np.concatenate(layer) for layer in zip(*layers, strict=True)) if all(layers) else ()

    return Seen(vision=joined("vision"), image=joined("image"), answer=joined("answer"))


def linear_cka(x: Floats, y: Floats) -> float | None:
    """Linear centred kernel alignment of two representations ``(N, D)`` and ``(N, D')`` of the same N scenes, in 0..1.

    ``||Yᵀ X||² / (||Xᵀ X|| ||Yᵀ Y||)`` with centred columns and Frobenius norms (arXiv 1905.00414), computed from the
    ``N × N`` Gram matrices. It doesn't change under rotations and isotropic scaling. With fewer scenes than dimensions it is
    biased towards 1. ``None`` where one of them is the same for every scene.
    """
    first, second = _gram(x), _gram(y)
    if first is None or second is None:
        return None
    return float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second)))


def _gram(values: Floats) -> Doubles | None:
    exact = values.astype(np.float64)
    centred = exact - exact.mean(0)
    if np.linalg.norm(centred) <= CONSTANT * np.linalg.norm(exact):
        return None
    gram: Doubles = centred @ centred.T
    return gram
