"""CKA, change of weights, and the linear reader."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gf_core.testing.small_backbone import SmallBackbone, SmallConfig
from gf_core.training.probe.linear import linear_probe
from gf_core.training.probe.representations import linear_cka, represent
from gf_core.training.probe.results import similarities, target_probes
from gf_core.training.probe.weights import block_changes, role_changes

from .rigged import models, quiet, which_material


def test_cka_is_1_for_rotations_and_scalings_and_small_for_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)).astype(np.float32)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    assert linear_cka(x, (3 * x @ rotation + 5).astype(np.float32)) == pytest.approx(1, abs=1e-5)
    noise = linear_cka(x, rng.normal(size=(200, 8)).astype(np.float32))
    assert noise is not None
    assert noise < 0.2
    assert linear_cka(x, np.ones((200, 3), np.float32)) is None


def test_cka_equals_the_formula_over_features() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 7))
    y[:, :5] += x
    a, b = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.norm(b.T @ a) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert linear_cka(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(expected, abs=1e-5)


def test_a_model_beside_itself() -> None:
    material = which_material(12)
    before, after = represent(material, models(SmallBackbone(), SmallBackbone()), quiet)
    found = similarities(before, after)
    assert (len(before.vision), len(before.image), len(before.answer)) == (2, 4, 4)
    assert found["vision"] == pytest.approx([1, 1])
    assert found["image"] == pytest.approx([1] * 4)
    answers = found["answer"]
    assert isinstance(answers, list)
    assert answers[1:] == pytest.approx([1] * 3)
    assert {change.relative for change in role_changes(SmallBackbone(), SmallBackbone()).values()} == {0.0}


def test_representations_do_not_depend_on_the_batch() -> None:
    material = which_material(6)
    (one, _), (all_at_once, _) = (
        represent(material, models(SmallBackbone(), SmallBackbone(), batch_size=size), quiet) for size in (1, 6)
    )
    for name in ("vision", "image", "answer"):
        for alone, together in zip(getattr(one, name), getattr(all_at_once, name), strict=True):
            assert alone == pytest.approx(together, abs=1e-4)
    assert np.ptp(one.vision[1], axis=0).max() > 0.01  # scenes are told apart


def test_only_what_moved_has_changed() -> None:
    before, after = SmallBackbone(), SmallBackbone()
    with torch.no_grad():
        moved = dict(after.module.named_parameters())["blocks.1.up.weight"]
        size = float(moved.norm())
        moved.mul_(1.5)
    roles, blocks = role_changes(before, after), block_changes(before, after)
    assert (roles["vision"].relative, roles["projector"].relative) == (0.0, 0.0)
    language = dict(before.module.named_parameters())
    norm = sum(float(language[name].detach().square().sum()) for name in before.roles()["language"]) ** 0.5
    assert roles["language"].relative == pytest.approx(0.5 * size / norm, rel=1e-4)
    assert [bool(change.relative) for change in blocks["language"]] == [False, True, False]
    assert sum(change.numbers for change in roles.values()) == sum(p.numel() for p in before.module.parameters())
    assert "projector" not in blocks


def test_a_parameter_of_another_shape_is_counted_as_missing() -> None:
    roles = role_changes(SmallBackbone(), SmallBackbone(SmallConfig(vocabulary=1024)))
    assert (roles["language"].missing, roles["vision"].missing) == (1, 0)


def signal(strength: float, wide: int, seed: int = 0) -> tuple[np.ndarray, list[int], list[str]]:
    rng = np.random.default_rng(seed)
    labels = [i % 3 for i in range(120)]
    features = rng.normal(size=(120, wide))
    features += (strength * rng.normal(size=(3, wide)) / wide**0.5)[labels]  # along one direction for each class
    return features.astype(np.float32), labels, [f"c{i // 3}" for i in range(120)]


@pytest.mark.parametrize("wide", [10, 400])
def test_a_planted_signal_is_found_and_an_absent_one_is_not(wide: int) -> None:
    features, labels, clusters = signal(8.0, wide)
    found = linear_probe(features, labels, clusters)
    assert found is not None
    assert found.mean() > 0.95
    nothing = linear_probe(*signal(0.0, wide))
    assert nothing is not None
    assert 0.15 < nothing.mean() < 0.5


def test_clusters_cannot_be_learned_by_heart() -> None:
    """Each cluster has its own features and one label: whoever saw it knows it, and nobody else can."""
    rng = np.random.default_rng(2)
    own = rng.normal(size=(40, 200))
    clusters = [f"c{i % 40}" for i in range(120)]
    labels = [(i % 40) % 3 for i in range(120)]
    features = np.stack([own[i % 40] for i in range(120)]) + 0.01 * rng.normal(size=(120, 200))
    found = linear_probe(features.astype(np.float32), labels, clusters)
    assert found is not None
    assert found.mean() < 0.6


def test_too_little_to_learn_from() -> None:
    features, labels, clusters = signal(1.0, 5)
    assert linear_probe(features[:9], labels[:9], clusters[:9]) is None
    assert linear_probe(features, [0] * 120, clusters) is None


def test_the_target_is_read_where_the_image_shows_it() -> None:
    material = which_material(24)
    seen, _ = represent(material, models(SmallBackbone(), SmallBackbone()), quiet)
    found = target_probes(material, seen, seen, quiet)
    assert isinstance(found, dict)
    layers = found["layers"]
    assert isinstance(layers, list)
    assert len(layers) == 4
    assert found["chance"] == pytest.approx(1 / 3)
    last = layers[-1]
    assert isinstance(last, dict)
    rate = last["before"]
    assert isinstance(rate, dict)
    assert rate["estimate"] is not None
    assert float(str(rate["estimate"])) > 0.8  # the colours are easy to see, even through random weights
