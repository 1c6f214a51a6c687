"""What a model reads and writes around a prompt and its answer: chat template or format, the answer's lead, its end."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from gf_core.errors import GrinningFaceError
from gf_policies.backbones.families import Family

_PROMPT, _ANSWER = "the question", "the answer"


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How prompts and answers of a model are written.

    Attributes:
        tokenizer: the tokenizer, which renders the template.
        template: chat template (Jinja); empty for a model that is prompted by ``form``.
        form: ``{images}`` and ``{prompt}``; empty for a model with a template.
        image: what stands for an image in the text.
        lead: what the template writes between the assistant's heading and the answer (SmolVLM: a space).
        end_id: token that ends an answer.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    form: str
    image: str
    lead: str
    end_id: int

    def text(self, prompt: str, images: int) -> str:
        """The text that goes to the processor: up to where the answer begins.

        Raises:
            GrinningFaceError: the prompt holds the placeholder of an image.
        """
        if self.image in prompt:
            raise GrinningFaceError(
                f"the prompt holds {self.image!r}, which stands for an image: {prompt[:80]!r}", hint="take it out of the text"
            )
        if self.form:
            return self.form.replace("{images}", self.image * images).replace("{prompt}", prompt)
        return _rendered(self.tokenizer, self.template, [("user", images, prompt)], open_answer=True)


def prompts_of(processor: ProcessorMixin, family: Family, form: str, *, where: str) -> Prompts:
    """What the model's files say about prompts, or the user's own format.

    Args:
        processor: the model's processor.
        family: its row.
        form: the setting ``prompt_format``; empty for the model's own.
        where: the model's name, for errors.

    Raises:
        GrinningFaceError: it has neither a chat template nor a format, or no token that ends an answer.
    """
    tokenizer = processor.tokenizer
    template = "" if form else _template(processor, where)
    form = form or ("" if template else family.prompt)
    if not template and "{prompt}" not in form:
        what = f"prompt_format {form!r} holds no {{prompt}}" if form else "it has no chat template"
        raise GrinningFaceError(what, where=where, hint="take its instruction-tuned version, or set prompt_format")
    lead, end_id = _answers(tokenizer, template) if template else ("", tokenizer.eos_token_id)
    if end_id is None:
        raise GrinningFaceError("its tokenizer has no end token", where=where, hint="set eos_token in its tokenizer_config.json")
    return Prompts(
        tokenizer=tokenizer, template=template, form=form, image=str(processor.image_token), lead=lead, end_id=int(end_id)
    )


def _template(processor: ProcessorMixin, where: str) -> str:
    found = processor.chat_template or processor.tokenizer.chat_template or ""
    if isinstance(found, dict):
        if "default" not in found:
            raise GrinningFaceError(
                f"it has chat templates {', '.join(sorted(found))}, none of them the default",
                where=where,
                hint="set prompt_format",
            )
        found = found["default"]
    return str(found)


def _answers(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, int | None]:
    """What the template writes before an answer, beyond the heading that prompts for it, and the special token behind it."""
    opening = _rendered(tokenizer, template, [("user", 0, _PROMPT)], open_answer=True)
    whole = _rendered(tokenizer, template, [("user", 0, _PROMPT), ("assistant", 0, _ANSWER)], open_answer=False)
    before, _, behind = whole.partition(_ANSWER)
    lead = before.removeprefix(opening) if before.startswith(opening) else ""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    ids = tokenizer(behind, add_special_tokens=False)["input_ids"]
    return lead, next((token for token in ids if token in special), tokenizer.eos_token_id)


def _rendered(tokenizer: PreTrainedTokenizerBase, template: str, turns: list[tuple[str, int, str]], *, open_answer: bool) -> str:
    messages = [
        {"role": role, "content": [*[{"type": "image"}] * images, {"type": "text", "text": text}]} for role, images, text in turns
    ]
    return str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=open_answer))
