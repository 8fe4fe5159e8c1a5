"""Search of hyper-parameters: one small grid for the quantum machine and one of the same size for its twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.svm import SVC

from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.training.evaluate import average_precision
from scorer.training.splits import inner_folds, subsample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BANDWIDTHS = (0.025, 0.05, 0.1, 0.2, 0.4)  # radians for the width of the scaled range
GAMMAS = (0.1, 0.5, 2.0, 8.0, 32.0)
COSTS = (0.3, 3.0, 30.0)
SEARCH_ROWS = 800
SEARCH_FOLDS = 4
REPS = 2
ENTANGLEMENT = "full"


@dataclass(frozen=True)
class Found:
    """One pair of a grid. ``width``: bandwidth or gamma. ``pr_auc``: mean over the inner folds."""

    width: float
    C: float
    pr_auc: float


@dataclass(frozen=True)
class Searched:
    """Winners of both grids, each of ``tried`` pairs on the same rows and folds."""

    quantum: Found
    twin: Found
    tried: int


def zz_map(qubits: int, bandwidth: float) -> ZZMap:
    """The feature map that training uses."""
    return ZZMap(qubits, REPS, ENTANGLEMENT, bandwidth)


def search(Z: Floats, y: Ints, groups: Ints | None, seed: int) -> Searched:
    """Best bandwidth x C and gamma x C on scaled features Z (N, n) by PR-AUC over inner folds.

    At most SEARCH_ROWS rows are looked at, the same ones by both grids. They hold more malicious rows than all rows do;
    PR-AUC is weighted back to the share in ``y``.
    """
    rows = subsample(y, SEARCH_ROWS, np.random.default_rng(seed))
    weights = _weights(y, y[rows])
    Z, y, groups = Z[rows], y[rows], None if groups is None else groups[rows]
    parts = inner_folds(y, groups, SEARCH_FOLDS, seed)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a thousand small fits on checked rows
        return _both(Z, y, weights, parts)


def _both(Z: Floats, y: Ints, weights: Floats, parts: list[tuple[Ints, Ints]]) -> Searched:
    quantum = _best(BANDWIDTHS, lambda width: _fidelity(Z, width), y, weights, parts)
    twin = _best(GAMMAS, lambda width: _gaussian(Z, width), y, weights, parts)
    return Searched(quantum, twin, len(BANDWIDTHS) * len(COSTS))


def _weights(whole: Ints, part: Ints) -> Floats:
    """Of the rows of ``part`` (M,), so that malicious and benign weigh as in ``whole``; 1 for malicious rows."""
    odds = (whole == 0).sum() / (whole == 1).sum()
    return np.where(part == 1, 1.0, odds * (part == 1).sum() / (part == 0).sum())


def _fidelity(Z: Floats, bandwidth: float) -> Floats:
    psi = amplitudes(zz_map(Z.shape[1], bandwidth), Z)
    return fidelity_kernel(psi, psi)


def _gaussian(Z: Floats, gamma: float) -> Floats:
    squares = (Z**2).sum(axis=1)
    kernel: Floats = np.exp(-gamma * np.maximum(squares[:, None] + squares[None, :] - 2.0 * Z @ Z.T, 0.0))
    return kernel


def _best(
    widths: tuple[float, ...],
    kernel_of: Callable[[float], Floats],
    y: Ints,
    weights: Floats,
    parts: list[tuple[Ints, Ints]],
) -> Found:
    """The pair with the highest mean; of equals the first, which is the smoothest."""
    found: list[Found] = []
    for width in widths:
        kernel = kernel_of(width)
        for C in COSTS:
            judged = [_judged(kernel, y, weights, C, fit, held) for fit, held in parts]
            found.append(Found(width, C, float(np.mean(judged))))
    return max(found, key=lambda f: f.pr_auc)


def _judged(kernel: Floats, y: Ints, weights: Floats, C: float, fit: Ints, held: Ints) -> float:
    machine = SVC(kernel="precomputed", C=C, class_weight="balanced")
    machine.fit(kernel[np.ix_(fit, fit)], y[fit])
    return average_precision(y[held], machine.decision_function(kernel[np.ix_(held, fit)]), weights[held])
