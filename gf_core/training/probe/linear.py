"""What a linear reader finds in a representation: where the target card lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gf_core.canonical import derive_seed
from gf_core.contracts import Bools, Doubles, Floats

FOLDS = 5
CONSTANT = 1e-6
"""A dimension whose spread is smaller than this, relative to its largest value, is taken as constant."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties that are tried, relative to the kernel's mean eigenvalue; chosen within the training folds alone."""


def linear_probe(features: Floats, labels: Sequence[int], clusters: Sequence[str]) -> Bools | None:
    """Whether each label is read rightly by a linear classifier that was fitted on other clusters.

    Ridge regression on one-hot labels, the largest output wins (a linear classifier probe, arXiv 1610.01644), with
    cross-validation in :data:`FOLDS` folds of whole clusters: what is read of an emoji was learned from other emojis. Solved by
    the kernel, so that representations may be wider than there are scenes.

    Args:
        features: ``(N, D)``; each dimension is standardised over all N, without looking at labels.
        labels: N classes.
        clusters: N names.

    Returns:
        ``(N,) bool``; ``None`` for fewer than two classes or four clusters.
    """
    names = sorted(set(clusters))
    classes, targets = np.unique(np.asarray(labels), return_inverse=True)
    if len(names) < 4 or len(classes) < 2:
        return None
    kernel = _kernel(features)
    fold_of = _folds(names)
    folds = np.array([fold_of[name] for name in clusters])
    one_hot = np.eye(len(classes))[targets]
    right = np.zeros(len(targets), bool)
    for fold in range(int(folds.max()) + 1):
        train = folds != fold
        penalty = _penalty(kernel[np.ix_(train, train)], one_hot[train], folds[train])
        outputs = _fit(kernel, one_hot, train, ~train, (penalty,))[0]
        right[~train] = outputs.argmax(1) == targets[~train]
    return right


def _folds(names: Sequence[str]) -> dict[str, int]:
    """Cluster to its fold, drawn by a hash of all names."""
    order = np.random.default_rng(derive_seed("linear-probe", list(names))).permutation(len(names))
    return {names[index]: place % min(FOLDS, len(names)) for place, index in enumerate(order.tolist())}


def _kernel(features: Floats) -> Doubles:
    exact = features.astype(np.float64)
    spread = exact.std(0)
    constant = spread <= CONSTANT * np.abs(exact).max(0)  # rounding isn't to be blown up
    scaled = np.where(constant, 0.0, exact - exact.mean(0)) / np.where(constant, 1.0, spread)
    kernel: Doubles = scaled @ scaled.T / features.shape[1]
    return kernel


def _penalty(kernel: Doubles, one_hot: Doubles, folds: np.ndarray) -> float:
    """The penalty with the most right answers over the training folds, each held out in turn; the largest of equals."""
    counts = np.zeros(len(PENALTIES))
    for fold in np.unique(folds).tolist():
        train = folds != fold
        for number, outputs in enumerate(_fit(kernel, one_hot, train, ~train, PENALTIES)):
            counts[number] += (outputs.argmax(1) == one_hot[~train].argmax(1)).sum()
    return PENALTIES[len(PENALTIES) - 1 - int(counts[::-1].argmax())]


def _fit(kernel: Doubles, one_hot: Doubles, train: Bools, test: Bools, penalties: Sequence[float]) -> list[Doubles]:
    """Outputs for ``test`` of the regressions fitted on ``train``, one for each penalty."""
    inner, across = kernel[np.ix_(train, train)], kernel[np.ix_(test, train)]
    column = inner.mean(0)
    across = across - across.mean(1, keepdims=True) - column + column.mean()
    inner = inner - column - column[:, None] + column.mean()
    values, vectors = np.linalg.eigh(inner)
    mean = one_hot[train].mean(0)
    told = vectors.T @ (one_hot[train] - mean)
    values = np.maximum(values, 0.0)
    scale = float(values.mean()) or 1.0
    return [mean + across @ (vectors @ (told / (values + penalty * scale)[:, None])) for penalty in penalties]
