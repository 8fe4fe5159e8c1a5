"""The ``density`` family: distance from the mean state of normal rows; its twin is a kernel density of the same rows.

Take it for normal rows alone, attacks never seen: the simplest novelty score. With the mean state rho = mean
|psi><psi| of normal rows, a row's novelty is -<psi|rho|psi>, the mean fidelity with normal rows, turned round.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from scorer.models.families import Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap, Observable, deployed
from scorer.models.twins import MAX_SUPPORT, RbfTwin
from scorer.training.families.checks import Array, FitError, checked_gamma, normal
from scorer.training.families.family import FamilyTraining, FitRows, Floats, Ints
from scorer.training.families.kernels import KernelOf, quantum_kernel, rbf_kernel
from scorer.training.families.one_class import mean_spectrum, sufficient_rank
from scorer.training.options import FIT_ROWS
from scorer.training.search import Grid, GridPoint, SearchSpace, Trial, grid_widths

#: As many as other families try pairs, since there is no second parameter.
_GAMMAS = tuple(np.geomspace(0.1, 1000.0, 15).tolist())


def fit_density(Z: Array, circuit: FeatureMap, *, rank: int | None = None) -> Observable:
    """Fit -rho on normal rows Z (N, n). ``rank``: None: sufficient_rank; 2^n or more: whole, in float64.

    Raises FitError.
    """
    states = mean_spectrum(circuit, Z)
    whole = Observable(-states.values, states.vectors, 0.0)
    return deployed(whole, rank, sufficient_rank(whole.values, circuit.qubits))


def fit_density_twin(Z: Array, gamma: float) -> RbfTwin:
    """Fit minus the mean Gaussian around normal rows Z (N, n), N at most MAX_SUPPORT. Raises FitError."""
    Z = normal(Z)
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel density is fitted on at most {MAX_SUPPORT}")
    weights = np.full(len(Z), -1.0 / len(Z), np.float32)
    return RbfTwin(Z.astype(np.float32), weights, checked_gamma(gamma), 0.0)


def density_trial(kernel_of: KernelOf, Z: Floats, _y: Ints, width: float) -> Trial:
    """Prepare a trial on rows Z (N, n) at one width of the kernel; it has no second parameter."""
    return partial(_scores, kernel_of(Z, width))


def _scores(kernel: Floats, _second: float, fit: Ints, held: Ints) -> Floats:
    novelty: Floats = -kernel[np.ix_(held, fit)].mean(axis=1)
    return novelty


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(_GAMMAS))
    return SearchSpace(Grid(widths), partial(density_trial, quantum_kernel(rows.circuit)))


def _twin_space(_rows: FitRows) -> SearchSpace:
    return SearchSpace(Grid(_GAMMAS), partial(density_trial, rbf_kernel))


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    circuit = rows.at(point)
    return ObservableMachine(circuit, fit_density(rows.Z, circuit))


def _fit_twin_at(rows: FitRows, point: GridPoint) -> Twin:
    return fit_density_twin(rows.Z, point.width)


TRAINING = FamilyTraining(
    title="distance from the mean state of normal rows",
    twin_title="kernel density of the same rows",
    one_class=True,
    fit_rows=FIT_ROWS,
    most_rows=MAX_SUPPORT,
    space=_space,
    twin_space=_twin_space,
    fit=_fit_at,
    fit_twin=_fit_twin_at,
)
