"""A vector-quantised inverse-dynamics model: a few codes that say how one frame becomes a later one.

An encoder reads both frames, each by itself, and gives ``codes`` vectors: their differences. Each is replaced by the nearest
entry of a codebook; a decoder sees the first frame and the entries and predicts the later one (LAPA, arXiv 2410.11758). The few
codes are all that can tell the decoder what happened in between, so they come to mean the motion.

As in LAPA, gradients pass the quantisation by noise substitution (NSVQ, Vali and Bäckström, IEEE Access 10, 2022,
doi:10.1109/ACCESS.2022.3147670), and entries that fall out of use get another place: a codebook of which one entry
is used is the known failure. Straight-through gradients with VQ-VAE's codebook and commitment terms (arXiv 1711.00937) failed
that way on moving squares; so did an encoder that reads both frames at once.

Where it differs from LAPA: plain transformers instead of a C-ViViT; vectors of unit length (ViT-VQGAN, arXiv 2110.04627), of less
where both frames give nearly the same; the decoder predicts the change of each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import functional

USAGE_DECAY = 0.99
"""Of the moving average of how often an entry is chosen, as in VQ-VAE (arXiv 1711.00937, appendix A.1)."""
SOFT = 0.1
"""Length of a difference between two frames' vectors, at which its direction counts by 1/√2."""
STILL = 1e-4
"""Mean squared change of a pixel, of values in [-1, 1], below which a batch counts as motionless."""


@dataclass(frozen=True, kw_only=True)
class IdmConfig:
    """What an inverse-dynamics model is, and which frame pairs it is for.

    Attributes:
        horizon: control steps between the two frames.
        camera: whose frames.
        codes: codes of a frame pair.
        codebook: entries of the codebook, shared by all codes.
        code_dim: width of an entry.
        image_size: frames are resized to this height and width [px].
        patch: height and width of a patch [px]; divides ``image_size``.
        width: width of the transformers; a multiple of 4.
        layers: layers of the encoder, and of the decoder.
    """

    horizon: int
    camera: str
    codes: int
    codebook: int
    code_dim: int
    image_size: int
    patch: int
    width: int
    layers: int

    @property
    def patches(self) -> int:
        """Patches of a frame."""
        side: int = self.image_size // self.patch
        return side * side


class InverseDynamics(nn.Module):
    """See the module's docstring.

    Attributes:
        usage: ``(codebook,) float32``, moving average of the share of codes that chose an entry; 1 / codebook for even use. A
            parameter, since what trains is what checkpoints hold; its gradient is always zero, and :meth:`restart` sets it.
    """

    _counts: Tensor

    def __init__(self, config: IdmConfig) -> None:
        super().__init__()
        self.config = config
        width, pixels = config.width, 3 * config.patch**2
        self.patch = nn.Linear(pixels, width)
        self.place = nn.Parameter(0.02 * torch.randn(config.patches, width))
        self.query = nn.Parameter(0.02 * torch.randn(config.codes, width))
        self.encoder = _transformer(config.layers, width)
        self.to_code = nn.Linear(width, config.code_dim)
        self.codebook = nn.Parameter(functional.normalize(torch.randn(config.codebook, config.code_dim), dim=-1))
        self.from_code = nn.Linear(config.code_dim, width)
        self.slot = nn.Parameter(0.02 * torch.randn(config.codes, width))
        self.decoder = _transformer(config.layers, width)
        self.to_pixels = nn.Linear(width, pixels)
        self.usage = nn.Parameter(torch.full((config.codebook,), 1 / config.codebook))
        self.register_buffer("_counts", torch.zeros(config.codebook), persistent=False)
        self._recent = torch.zeros(0, config.code_dim)

    def loss(self, first: Tensor, later: Tensor) -> Tensor:
        """Scalar loss of frame pairs ``(B, H, W, 3) uint8``; counts the entries that were chosen.

        It is the squared error of the predicted change, relative to the change: 1 for predicting none, 0 for perfect. Noise
        comes from torch's default generator.
        """
        before, after = self._patches(first), self._patches(later)
        vectors = self._encode(before, after)
        chosen = self._nearest(vectors)
        with torch.no_grad():
            self._counts += torch.bincount(chosen.flatten(), minlength=self.config.codebook)
            self._recent = vectors.detach().float().flatten(0, 1)  # of any autocast
        error = (functional.normalize(self.codebook, dim=-1)[chosen] - vectors).norm(dim=-1, keepdim=True)
        noise = functional.normalize(torch.randn_like(vectors), dim=-1)
        change = after - before
        wrong = functional.mse_loss(self._decode(before, vectors + error * noise), change)
        nothing = 0 * self.usage.sum()  # DistributedDataParallel wants every parameter in the loss
        return wrong / (change.square().mean() + STILL) + nothing

    @torch.no_grad()
    def codes(self, first: Tensor, later: Tensor) -> Tensor:
        """``(B, codes) int64``, 0 … codebook - 1, for frame pairs ``(B, H, W, 3) uint8``; float32 under any autocast."""
        with torch.autocast(self.codebook.device.type, enabled=False):
            return self._nearest(self._encode(self._patches(first), self._patches(later)))

    @torch.no_grad()
    def restart(self, below: float) -> int:
        """Fold a step's counts into :attr:`usage`, and give entries in little use another place; how many.

        An entry used less than ``below`` times the even share moves to the encoder's output whose direction is farthest from
        every entry; the short outputs of pairs in which hardly anything moves have no direction worth it. Processes of a group
        agree: they add up their counts, and the first one's entries hold.
        """
        counts = self._counts.clone()
        self._counts.zero_()
        together = distributed.is_available() and distributed.is_initialized()
        if together:
            distributed.all_reduce(counts)
        if counts.sum() == 0:
            return 0
        usage, entries = _whole(self.usage).lerp(counts / counts.sum(), 1 - USAGE_DECAY), _whole(self.codebook).clone()
        unused = (usage < below / self.config.codebook).nonzero().flatten().tolist()
        lengths = self._recent.norm(dim=-1)
        recent = functional.normalize(self._recent[lengths >= lengths.max() / 2], dim=-1)
        for entry in unused:
            similarity = recent @ functional.normalize(entries, dim=-1).T
            entries[entry] = recent[similarity.amax(-1).argmin()]
            usage[entry] = 1 / self.config.codebook
        if unused and together:
            distributed.broadcast(entries, src=0)
        _put(self.usage, usage)
        if unused:
            _put(self.codebook, entries)
        return len(unused)

    @torch.no_grad()
    def perplexity(self) -> float:
        """Number of entries in effective use: e to the entropy of :attr:`usage`; 1 … codebook."""
        usage = _whole(self.usage)
        share = usage / usage.sum()
        return float(torch.exp(-torch.xlogy(share, share).sum()))

    def _patches(self, frames: Tensor) -> Tensor:
        """``(B, H, W, 3) uint8`` to ``(B, patches, 3 · patch²)`` in [-1, 1]."""
        size, patch = self.config.image_size, self.config.patch
        images = frames.permute(0, 3, 1, 2).to(self.codebook.dtype) / 127.5 - 1
        images = functional.interpolate(images, (size, size), mode="area")
        return functional.unfold(images, patch, stride=patch).transpose(1, 2)

    def _encode(self, before: Tensor, after: Tensor) -> Tensor:
        """``(B, codes, code_dim)``, of unit length unless both frames give nearly the same."""
        patches = self.patch(torch.cat([after, before])) + self.place
        tokens = torch.cat([self.query.expand(len(patches), -1, -1), patches], dim=1)
        later, earlier = self.to_code(self.encoder(tokens)[:, : self.config.codes]).chunk(2)
        return direction(later - earlier)

    def _nearest(self, vectors: Tensor) -> Tensor:
        similarity: Tensor = vectors @ functional.normalize(self.codebook, dim=-1).T
        return similarity.argmax(-1)

    def _decode(self, before: Tensor, codes: Tensor) -> Tensor:
        """The change of each patch ``(B, patches, 3 · patch²)``."""
        tokens = torch.cat([self.from_code(codes) + self.slot, self.patch(before) + self.place], dim=1)
        change: Tensor = self.to_pixels(self.decoder(tokens)[:, self.config.codes :])
        return change


def direction(vectors: Tensor) -> Tensor:
    """``(..., D)`` of nearly unit length; of vectors much shorter than :data:`SOFT`, in proportion to it.

    Dividing by the length itself multiplies gradients by its inverse. Then one pair whose vectors come out nearly alike has a
    gradient 1,000 to 60,000 times that of all others of its batch, and clipping leaves nothing of theirs (measured on
    demonstrations of gf/demos@1: in a quarter of the steps).
    """
    return vectors * torch.rsqrt(vectors.square().sum(-1, keepdim=True) + SOFT**2)


def _whole(parameter: Tensor) -> Tensor:
    """A parameter's values, gathered where it is sharded (FSDP2)."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()


def _put(parameter: Tensor, values: Tensor) -> None:
    """The inverse of :func:`_whole`."""
    if isinstance(parameter, DTensor):
        values = distribute_tensor(values, parameter.device_mesh, parameter.placements)
    parameter.copy_(values)


def _transformer(layers: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(layers)),
        nn.LayerNorm(width),
    )
