"""Tiny random models of real architectures, written as any checkpoint is: for tests, documentation and dry runs.

``python -m gf_policies.backbones.tiny FAMILY DIRECTORY [--seed N]`` writes configuration, random weights (about 1–3 MB), a
tokenizer that maps bytes to tokens, an image processor for 64 × 64 px and a chat template, without any download. The backbone
``gf/hf-vlm-v1`` then takes the directory as its ``model``. Such a model is of the same classes, with the same attention masks,
position ids and prompts' structure as the real family, but it knows nothing: what it is good for is to see that a recipe runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, GenerationConfig, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from gf_core.errors import GrinningFaceError, did_you_mean
from gf_policies.backbones.tiny_families import BEGIN, END, END_OF_TURN, PADDING, TINY, TURN, Tiny

FAMILIES: tuple[str, ...] = tuple(TINY)
"""Families that :func:`write_tiny` writes."""

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}TURN{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "ENDING\n{% endfor %}{% if add_generation_prompt %}TURNassistant\n{% endif %}"
)


def write_tiny(family: str, directory: Path, seed: int = 0) -> None:
    """Write a tiny random model.

    Args:
        family: one of :data:`FAMILIES`.
        directory: where to; made if it isn't there.
        seed: of the weights; the same seed gives the same weights.

    Raises:
        GrinningFaceError: there is no such family.
    """
    if family not in TINY:
        raise GrinningFaceError(
            f"there is no tiny {family!r}", hint=did_you_mean(family, FAMILIES) or f"use one of {', '.join(FAMILIES)}"
        )
    tiny = TINY[family]
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(tiny)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in tiny.tokens.items()}
    vocabulary = 256 + len(tokenizer.get_added_vocab()) + tiny.added + tiny.spare
    config = tiny.config(vocabulary + -vocabulary % 64, ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in tiny.zeros:  # as published, images would have no effect
                    parameter.normal_(std=0.1)
    ending = tokenizer.convert_tokens_to_ids(tiny.ending)
    model.generation_config = GenerationConfig(eos_token_id=ending, pad_token_id=tokenizer.pad_token_id)
    disable_progress_bar()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    tiny.images().save_pretrained(directory)
    settings = json.dumps({"processor_class": tiny.processor, **tiny.processor_settings}, indent=2)
    (directory / "processor_config.json").write_text(settings + "\n")
    if tiny.placeholder:
        template = TEMPLATE.replace("TURN", TURN).replace("IMAGE", tiny.placeholder).replace("ENDING", tiny.ending)
        (directory / "chat_template.jinja").write_text(template)


def _tokenizer(tiny: Tiny) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PADDING, BEGIN, END, TURN, END_OF_TURN, *tiny.tokens.values()])  # their order is their ids'
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        bos_token=BEGIN,
        eos_token=END,
        extra_special_tokens=dict(tiny.tokens),
        model_input_names=["input_ids", "attention_mask"],
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m gf_policies.backbones.tiny", description="Write a tiny random model.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_tiny(arguments.family, arguments.directory, arguments.seed)
    print(f"a tiny random {arguments.family} is in {arguments.directory}")


if __name__ == "__main__":
    main()
