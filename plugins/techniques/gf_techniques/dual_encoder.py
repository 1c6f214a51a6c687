"""Dual encoder (arXiv 2509.11417): a frozen copy of the vision tower beside the one that trains.

The paper concatenates both towers' features. Here each concatenation is projected back to the tower's width by a trained linear
layer, so that the projector behind it keeps its weights; it starts as the mean of both, which is what the VLM computes, since
both towers start alike. So the features reach the language model, and every head that reads its hidden states, by the path that
the VLM's own features take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Layout, Technique
from gf_core.training.mixture import Mixture
from gf_core.training.model import VLA
from gf_core.training.samples import ROBOT, Frame, Sample
from gf_techniques.frozen import Frozen

_WHERE = "gf/dual-encoder-v1"
Path = tuple[str, ...]
"""Where a tensor stands in a tower's output: keys and indices."""


class DualEncoder(Technique):
    """Adds a frozen copy of the vision tower (role ``vision_copy``) and the layers that fuse both (role ``fusion``).

    They stay in the policy after the stage. Which parameters of the tower train is another technique's choice.
    """

    order = -20  # before adapters are added: the copy is of the plain tower

    def __init__(self) -> None:
        self._tower: nn.Module | None = None
        self._report: dict[str, Any] = {}

    def mixture(self, mixture: Mixture) -> Mixture:
        """The same mixture. It is asked for when every technique has set up, so what trains is known.

        Raises:
            GrinningFaceError: nothing of the vision tower trains.
        """
        if self._tower is not None and not any(value.requires_grad for value in self._tower.parameters()):
            raise GrinningFaceError(
                "nothing of the vision tower trains, so the copy would add nothing",
                where=_WHERE,
                hint="add gf/full-finetune-v1 or gf/lora-v1 with the role vision, or raise `vision` of gf/freeze-v1",
            )
        return mixture

    def setup(self, vla: VLA) -> None:
        """Copy the tower, find which of its outputs are used, and fuse these.

        Raises:
            GrinningFaceError: there is a copy already, or the tower isn't one module.
        """
        if "vision_copy" in vla.extras:
            raise GrinningFaceError("an earlier stage added a second tower", where=_WHERE, hint="leave it out of this stage")
        name = vision_module(vla)
        tower = vla.model.get_submodule(name)
        widths = _used_outputs(vla, tower)
        if not widths:
            raise GrinningFaceError(f"the model doesn't call its vision tower {name!r}, or not for its features", where=_WHERE)
        pair = _Pair(deepcopy(tower), widths)
        vla.extras["vision_copy"], vla.extras["fusion"] = Frozen(tower=pair.copy), pair.fusion
        pair.fusion.requires_grad_(True)
        self._tower = tower
        tower.register_forward_hook(pair.fuse, with_kwargs=True)
        self._report = {"tower": name, "outputs": [".".join(path) for path in widths]}

    def report(self) -> dict[str, Any]:
        """The tower's name and which of its outputs are fused."""
        return self._report


class _Pair(nn.Module):
    """The frozen copy, and for each output that is used a layer from both towers' features to one."""

    def __init__(self, copy: nn.Module, widths: Mapping[Path, int]) -> None:
        super().__init__()
        self.copy = copy
        self.paths = list(widths)
        self.fusion = nn.ModuleList(_mean_of_two(width) for width in widths.values())

    def fuse(self, tower: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], output: object) -> object:
        """A forward hook of the tower: its output with the fused features in it."""
        frozen: dict[Path, Tensor] = {}
        with torch.no_grad():
            _mapped(self.copy(*arguments, **keywords), lambda path, value: frozen.setdefault(path, value))

        def fused(path: Path, value: Tensor) -> Tensor:
            if path not in self.paths:
                return value
            both = torch.cat([frozen[path], value], -1)
            projected: Tensor = self.fusion[self.paths.index(path)](both)
            return projected.to(value.dtype)

        return _mapped(output, fused)


def _mean_of_two(width: int) -> nn.Linear:
    layer = nn.Linear(2 * width, width, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.cat([torch.eye(width), torch.eye(width)], 1) / 2)
    return layer


def vision_module(vla: VLA) -> str:
    """Name within the backbone of the innermost module that holds the whole vision tower.

    Raises:
        GrinningFaceError: the backbone has no vision tower, or no such module without parts of the language model.
    """
    roles = vla.backbone.roles()
    if not roles["vision"]:
        raise GrinningFaceError("the backbone has no vision tower", where=_WHERE)
    levels = zip(*(name.split(".")[:-1] for name in roles["vision"]), strict=False)
    name = ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
    if not name or any(other.startswith(f"{name}.") for other in roles["language"]):
        raise GrinningFaceError("the backbone's vision tower isn't a module of its own", where=_WHERE)
    return name


def _used_outputs(vla: VLA, tower: nn.Module) -> dict[Path, int]:
    """Widths of those of the tower's outputs that the language model's hidden states depend on, found with a blank image."""
    leaves: dict[Path, Tensor] = {}

    def tap(path: Path, value: Tensor) -> Tensor:
        if value.is_floating_point():
            leaves[path] = value.detach().clone().requires_grad_()
        return leaves.get(path, value)

    handle = tower.register_forward_hook(lambda module, arguments, output: _mapped(output, tap))
    try:
        with torch.enable_grad():
            seen = vla.backbone.encode(_blank(vla).to(next(tower.parameters()).device)).last.float().sum()
            used = torch.autograd.grad(seen, list(leaves.values()), allow_unused=True) if leaves else ()
    finally:
        handle.remove()
    return {path: leaf.shape[-1] for (path, leaf), gradient in zip(leaves.items(), used, strict=True) if gradient is not None}


def _blank(vla: VLA) -> Batch:
    cameras = vla.conventions.cameras
    if not cameras:
        raise GrinningFaceError("the robot data has no cameras", where=_WHERE)
    camera = vla.cameras[0] if vla.cameras else next(iter(cameras))
    image = np.zeros((*cameras[camera], 3), np.uint8)
    sample = Sample(frames=(Frame(camera=camera, offset=0, image=image),), prompt="", domain=ROBOT)
    return vla.backbone.prepare([sample], Layout(), generate=True)


def _mapped(value: object, function: Callable[[Path, Tensor], Tensor], path: Path = ()) -> object:
    """A tower's output (tensors in tuples, lists and mappings such as transformers' ModelOutput) with its tensors replaced."""
    if isinstance(value, Tensor):
        return function(path, value)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, function, (*path, str(index))) for index, item in enumerate(value))
    if isinstance(value, Mapping):
        return type(value)(**{key: _mapped(item, function, (*path, key)) for key, item in value.items()})
    return value


def make(config: Mapping[str, Any]) -> DualEncoder:
    """Entry point of gf/dual-encoder-v1."""
    return DualEncoder()
