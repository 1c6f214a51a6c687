"""One process or several under ``torchrun``: DDP for adapters, FSDP2 for what doesn't fit.

torch's own wrappers are used as they are: everything that a step needs is in :meth:`VLA.forward`, which they wrap.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from gf_core.errors import GrinningFaceError
from gf_core.training.loading import Place
from gf_core.training.model import VLA
from gf_core.training.schedule import trainable

Parallel = Literal["ddp", "fsdp"]
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=False)


@contextmanager
def group(device: torch.device) -> Iterator[Place]:
    """The processes that ``torchrun`` started; one where it didn't."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Place()
        return
    # Long: while the first process evaluates, the others wait for it in the next step.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6))
    try:
        yield Place(rank=dist.get_rank(), world=world)
    finally:
        dist.destroy_process_group()


def pick_device(name: str) -> torch.device:
    """``auto``: this process's GPU if there is one, else the CPU.

    Raises:
        GrinningFaceError: there is no such device.
    """
    if name != "auto":
        try:
            device = torch.device(name)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise GrinningFaceError(f"can't use {name!r} ({reason})", where="device", hint="try auto or cpu") from error
        return device
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def wrap(vla: VLA, place: Place, parallel: Parallel) -> nn.Module:
    """What the trainer calls instead of the policy, for one stage."""
    if place.world == 1:
        return vla
    if parallel == "fsdp":
        modules = dict(vla.model.named_modules())
        for role in ("vision", "language"):
            for name in vla.backbone.blocks(role):
                fully_shard(modules[name])
        fully_shard(vla)
        return vla
    return DistributedDataParallel(vla, broadcast_buffers=False, find_unused_parameters=True)


def gather_parameters(vla: VLA, place: Place, parallel: Parallel) -> dict[str, Tensor]:
    """The parameters that train, whole, on the CPU; every process takes part, the first one gets them."""
    if place.world > 1 and parallel == "fsdp":
        names = trainable(vla).keys()
        whole = get_model_state_dict(vla, options=FULL)
        return {name: value for name in names if isinstance(value := whole.get(name), Tensor)}
    return {name: value.detach() for name, value in trainable(vla).items()}


def gather_optimizer(vla: VLA, optimizer: torch.optim.Optimizer, place: Place, parallel: Parallel) -> dict[str, Any]:
    """The optimiser's state, whole; every process takes part."""
    if place.world > 1 and parallel == "fsdp":
        return dict(get_optimizer_state_dict(vla, optimizer, options=FULL))
    return optimizer.state_dict()


def restore_optimizer(
    vla: VLA, optimizer: torch.optim.Optimizer, state: Mapping[str, Any], place: Place, parallel: Parallel
) -> None:
    """The inverse of :func:`gather_optimizer`."""
    if place.world > 1 and parallel == "fsdp":
        set_optimizer_state_dict(vla, optimizer, dict(state), options=FULL)
    else:
        optimizer.load_state_dict(dict(state))


def barrier(place: Place) -> None:
    """Wait for all processes."""
    if place.world > 1:
        dist.barrier()


def mean(values: Mapping[str, float], place: Place) -> dict[str, float]:
    """Means over the processes; all have the same names."""
    if place.world == 1 or not values:
        return dict(values)
    names = sorted(values)
    tensor = torch.tensor([values[name] for name in names], dtype=torch.float64)
    if torch.cuda.is_available() and dist.get_backend() == "nccl":
        tensor = tensor.cuda()
    dist.all_reduce(tensor)
    return dict(zip(names, (tensor / place.world).tolist(), strict=True))
