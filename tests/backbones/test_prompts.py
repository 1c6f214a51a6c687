"""Prompts, answers and the rows of the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Layout, Segment
from gf_core.training.samples import Frame, Sample
from gf_policies.backbones.families import Family
from gf_policies.backbones.hf_vlm import HFVLM
from gf_policies.backbones.prompts import Prompts, prompts_of
from gf_policies.backbones.vocabulary import spellings, tail_rows

from .conftest import Load

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # PaliGemma's processor
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}{% if message['content'][0]['type'] == 'image' %}"
    "{{ ':' }}{% else %}{{ ': ' }}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{ line['text'] }}{% else %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{{ message['role'] | upper }}: {% for part in message['content'] %}{{ part['text'] }}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
PICTURE = Frame(camera="a", offset=0, image=np.zeros((64, 64, 3), np.uint8))


def tokenizer(merges: tuple[tuple[str, str], ...] = ()) -> PreTrainedTokenizerFast:
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    plain = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=list(merges)))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.add_special_tokens(["</s>", "<end_of_utterance>", "<|im_start|>", "<image>"])
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="</s>")


def processor(template: str | dict[str, str] | None) -> SimpleNamespace:
    return SimpleNamespace(tokenizer=tokenizer(), chat_template=template, image_token="<image>")


def prompts(template: str | dict[str, str] | None, form: str = "") -> Prompts:
    return prompts_of(processor(template), Family(), form, where="here")


def test_the_template_says_how_an_answer_begins_and_ends() -> None:
    found = prompts(SMOLVLM)
    assert found.text("pick", 1) == "<|im_start|>User:<image>pick<end_of_utterance>\nAssistant:"
    assert found.lead == " "
    assert found.tokenizer.convert_ids_to_tokens(found.end_id) == "<end_of_utterance>"
    assert prompts({"default": SMOLVLM, "tools": ""}).lead == " "


def test_a_template_without_an_end_token_ends_with_the_tokenizers() -> None:
    found = prompts(VICUNA)
    assert found.text("pick", 0) == "USER: pick ASSISTANT: "
    assert found.lead == ""
    assert found.tokenizer.convert_ids_to_tokens(found.end_id) == "</s>"


def test_ones_own_format_stands_before_the_template() -> None:
    found = prompts(SMOLVLM, "{images}Q: {prompt}\nA:")
    assert found.text("a {b}?", 2) == "<image><image>Q: a {b}?\nA:"
    assert found.lead == ""


@pytest.mark.parametrize(
    ("template", "form", "said"),
    [(None, "", "no chat template"), (SMOLVLM, "Q:", "holds no {prompt}"), ({"a": "", "b": ""}, "", "none of them the default")],
)
def test_a_model_that_nobody_can_prompt(template: str | dict[str, str] | None, form: str, said: str) -> None:
    with pytest.raises(GrinningFaceError, match=said) as caught:
        prompts(template, form)
    assert "prompt_format" in caught.value.hint


def test_an_images_placeholder_in_a_prompt_is_an_error(load: Load) -> None:
    backbone = load("llava")
    with pytest.raises(GrinningFaceError, match="'<image>', which stands for an image"):
        backbone.prepare([Sample(frames=(), prompt="what is <image>?")], Layout())


def test_unknown_image_options_are_an_error(load: Load) -> None:
    with pytest.raises(GrinningFaceError, match="processor's output"):
        load("llava", image_options={"sise": 3})


def test_image_options_reach_the_processor(load: Load) -> None:
    sample = Sample(frames=(PICTURE,), prompt="x")
    small, large = load("qwen3-vl"), load("qwen3-vl", image_options={"size": {"shortest_edge": 128**2, "longest_edge": 128**2}})
    counts = [int((b.prepare([sample], Layout()).segments == int(Segment.IMAGE)).sum()) for b in (small, large)]
    assert counts == [4, 16]
    context = large.encode(large.prepare([sample], Layout()))
    assert bool(context.last.isfinite().all())


def test_internvl_and_idefics_see_one_tile_unless_asked(load: Load) -> None:
    wide = replace(PICTURE, image=np.zeros((64, 128, 3), np.uint8))
    sample = Sample(frames=(wide,), prompt="x")
    for family, option in (("internvl", "crop_to_patches"), ("idefics3", "do_image_splitting")):
        plain, tiled = load(family), load(family, image_options={option: True})
        counts = [int((b.prepare([sample], Layout()).segments == int(Segment.IMAGE)).sum()) for b in (plain, tiled)]
        assert counts[0] == 4 < counts[1]
        assert bool(tiled.encode(tiled.prepare([sample], Layout())).last.isfinite().all())


@torch.no_grad()
def test_paligemmas_prompt_looks_both_ways_and_gemmas_does_not(load: Load) -> None:
    def heard(backbone: HFVLM) -> bool:
        """Whether the beginning of a prompt hears its end."""
        states = [
            backbone.encode(backbone.prepare([Sample(frames=(PICTURE,), prompt=f"pick a {word}")], Layout()))
            for word in ("cat", "dog")
        ]
        first = int((states[0].segments[0] == int(Segment.PROMPT)).nonzero()[0])
        return not torch.equal(states[0].last[0, first], states[1].last[0, first])

    assert heard(load("paligemma"))
    assert heard(load("paligemma2"))
    assert not heard(load("gemma3"))


def test_gemma3_is_told_which_tokens_are_images(load: Load) -> None:
    backbone = load("gemma3")
    samples = [Sample(frames=(PICTURE,), prompt="x", answer="a long one"), Sample(frames=(), prompt="y")]
    for generate in (False, True):
        batch = backbone.prepare(samples, Layout(), generate=generate)
        assert torch.equal(batch.inputs["token_type_ids"] == 1, batch.segments == int(Segment.IMAGE))


def test_paligemma_is_shown_grey_where_there_is_no_image(load: Load) -> None:
    batch = load("paligemma").prepare([Sample(frames=(), prompt="two and two?")], Layout())
    assert batch.inputs["pixel_values"].shape == (1, 3, 64, 64)
    assert float(batch.inputs["pixel_values"].abs().max()) < 0.01  # normalised grey


def test_reserved_rows_are_the_last_that_nobody_needs(load: Load) -> None:
    for family in ("paligemma", "qwen3-vl"):
        backbone = load(family)
        ids = backbone.reserve(1400)
        assert ids == range(backbone.vocabulary - 1400, backbone.vocabulary)
        tokens = backbone.tokenize("Pick the dog! 🙂")
        assert backbone.detokenize([*tokens, ids[0], backbone.end_id]) == "Pick the dog! 🙂"
        with pytest.raises(GrinningFaceError, match="no 5000 consecutive rows to spare"):
            backbone.reserve(5000)


def test_a_gap_between_special_tokens_is_found_or_refused() -> None:
    assert tail_rows(3, 100, 90, {95, 99}, where="") == range(96, 99)
    assert tail_rows(5, 100, 90, {95, 99}, where="") == range(90, 95)
    assert tail_rows(30, 100, 90, {95, 99}, where="") == range(65, 95)
    with pytest.raises(GrinningFaceError, match="no 60 consecutive rows"):
        tail_rows(60, 100, 90, {95, 99}, where="")


def test_words_whose_tokens_are_reserved_are_spelled(load: Load) -> None:
    known = tokenizer((("c", "u"), ("cu", "b"), ("cub", "e")))
    tail = range(257, 259)  # cub, cube
    found = spellings(tail, known, where="")
    assert [known.convert_ids_to_tokens(list(ids)) for ids in found.values()] in (
        [["c", "u", "b"], ["c", "u", "b", "e"]],
        [["c", "u", "b", "e"], ["c", "u", "b"]],
    )
    with pytest.raises(GrinningFaceError, match="can't spell"):
        spellings(range(0, 259), known, where="")


def test_text_never_becomes_an_action_token(load: Load) -> None:
    backbone = load("llava")
    letters = {letter: backbone.tokenize(letter)[0] for letter in "abc"}
    word = backbone.vocabulary - 5
    backbone._tokenizer = _Merging(backbone._tokenizer, "abc", word)
    assert backbone.tokenize("xabc") == [*backbone.tokenize("x"), word]
    reserved = backbone.reserve(10)
    assert word in reserved
    assert backbone.tokenize("xabc") == [*backbone.tokenize("x"), *letters.values()]


class _Merging:
    """A tokenizer that knows one word more."""

    def __init__(self, plain: PreTrainedTokenizerFast, word: str, token: int) -> None:
        self.plain, self.word, self.token = plain, word, token

    def __getattr__(self, name: str) -> object:
        return getattr(self.plain, name)

    def __len__(self) -> int:
        return self.token + 1

    def __call__(self, text: str, **named: object) -> dict[str, list[int]]:
        pieces = [self.plain(part, **named)["input_ids"] for part in text.split(self.word)]
        joined = pieces[0]
        for piece in pieces[1:]:
            joined = [*joined, self.token, *piece]
        return {"input_ids": joined}

    def get_vocab(self) -> dict[str, int]:
        return {**self.plain.get_vocab(), self.word: self.token}
