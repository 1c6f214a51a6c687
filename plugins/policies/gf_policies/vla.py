"""`gf/vla-v1`: any checkpoint directory of `gf train` as a policy. Its conventions travel with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gf_core._shipped import folder_of
from gf_core.contracts import ActionChunk, Observation, PolicyContext, Slots
from gf_core.errors import MismatchError
from gf_core.specs import Observes, PolicyInterface

if TYPE_CHECKING:
    import torch

    from gf_core.training.checkpoint import Loaded
    from gf_core.training.samples import Sample


def interface(config: Mapping[str, Any]) -> PolicyInterface:
    """What the checkpoint sees and does; reads no weights."""
    from gf_core.canonical import content_hash
    from gf_core.training.checkpoint import read_checkpoint
    from gf_core.training.conventions import conventions_from_json

    document = read_checkpoint(folder_of(config["checkpoint"], where="checkpoint"))
    conventions, policy = conventions_from_json(document["conventions"]), document["links"][-1]["recipe"]["policy"]
    sizes = {tuple(policy["size"])} if policy["size"] else {conventions.cameras[camera] for camera in policy["cameras"]}
    if len(sizes) > 1:
        raise MismatchError(
            f"its cameras have several sizes, {sorted(sizes)}", where=config["checkpoint"], hint="train with policy.size"
        )
    acting = [head for head in document["links"][-1]["recipe"]["stages"][-1]["heads"] if head["used_at_inference"]]
    if len(acting) != 1:
        raise MismatchError(
            f"{len(acting)} heads act in its last stage",
            where=config["checkpoint"],
            hint="train with used_at_inference for exactly one",
        )
    height, width = sizes.pop()
    return PolicyInterface(
        observes=Observes(cameras=tuple(policy["cameras"]), size=(height, width), proprio=policy["proprio"]),
        action=conventions.action,
        max_batch=config["batch_size"],
        fingerprint=content_hash(document),
    )


def make_vla(config: Mapping[str, Any], context: PolicyContext) -> VLAPolicy:
    """The policy, loaded.

    Raises:
        MismatchError: the environment's proprioceptive state isn't what it was trained on, naming the field.
        GrinningFaceError: the checkpoint can't be loaded.
    """
    import torch

    from gf_core.plugins import load_plugins
    from gf_core.training.checkpoint import load_checkpoint
    from gf_core.training.distributed import pick_device

    if config["threads"]:
        torch.set_num_threads(config["threads"])
    folder = folder_of(config["checkpoint"], where="checkpoint")
    loaded = load_checkpoint(folder, load_plugins(context.plugin_files), backbone_settings=config["backbone"])
    check_proprio(loaded, context, config["checkpoint"])
    return VLAPolicy(loaded, pick_device(config["device"]), config["batch_size"], half=config["precision"] == "bf16")


def check_proprio(loaded: Loaded, context: PolicyContext, where: str) -> None:
    """Whether the environment tells the state that the policy knows."""
    if loaded.vla.proprio_normalizer is None:
        return
    mine, theirs = loaded.conventions.proprio, context.env.proprio
    for name in ("shape", "names", "unit", "frame"):
        if getattr(mine, name) != getattr(theirs, name):
            raise MismatchError(
                f"proprio {name} is {getattr(mine, name)} in the checkpoint and {getattr(theirs, name)} in {context.env.id}",
                where=where,
            )


class VLAPolicy:
    """A policy that plays a checkpoint. An episode's noise comes from its own generator, whatever is played beside it."""

    def __init__(self, loaded: Loaded, device: torch.device, batch_size: int, *, half: bool) -> None:
        self._vla = loaded.vla.to(device)
        self._device, self._batch_size, self._half = device, batch_size, half
        self._execute = int(loaded.links[-1].recipe.policy["execute_steps"])
        self._generators: dict[int, torch.Generator] = {}

    def reset(self, slots: Slots, seeds: Sequence[int]) -> None:
        """New generators."""
        import torch

        for slot, seed in zip(slots.tolist(), seeds, strict=True):
            self._generators[slot] = torch.Generator().manual_seed(seed)

    def act(self, observation: Observation) -> ActionChunk:
        """A chunk for every slot."""
        import torch

        from gf_core.training.contracts import join

        batches = [self._vla.prepare([self._sample(observation, row)], generate=True) for row in range(len(observation.slots))]
        lengths = [batch.input_ids.shape[1] for batch in batches]
        chunks: dict[int, np.ndarray] = {}
        for length in sorted(set(lengths)):  # every forward has one of few shapes, whoever shares it
            rows = [row for row, own in enumerate(lengths) if own == length]
            filling = self._batch_size - len(rows)
            generators = [self._generators[int(observation.slots[row])] for row in rows]
            generators += [torch.Generator().manual_seed(0) for _ in range(filling)]
            batch = join([batches[row] for row in rows] + [batches[rows[0]]] * filling).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                actions = self._vla.act(batch, generators).numpy()
            chunks |= dict(zip(rows, actions, strict=False))
        return ActionChunk(actions=np.stack([chunks[row] for row in range(len(lengths))]), execute_steps=self._execute)

    def close(self) -> None:
        """Nothing to free."""

    def _sample(self, observation: Observation, row: int) -> Sample:
        from gf_core.training.samples import Frame, Sample

        return Sample(
            frames=tuple(Frame(camera=name, offset=0, image=observation.images[name][row]) for name in self._vla.cameras),
            prompt=observation.instruction[row],
            proprio=None if observation.proprio is None else observation.proprio[row],
        )
