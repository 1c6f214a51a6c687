"""``gf/hf-vlm-v1``: every decoder-only vision-language model that ``AutoModelForImageTextToText`` loads, behind one interface.

A model is taken apart by the names that transformers gives its parts: the image encoder is ``vision``, the decoder and the
embeddings are ``language``, and the rest is ``projector``. What differs between families beyond that is in
:mod:`gf_policies.backbones.families`. Before it is used, a model has to prove on two tokens that its hidden states and logits
are what this adapter takes them for; one that computes something else is refused.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel, ProcessorMixin

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Batch, Context, Layout, Role, Segment
from gf_core.training.samples import Frame, Sample
from gf_policies.backbones.families import Family, family_of
from gf_policies.backbones.loading import Origin, load_config, load_model, load_processor, random_model, reported, save_processor
from gf_policies.backbones.parts import Parts, keep_layers, parts_of
from gf_policies.backbones.prompts import prompts_of
from gf_policies.backbones.sequences import Row, collate, prefix_row
from gf_policies.backbones.vocabulary import spellings, tail_rows

GREY = Frame(camera="", offset=0, image=np.full((32, 32, 3), 127, np.uint8))
"""What a family that needs an image is shown where a sample has none."""


def make(config: Mapping[str, Any]) -> HFVLM:
    """The backbone of a BackboneSpec.

    Args:
        config: settings as in the spec, completed with their defaults.

    Raises:
        GrinningFaceError: the model can't be loaded whole, or isn't one that the adapter understands.
        MissingDependencyError: its processor needs a package that isn't installed.
    """
    origin = Origin.of(config)
    model_config = load_config(origin)
    family = family_of(model_config.model_type)
    processor = load_processor(origin, model_config, family)
    attention = None if config["attention"] == "auto" else str(config["attention"])
    if config["init"] == "random":
        with reported(origin, "configuration"):
            module = random_model(model_config, attention=attention, seed=config["seed"])
    else:
        module = load_model(origin, model_config, attention=attention)
    keep_layers(module, int(config["layers"]), where=origin.model)
    options = {**family.image_options, **config["image_options"]}
    return HFVLM(module, processor, family, image_options=options, prompt_format=config["prompt_format"], where=origin.model)


class HFVLM:
    """A Backbone (see gf_core.training.contracts) over a model of transformers.

    Proprio and query placeholders belong to the prefix: in families with a prefix that looks both ways (PaliGemma) they are seen
    by the prompt, and no family's prefix sees answers or actions.

    Args:
        module: the model.
        processor: its processor.
        family: its row.
        image_options: options of the image processor.
        prompt_format: ``{images}`` and ``{prompt}``; empty for the model's own.
        where: the model's name, for errors.

    Raises:
        GrinningFaceError: the model isn't one that the adapter understands.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        processor: ProcessorMixin,
        family: Family,
        *,
        image_options: Mapping[str, object],
        prompt_format: str,
        where: str,
    ) -> None:
        self.module: PreTrainedModel = module
        self._processor, self._family, self._where = processor, family, where
        self._image_options = dict(image_options)
        self._tokenizer = processor.tokenizer
        self._parts: Parts = parts_of(module, where=where)
        self._prompts = prompts_of(processor, family, prompt_format, where=where)
        self._accepted = frozenset(inspect.signature(module.base_model.forward).parameters)
        self.vocabulary, self.dim = module.get_input_embeddings().weight.shape
        self.layers = len(self._parts.blocks["language"])
        self.end_id = self._prompts.end_id
        self._reserved, self._spellings = range(0), dict[int, tuple[int, ...]]()
        self._check()
        module.generation_config = GenerationConfig(eos_token_id=self.end_id, pad_token_id=self.end_id, do_sample=False)
        self.fingerprint = fingerprint(module)

    def roles(self) -> Mapping[Role, tuple[str, ...]]:
        """See Backbone. The names are those of the model as loaded, before any adapter."""
        return self._parts.roles

    def blocks(self, role: Role) -> tuple[str, ...]:
        """See Backbone."""
        return self._parts.blocks.get(role, ())

    def input_embeddings(self) -> nn.Module:
        """See Backbone."""
        embeddings: nn.Module = self.module.get_input_embeddings()
        return embeddings

    def output_embeddings(self) -> nn.Module:
        """See Backbone."""
        embeddings: nn.Module = self.module.get_output_embeddings()
        return embeddings

    def reserve(self, count: int) -> range:
        """See Backbone. Text whose tokens are reserved is spelled from then on: see :func:`.vocabulary.spellings`."""
        config, tokenizer = self.module.config, self._tokenizer
        configured = {value for part in (config, config.get_text_config()) for value in _token_ids(part.to_dict())}
        taken = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder, *configured, self.end_id}
        self._reserved = tail_rows(count, self.vocabulary, len(tokenizer), taken, where=self._where)
        self._spellings = dict(spellings(self._reserved, tokenizer, where=self._where))
        return self._reserved

    def tokenize(self, text: str) -> list[int]:
        """See Backbone."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return [new for old in ids for new in self._spellings.get(old, (old,))]

    def detokenize(self, ids: Sequence[int]) -> str:
        """See Backbone; reserved ids are left out too."""
        known = [token for token in ids if token not in self._reserved and token < len(self._tokenizer)]
        return str(self._tokenizer.decode(known, skip_special_tokens=True))

    def prepare(
        self, samples: Sequence[Sample], layout: Layout, actions: Sequence[Sequence[int]] | None = None, *, generate: bool = False
    ) -> Batch:
        """See Backbone. Images go through Pillow's image processor; a family that can't do without an image is shown a grey
        one where a sample has none.

        Raises:
            GrinningFaceError: the processor refuses a sample.
        """
        rows = [
            self._row(sample, layout, actions[number] if actions else (), generate=generate)
            for number, sample in enumerate(samples)
        ]
        pad = self._tokenizer.pad_token_id
        pad_id = int(self.end_id if pad is None else pad)
        inputs, segments = collate(rows, pad_id=pad_id, pad_type=self._family.answer_type, left=generate)
        nothing = torch.zeros(len(rows), 0)
        return Batch(
            inputs={name: value for name, value in inputs.items() if name in self._accepted},
            segments=segments,
            domains=tuple(sample.domain for sample in samples),
            keys=tuple(sample.key for sample in samples),
            robot=torch.tensor([sample.is_robot for sample in samples]),
            weight=nothing,
            proprio=nothing,
            actions=nothing,
            action_mask=nothing,
            frames={},
        )

    def _row(self, sample: Sample, layout: Layout, actions: Sequence[int], *, generate: bool) -> Row:
        frames = [frame for frame in sample.frames if frame.offset == 0]
        if not frames and self._family.needs_image:
            frames = [GREY]
        text = self._prompts.text(sample.prompt, len(frames))
        begin = self._tokenizer.bos_token
        with reported(Origin(model=self._where), f"processor's output for sample {sample.key!r}"):
            given = self._processor(
                text=[text],
                images=[[Image.fromarray(frame.image) for frame in frames]] if frames else None,
                images_kwargs=dict(self._image_options),
                add_special_tokens=not (begin and text.startswith(begin)),  # a template writes its own
                return_tensors="pt",
            )
        row = prefix_row(given, self.module.config.image_token_id, self._spellings)
        if sample.is_robot:
            row = row.extended([layout.proprio_id] * layout.proprio, Segment.PROPRIO, 0)
            row = row.extended([layout.query_id] * layout.queries, Segment.QUERY, 0)
        if not generate and sample.answer is not None:
            answer = [*self.tokenize(self._prompts.lead + sample.answer), self.end_id]
            row = row.extended(answer, Segment.ANSWER, self._family.answer_type)
        if not generate and actions:
            row = row.extended([*actions, self.end_id], Segment.ACTION, self._family.answer_type)
        return row

    def encode(self, batch: Batch) -> Context:
        """See Backbone."""
        output = self.module.base_model(**batch.inputs, output_hidden_states=True, use_cache=False)
        # Some models' own last entry is from before the final norm.
        hidden = (*output.hidden_states[:-1], output.last_hidden_state)
        return Context(hidden=hidden, segments=batch.segments, features={})

    def logits(self, hidden: Tensor) -> Tensor:
        """See Backbone."""
        scores: Tensor = self.module.get_output_embeddings()(hidden).float()
        cap = getattr(self.module.config.get_text_config(), "final_logit_softcapping", None)
        return scores if cap is None else torch.tanh(scores / cap) * cap

    @torch.no_grad()
    def generate(self, batch: Batch, most: int, allowed: Sequence[int] | None = None) -> Tensor:
        """See Backbone. Decodes with a cache, in evaluation mode whatever mode the model is in."""
        processors = LogitsProcessorList([_Only(allowed)] if allowed is not None else [])
        with _evaluating(self.module):
            decoded: Tensor = self.module.generate(
                **batch.inputs, max_new_tokens=most, use_cache=True, logits_processor=processors
            )
        return decoded[:, batch.input_ids.shape[1] :]

    def save(self, directory: Path) -> None:
        """See Backbone. ``make`` takes the directory as ``model`` with ``init`` ``random``, for weights to be loaded into it."""
        self.module.config.save_pretrained(directory)
        save_processor(self._processor, directory)

    @torch.no_grad()
    def _check(self) -> None:
        """Two tokens through the model and through the adapter, and one image through the processor.

        Raises:
            GrinningFaceError: they disagree.
        """
        image = Sample(frames=(GREY,), prompt="x", domain="check", key="check")
        if not bool((self.prepare([image], Layout()).segments == int(Segment.IMAGE)).any()):
            raise GrinningFaceError("its processor gives no image tokens, so it isn't a model of this kind", where=self._where)
        ids = torch.tensor([self.tokenize("ab")[:2]])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with reported(Origin(model=self._where), "forward pass"), _evaluating(self.module):
            expected = self.module(**inputs).logits
            output = self.module.base_model(**inputs, output_hidden_states=True, use_cache=False)
        count = len(output.hidden_states or ())
        if count != self.layers + 1:
            found = f"{count} hidden states for {self.layers} layers"
            raise GrinningFaceError(f"it gives {found}; the adapter expects one more than layers", where=self._where)
        if not torch.allclose(self.logits(output.last_hidden_state), expected.float(), rtol=1e-3, atol=1e-3):
            raise GrinningFaceError(
                "its logits aren't its output embeddings times its last hidden state, so the adapter would train something else",
                where=self._where,
            )


class _Only(LogitsProcessor):  # type: ignore[misc]
    """Bans every id but some."""

    def __init__(self, allowed: Sequence[int]) -> None:
        self.allowed = list(allowed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        banned = torch.full_like(scores, -torch.inf)
        banned[:, self.allowed] = scores[:, self.allowed]
        return banned


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every part is in the mode that it was in. (A model that checkpoints gradients
    decodes without a cache while it trains.)"""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def fingerprint(module: nn.Module) -> str:
    """Hex SHA-256 over names, types, shapes and bytes of a model's parameters, tied ones once."""

    def digest(named: tuple[str, nn.Parameter]) -> bytes:
        name, value = named
        header = f"{name} {value.dtype} {tuple(value.shape)}".encode()
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return hashlib.sha256(header + hashlib.sha256(content.data).digest()).digest()

    with ThreadPoolExecutor() as pool:  # hashlib lets other threads run meanwhile
        parts = list(pool.map(digest, sorted(module.named_parameters())))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _token_ids(settings: Mapping[str, object]) -> set[int]:
    """Ids of single tokens that a configuration names."""
    names = ("token_id", "token_index")
    return {value for name, value in settings.items() if name.endswith(names) and isinstance(value, int)}
