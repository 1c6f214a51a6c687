"""The nano model: LLaVA's architecture (arXiv 2304.08485), small, with the files that any checkpoint has."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    SwinConfig,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.utils.logging import disable_progress_bar

from gf_policies.nano.drawing import SIDE
from gf_policies.nano.places import CELL, GRID
from gf_policies.nano.vocabulary import ANSWER, END, IMAGE

WIDTH = 192
SPARE = 320
"""Rows of the vocabulary that mean nothing yet: for action tokens (256 bins) and the like."""

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'user' %}ANSWER{% else %}END{% endif %}{% endfor %}"
)


def make_config(tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    """A Swin encoder (arXiv 2103.14030) of seven layers, the last 192 wide, and a Llama decoder of four, as wide.

    Swin, because an emoji is one or two patches of 16 px wide: a plain encoder has to learn each picture at every place in its
    patches. After 200 steps with the same losses it named 8 % of the middle patches right, one that begins with patches of 4 px
    as Swin does 12 %.
    """
    vision = SwinConfig(
        image_size=SIDE,
        patch_size=CELL // 4,
        embed_dim=WIDTH // 4,
        depths=[1, 2, 4],
        num_heads=[2, 3, 6],
        window_size=5,
        mlp_ratio=3.0,
        drop_path_rate=0.0,
        use_absolute_embeddings=True,
    )
    rows = len(tokenizer) + SPARE
    text = LlamaConfig(
        vocab_size=rows + -rows % 64,
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=GRID * GRID,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_model(config: LlavaConfig, seed: int) -> LlavaForConditionalGeneration:
    """A model with random weights; the same seed gives the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config)


def write_model(model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write configuration, weights (float16), tokenizer, image processor and chat template, as transformers reads them.

    Images are cropped to their middle ``SIDE`` pixels and not resized: of the benchmark's camera at 224 × 224 px, that is the
    part with cards and block, at the resolution at which it was drawn.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    half = {name: value.to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    disable_progress_bar()
    model.save_pretrained(directory, state_dict=half)
    tokenizer.save_pretrained(directory)
    size = {"height": SIDE, "width": SIDE}
    images = SiglipImageProcessorPil(do_resize=False, do_center_crop=True, size=size, crop_size=size)
    images.save_pretrained(directory)
    settings = {
        "processor_class": "LlavaProcessor",
        "patch_size": CELL,
        "vision_feature_select_strategy": "full",
        "num_additional_image_tokens": 0,
    }
    (directory / "processor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    template = TEMPLATE.replace("IMAGE", IMAGE).replace("ANSWER", ANSWER).replace("END", END, 1)
    (directory / "chat_template.jinja").write_text(template)
