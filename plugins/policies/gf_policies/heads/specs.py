"""What the heads are, without importing them."""

from __future__ import annotations

from gf_core.settings import choice, integer, number, settings
from gf_core.specs import HeadSpec

_EXTRA = "grinningface[train]"

REGRESSION = HeadSpec(
    id="gf/regression-v1",
    summary="regresses the whole chunk at once from query tokens or the prefix (OpenVLA-OFT, ACT)",
    entry_point="gf_policies.heads.regression:make",
    citation="arXiv:2502.19645",
    extra=_EXTRA,
    config_schema=settings(
        readout=choice(
            "what is read: one query token per step of the chunk, the mean over the prefix, the prefix's last token, all of the "
            "prefix by a decoder's attention (ACT, arXiv 2304.13705), or by a single one whose findings go through the residual "
            "network together with the state's token (pooling, arXiv 1810.00825)",
            "query",
            "mean",
            "last",
            "attention",
            "pooled",
        ),
        reads=choice(
            "what mean, attention and pooled read: the whole prefix, or without image tokens, where words hold what they mean",
            "prefix",
            "text",
        ),
        layer=integer(
            -1, "hidden state that is read: 0 for the embeddings, then one per layer; negative counts from the last", low=None
        ),
        width=integer(1024, "width of the residual blocks, or of the attending ones"),
        blocks=integer(2, "number of these blocks", low=0),
        attention_heads=integer(
            8, "attention heads of the attending blocks, must divide the width; of the pooling, must divide the backbone's"
        ),
        pooled=integer(4, "queries of the pooling"),
        loss=choice("absolute or squared error", "l1", "l2"),
    ),
)

FLOW = HeadSpec(
    id="gf/flow-v1",
    summary="flow-matching expert that cross-attends to hidden states of the prefix (π0)",
    entry_point="gf_policies.heads.flow:make",
    citation="arXiv:2410.24164",
    extra=_EXTRA,
    config_schema=settings(
        width=integer(512, "width of the expert"),
        depth=integer(6, "blocks of the expert"),
        attention_heads=integer(8, "attention heads of the expert; must divide the width"),
        layers={
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 1,
            "default": [-1],
            "description": "hidden states that the blocks read, spread evenly over them: 0 for the embeddings, "
            "then one per layer; negative counts from the last",
        },
        euler_steps=integer(10, "Euler steps from noise to actions"),
        time_alpha=number(
            1.5, "training times are s(1 - u) with u from Beta(time_alpha, 1); 1 is uniform, more means more noise", above=0
        ),
        time_limit=number(0.999, "s, the latest training time; 1 is data without noise", above=0, high=1),
        draws=integer(1, "noises and times drawn for each sample and step of training"),
    ),
)

BINS = HeadSpec(
    id="gf/bins-v1",
    summary="a token per step and element, each one of 256 bins (OpenVLA)",
    entry_point="gf_policies.heads.bins:make",
    citation="arXiv:2406.09246",
    extra=_EXTRA,
    config_schema=settings(
        bins=integer(256, "number of bins, shared by all elements", low=2, high=4096),
        spacing=choice(
            "uniform on [-1, 1] after normalisation, or each element's quantiles over the training chunks", "uniform", "quantile"
        ),
        vocabulary=choice("the same tokens for every element, or tokens of its own for each", "shared", "separate"),
    ),
)

FAST = HeadSpec(
    id="gf/fast-v1",
    summary="cosine transform, rounding and byte-pair encoding fitted on the training chunks (FAST)",
    entry_point="gf_policies.heads.fast:make",
    citation="arXiv:2501.09747",
    extra=_EXTRA,
    config_schema=settings(
        scale=number(10.0, "factor of the cosine transform's coefficients before rounding; more is finer and longer", above=0),
        vocabulary=integer(1024, "most tokens of the byte-pair encoding", low=2, high=6400),
    ),
)

LATENT = HeadSpec(
    id="gf/latent-v1",
    summary="predicts latent-action codes computed beforehand; for pretraining, can't act (LAPA)",
    entry_point="gf_policies.heads.latent:make",
    citation="arXiv:2410.11758",
    extra=_EXTRA,
    config_schema=settings(
        codes=integer(4, "codes of a sample"),
        codebook=integer(8, "values that a code can have", low=2),
    ),
)

TEXT = HeadSpec(
    id="gf/text-v1",
    summary="actions as plain text in centimetres and degrees (VLM2VLA)",
    entry_point="gf_policies.heads.text:make",
    citation="arXiv:2509.22195",
    extra=_EXTRA,
    config_schema=settings(
        style=choice("numbers alone, or each with its element's name and unit", "plain", "named"),
        length_decimals=integer(2, "decimals of lengths [cm]", low=0, high=6),
        angle_decimals=integer(1, "decimals of angles [°]", low=0, high=6),
        other_decimals=integer(2, "decimals of everything else, in its own unit", low=0, high=6),
    ),
)

HEADS: tuple[HeadSpec, ...] = (REGRESSION, FLOW, BINS, FAST, LATENT, TEXT)
