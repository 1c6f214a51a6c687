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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from gf_core._interrupts import uninterrupted
from gf_core.errors import GrinningFaceError
from gf_core.training.job import JobDirectory
from gf_core.training.muon import Muon
from gf_policies.nano.architecture import WIDTH, make_config, make_model
from gf_policies.nano.batches import COMMON, IGNORE, PageBatch, Pages, Settings
from gf_policies.nano.drawing import COLOURS
from gf_policies.nano.places import FINE, GRID, LOCATIONS
from gf_policies.nano.questions import all_texts
from gf_policies.nano.things import Thing
from gf_policies.nano.vocabulary import make_tokenizer


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
        """Give image tokens a root mean square of 1: the patches' loss leaves their scale free, and it grows to hundreds.

        It doesn't last: a step of Muon's is then as large as the layer (its elements 0.002, the layer's 0.0013), the patches'
        loss jumps from 15 to 26, and image tokens are at 5.8 after five steps, and at 156 in the weights that are shipped. A
        rate divided likewise would keep it; what is here is what made those weights.
        """
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
