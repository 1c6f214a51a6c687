"""Answers by likelihood: against a computation by hand, and with models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.contracts import Layout, Segment
from gf_core.training.probe.answers import NORMALIZATIONS, answer, read, scores
from gf_core.training.probe.models import to_sample
from gf_core.training.probe.questions import Material, Question, Wordings, naming, ordinal_words, place_words
from gf_core.training.probe.results import Asking, accuracies, divergences

from .rigged import LABELS, Rigged, models, picture, quiet, which_material

PLACES = (("left", "first"), ("middle", "second"), ("right", "third"))


def knows(colour: int, text: str) -> bool:
    return text in PLACES[colour]


def nothing(colour: int, text: str) -> bool:
    return False


def by_hand(backbone: SmallBackbone, material: Material, pair: tuple[int, str, str], added: range) -> list[np.ndarray]:
    """Log-probabilities ``(V - added,)`` and the id's place, token after token of the answer, one sample alone."""
    image, prompt, text = pair
    batch = backbone.prepare([to_sample(material.images[image], prompt, text, "")], Layout())
    with torch.no_grad():
        logits = backbone.logits(backbone.encode(batch).last)[0].double().numpy()
    found = []
    for place, (token, segment) in enumerate(zip(batch.input_ids[0].tolist(), batch.segments[0].tolist(), strict=True)):
        if segment == Segment.ANSWER:
            row = np.delete(logits[place - 1], list(added))
            log = row - row.max() - np.log(np.exp(row - row.max()).sum())
            found.append(np.append(log, log[token]))
    return found


def test_likelihood_and_divergence_equal_a_computation_by_hand() -> None:
    before, after = SmallBackbone(SmallConfig(seed=0)), SmallBackbone(SmallConfig(seed=1))
    material = which_material(6)
    both = models(before, after, batch_size=5)
    found = read(material, both, quiet)
    question = material.questions[4]
    pair = (question.image, question.prompts[0], question.answers[0][question.right])
    first, last = (by_hand(one, material, pair, both.added) for one in (before, after))
    row = found.rows[pair]
    assert found.tokens[row] == len(first) == len(b"middle") + 1  # with the end
    assert found.totals[row] == pytest.approx([sum(p[-1] for p in side) for side in (first, last)], abs=1e-3)
    moved = [float((np.exp(p[:-1]) * (p[:-1] - q[:-1])).sum()) for p, q in zip(first, last, strict=True)]
    assert found.divergence["answer"][row] == pytest.approx(np.mean(moved), abs=1e-4)
    wrong = found.rows[question.image, question.prompts[0], question.answers[0][(question.right + 1) % 3]]
    assert np.isnan(found.divergence["answer"][wrong])


def test_a_model_beside_itself_has_not_moved() -> None:
    material = which_material(3)
    found = read(material, models(SmallBackbone(), SmallBackbone()), quiet)
    for entry in divergences(Asking(material=material, found=found, how="token")):
        assert isinstance(entry, dict)
        assert (entry["answer"], entry["prompt"]) == (0.0, 0.0)
    assert (found.totals[:, 0] == found.totals[:, 1]).all()


def test_one_that_knows_scores_1_and_one_that_guesses_scores_chance() -> None:
    material = which_material(30)
    found = read(material, models(Rigged(knows), Rigged(nothing)), quiet)
    (entry,) = accuracies(Asking(material=material, found=found, how="token"))
    assert isinstance(entry, dict)
    assert entry["chance"] == pytest.approx(1 / 3)
    before, after, blind = entry["before"], entry["after"], entry["blind"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert isinstance(blind, dict)
    assert (before["estimate"], before["n"], before["clusters"]) == (1.0, 30, 10)
    assert after["estimate"] == pytest.approx(1 / 3)
    grey = blind["before"]
    assert isinstance(grey, dict)
    assert grey["estimate"] == pytest.approx(1 / 3)  # who knows by looking knows nothing of a grey image
    assert entry["answered"] == {"right": [10, 10, 10], "before": [10, 10, 10], "after": [30, 0, 0]}


def test_random_weights_score_about_chance() -> None:
    material = which_material(60)
    rng = np.random.default_rng(5)
    for number, question in enumerate(material.questions):
        material.questions[number] = Question(**{**vars(question), "right": int(rng.integers(3))})
    found = read(material, models(SmallBackbone(), SmallBackbone(SmallConfig(seed=3)), batch_size=32), quiet)
    right = np.array([answer(q, found, material, "token") == (q.right, q.right) for q in material.questions])
    either = np.array([[one == q.right for one in answer(q, found, material, "token")] for q in material.questions])
    assert right.mean() <= either.mean()
    assert 0.15 < either.mean() < 0.55


def test_normalisations_differ_as_they_should() -> None:
    material = Material()
    image = material.show(picture(0))
    prompts, answers = ("What is it?",), (LABELS,)
    material.questions.append(
        Question(key="a", kind="naming", split="s", cluster="a", image=image, prompts=prompts, answers=answers, right=2)
    )
    (question,) = material.questions
    found = read(material, models(Rigged(nothing), Rigged(lambda colour, text: len(text) > 5)), quiet)
    assert answer(question, found, material, "sum")[0] == 0  # every token alike: the shortest
    each = {how: scores(question, 0, found, material, how) for how in NORMALIZATIONS}
    assert each["token"][0] == pytest.approx(np.full(3, each["token"][0][0]))
    assert each["blind"] == pytest.approx(np.zeros((2, 3)))  # the image says nothing to either
    assert answer(question, found, material, "token")[1] == 2


def test_padding_and_neighbours_change_nothing() -> None:
    material = which_material(9)
    alone, together = (
        read(material, models(SmallBackbone(), SmallBackbone(SmallConfig(seed=1)), batch_size=size), quiet) for size in (1, 16)
    )
    assert alone.totals == pytest.approx(together.totals, abs=1e-3)
    assert alone.rows == together.rows


def test_words_and_wordings() -> None:
    assert place_words(2) == ("left", "right")
    assert place_words(4) == ordinal_words(4) == ("first", "second", "third", "fourth")
    with pytest.raises(GrinningFaceError, match="no words for the places of 9 cards"):
        place_words(9)
    with pytest.raises(GrinningFaceError, match=r"must hold \{label\} and one of"):
        Wordings(which=("Which one is the {label}?",))


def test_candidates_are_the_decks_labels_and_the_same_every_time() -> None:
    from gf_core.contracts import DeckItem

    items = {str(i): DeckItem(id=str(i), label=f"label {i}", split="val") for i in range(50)}
    drawn = [naming(("?",), items["7"], items, count, deck="d", image=0) for count in (16, 16, 0)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0].answers[0])) == 16
    assert drawn[0].answers[0][drawn[0].right] == "label 7"
    assert len(drawn[2].answers[0]) == 50
    places = [naming(("?",), item, items, 4, deck="d", image=0).right for item in items.values()]
    assert len(set(places)) == 4  # the right one isn't always at the same place, so ties don't favour it
