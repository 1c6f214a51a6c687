"""The nano model's tokenizer: whole words, and letters for what it doesn't know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PADDING, UNKNOWN, END, ANSWER, IMAGE = "<pad>", "<unk>", "<eos>", "<answer>", "<image>"
SPECIAL = (PADDING, UNKNOWN, END, ANSWER, IMAGE)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-+/&#%='’“”"
MARKS = '.,?!:;()"'
"""Signs that are words of their own, but for those within a number; a hyphen isn't, so -3.5 stays one."""
_APART = f"[{re.escape(MARKS)}](?![0-9])"


def words_of(texts: Sequence[str]) -> list[str]:
    """The different words of texts, sorted, as the tokenizer separates them."""
    found: set[str] = set()
    for text in texts:
        found.update(re.sub(f"({_APART})", r" \1 ", text.lower()).split())
    return sorted(found)


def make_tokenizer(texts: Sequence[str], places: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every word of ``texts`` and each of ``places`` as one token; another word is spelled in letters.

    A word's id depends on the texts alone: special tokens, places, signs and letters, then words in alphabetical order.
    """
    letters = [*LETTERS, *MARKS, *(f"##{letter}" for letter in LETTERS + MARKS)]
    known = dict.fromkeys([*SPECIAL, *places, *letters, *words_of(texts)])
    vocabulary = {word: number for number, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=UNKNOWN, continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    signs = pre_tokenizers.Split(Regex(_APART), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), signs])
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE, "answer_token": ANSWER},
        model_input_names=["input_ids", "attention_mask"],
    )
