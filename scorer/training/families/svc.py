"""The ``svc`` family: support vector machines on the fidelity kernel and, as its twin, on the RBF kernel.

Take it for labelled rows, up to a few thousand: the default. Fitted with scikit-learn. Families whose own machine has
no twin of its form (``vqc``, ``projected``) take this one's.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from sklearn import config_context
from sklearn.svm import SVC

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.families import Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap, Observable, collapse_states, default_rank, deployed
from scorer.models.twins import MAX_SUPPORT, RbfTwin
from scorer.training.families.checks import Array, Labels, checked_gamma, kernel_rows, positive
from scorer.training.families.family import FamilyTraining, FitRows, Floats, Ints
from scorer.training.families.kernels import KernelOf, quantum_kernel, rbf_kernel
from scorer.training.options import FIT_ROWS
from scorer.training.search import COSTS, GAMMAS, Grid, GridPoint, SearchSpace, Trial, grid_widths

ClassWeight = Literal["balanced"] | None


def fit_svc(
    Z: Array,
    y: Labels,
    circuit: FeatureMap,
    C: float,
    *,
    rank: int | None = None,
    class_weight: ClassWeight = None,
) -> Observable:
    """Fit on scaled features Z (N, n) with labels y (N,) of 0 and 1, collapse, and cut to ``rank``.

    ``rank``: None: default_rank; 2^n or more: the whole observable in float64. Raises FitError.
    """
    Z, y = kernel_rows(Z, y)
    psi = amplitudes(circuit, Z)
    machine = SVC(kernel="precomputed", C=positive("C", C), class_weight=class_weight)
    # Rows and C were checked above, and fidelities of states are finite: looking again takes a third of a small fit.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        machine.fit(fidelity_kernel(psi, psi), y)
    whole = collapse_states(psi[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    return deployed(whole, rank, default_rank(circuit.qubits))


def fit_twin(Z: Array, y: Labels, gamma: float, C: float, *, class_weight: ClassWeight = None) -> RbfTwin:
    """Fit the RBF twin on scaled features Z (N, n) with labels y (N,) of 0 and 1. Raises FitError."""
    Z, y = kernel_rows(Z, y)
    machine = SVC(kernel="rbf", gamma=checked_gamma(gamma), C=positive("C", C), class_weight=class_weight).fit(Z, y)
    return RbfTwin(
        np.ascontiguousarray(Z[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )


def svc_trial(kernel_of: KernelOf, Z: Floats, y: Ints, width: float) -> Trial:
    """Prepare a trial on rows Z (N, n) with labels y (N,) at one width of the kernel; its second parameter is C."""
    return partial(svc_scores, kernel_of(Z, width), y)


def svc_scores(kernel: Floats, y: Ints, C: float, fit: Ints, held: Ints) -> Floats:
    """Fit on the rows at ``fit`` (k,) of a kernel (N, N) with labels y (N,); score those at ``held``: (m,)."""
    machine = SVC(kernel="precomputed", C=C, class_weight="balanced")
    machine.fit(kernel[np.ix_(fit, fit)], y[fit])
    scores: Floats = machine.decision_function(kernel[np.ix_(held, fit)])
    return scores


def twin_space(_rows: FitRows) -> SearchSpace:
    """List what is searched for the RBF twin: gamma and C."""
    return SearchSpace(Grid(GAMMAS, "C", COSTS), partial(svc_trial, rbf_kernel))


def fit_twin_at(rows: FitRows, point: GridPoint) -> Twin:
    """Fit the RBF twin at a point of ``twin_space``, classes weighing the same. Raises FitError."""
    return fit_twin(rows.Z, rows.y, point.width, point.second, class_weight="balanced")


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(GAMMAS))
    return SearchSpace(Grid(widths, "C", COSTS), partial(svc_trial, quantum_kernel(rows.circuit)))


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    circuit = rows.at(point)
    return ObservableMachine(circuit, fit_svc(rows.Z, rows.y, circuit, point.second, class_weight="balanced"))


TRAINING = FamilyTraining(
    title="support vector machine on the fidelity kernel",
    twin_title="support vector machine on the RBF kernel",
    fit_rows=FIT_ROWS,
    most_rows=MAX_SUPPORT,
    space=_space,
    twin_space=twin_space,
    fit=_fit_at,
    fit_twin=fit_twin_at,
)
