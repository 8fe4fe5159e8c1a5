"""Fitting the ``svc`` family and its RBF twin with scikit-learn; for training only."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.svm import SVC

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.svc import FeatureMap, Observable, collapse_states, default_rank, deployed
from scorer.models.twins import MAX_GAMMA, MAX_SUPPORT, RbfTwin

Array = NDArray[np.float64]
ClassWeight = Literal["balanced"] | None


class FitError(ValueError):
    """Rows or hyper-parameters that nothing can be fitted with."""


def fit_svc(
    Z: Array,
    y: NDArray[np.integer],
    circuit: FeatureMap,
    C: float,
    *,
    rank: int | None = None,
    class_weight: ClassWeight = None,
) -> Observable:
    """Fit on scaled features Z (N, n) with labels y (N,) of 0 and 1, collapse, and cut to ``rank``.

    ``rank``: None: default_rank; 2^n or more: the whole observable in float64. Raises FitError.
    """
    _check_rows(Z, y)
    psi = amplitudes(circuit, Z)
    machine = SVC(kernel="precomputed", C=positive("C", C), class_weight=class_weight)
    # Rows and C were checked above, and fidelities of states are finite: looking again takes a third of a small fit.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        machine.fit(fidelity_kernel(psi, psi), y)
    whole = collapse_states(psi[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    return deployed(whole, rank, default_rank(circuit.qubits))


def fit_twin(Z: Array, y: NDArray[np.integer], gamma: float, C: float, *, class_weight: ClassWeight = None) -> RbfTwin:
    """Fit the RBF twin on the same rows, features and labels as ``fit_svc``. Raises FitError."""
    _check_rows(Z, y)
    machine = SVC(kernel="rbf", gamma=checked_gamma(gamma), C=positive("C", C), class_weight=class_weight).fit(Z, y)
    return RbfTwin(
        np.ascontiguousarray(Z[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )


def check_labelled(Z: Array, y: NDArray[np.integer]) -> None:
    """Finite rows (N, n) with labels (N,) of 0 and 1, both of which occur; else FitError."""
    if Z.ndim != 2 or y.shape != (len(Z),) or not np.isfinite(Z).all():
        raise FitError(f"finite rows and one label each are needed, not shapes {Z.shape} and {y.shape}")
    if set(np.unique(y).tolist()) != {0, 1}:
        raise FitError("labels must be 0 and 1, and both must occur")


def check_normal(Z: Array) -> None:
    """Finite rows (N, n), at least one; else FitError."""
    if Z.ndim != 2 or len(Z) == 0 or not np.isfinite(Z).all():
        raise FitError(f"finite rows are needed, not an array of shape {Z.shape}")


def checked_gamma(gamma: float) -> float:
    """``gamma``, or FitError where no Gaussian has that width."""
    if not 0.0 < gamma <= MAX_GAMMA:
        raise FitError(f"gamma is {gamma!r}; it must be above 0 and at most {MAX_GAMMA:g}")
    return float(gamma)


def _check_rows(Z: Array, y: NDArray[np.integer]) -> None:
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    check_labelled(Z, y)


def positive(name: str, value: float) -> float:
    """``value``, or FitError where it is not above 0."""
    if not (np.isfinite(value) and value > 0.0):
        raise FitError(f"{name} is {value!r}; it must be above 0")
    return float(value)
