"""The ``projected`` family: a support vector machine on the reduced density matrices of single qubits.

Take it for labelled rows and more than twelve qubits, or for a score that shots and hardware can measure. Fitted with
scikit-learn. Its twin is that of ``svc``.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.svm import SVC

from scorer.circuits.limits import MAX_PROJECTED_QUBITS
from scorer.engine.bloch import projected
from scorer.models.machine import Machine
from scorer.models.observable import FeatureMap
from scorer.models.projected import MAX_SCALE, ProjectedMachine, Projection
from scorer.models.twins import MAX_SUPPORT, RbfTwin
from scorer.training.families import svc
from scorer.training.families.checks import Array, FitError, Labels, checked_gamma, kernel_rows, positive
from scorer.training.families.family import FIXED_COST, FamilyTraining, FitRows, Floats, Ints
from scorer.training.families.kernels import rbf_kernel
from scorer.training.options import FIT_ROWS
from scorer.training.search import GAMMAS, Grid, GridPoint, SearchSpace, Trial, grid_widths

#: Gaussian widths worth trying once projections are scaled to a median squared distance of 1.
PROJECTED_GAMMAS = (0.1, 0.4, 1.5)
_PAIRS = 20_000


def fit_projection(circuit: FeatureMap, Z: Array) -> tuple[Projection, Array]:
    """Fit the projection that gives rows Z (N, n) their mean in the middle and a median squared distance of 1.

    Returns it and the projected rows (N, 3 qubits). The median is that of seeded random pairs. Raises FitError where
    the circuit tells no two rows apart, NoSimulator for a circuit above 12 qubits in a process without a simulator.
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
    y: Labels,
    circuit: FeatureMap,
    gamma: float,
    C: float,
    *,
    class_weight: svc.ClassWeight = None,
) -> ProjectedMachine:
    """Fit on scaled features Z (N, n) with labels y (N,) of 0 and 1; ``gamma`` acts on scaled projections.

    Above 12 qubits the process needs a backend (``scorer.engine.backends.table``). Raises FitError, NoSimulator.
    """
    Z, y = kernel_rows(Z, y)
    projection, U = fit_projection(circuit, Z)
    machine = SVC(kernel="rbf", gamma=checked_gamma(gamma), C=positive("C", C), class_weight=class_weight).fit(U, y)
    gaussians = RbfTwin(
        np.ascontiguousarray(U[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )
    return ProjectedMachine(projection, gaussians)


def projected_trial(circuit: FeatureMap, Z: Floats, y: Ints, width: float) -> Trial:
    """Prepare a trial on rows Z (N, n) with labels y (N,) at one bandwidth.

    Its second parameter is gamma of the Gaussians on scaled projections. Raises FitError, NoSimulator.
    """
    _, rows = fit_projection(circuit.with_bandwidth(width), Z)
    return partial(_scores, rows, y)


def _scores(rows: Floats, y: Ints, gamma: float, fit: Ints, held: Ints) -> Floats:
    return svc.svc_scores(rbf_kernel(rows, gamma), y, FIXED_COST, fit, held)


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(GAMMAS))
    return SearchSpace(Grid(widths, "gamma", PROJECTED_GAMMAS), partial(projected_trial, rows.circuit))


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    return fit_projected(rows.Z, rows.y, rows.at(point), point.second, FIXED_COST, class_weight="balanced")


TRAINING = FamilyTraining(
    title="support vector machine on the reduced density matrices of single qubits",
    twin_title=svc.TRAINING.twin_title,
    fit_rows=FIT_ROWS,
    most_rows=MAX_SUPPORT,
    most_features=MAX_PROJECTED_QUBITS,
    most_qubits=MAX_PROJECTED_QUBITS,
    space=_space,
    twin_space=svc.twin_space,
    fit=_fit_at,
    fit_twin=svc.fit_twin_at,
)
