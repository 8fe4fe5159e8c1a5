"""Fitting the ``projected`` family with scikit-learn; for training only. Its twin is the svc's (``fit.fit_twin``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

from scorer.engine.bloch import projected
from scorer.models.fit import ClassWeight, FitError, check_labelled, checked_gamma, positive
from scorer.models.projected import MAX_SCALE, ProjectedMachine, Projection
from scorer.models.svc import FeatureMap
from scorer.models.twins import MAX_SUPPORT, RbfTwin

Array = NDArray[np.float64]

#: Gaussian widths worth trying once projections are scaled to a median squared distance of 1.
PROJECTED_GAMMAS = (0.1, 0.4, 1.5)
_PAIRS = 20_000


def fit_projection(circuit: FeatureMap, Z: Array) -> tuple[Projection, Array]:
    """The projection whose rows have their mean in the middle and a median squared distance of 1, and those rows.

    The median is that of seeded random pairs. Raises FitError where the circuit tells no two rows apart.
    """
    vectors = projected(circuit.plan, Z)
    left, right = np.random.default_rng(0).integers(0, len(Z), (2, _PAIRS))
    squares = np.square(vectors[left] - vectors[right]).sum(1)
    seen = squares[squares > 1.0 / MAX_SCALE**2]
    if not seen.size:
        raise FitError(f"the circuit {circuit.name} gives all {len(Z)} rows the same reduced density matrices")
    projection = Projection(circuit, vectors.mean(0), float(1.0 / np.sqrt(np.median(seen))))
    return projection, projection.scaled(vectors)


def fit_projected(
    Z: Array,
    y: NDArray[np.integer],
    circuit: FeatureMap,
    gamma: float,
    C: float,
    *,
    class_weight: ClassWeight = None,
) -> ProjectedMachine:
    """Fit on scaled features Z (N, n) with labels y (N,) of 0 and 1; ``gamma`` acts on scaled projections.

    Above 12 qubits the process needs a backend (``scorer.engine.backends.table``). Raises FitError, NoSimulator.
    """
    check_labelled(Z, y)
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    projection, U = fit_projection(circuit, Z)
    machine = SVC(kernel="rbf", gamma=checked_gamma(gamma), C=positive("C", C), class_weight=class_weight).fit(U, y)
    gaussians = RbfTwin(
        np.ascontiguousarray(U[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )
    return ProjectedMachine(projection, gaussians)
