from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from gf_core.errors import GrinningFaceError
from gf_core.training.contracts import Segment, Technique
from gf_core.training.loading import Batches, stream
from gf_core.training.mixture import Mixture, Share
from gf_core.training.model import VLA
from gf_core.training.recipe import Stage
from gf_core.training.samples import Sample, Wanted
from gf_techniques.idm import SOFT, IdmConfig, InverseDynamics, direction
from gf_techniques.latent_actions import LatentActions, inverse_dynamics

from .tools import OFFSET, WAYS, Given, begin, film, moved, policy, questions, technique, train, trainable, values

CODES, BOOK = 1, 8
WANTED = Wanted(cameras=("front",), offsets=(0, OFFSET), horizon=2)


def latent(phase: str, **settings: Any) -> Technique:
    sizes = {"codes": CODES, "codebook": BOOK, "code_dim": 8, "image_size": 16, "patch": 4, "width": 32, "layers": 1}
    return technique("latent-actions", **{"phase": phase, "horizon": OFFSET, **sizes, **settings})


def fresh(seed: int = 0) -> VLA:
    return policy(
        seed=seed,
        latent=("latent", {"codes": CODES, "codebook": BOOK}),
        arms=("regression", {"width": 16, "blocks": 1, "readout": "mean"}),
        bins=("bins", {"bins": 4}),
    )


@pytest.fixture(scope="module")
def learned() -> tuple[VLA, set[str], dict[str, torch.Tensor], dict[str, Any]]:
    """A policy after phase idm: with the parameters that moved, the last losses, and the technique's report."""
    vla = fresh()
    torch.manual_seed(0)
    begin(vla, latent("idm"))
    before = values(vla)
    losses = train(vla, film(192, 0), steps=300, batch=24, rate=3e-3)
    changed, report = moved(before, vla), vla.techniques[0].report()
    vla.end_stage()
    return vla, changed, losses, report


def carried(vla: VLA, seed: int = 0) -> VLA:
    """A policy of its own with the same inverse-dynamics model, made as a checkpoint is loaded."""
    other = fresh(seed)
    begin(other, latent("idm"))
    stored = {name: value for name, value in vla.named_parameters() if name.startswith("extras.")}
    assert trainable(other) == stored.keys()
    with torch.no_grad():
        for name, value in other.named_parameters():
            if name in stored:
                value.copy_(stored[name])
    other.end_stage()
    return other


def predicting(vla: VLA, *others: Technique) -> LatentActions:
    found = latent("predict")
    assert isinstance(found, LatentActions)
    begin(vla, found, *(others or (technique("full-finetune"),)), heads=("latent",), act=False)
    return found


def test_only_the_inverse_dynamics_model_trains(learned: Any) -> None:
    _, changed, losses, _ = learned
    assert losses.keys() == {"idm/reconstruction"}
    assert changed
    assert all(name.startswith("extras.idm.") for name in changed)
    assert float(losses["idm/reconstruction"]) < 0.5  # 1 for predicting no change, about 0.5 without knowing the way


def test_codes_are_in_use_and_tell_the_ways_apart(learned: Any) -> None:
    vla, _, _, report = learned
    labels = label(vla, film(200, 99))
    assert len({codes for codes, _ in labels}) >= 4
    assert report["perplexity"] > 3
    most = Counter[tuple[int, ...]]()
    for codes in {codes for codes, _ in labels}:
        most[codes] = max(Counter(way for found, way in labels if found == codes).values())
    assert sum(most.values()) / len(labels) > 0.8  # always guessing one way is right for a quarter


def test_a_short_difference_leaves_the_others_of_its_batch_their_say() -> None:
    """Divided by its own length, a difference of 0.0001 had 10,000 times the gradient of one of length 1."""
    vectors = torch.tensor([[1e-4, 0.0], [0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found = direction(vectors)
    found.sum().backward()
    assert torch.allclose(found[2], torch.tensor([0.6, 0.8]), atol=1e-3)
    assert vectors.grad is not None
    assert float(vectors.grad.norm(dim=-1).max()) <= 2**0.5 / SOFT


def label(vla: VLA, samples: list[Sample]) -> list[tuple[tuple[int, ...], str]]:
    method = predicting(carried(vla))
    source = method.sources({"film": Given("film", samples, robot=True)})["film"]
    assert method.labeller is not None
    for index in range(len(source)):
        source.sample(index, WANTED)
    return [(method.labeller.table[sample.key], sample.prompt) for sample in samples]


def test_labels_are_the_same_after_loading_and_for_any_order(learned: Any) -> None:
    vla, samples = learned[0], film(12, 5)
    assert label(vla, samples)[::-1] == label(carried(vla, seed=7), samples[::-1])
    assert {way for _, way in label(vla, samples)} <= WAYS.keys()


def test_the_vlm_learns_to_predict_codes_without_actions(learned: Any) -> None:
    vla = carried(learned[0])
    method = predicting(vla)
    source = method.sources({"film": Given("film", film(24, 3, actions=False), robot=True)})["film"]
    samples = [source.sample(index, WANTED) for index in range(len(source))]
    batch = vla.prepare(samples)
    assert not bool(batch.action_mask.any())
    assert method.labeller is not None
    for row, sample in enumerate(samples):
        first = vla.token_ids["latent"].start
        spoken = batch.input_ids[row][batch.segments[row] == int(Segment.ACTION)].tolist()
        assert [token - first for token in spoken[:-1]] == list(method.labeller.table[sample.key])
    before = values(vla)
    losses = train(vla, samples, steps=60, batch=12, rate=3e-3)
    assert losses.keys() == {"latent/tokens"}
    changed = moved(before, vla)
    assert {"rows.input", "rows.output", "model.embed.weight"} <= changed
    assert not any(name.startswith(("extras.", "heads.")) for name in changed)
    said = vla.speak("latent", vla.prepare(samples, generate=True))
    right = sum(row == list(method.labeller.table[sample.key]) for row, sample in zip(said, samples, strict=True))
    assert right / len(samples) > 0.6  # the prompt says the way


def test_worker_processes_label_as_this_one_does(learned: Any) -> None:
    vla = carried(learned[0])
    method = predicting(vla)
    sources = method.sources(
        {"film": Given("film", film(16, 3), robot=True), "vqa": Given("vqa", questions("vqa/x"), robot=False)}
    )
    document = {"name": "predict", "steps": 2, "batch_size": 4, "accumulate": 1}
    from gf_core.training.loading import Place

    mixture = Mixture(shares=(Share(source="film", weight=3), Share(source="vqa")))
    batches = Batches(vla, Stage(0, document), mixture, sources, seed=1, place=Place())
    beside = [batch.input_ids for batch in stream(batches, 0, workers=1)]
    assert method.labeller is not None
    assert not method.labeller.table
    here = [batch.input_ids for batch in stream(batches, 0, workers=0)]
    assert all(torch.equal(a, b) for a, b in zip(beside, here, strict=True))
    assert len(method.labeller.table) == 6


def test_a_new_head_acts_in_the_end(learned: Any) -> None:
    vla = carried(learned[0])
    with pytest.raises(GrinningFaceError, match="can't act"):
        begin(vla, latent("act"), heads=("latent",))
    begin(vla, latent("act"), technique("full-finetune"), heads=("arms",))
    assert "idm" not in vla.extras
    samples = [replace(sample, frames=sample.frames[:1]) for sample in film(2, 0)]
    assert vla(vla.prepare(samples)).keys() == {"arms/l1"}


def test_stages_that_make_no_sense(learned: Any) -> None:
    with pytest.raises(GrinningFaceError, match="trains no action head"):
        begin(fresh(), latent("idm"), heads=("arms",))
    with pytest.raises(GrinningFaceError, match="leaves the VLM alone, but language would train"):
        begin(fresh(), latent("idm"), technique("full-finetune", roles=["language"]))
    with pytest.raises(GrinningFaceError, match="no inverse-dynamics model"):
        begin(fresh(), latent("predict"), technique("full-finetune"), heads=("latent",))
    vla = carried(learned[0])
    with pytest.raises(GrinningFaceError, match="one head that takes codes, not 0"):
        begin(vla, latent("predict"), technique("full-finetune"), heads=("bins",))
    with pytest.raises(GrinningFaceError, match="frozen language model"):
        begin(vla, latent("predict"), heads=("latent",))
    with pytest.raises(GrinningFaceError, match=r"codebook is 16; the inverse-dynamics model .* has 8"):
        begin(vla, latent("idm", codebook=16))
    with pytest.raises(GrinningFaceError, match=r"horizon is 6; the inverse-dynamics model .* has 5"):
        begin(vla, latent("predict", horizon=6), technique("full-finetune"), heads=("latent",))
    other = policy(latent=("latent", {"codes": 2, "codebook": BOOK}))
    other.extras["idm"] = inverse_dynamics(vla)
    with pytest.raises(GrinningFaceError, match="2 codes of 8 entries"):
        begin(other, latent("predict"), technique("full-finetune"), heads=("latent",))
    with pytest.raises(GrinningFaceError, match="patch must divide"):
        latent("idm", patch=5)


def test_frames_that_are_missing(learned: Any) -> None:
    vla = carried(learned[0])
    method = predicting(vla)
    near = [replace(sample, frames=sample.frames[:1]) for sample in film(1, 0)]
    source = method.sources({"film": Given("film", near, robot=True)})["film"]
    with pytest.raises(GrinningFaceError, match="no frame of camera 'front' at offset 5"):
        source.sample(0, WANTED)
    vla = fresh()
    begin(vla, latent("idm", camera="wrist"))
    with pytest.raises(GrinningFaceError, match="no frames of camera 'wrist'"):
        vla(vla.prepare(film(2, 0)))


def collapsed() -> tuple[InverseDynamics, torch.Tensor, torch.Tensor]:
    """A model of which one entry is chosen by every pair of a batch, and the batch."""
    torch.manual_seed(0)
    model = InverseDynamics(
        IdmConfig(horizon=5, camera="front", codes=2, codebook=4, code_dim=8, image_size=16, patch=4, width=16, layers=1)
    )
    samples = film(16, 0)
    first, later = (torch.stack([torch.from_numpy(s.frames[i].image) for s in samples]) for i in (0, 1))
    model.loss(first, later)
    with torch.no_grad():
        mean = model._recent.mean(0)
        model.codebook.copy_(torch.stack([mean, -mean, -mean, -mean]))
        model._counts.zero_()
    return model, first, later


def test_entries_out_of_use_are_put_where_the_encoder_is() -> None:
    model, first, later = collapsed()
    for _ in range(2):
        model.loss(first, later)
    assert model.restart(0.1) == 0  # not yet: the average still is near even
    with torch.no_grad():
        model.usage.copy_(torch.tensor([0.97, 0.01, 0.01, 0.01]))
    before = {int(code) for code in model.codes(first, later).flatten()}
    model.loss(first, later)
    assert model.restart(0) == 0
    model.loss(first, later)
    assert model.restart(0.1) == 3
    assert model.usage.tolist()[1:] == [0.25] * 3
    assert len(before) < len({int(code) for code in model.codes(first, later).flatten()})


def test_entries_are_put_where_something_moves() -> None:
    """A still pair's output is near 0, so nothing is like it, not even an entry that was put there: all went to that place."""
    model, first, later = collapsed()
    with torch.no_grad():
        model.usage.copy_(torch.tensor([0.97, 0.01, 0.01, 0.01]))
    later[0] = first[0]
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(first, later)
    assert float(model._recent.norm(dim=-1).min()) < 0.01
    assert model.restart(0.1) == 3
    moved = model.codebook.detach()[1:]
    assert torch.allclose(moved.norm(dim=-1), torch.ones(3))
    assert float((moved @ moved.T).fill_diagonal_(-1).max()) < 0.99


def test_usage_is_kept_with_what_trains_and_no_optimiser_moves_it() -> None:
    model, first, later = collapsed()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0)
    model.loss(first, later).backward()
    assert all(value.grad is not None for value in model.parameters())
    optimizer.step()
    assert model.usage.requires_grad
    assert model.usage.tolist() == [0.25] * 4
    assert model.perplexity() == pytest.approx(4)


@pytest.mark.parametrize(("below", "restarted"), [(0.1, True), (0, False)])
def test_a_step_puts_unused_entries_elsewhere_and_the_report_says_how_many_are_in_use(below: float, restarted: bool) -> None:
    vla = fresh()
    method = latent("idm", restart_below=below)
    begin(vla, method)
    model = inverse_dynamics(vla)
    with torch.no_grad():
        model.usage.copy_(torch.tensor([1.0] + [0.0] * (BOOK - 1)))
    vla(vla.prepare(film(8, 0)))
    before = model.codebook.detach().clone()
    method.after_step(vla, 1)
    assert torch.equal(model.codebook, before) != restarted
    assert method.report() == {"perplexity": model.perplexity()}
    assert (method.report()["perplexity"] > 2) == restarted
