"""From likelihoods and representations to the numbers of the report, as JSON."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gf_core.canonical import JSON
from gf_core.contracts import Doubles, Floats
from gf_core.statistics import Interval, Rate, clustered_rate, paired_difference_interval, paired_permutation
from gf_core.training.probe.answers import (
    NORMALIZATIONS,
    Likelihoods,
    Normalization,
    answer,
    answer_wording,
)
from gf_core.training.probe.linear import linear_probe
from gf_core.training.probe.material import Watch
from gf_core.training.probe.questions import WHICH, Material, Question
from gf_core.training.probe.representations import Seen, linear_cka
from gf_core.training.probe.weights import Change

Choose = Callable[[Question], tuple[int, int]]
"""A question to the answers before and after."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What was asked, what was read, and how answers are compared."""

    material: Material
    found: Likelihoods
    how: Normalization


def rate_of(outcomes: Sequence[bool], clusters: Sequence[str]) -> Rate:
    """The share of true outcomes, with whole clusters taken as independent."""
    k: dict[str, int] = defaultdict(int)
    n: dict[str, int] = defaultdict(int)
    for outcome, cluster in zip(outcomes, clusters, strict=True):
        k[cluster] += outcome
        n[cluster] += 1
    return clustered_rate(list(k.values()), list(n.values()))


def rate_json(rate: Rate) -> dict[str, JSON]:
    """A rate as documents hold it."""
    return {
        "k": rate.k,
        "n": rate.n,
        "clusters": rate.clusters,
        "estimate": rate.estimate,
        "interval": _interval(rate.interval),
    }


def accuracies(asking: Asking) -> list[JSON]:
    """An entry for each kind of question and split, in the order in which they were asked."""
    groups: dict[tuple[str, str], list[Question]] = defaultdict(list)
    for question in asking.material.questions:
        groups[question.kind, question.split].append(question)
    return [_accuracy(kind, split, questions, asking) for (kind, split), questions in groups.items()]


def _accuracy(kind: str, split: str, questions: Sequence[Question], asking: Asking) -> JSON:
    def choose(question: Question) -> tuple[int, int]:
        return answer(question, asking.found, asking.material, asking.how)

    def blindly(question: Question) -> tuple[int, int]:
        return answer(question, asking.found, asking.material, asking.how, blind=True)

    numbers = {len(question.answers[0]) for question in questions}
    entry: dict[str, JSON] = {
        "kind": kind,
        "split": split,
        "questions": len(questions),
        "chance": sum(1 / len(question.answers[0]) for question in questions) / len(questions),
        **_before_after(questions, choose),
        "blind": _before_after(questions, blindly),
        "normalizations": {how: _before_after(questions, _by(asking, how)) for how in NORMALIZATIONS},
        "wordings": _wordings(questions, asking),
        "answered": None,
    }
    if kind == WHICH and len(numbers) == 1:
        entry["answered"] = _answered(questions, choose, numbers.pop())
    return entry


def _by(asking: Asking, how: Normalization) -> Choose:
    return lambda question: answer(question, asking.found, asking.material, how)


def _before_after(questions: Sequence[Question], choose: Choose) -> dict[str, JSON]:
    """Rates before and after, and the difference, after minus before."""
    chosen = [choose(question) for question in questions]
    clusters = [question.cluster for question in questions]
    before, after = ([one[side] == q.right for one, q in zip(chosen, questions, strict=True)] for side in (0, 1))
    return {
        "before": rate_json(rate_of(before, clusters)),
        "after": rate_json(rate_of(after, clusters)),
        "difference": {
            "estimate": float(np.mean(after) - np.mean(before)),
            "interval": _interval(paired_difference_interval(after, before, clusters)),
            "p": paired_permutation(after, before, clusters).p,
        },
    }


def _wordings(questions: Sequence[Question], asking: Asking) -> list[JSON]:
    """Each wording by itself; data's own questions have one."""
    if {len(question.prompts) for question in questions} == {1}:
        return []
    found: list[JSON] = []
    for number in range(len(questions[0].prompts)):

        def choose(question: Question, number: int = number) -> tuple[int, int]:
            return answer_wording(question, number, asking.found, asking.material, asking.how)

        found.append({"example": questions[0].prompts[number], **_before_after(questions, choose)})
    return found


def _answered(questions: Sequence[Question], choose: Choose, count: int) -> JSON:
    """How often each place is right, and how often it was answered: a model that always says ``left`` is seen here."""
    counts = np.zeros((3, count), int)
    for question in questions:
        before, after = choose(question)
        for row, place in enumerate((question.right, before, after)):
            counts[row, place] += 1
    right, before_counts, after_counts = counts.tolist()
    return {"right": right, "before": before_counts, "after": after_counts}


def each_answer(asking: Asking) -> list[JSON]:
    """Every question with what both models answered, in the words of its first wording."""
    found: list[JSON] = []
    for question in asking.material.questions:
        before, after = answer(question, asking.found, asking.material, asking.how)
        words = question.answers[0]
        found.append(
            {
                "key": question.key,
                "kind": question.kind,
                "split": question.split,
                "cluster": question.cluster,
                "right": question.right,
                "before": before,
                "after": after,
                "words": [words[question.right], words[before], words[after]],
            }
        )
    return found


def divergences(asking: Asking) -> list[JSON]:
    """Kind of question to the KL divergence of the next token, over right answers and over prompts [nat]."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for question in asking.material.questions:
        for prompt, answers in zip(question.prompts, question.answers, strict=True):
            by_kind[question.kind].append(asking.found.rows[question.image, prompt, answers[question.right]])
    return [
        {
            "kind": kind,
            **{name: _mean(values[rows]) for name, values in asking.found.divergence.items()},
            "added": _mean(asking.found.added[rows]),
        }
        for kind, rows in by_kind.items()
    ]


def _mean(values: Doubles) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def change_json(change: Change) -> JSON:
    """A change of weights as documents hold it."""
    return {"numbers": change.numbers, "relative": change.relative, "missing": change.missing}


def similarities(before: Seen, after: Seen) -> dict[str, JSON]:
    """``vision``, ``image`` and ``answer`` to the linear CKA of each layer, as far as both models have it."""

    def layers(first: tuple[Floats, ...], second: tuple[Floats, ...]) -> list[JSON]:
        return [linear_cka(x, y) for x, y in zip(first, second, strict=False)]

    return {name: layers(getattr(before, name), getattr(after, name)) for name in ("vision", "image", "answer")}


def target_probes(material: Material, before: Seen, after: Seen, watch: Watch) -> JSON:
    """How often a linear reader finds the target card's place in each layer; ``None`` without a suite or with too few targets."""
    scenes = [scene for scene in material.scenes if scene.target >= 0]
    if not scenes:
        return None
    labels, clusters = [scene.target for scene in scenes], [scene.cluster for scene in scenes]
    rows = [number for number, scene in enumerate(material.scenes) if scene.target >= 0]
    layers: list[JSON] = []
    count = min(len(before.answer), len(after.answer))
    for layer in range(count):
        watch("linear probes", layer, count)
        rates: list[JSON] = []
        for seen in (before, after):
            right = linear_probe(seen.answer[layer][rows], labels, clusters)
            if right is None:
                return None
            rates.append(rate_json(rate_of(right.tolist(), clusters)))
        layers.append({"before": rates[0], "after": rates[1]})
    return {"chance": math.fsum(1 / scene.cards for scene in scenes) / len(scenes), "layers": layers}


def _interval(interval: Interval | None) -> JSON:
    return [interval.low, interval.high] if interval else None
