"""Trained machines of qiskit-machine-learning, scikit-learn and sQUlearn as one observable each.

    imported = import_qsvc(qsvc)
    imported.exact_scores(X)      # qsvc.decision_function(X), to 1e-10
    imported.observable           # what an artifact holds

The rows X stay in the units that the machine was trained in. What is imported is the exact model: a machine that was
trained with shots is given its expected decision function. One thing differs: where qiskit-machine-learning is asked
for the kernel of its own training rows, a FidelityQuantumKernel with ``enforce_psd`` replaces it by a projection (of
``numpy.linalg.eig`` on a symmetric matrix), so that its decision function is another on exactly that array of rows.

For training only: Qiskit is loaded when a circuit is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.circuits.plan import Plan
from scorer.models.observable import Observable
from scorer.training.qsvc.estimators import finite_rows, machine_of
from scorer.training.qsvc.kernels import plan_of
from scorer.training.qsvc.machines import ImportRefused, KernelMachine

Array = NDArray[np.float64]

__all__ = ["ImportRefused", "ImportedQsvc", "import_kernel_machine", "import_qsvc"]


@dataclass(frozen=True, eq=False)
class ImportedQsvc:
    """A trained machine as an observable.

    ``circuit``: its feature map, or its whole circuit with trained weights. ``observable``: the decision function,
    float64, full rank; positive for ``labels[1]``. Fit a calibration on held-out rows to deploy it.
    """

    circuit: Plan
    observable: Observable
    labels: tuple[Any, Any]

    def exact_scores(self, X: ArrayLike) -> Array:
        """Score rows X (N, features) by the decision function, float64: (N,)."""
        return self.observable.exact_scores(self.circuit, finite_rows(X, "rows"))

    def scores(self, X: ArrayLike) -> Array:
        """Score rows X (N, features) by the engine that workers use, float32: (N,)."""
        return self.observable.scores(self.circuit, finite_rows(X, "rows"))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the labels (N,) of rows X (N, features)."""
        chosen: NDArray[Any] = np.asarray(self.labels)[(self.exact_scores(X) > 0.0).astype(np.intp)]
        return chosen


def import_qsvc(
    qsvc: Any, training_rows: ArrayLike | None = None, *, positive: Any = None, feature_map: Any = None
) -> ImportedQsvc:
    """Import a fitted machine of two labels.

    QSVC (of qiskit-machine-learning or sQUlearn), SVC on a quantum kernel, PegasosQSVC, VQC, NeuralNetworkClassifier,
    and pipelines of scalers and searches around them. ``training_rows``: (N, features); only needed if scikit-learn no
    longer keeps them. ``positive``: the label that high scores are to mean; None: the one that sorts second.
    ``feature_map``: for a kernel that is a plain function, a Qiskit circuit or a map of qscore with the same states;
    the two are compared. Raises ImportRefused, CircuitError.
    """
    machine = machine_of(qsvc, training_rows, positive=positive, feature_map=feature_map)
    return ImportedQsvc(machine.plan, machine.collapsed(), machine.labels)


def import_kernel_machine(
    kernel: Any,
    support_vectors: ArrayLike,
    dual_coefficients: ArrayLike,
    intercept: float,
    labels: tuple[Any, Any] = (0, 1),
    *,
    parameters: Sequence[Any] | str | None = None,
) -> ImportedQsvc:
    """Import f(x) = sum_i dual_coefficients_i k(x, support_vectors_i) + intercept, whoever fitted it.

    ``kernel``: a fidelity kernel of qiskit-machine-learning or sQUlearn, a Qiskit circuit, or a feature map of qscore.
    ``support_vectors``: (M, features), ``dual_coefficients``: (M,), signs included. ``parameters``: of a circuit, the
    order of its features as ``import_circuit`` takes it; kernels have their own. Raises ImportRefused, CircuitError.
    """
    support = finite_rows(support_vectors, "support vectors")
    weights = np.asarray(dual_coefficients, np.float64).ravel()
    plan = plan_of(kernel, support, parameters)
    machine = KernelMachine(plan, support, weights, float(intercept), labels)
    return ImportedQsvc(plan, machine.collapsed(), labels)
