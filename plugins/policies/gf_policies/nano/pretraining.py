"""The nano model's pretraining: next-token prediction on drawn pages, and a name for every patch.

Two losses: the cross-entropy of answers, and for each patch the cross-entropy of the words of what is on it, and of the token of
its place, under the image token's own embedding, before the decoder, read by the tied output embeddings. The second ties what a
patch looks like, and where it is, to tokens directly: what contrastive pretraining does for the large models whose place this one
takes. The decoder then only has to find a token by one part of it and to say the other, which answers alone teach late or never.

In the decoder's first layer, a name looks at the patch in the middle of what it names, and a place at its own patch. That is
taught as well (supervised attention, arXiv 1609.04186): left alone, the decoder finds it after thousands of steps or not at all;
taught, after two hundred.

Patches also say which thing it is, to a classifier that is thrown away, and so do all patches of a thing together, by their mean:
a class of its own for each thing teaches the encoder faster than words that things share.

Matrices train with Muon, the rest with AdamW. Pages derive from (seed, step), so a run that was stopped goes on to the same
weights.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from gf_core._interrupts import uninterrupted
from gf_core.errors import GrinningFaceError
from gf_core.training.job import JobDirectory
from gf_policies.nano.architecture import WIDTH, make_config, make_model
from gf_policies.nano.drawing import COLOURS
from gf_policies.nano.muon import Muon
from gf_policies.nano.pages import Page, draw_page
from gf_policies.nano.places import FINE, GRID, LOCATIONS
from gf_policies.nano.questions import Look, all_texts
from gf_policies.nano.things import Thing
from gf_policies.nano.vocabulary import ANSWER, END, IMAGE, make_tokenizer

COMMON = frozenset({"a", "an", "and", "at", "for", "in", "it", "of", "on", "or", "the", "to", "with"})
"""Words of names that say nothing about a picture."""
IGNORE = -100
NOWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the model is trained.

    Attributes:
        seed: of weights and pages.
        steps: optimiser steps.
        encoder_steps: how many of them, at the start, train the image encoder alone: a name for every patch, no text. Answers
            need an encoder that tells pictures apart, and until it does the decoder's work is lost.
        batch: pages a step.
        turns: questions a page, at most.
        matrix_rate: peak learning rate of Muon, scaled so that updates are as large as AdamW's (arXiv 2502.16982).
        rate: peak learning rate of AdamW.
        warmup: steps until the peak.
        patch_weight: weight of the patches' loss, once there is text.
        look_weight: weight of the loss that teaches where to look.
        shards: parts of a batch whose gradients are computed side by side, each by one thread, and averaged. Threads that share
            each operation instead wait for each other (0.92 s a step of the encoder, against 0.80).
        precision: ``"float32"``, or ``"bf16"`` autocast: 2.9 times as fast on a core with AVX-512 BF16, and 15 times as slow on
            one without.
    """

    seed: int = 0
    steps: int = 3200
    encoder_steps: int = 1600
    batch: int = 24
    turns: int = 4
    matrix_rate: float = 1e-2
    rate: float = 3e-3
    warmup: int = 100
    patch_weight: float = 0.5
    look_weight: float = 1.0
    shards: int = 2
    precision: str = "float32"


@dataclass(frozen=True, kw_only=True)
class PageBatch:
    """Pages as tensors.

    Attributes:
        ids: ``(B, S) int64``.
        labels: ``(B, S) int64``; what token follows, where it belongs to an answer, else -100.
        mask: ``(B, S) int64``.
        looks: ``(B, S) int64``; for a name or a place, the patch that it is about, else -1.
        pixels: ``(B, 3, SIDE, SIDE) float32``.
        cells, centres: ``(B, GRID²) int64``, see :class:`~gf_policies.nano.pages.Page`.
    """

    ids: Tensor
    labels: Tensor
    mask: Tensor
    looks: Tensor
    pixels: Tensor
    cells: Tensor
    centres: Tensor

    def shards(self, count: int) -> list[PageBatch]:
        """The pages in ``count`` parts."""
        parts = {field.name: getattr(self, field.name).chunk(count) for field in fields(self)}
        return [PageBatch(**dict(zip(parts, values, strict=True))) for values in zip(*parts.values(), strict=True)]


class Pages(Dataset[PageBatch]):
    """Batch ``i`` of the pretraining: a function of the seed and ``i``."""

    def __init__(self, things: Sequence[Thing], tokenizer: PreTrainedTokenizerFast, settings: Settings) -> None:
        self._things, self._tokenizer, self._settings = things, tokenizer, settings
        self._answer, self._end, self._image = tokenizer.convert_tokens_to_ids([ANSWER, END, IMAGE])
        self._place = int(tokenizer.convert_tokens_to_ids(LOCATIONS[0]))

    def __len__(self) -> int:
        return self._settings.steps

    def __getitem__(self, index: int) -> PageBatch:
        count, seed = self._settings.batch, self._settings.seed
        alone = index < self._settings.encoder_steps
        turns = 0 if alone else self._settings.turns
        pages = [draw_page(self._things, seed, index * count + k, turns) for k in range(count)]
        return self.batch(pages, alone=alone)

    def batch(self, pages: Sequence[Page], *, alone: bool) -> PageBatch:
        """Pages as tensors; ``alone``: without any text."""
        rows = [([], [], []) if alone else self._row(page) for page in pages]
        length = max(len(ids) for ids, _, _ in rows)
        pad = int(self._tokenizer.pad_token_id)
        images = np.stack([page.image for page in pages]).astype(np.float32) / 127.5 - 1
        return PageBatch(
            ids=_padded([ids for ids, _, _ in rows], pad, length),
            labels=_padded([labels for _, labels, _ in rows], IGNORE, length),
            mask=_padded([[1] * len(ids) for ids, _, _ in rows], 0, length),
            looks=_padded([looks for _, _, looks in rows], NOWHERE, length),
            pixels=torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            cells=torch.from_numpy(np.stack([page.cells for page in pages])),
            centres=torch.from_numpy(np.stack([page.centres for page in pages])),
        )

    def _row(self, page: Page) -> tuple[list[int], list[int], list[int]]:
        """Ids; at each place the token that is to follow; and the patch that it is about."""
        ids = [self._image] * (GRID * GRID)
        asked, looks = [False] * len(ids), [NOWHERE] * len(ids)
        for (question, answer), (named, told) in zip(page.turns, page.looks, strict=True):
            for text, names, last, wanted in ((question, named, self._answer, False), (answer, told, self._end, True)):
                tokens, cells = self._tokens(text, names)
                ids += [*tokens, last]
                looks += [*cells, NOWHERE]
                asked += [wanted] * (len(tokens) + 1)
        labels = [ids[k + 1] if asked[k + 1] else IGNORE for k in range(len(ids) - 1)] + [IGNORE]
        return ids, labels, looks

    def _tokens(self, text: str, names: Sequence[Look]) -> tuple[list[int], list[int]]:
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        cells = []
        for token, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
            if self._place <= token < self._place + GRID * GRID:
                cells.append(token - self._place)
            elif text[start:end].lower() in COMMON:
                cells.append(NOWHERE)
            else:
                cells.append(next((cell for first, behind, cell in names if first <= start < behind), NOWHERE))
        return list(found["input_ids"]), cells


def _padded(rows: Sequence[Sequence[int]], value: int, length: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)


def words_of_things(things: Sequence[Thing], tokenizer: PreTrainedTokenizerFast, rows: int) -> Tensor:
    """``(things + colours + 1, V) float32``: for each thing a distribution over tokens: the words of its label, and half as much
    the others; for blocks their colour and what they are called; the last row, for nothing, is zero."""
    names: list[tuple[tuple[float, tuple[str, ...]], ...]] = [((1.0, (t.label,)), (0.5, t.names)) for t in things]
    names += [((1.0, (colour, "block", "cube")),) for colour in COLOURS]
    found = torch.zeros(len(names) + 1, rows)
    for row, weighted in zip(found, names, strict=False):
        for weight, texts in weighted:
            words = [word for text in texts for word in tokenizer.tokenize(text) if word not in COMMON]
            for word in words:
                row[tokenizer.convert_tokens_to_ids(word)] += weight / len(words)
    return found / found.sum(1, keepdim=True).clamp_min(1e-9)


def _cross_entropy(scores: Tensor, wanted: Tensor) -> Tensor:
    """The mean, and 0 where nothing is wanted: a page may hold nothing to name, and a part of a batch one page."""
    return nn.functional.cross_entropy(scores.float(), wanted) if len(wanted) else scores.float().sum()


class Learner(nn.Module):
    """The model with its losses.

    Args:
        model: the model.
        words: see :func:`words_of_things`.
        places: ids of the first token for a cell, and of the first for a place in a cell.
        settings: weights of the losses.
    """

    words: Tensor

    def __init__(self, model: LlavaForConditionalGeneration, words: Tensor, places: tuple[int, int], settings: Settings) -> None:
        super().__init__()
        self.model, self._places, self._settings = model, places, settings
        self.classes = nn.Parameter(torch.zeros(len(words) - 1, WIDTH))
        self.register_buffer("words", words, persistent=False)

    def forward(self, batch: PageBatch) -> dict[str, Tensor]:
        """``patches``, and ``text`` and ``looks`` if the batch holds text; scalars, weighted."""
        images = self._images(batch)
        patches = self._patches(images, batch)
        if not batch.ids.shape[1]:
            return {"patches": patches}
        embedded = self.model.get_input_embeddings()(batch.ids)
        embedded = torch.cat([images, embedded[:, GRID * GRID :]], dim=1)  # the first ids stand for the image
        decoded = self.model.get_decoder()(inputs_embeds=embedded, attention_mask=batch.mask, use_cache=False)
        asked = batch.labels != IGNORE
        scores = self.model.get_output_embeddings()(decoded.last_hidden_state[asked]).float()
        text = _cross_entropy(scores, batch.labels[asked])
        looks = self._looking(embedded, batch.looks)
        return {"text": text, "looks": self._settings.look_weight * looks, "patches": self._settings.patch_weight * patches}

    def rescale(self, batch: PageBatch) -> None:
        """Give image tokens a root mean square of 1: the patches' loss leaves their scale free, and it grows to hundreds."""
        with torch.no_grad():
            size = self._images(batch).square().mean().sqrt()
            for value in self.model.model.multi_modal_projector.linear_2.parameters():
                value.div_(size)

    def _looking(self, embedded: Tensor, looks: Tensor) -> Tensor:
        """Cross-entropy of the patches that names and places are about, under the attention of the first layer's first head."""
        decoder = self.model.get_decoder()
        layer = decoder.layers[0]
        rows, places = (looks >= 0).nonzero(as_tuple=True)
        states = layer.input_layernorm(embedded)
        count, size = states.shape[1], layer.self_attn.head_dim
        turn = decoder.rotary_emb(states, torch.arange(count)[None])
        query, key = (read(states)[..., :size].unsqueeze(1) for read in (layer.self_attn.q_proj, layer.self_attn.k_proj))
        query, key = apply_rotary_pos_emb(query, key, *turn)
        scores = torch.einsum("nd,nkd->nk", query[rows, 0, places].float(), key[rows, 0].float()) / math.sqrt(size)
        scores = scores.masked_fill(torch.arange(count) > places[:, None], -math.inf)
        return _cross_entropy(scores, looks[rows, places])

    def _images(self, batch: PageBatch) -> Tensor:
        """``(B, GRID², D)``: image tokens as the decoder gets them."""
        features = self.model.model.get_image_features(pixel_values=batch.pixels).pooler_output
        return torch.stack(list(features))

    def _patches(self, seen: Tensor, batch: PageBatch) -> Tensor:
        """Every patch says where it is, and what is on it, if anything is; the middle of a thing also says where in the patch.

        Each of the three has a softmax of its own: they are all true at once, and in one they would compete.
        """
        read = self.model.get_output_embeddings()
        scaled = nn.functional.rms_norm(seen.float(), seen.shape[-1:])
        cells, subs = self._places
        words = subs + FINE * FINE  # what stands before are special tokens and places
        there, middle = batch.cells >= 0, batch.centres >= 0
        own = torch.arange(GRID * GRID).expand(len(seen), -1)
        where = _cross_entropy(read(scaled)[..., cells:subs].flatten(0, 1).float(), own.flatten())
        fine = _cross_entropy(read(scaled[middle])[:, subs:words].float(), batch.centres[middle])
        numbers, wholes = _wholes(scaled, batch.cells)
        what = self._what(scaled[there], batch.cells[there], words) + self._what(wholes, numbers, words)
        return what + where + 0.25 * fine

    def _what(self, features: Tensor, numbers: Tensor, words: int) -> Tensor:
        """Loss of features ``(N, D)`` that show the things ``numbers (N,)``: as words, and as classes."""
        scores = self.model.get_output_embeddings()(features)[:, words:].float()
        named = _cross_entropy(scores, self.words[numbers][:, words:])
        return named + _cross_entropy((features @ self.classes.T).float(), numbers)


def _wholes(features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Things on each page, as numbers ``(N,)`` and the mean features ``(N, D)`` of their patches, scaled as those are.

    Args:
        features: ``(B, P, D)`` of patches.
        cells: ``(B, P)`` the thing on each, or -1.
    """
    there = cells >= 0
    pages = torch.arange(len(cells))[:, None].expand_as(cells)[there]
    keys, owners = torch.unique(pages * (int(cells.max()) + 1) + cells[there], return_inverse=True)
    sums = torch.zeros(len(keys), features.shape[-1], dtype=features.dtype).index_add(0, owners, features[there])
    return keys % (int(cells.max()) + 1), nn.functional.rms_norm(sums, sums.shape[-1:])


def make_optimizers(model: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings, classes, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        in_layer = value.ndim == 2 and not any(word in name for word in ("embed", "lm_head", "classes", "bias_table"))
        (matrices if in_layer else others).append(value)
    muon = Muon(matrices, lr=settings.matrix_rate, threads=settings.shards)
    adam = torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)
    return [muon, adam]


def factor(step: int, settings: Settings) -> float:
    """Of the learning rates: linear warm-up, the peak for three fifths of the steps, then a cosine to a hundredth."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    share = max(0.0, (step / settings.steps - 0.6) / 0.4)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))


Progress = Callable[[int, int, Mapping[str, float]], None]
"""Is told of steps done, steps in all, and the last losses."""


def pretrain(
    things: Sequence[Thing],
    identity: Mapping[str, Any],
    settings: Settings,
    out: Path,
    *,
    workers: int = 1,
    save_every: int = 100,
    progress: Progress,
) -> tuple[LlavaForConditionalGeneration, PreTrainedTokenizerFast]:
    """Train a model from random weights, or go on with what lies in ``out``; the model is in evaluation mode.

    Args:
        things: what pages show.
        identity: what else the result depends on, e.g. hashes of decks; a directory of another run is refused.
        settings: how.
        out: the run's directory.
        workers: processes that draw pages; 0 draws them in this one.
        save_every: steps between saved states.
        progress: is called after every step.

    Raises:
        GrinningFaceError: ``out`` holds another run, a loss isn't finite, or a file can't be written.
        KeyboardInterrupt: after the running step; its state is kept.
    """
    job = JobDirectory(out, {**identity, "settings": asdict(settings)})
    try:
        tokenizer = make_tokenizer(all_texts(things), LOCATIONS)
        config = make_config(tokenizer)
        model = make_model(config, settings.seed)
        words = words_of_things(things, tokenizer, config.text_config.vocab_size)
        cell, sub = tokenizer.convert_tokens_to_ids([LOCATIONS[0], LOCATIONS[GRID * GRID]])
        learner = Learner(model, words, (cell, sub), settings)
        optimizers = make_optimizers(learner, settings)
        start = 0
        if kept := job.state(0):
            start, parameters, state = kept
            learner.load_state_dict(parameters, strict=False)  # tied weights are saved once
            for name, optimizer in zip(("muon", "adamw"), optimizers, strict=True):
                optimizer.load_state_dict(state[name])
        job.cut_metrics(start)
        _loop(learner, optimizers, Pages(things, tokenizer, settings), settings, job, start, workers, save_every, progress)
    finally:
        job.close()
    return model.eval(), tokenizer


def _loop(
    learner: Learner,
    optimizers: Sequence[torch.optim.Optimizer],
    pages: Pages,
    settings: Settings,
    job: JobDirectory,
    start: int,
    workers: int,
    save_every: int,
    progress: Progress,
) -> None:
    peaks = (settings.matrix_rate, settings.rate)
    batches: Iterator[PageBatch] = iter(
        DataLoader(
            pages,
            batch_size=None,
            sampler=range(start, settings.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_yielding if workers else None,
        )
    )
    learner.train()
    step = saved = start
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(settings.shards)
    try:
        while step < settings.steps:
            with uninterrupted():
                for optimizer, peak in zip(optimizers, peaks, strict=True):
                    optimizer.param_groups[0]["lr"] = peak * factor(step, settings)
                batch = next(batches)
                if step == settings.encoder_steps:
                    learner.rescale(batch)
                row = _step(learner, optimizers, batch, settings, step, pool)
                step += 1
                job.log({"step": step, "done": step, **row})
                progress(step, settings.steps, row)
                if step % save_every == 0 or step == settings.steps:
                    _save(job, learner, optimizers, step)
                    saved = step
    except KeyboardInterrupt:
        if step > saved:
            _save(job, learner, optimizers, step)
        raise
    finally:
        pool.shutdown()
        torch.set_num_threads(threads)


def _yielding(worker: int) -> None:
    """Pages are drawn a few batches ahead, so they needn't take time from the threads that train."""
    os.nice(10)


def _step(
    learner: Learner,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: PageBatch,
    settings: Settings,
    step: int,
    pool: ThreadPoolExecutor,
) -> dict[str, float]:
    began = time.perf_counter()
    trained = list(learner.parameters())

    def gradients(part: PageBatch) -> tuple[dict[str, float], Sequence[Tensor | None]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            losses = learner(part)
        total = torch.stack(list(losses.values())).sum()
        found = torch.autograd.grad(total, trained, allow_unused=True)
        return {name: float(value.detach()) for name, value in losses.items()}, found

    results = list(pool.map(gradients, batch.shards(settings.shards)))
    for place, value in enumerate(trained):
        parts = [part for _, found in results if (part := found[place]) is not None]
        value.grad = torch.stack(parts).sum(0).div_(len(results)) if parts else None
    norm = float(nn.utils.clip_grad_norm_(trained, 1.0))
    row = {name: sum(losses[name] for losses, _ in results) / len(results) for name in results[0][0]}
    if not all(math.isfinite(value) for value in (norm, *row.values())):
        raise GrinningFaceError(f"losses {row} with a gradient of {norm} at step {step + 1}", hint="lower the learning rates")
    for optimizer in optimizers:
        optimizer.step()  # parameters that have no gradient yet stay as they are
    return {**row, "norm": norm, "seconds": time.perf_counter() - began}


def _save(job: JobDirectory, learner: Learner, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    state = {name: optimizer.state_dict() for name, optimizer in zip(("muon", "adamw"), optimizers, strict=True)}
    job.save_state(0, step, step, dict(learner.named_parameters()), state)
