"""Run as a program: gradients of a policy sharded by FSDP2 over two processes against those of one, as JSON on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from tiny import begin, policy, samples, technique
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

STAGES = {
    "full": [("full-finetune", {}), ("dual-encoder", {})],
    "lora": [("lora", {"r": 2, "roles": ["vision", "language"]})],
}
PENALTIES = [("l2-sp", {"vision": 3.0, "language": 3.0}), ("kl-to-source", {"samples": "all", "positions": "both"})]


def stage(name: str) -> torch.nn.Module:
    """The same policy in every process, somewhat away from its start."""
    torch.manual_seed(0)
    vla = policy()
    begin(vla, *(technique(method, **settings) for method, settings in (*STAGES[name], *PENALTIES)))
    with torch.no_grad():
        for parameter in vla.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return vla


def gradients(vla: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Of all losses of one batch, whole."""
    sum(vla(vla.prepare(samples())).values()).backward()
    found = {name: value.grad for name, value in vla.named_parameters() if value.grad is not None}
    return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in found.items()}


def work(rank: int, folder: str) -> None:
    """Compare in one of two processes; the first writes the largest relative difference of each stage."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    worst = {}
    for name in STAGES:
        alone, sharded = stage(name), stage(name)
        for block in [*sharded.model.blocks, *sharded.model.vision.blocks]:
            fully_shard(block)
        fully_shard(sharded)
        wanted, found = gradients(alone), gradients(sharded)
        assert set(wanted) == set(found)
        worst[name] = max(float((found[key] - wanted[key]).abs().max() / (wanted[key].abs().max() + 1e-9)) for key in wanted)
    if rank == 0:
        Path(folder, "worst.json").write_text(json.dumps(worst))
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, (sys.argv[1],), nprocs=2)
