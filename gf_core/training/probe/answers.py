"""Answers by likelihood, and how far next-token predictions moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gf_core.contracts import Doubles
from gf_core.training.contracts import Batch, Segment
from gf_core.training.probe.material import Watch
from gf_core.training.probe.models import Models, to_sample
from gf_core.training.probe.questions import Material, Question

Normalization = Literal["token", "sum", "blind"]
"""How candidates of different lengths are compared:

- ``token``: mean log-likelihood of the answer's tokens, its end included (arXiv 2005.14165). The default: the sum
  favours short labels, ``gift`` before ``woman with headscarf``.
- ``sum``: log-likelihood of the whole answer.
- ``blind``: the sum, less that of the same answer to a grey image: what the image adds (the same section's normalisation by the
  unconditional probability; arXiv 2104.08315 on why a likely answer beats a right one).
"""
NORMALIZATIONS: tuple[Normalization, ...] = ("token", "sum", "blind")
SEGMENTS = {"answer": Segment.ANSWER, "prompt": Segment.PROMPT}

Pair = tuple[int, str, str]
"""Images' place, prompt, answer."""


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """What both models make of pairs of prompt and answer.

    Attributes:
        rows: pair to its row below.
        totals: ``(N, 2) float64``, log-likelihood of the answer [nat], before and after.
        tokens: ``(N,) int64``, its tokens, the end included.
        divergence: ``answer`` and ``prompt`` to ``(N,) float64``: KL(before || after) of the next token [nat], mean over these
            tokens; NaN for pairs that aren't right answers with their images.
        added: ``(N,) float64``: probability that the trained model gives to added tokens in the place of the answer's, mean over
            its tokens; NaN as above.
    """

    rows: Mapping[Pair, int]
    totals: Doubles
    tokens: NDArray[np.int64]
    divergence: Mapping[str, Doubles]
    added: Doubles


def right_pairs(questions: Iterable[Question]) -> dict[Pair, None]:
    """Each wording of each question with its right answer."""
    return {
        (question.image, prompt, answers[question.right]): None
        for question in questions
        for prompt, answers in zip(question.prompts, question.answers, strict=True)
    }


def read(material: Material, models: Models, watch: Watch) -> Likelihoods:
    """Read every candidate answer to every question, with its images and with grey ones, through both models."""
    right = right_pairs(material.questions)
    pairs = dict(right)
    for question in material.questions:
        for image in (question.image, material.blind.get(question.image, question.image)):
            for prompt, answers in zip(question.prompts, question.answers, strict=True):
                pairs.update(dict.fromkeys((image, prompt, answer) for answer in answers))
    # Of like length together: less padding.
    ordered = sorted(pairs, key=lambda pair: (len(material.images[pair[0]]), len(pair[1]) + len(pair[2]), pair))
    count = len(ordered)
    divergence = {name: np.full(count, np.nan) for name in SEGMENTS}
    totals, tokens, added = np.zeros((count, 2)), np.zeros(count, np.int64), np.full(count, np.nan)
    for start in range(0, count, models.batch_size):
        watch("reading answers", start, count)
        part = ordered[start : start + models.batch_size]
        told = torch.tensor([pair in right for pair in part])
        read_part = _read(part, told, material, models)
        rows = slice(start, start + len(part))
        totals[rows], tokens[rows] = read_part.totals, read_part.tokens
        added[rows] = read_part.added
        for name, values in read_part.divergence.items():
            divergence[name][rows] = values
    rows_of = {pair: row for row, pair in enumerate(ordered)}
    return Likelihoods(rows=rows_of, totals=totals, tokens=tokens, divergence=divergence, added=added)


def _read(part: Sequence[Pair], told: Tensor, material: Material, models: Models) -> Likelihoods:
    samples = [to_sample(material.images[image], prompt, answer, f"{image}") for image, prompt, answer in part]
    batch = models.prepare(samples)
    told = told.to(models.device)
    following, there = batch.segments[:, 1:], batch.segments[:, :-1] != int(Segment.PADDING)
    answer = (following == int(SEGMENTS["answer"])) & there
    wanted = answer | ((following == int(SEGMENTS["prompt"])) & there & told[:, None])
    rows = wanted.nonzero()[:, 0]
    with models.reading():
        contexts = [model.encode(batch) for model in models.both]
        before, after = (models.words(model, one, wanted) for model, one in zip(models.both, contexts, strict=True))
        ids = _without_added(batch.input_ids[:, 1:][wanted], models.added)
        said = answer[wanted]
        totals = np.stack([_sums(log.gather(-1, ids[:, None])[:, 0], rows, said, len(part)) for log in (before, after)], 1)
        moved = (before.exp() * (before - after)).sum(-1).clamp(min=0)  # rounding takes equal ones below
        spilt = models.after.logits(contexts[1].last[:, :-1][answer]).softmax(-1)
        spilt = spilt[:, models.added.start : models.added.stop].sum(-1)
    counts = {name: _sums(torch.ones_like(moved), rows, kind, len(part)) for name, kind in _kinds(batch, wanted).items()}
    divergence = {
        name: _means(_sums(moved, rows, kind, len(part)), counts[name], told) for name, kind in _kinds(batch, wanted).items()
    }
    everything = torch.ones_like(spilt, dtype=torch.bool)
    added = _means(_sums(spilt, rows[said], everything, len(part)), counts["answer"], told)
    return Likelihoods(rows={}, totals=totals, tokens=counts["answer"].astype(np.int64), divergence=divergence, added=added)


def _kinds(batch: Batch, wanted: Tensor) -> dict[str, Tensor]:
    """``answer`` and ``prompt`` to ``(positions,) bool``."""
    following = batch.segments[:, 1:][wanted]
    return {name: following == int(segment) for name, segment in SEGMENTS.items()}


def _without_added(ids: Tensor, added: range) -> Tensor:
    """Places of ids among the words (:meth:`Models.words`); none of them is an added one."""
    return torch.where(ids >= added.stop, ids - len(added), ids)


def _sums(values: Tensor, rows: Tensor, chosen: Tensor, count: int) -> Doubles:
    """``(count,) float64``: the chosen positions' values, summed over each row."""
    total = torch.zeros(count, dtype=torch.float64)
    summed: Doubles = total.index_add(0, rows[chosen].cpu(), values[chosen].double().cpu()).numpy()
    return summed


def _means(sums: Doubles, counts: Doubles, told: Tensor) -> Doubles:
    """Means of the rows told, NaN elsewhere and where there is nothing to average."""
    valid = told.cpu().numpy() & (counts > 0)
    means: Doubles = np.where(valid, sums / np.maximum(counts, 1), np.nan)
    return means


def scores(
    question: Question, wording: int, found: Likelihoods, material: Material, how: Normalization, *, blind: bool = False
) -> Doubles:
    """``(2, candidates) float64``: how well each answer does, before and after.

    Args:
        question: the question.
        wording: which of its wordings.
        found: what was read.
        material: what was asked.
        how: the normalisation. Without images nothing can be taken off, so there ``blind`` is ``token``.
        blind: answer to grey images instead.
    """
    prompt, answers = question.prompts[wording], question.answers[wording]
    grey = material.blind.get(question.image, question.image)
    rows = [found.rows[grey if blind else question.image, prompt, answer] for answer in answers]
    totals = found.totals[rows].T
    if how == "token" or (how == "blind" and (blind or grey == question.image)):
        return np.asarray(totals / found.tokens[rows])
    if how == "blind":
        totals = totals - found.totals[[found.rows[grey, prompt, answer] for answer in answers]].T
    return np.asarray(totals)


def answer(
    question: Question, found: Likelihoods, material: Material, how: Normalization, *, blind: bool = False
) -> tuple[int, int]:
    """The answers before and after: the candidate with the highest mean, over wordings, of log-softmax of its scores."""
    shares = [
        _log_softmax(scores(question, number, found, material, how, blind=blind)) for number in range(len(question.prompts))
    ]
    before, after = np.mean(shares, axis=0).argmax(-1).tolist()
    return before, after


def answer_wording(
    question: Question, wording: int, found: Likelihoods, material: Material, how: Normalization
) -> tuple[int, int]:
    """The answers before and after to one wording."""
    before, after = scores(question, wording, found, material, how).argmax(-1).tolist()
    return before, after


def _log_softmax(values: Doubles) -> Doubles:
    shifted = values - values.max(-1, keepdims=True)
    shares: Doubles = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shares
