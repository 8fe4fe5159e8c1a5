"""Fitting the ``svc`` family and its RBF twin with scikit-learn; for training only."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.svc import MAX_GAMMA, MAX_SUPPORT, Observable, RbfTwin, collapse, default_rank

Array = NDArray[np.float64]
ClassWeight = Literal["balanced"] | None


class FitError(ValueError):
    """Rows or hyper-parameters that nothing can be fitted with."""


def fit_svc(
    Z: Array,
    y: NDArray[np.integer],
    circuit: ZZMap,
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
    machine = SVC(kernel="precomputed", C=_positive("C", C), class_weight=class_weight)
    machine.fit(fidelity_kernel(psi, psi), y)
    whole = collapse(circuit, Z[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    wanted = default_rank(circuit.qubits) if rank is None else rank
    return whole if rank is not None and rank >= whole.rank else whole.truncated(wanted)


def fit_twin(Z: Array, y: NDArray[np.integer], gamma: float, C: float, *, class_weight: ClassWeight = None) -> RbfTwin:
    """Fit the RBF twin on the same rows, features and labels as ``fit_svc``. Raises FitError."""
    _check_rows(Z, y)
    if not 0.0 < gamma <= MAX_GAMMA:
        raise FitError(f"gamma is {gamma!r}; it must be above 0 and at most {MAX_GAMMA:g}")
    machine = SVC(kernel="rbf", gamma=gamma, C=_positive("C", C), class_weight=class_weight).fit(Z, y)
    return RbfTwin(
        np.ascontiguousarray(Z[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )


def _check_rows(Z: Array, y: NDArray[np.integer]) -> None:
    if Z.ndim != 2 or y.shape != (len(Z),) or not np.isfinite(Z).all():
        raise FitError(f"finite rows and one label each are needed, not shapes {Z.shape} and {y.shape}")
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    if set(np.unique(y).tolist()) != {0, 1}:
        raise FitError("labels must be 0 and 1, and both must occur")


def _positive(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0.0):
        raise FitError(f"{name} is {value!r}; it must be above 0")
    return float(value)
