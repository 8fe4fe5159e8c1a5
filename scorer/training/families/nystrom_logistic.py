"""The ``nystrom-logistic`` family: logistic regression on Nystrom features of the fidelity kernel; twin: of the RBF's.

Take it for labelled rows by the ten thousand to the million: time grows with the rows, not with their square. For a
fidelity kernel the weighted sum of kernel values that ``logistic`` fits is one observable, for a Gaussian one a sum of
m Gaussians.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from scorer.engine.reference import amplitudes
from scorer.models.families import Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap, Observable, collapse, default_rank, deployed
from scorer.models.twins import RbfTwin, gaussian_kernel
from scorer.training.families.checks import Array, Labels, checked_gamma, labelled
from scorer.training.families.family import MANY_ROWS, FamilyTraining, FitRows, Floats, Ints
from scorer.training.families.kernels import KernelOf, quantum_kernel, rbf_kernel
from scorer.training.families.logistic import LandmarkKernel, Watch, logistic
from scorer.training.search import COSTS, GAMMAS, Grid, GridPoint, SearchSpace, Trial, grid_widths

SEARCH_LANDMARKS = 100
_THREADS = 2


def fit_nystrom_logistic(
    Z: Array,
    y: Labels,
    circuit: FeatureMap,
    C: float,
    landmarks: Array,
    *,
    rank: int | None = None,
    workers: int = 1,
    watch: Watch | None = None,
) -> Observable:
    """Fit on scaled features Z (N, n) with labels y (N,), collapse, and cut to ``rank``.

    Classes weigh the same in sum. ``C``: inverse of the ridge, as in scikit-learn. ``rank``: None: default_rank; 2^n or
    more: the whole observable in float64. ``workers``: threads. ``watch(step, most)`` hears of every pass. Raises
    FitError.
    """
    Z, y = labelled(Z, y)
    kernel_of = _fidelities(circuit, landmarks)
    weights, offset = logistic(Z, y, landmarks, kernel_of, C, workers=workers, watch=watch)
    whole = collapse(circuit, landmarks, weights, offset)
    return deployed(whole, rank, default_rank(circuit.qubits))


def _fidelities(circuit: FeatureMap, landmarks: Array) -> LandmarkKernel:
    """Make the function of |<l_j|psi(z)>|^2 of rows (c, n) with the landmarks (m, n), as real products: (c, m)."""
    psi = amplitudes(circuit, landmarks)
    real = np.ascontiguousarray(np.hstack([psi.real, psi.imag]).T)
    imaginary = np.ascontiguousarray(np.hstack([-psi.imag, psi.real]).T)

    def kernel_of(rows: Array) -> Array:
        states = amplitudes(circuit, rows)
        planes = np.hstack([states.real, states.imag])
        kernel, other = planes @ real, planes @ imaginary
        np.square(kernel, out=kernel)
        kernel += np.square(other, out=other)
        return kernel

    return kernel_of


def fit_nystrom_twin(
    Z: Array,
    y: Labels,
    gamma: float,
    C: float,
    landmarks: Array,
    *,
    workers: int = 1,
    watch: Watch | None = None,
) -> RbfTwin:
    """Fit on scaled features Z (N, n) with labels y (N,) and landmarks (m, n), Gaussians in place of fidelities.

    ``C``, ``workers`` and ``watch`` as for ``fit_nystrom_logistic``. Raises FitError.
    """
    Z, y = labelled(Z, y)
    kernel_of = partial(gaussian_kernel, right=landmarks, gamma=checked_gamma(gamma))
    weights, offset = logistic(Z, y, landmarks, kernel_of, C, workers=workers, watch=watch)
    return RbfTwin(landmarks.astype(np.float32), weights.astype(np.float32), float(gamma), offset)


def nystrom_trial(kernel_of: KernelOf, Z: Floats, y: Ints, width: float) -> Trial:
    """Prepare a trial on rows Z (N, n) with labels y (N,) at one width of the kernel; its second parameter is C.

    Landmarks are spread over the rows to fit.
    """
    return partial(_scores, kernel_of(Z, width), y)


def _scores(kernel: Floats, y: Ints, C: float, fit: Ints, held: Ints) -> Floats:
    chosen = fit[:: max(1, len(fit) // SEARCH_LANDMARKS)]
    columns = kernel[:, chosen]
    weights, offset = logistic(columns[fit], y[fit], columns[chosen], lambda rows: rows, C)
    return columns[held] @ weights + offset


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(GAMMAS))
    return SearchSpace(Grid(widths, "C", COSTS), partial(nystrom_trial, quantum_kernel(rows.circuit)))


def _twin_space(_rows: FitRows) -> SearchSpace:
    return SearchSpace(Grid(GAMMAS, "C", COSTS), partial(nystrom_trial, rbf_kernel))


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    circuit = rows.at(point)
    observable = fit_nystrom_logistic(rows.Z, rows.y, circuit, point.second, rows.landmarks(), workers=_workers())
    return ObservableMachine(circuit, observable)


def _fit_twin_at(rows: FitRows, point: GridPoint) -> Twin:
    return fit_nystrom_twin(rows.Z, rows.y, point.width, point.second, rows.landmarks(), workers=_workers())


def _workers() -> int:
    return min(_THREADS, os.cpu_count() or 1)


TRAINING = FamilyTraining(
    title="logistic regression on Nystrom features of the fidelity kernel",
    twin_title="logistic regression on Nystrom features of the RBF kernel",
    fit_rows=MANY_ROWS,
    most_rows=MANY_ROWS,
    space=_space,
    twin_space=_twin_space,
    fit=_fit_at,
    fit_twin=_fit_twin_at,
)
