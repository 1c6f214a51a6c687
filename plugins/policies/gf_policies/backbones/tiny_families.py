"""Sizes and parts of the tiny random models: one row a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import (
    Gemma2Config,
    Gemma3Config,
    Gemma3TextConfig,
    GemmaConfig,
    Idefics3Config,
    InternVLConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaOnevisionConfig,
    PaliGemmaConfig,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen3VLConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

PADDING, BEGIN, END, TURN, END_OF_TURN = "<pad>", "<bos>", "<eos>", "<|turn|>", "<|end|>"

SIDE, PATCH = 64, 16
"""Image side and patch side [px]: 16 patches."""

SPREAD = 0.125
"""Standard deviation of the weights, 1 / √64: with the 0.02 of wide models, so narrow ones would only repeat their input."""

SIZE = {"height": SIDE, "width": SIDE}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
    "initializer_range": SPREAD,
}
LANGUAGE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "pad_token_id": 256,
    "bos_token_id": 257,
    "eos_token_id": 258,
    "initializer_range": SPREAD,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A family's tiny model.

    Attributes:
        config: vocabulary size and special tokens' ids to the model's configuration.
        images: the image processor.
        processor: name of the processor's class.
        processor_settings: its settings.
        tokens: the tokenizer's special tokens beyond the common five, by the name that the processor asks for.
        placeholder: what the chat template writes for an image; empty for a family without chat template.
        ending: the token that ends an answer.
        added: tokens that the processor adds by itself.
        spare: rows of the vocabulary beyond the tokenizer.
        zeros: parameters that start as zeros and are drawn instead.
    """

    config: Callable[[int, Mapping[str, int]], PreTrainedConfig]
    images: Callable[[], BaseImageProcessor]
    processor: str
    processor_settings: Mapping[str, object] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=lambda: {"image_token": "<image>"})
    placeholder: str = "<image>\n"
    ending: str = END_OF_TURN
    added: int = 0
    spare: int = 1500
    zeros: tuple[str, ...] = ()


def _paligemma(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    text = GemmaConfig(vocab_size=vocabulary, **LANGUAGE)
    return _paligemma_of(text, vocabulary, ids)


def _paligemma2(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    text = Gemma2Config(vocab_size=vocabulary, sliding_window=16, layer_types=ALTERNATING, query_pre_attn_scalar=16, **LANGUAGE)
    return _paligemma_of(text, vocabulary, ids)


def _paligemma_of(text: PreTrainedConfig, vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, "projection_dim": 64, **VISION},
        text_config=text,
        image_token_index=ids["image_token"],
        vocab_size=vocabulary,
        projection_dim=64,
        hidden_size=64,
        pad_token_id=256,
    )


def _idefics3(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return Idefics3Config(
        vision_config=dict(VISION),
        text_config=LlamaConfig(vocab_size=vocabulary, **LANGUAGE),
        image_token_id=ids["image_token"],
        scale_factor=2,
        pad_token_id=256,
    )


def _smolvlm(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return SmolVLMConfig(
        vision_config=dict(VISION),
        text_config=LlamaConfig(vocab_size=vocabulary, **LANGUAGE),
        image_token_id=ids["image_token"],
        scale_factor=2,
        pad_token_id=256,
    )


def _qwen3_vl(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return Qwen3VLConfig(
        text_config={"vocab_size": vocabulary, "rope_parameters": {**MROPE, "mrope_interleaved": True}, **LANGUAGE},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": PATCH,
            "out_hidden_size": 64,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
            "initializer_range": SPREAD,
        },
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_start_token"],
        vision_end_token_id=ids["vision_end_token"],
        tie_word_embeddings=True,
    )


def _qwen2_5_vl(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return Qwen2_5_VLConfig(
        text_config={"vocab_size": vocabulary, "rope_parameters": dict(MROPE), **LANGUAGE},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": PATCH,
            "out_hidden_size": 64,
            "window_size": 64,
            "fullatt_block_indexes": [1],
            "initializer_range": SPREAD,
        },
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_start_token"],
        vision_end_token_id=ids["vision_end_token"],
    )


def _internvl(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return InternVLConfig(
        vision_config={**VISION, "image_size": (SIDE, SIDE), "patch_size": (PATCH, PATCH)},
        text_config=Qwen2Config(vocab_size=vocabulary, **LANGUAGE),
        image_token_id=ids["context_image_token"],
        image_seq_length=4,
        tie_word_embeddings=False,
    )


def _gemma3(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return Gemma3Config(
        text_config=Gemma3TextConfig(
            vocab_size=vocabulary, sliding_window=16, layer_types=ALTERNATING, query_pre_attn_scalar=16, **LANGUAGE
        ),
        vision_config={"vision_use_head": False, **VISION},
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
        pad_token_id=256,
    )


def _llava(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return LlavaConfig(
        vision_config=SiglipVisionConfig(vision_use_head=False, **VISION),
        text_config=LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **LANGUAGE),
        image_token_index=ids["image_token"],
        image_seq_length=16,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=256,
    )


def _llava_onevision(vocabulary: int, ids: Mapping[str, int]) -> PreTrainedConfig:
    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(vision_use_head=False, **VISION),
        text_config=Qwen2Config(vocab_size=vocabulary, **LANGUAGE),
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        image_grid_pinpoints=[[SIDE, SIDE], [SIDE, 2 * SIDE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )


def _siglip() -> BaseImageProcessor:
    images = SiglipImageProcessorPil(size=SIZE)
    images.image_seq_length = (SIDE // PATCH) ** 2
    return images


QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
IDEFICS_TOKENS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "video_token": "<video>",
}
GEMMA3_TOKENS = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
INTERNVL_TOKENS = {
    "context_image_token": "<IMG_CONTEXT>",
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "video_token": "<video>",
}


def _qwen_images() -> BaseImageProcessor:
    return Qwen2VLImageProcessorPil(size={"shortest_edge": SIDE**2, "longest_edge": SIDE**2}, patch_size=PATCH)


TINY: Mapping[str, Tiny] = {
    "paligemma": Tiny(config=_paligemma, images=_siglip, processor="PaliGemmaProcessor", placeholder="", ending=END, added=1152),
    "paligemma2": Tiny(
        config=_paligemma2, images=_siglip, processor="PaliGemmaProcessor", placeholder="", ending=END, added=1152
    ),
    "idefics3": Tiny(
        config=_idefics3,
        images=lambda: Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
        processor="Idefics3Processor",
        processor_settings={"image_seq_len": 4},
        tokens=IDEFICS_TOKENS,
        placeholder="<image>",
        ending="<end_of_utterance>",
    ),
    "smolvlm": Tiny(
        config=_smolvlm,
        images=lambda: SmolVLMImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
        processor="SmolVLMProcessor",
        processor_settings={"image_seq_len": 4},
        tokens=IDEFICS_TOKENS,
        placeholder="<image>",
        ending="<end_of_utterance>",
    ),
    "qwen3-vl": Tiny(
        config=_qwen3_vl, images=_qwen_images, processor="Qwen3VLProcessor", tokens=QWEN_TOKENS, placeholder=QWEN_IMAGE
    ),
    "qwen2.5-vl": Tiny(
        config=_qwen2_5_vl, images=_qwen_images, processor="Qwen2_5_VLProcessor", tokens=QWEN_TOKENS, placeholder=QWEN_IMAGE
    ),
    "internvl": Tiny(
        config=_internvl,
        images=lambda: GotOcr2ImageProcessorPil(size=SIZE),
        processor="InternVLProcessor",
        processor_settings={"image_seq_length": 4},
        tokens=INTERNVL_TOKENS,
        placeholder="<IMG_CONTEXT>\n",
    ),
    "gemma3": Tiny(
        config=_gemma3,
        images=lambda: Gemma3ImageProcessorPil(size=SIZE),
        processor="Gemma3Processor",
        processor_settings={"image_seq_length": 4},
        tokens=GEMMA3_TOKENS,
        placeholder="<start_of_image>",
        zeros=("model.multi_modal_projector.mm_input_projection_weight",),
    ),
    "llava": Tiny(
        config=_llava,
        images=lambda: SiglipImageProcessorPil(size=SIZE),
        processor="LlavaProcessor",
        processor_settings={"patch_size": PATCH, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0},
    ),
    "llava-onevision": Tiny(
        config=_llava_onevision,
        images=lambda: LlavaOnevisionImageProcessorPil(size=SIZE, image_grid_pinpoints=[[SIDE, SIDE], [SIDE, 2 * SIDE]]),
        processor="LlavaOnevisionProcessor",
        processor_settings={
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": "anyres_max_9",
        },
        tokens={"image_token": "<image>", "video_token": "<video>"},
    ),
}
