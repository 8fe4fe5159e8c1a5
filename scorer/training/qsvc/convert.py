"""A trained ``QSVC`` of qiskit-machine-learning as a qscore model: the same decision function as one observable.

    imported = import_qsvc(qsvc)
    imported.exact_scores(X)      # qsvc.decision_function(X), to 1e-10
    imported.observable           # what an artifact holds, once truncated

The rows X stay in the units that the QSVC was trained in. What is imported is the exact model: a QSVC that was trained
with shots is given its expected decision function. One thing differs: where qiskit-machine-learning is asked for the
kernel of its own training rows, a FidelityQuantumKernel with ``enforce_psd`` replaces it by a projection (of
``numpy.linalg.eig`` on a symmetric matrix), so that its decision function is another on exactly that array of rows.

For training only: Qiskit is loaded when a circuit is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.models.observable import Observable, collapse
from scorer.models.twins import MAX_SUPPORT

Array = NDArray[np.float64]


class ImportRefused(ValueError):
    """A machine that cannot be made an observable; the message says which part and what to do."""


@dataclass(frozen=True, eq=False)
class ImportedQsvc:
    """A QSVC as an observable.

    ``circuit``: the kernel's feature map. ``observable``: the decision function, float64, full rank; positive for
    ``labels[1]``. Truncate it and fit a calibration on held-out rows to deploy it.
    """

    circuit: Plan
    observable: Observable
    labels: tuple[Any, Any]

    def exact_scores(self, X: ArrayLike) -> Array:
        """Score rows X (N, features) by the decision function, float64: (N,)."""
        return self.observable.exact_scores(self.circuit, np.asarray(X, np.float64))

    def scores(self, X: ArrayLike) -> Array:
        """Score rows X (N, features) by the engine that workers use, float32: (N,)."""
        return self.observable.scores(self.circuit, np.asarray(X, np.float64))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the labels (N,) of rows X (N, features)."""
        chosen: NDArray[Any] = np.asarray(self.labels)[(self.exact_scores(X) > 0.0).astype(np.intp)]
        return chosen


@dataclass(frozen=True, eq=False)
class KernelMachine:
    """f(x) = sum_i coefficients_i k(x, support_i) + intercept, with k the fidelity of the states of ``plan``.

    ``support``: (M, features), finite; ``coefficients``: (M,), signs included. f is positive for ``labels[1]``.
    """

    plan: Plan
    support: Array
    coefficients: Array
    intercept: float
    labels: tuple[Any, Any]

    def __post_init__(self) -> None:
        support, weights = self.support, self.coefficients
        if support.ndim != 2 or support.shape[1] != self.plan.features or not 1 <= len(support) <= MAX_SUPPORT:
            raise ImportRefused(
                f"support vectors of shape {support.shape}; 1 to {MAX_SUPPORT} of {self.plan.features} features are "
                "needed"
            )
        if weights.shape != support.shape[:1]:
            raise ImportRefused(f"{len(weights)} dual coefficients for {len(support)} support vectors")
        if not (np.isfinite(support).all() and np.isfinite(weights).all() and np.isfinite(self.intercept)):
            raise ImportRefused("support vectors, dual coefficients and intercept must be finite")

    def turned(self) -> KernelMachine:
        """Turn the machine round: high scores then mean the other label."""
        return KernelMachine(self.plan, self.support, -self.coefficients, -self.intercept, self.labels[::-1])

    def collapsed(self) -> Observable:
        """Collapse the machine to one observable, float64, full rank."""
        return collapse(self.plan, self.support, self.coefficients, self.intercept)


def import_qsvc(qsvc: Any, training_rows: ArrayLike | None = None, *, positive: Any = None) -> ImportedQsvc:
    """Import a fitted, binary QSVC (or scikit-learn SVC whose kernel is a quantum kernel's ``evaluate``).

    ``training_rows``: (N, features); only needed for ``quantum_kernel="precomputed"`` or if scikit-learn no longer
    keeps them. ``positive``: the label that high scores are to mean; None: the second of ``classes_``, as there.
    Raises ImportRefused, CircuitError.
    """
    machine = machine_of(qsvc, training_rows, positive=positive)
    return ImportedQsvc(machine.plan, machine.collapsed(), machine.labels)


def machine_of(qsvc: Any, training_rows: ArrayLike | None = None, *, positive: Any = None) -> KernelMachine:
    """Read a machine as ``import_qsvc`` does, before it is collapsed; ``training_rows``: (N, features) or None.

    Raises ImportRefused, CircuitError.
    """
    if not hasattr(qsvc, "dual_coef_"):
        raise ImportRefused("the machine has not been fitted: call fit(X, y) before importing it")
    labels = tuple(np.asarray(qsvc.classes_).tolist())
    if len(labels) != 2:
        raise ImportRefused(f"the machine has {len(labels)} classes {labels}; one observable tells two apart")
    rows = _support_rows(qsvc, training_rows)
    weights, intercept = np.asarray(qsvc.dual_coef_, np.float64)[0], float(np.asarray(qsvc.intercept_)[0])
    found = KernelMachine(_plan_of(_kernel_of(qsvc)), rows, weights, intercept, labels)
    if positive is None or positive == labels[1]:
        return found
    if positive != labels[0]:
        raise ImportRefused(f"positive is {positive!r}; the machine's labels are {labels[0]!r} and {labels[1]!r}")
    return found.turned()


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

    ``kernel``: a fidelity kernel of qiskit-machine-learning, a Qiskit circuit, or a feature map of qscore.
    ``support_vectors``: (M, features), ``dual_coefficients``: (M,), signs included. ``parameters``: of a circuit, the
    order of its features as ``import_circuit`` takes it; kernels have their own. Raises ImportRefused, CircuitError.
    """
    support, weights = np.asarray(support_vectors, np.float64), np.asarray(dual_coefficients, np.float64).ravel()
    machine = KernelMachine(_plan_of(kernel, parameters), support, weights, float(intercept), labels)
    return ImportedQsvc(machine.plan, machine.collapsed(), labels)


def _kernel_of(qsvc: Any) -> Any:
    """The quantum kernel behind the machine."""
    kernel = getattr(qsvc, "quantum_kernel", None) or getattr(qsvc, "kernel", None)
    if isinstance(kernel, str):
        raise ImportRefused(
            f"the machine's kernel is {kernel!r}, which says nothing of the circuit: use import_kernel_machine "
            "with the quantum kernel, the support vectors, dual_coef_[0] and intercept_[0]"
        )
    return getattr(kernel, "__self__", kernel)  # a bound ``evaluate`` knows its kernel


def _support_rows(qsvc: Any, training_rows: ArrayLike | None) -> Array:
    """Rows of the support vectors; scikit-learn keeps the fitted rows of a machine whose kernel is a function."""
    kept = training_rows if training_rows is not None else getattr(qsvc, "_BaseLibSVM__Xfit", None)
    if kept is None:
        raise ImportRefused("the machine does not hold the rows that it was fitted on: give training_rows=X")
    rows, support = np.asarray(kept, np.float64), np.asarray(qsvc.support_)
    fitted = tuple(getattr(qsvc, "shape_fit_", rows.shape))
    if rows.ndim != 2 or len(rows) != fitted[0]:
        raise ImportRefused(f"rows of shape {rows.shape}, but the machine was fitted on {fitted[0]} rows")
    taken: Array = rows[support]
    return taken


def _plan_of(kernel: Any, parameters: Sequence[Any] | str | None = None) -> Plan:
    """The feature map as the engine runs it; a kernel gives rows to its circuit in Qiskit's order of parameters."""
    plan = getattr(kernel, "plan", None)
    if not isinstance(plan, Plan):
        from scorer.circuits.qiskit.importing import import_circuit
        from scorer.circuits.qiskit.order import QISKIT

        circuit = _circuit_of(kernel)
        plan = import_circuit(circuit, parameters if circuit is kernel else QISKIT).plan
    if plan.qubits > MAX_QUBITS:
        raise ImportRefused(f"the feature map has {plan.qubits} qubits; observables are exact up to {MAX_QUBITS}")
    return plan


def _circuit_of(kernel: Any) -> Any:
    """The Qiskit circuit of a kernel, its training parameters bound; a circuit itself passes through."""
    circuit = getattr(kernel, "feature_map", kernel)
    if not hasattr(circuit, "assign_parameters"):
        raise CircuitError(f"{type(kernel).__name__} has no feature map: neither a fidelity kernel nor a circuit")
    trained = list(getattr(kernel, "training_parameters", None) or ())
    if not trained:
        return circuit
    values = list(kernel.parameter_values)
    unbound = [parameter.name for parameter, value in zip(trained, values, strict=True) if value is None]
    if unbound:
        raise ImportRefused(
            f"the kernel's training parameters {', '.join(unbound[:5])} have no values: "
            "train it, or call assign_training_parameters before importing it"
        )
    return circuit.assign_parameters(dict(zip(trained, values, strict=True)))
