"""The feature map behind a quantum kernel of another library, held against the kernel's own values.

A kernel object says which circuit it has; what its ``evaluate`` does may be something else: a derived class, a power, a
sum of kernels. So kernel values are compared, of 3 rows with 4. Kernels of the libraries that measure, with shots or on
hardware, are not run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.training.qsvc.machines import ImportRefused

Array = NDArray[np.float64]
Evaluate = Callable[[Array, Array], Any]

#: Largest difference of a kernel value: float32 simulators come in, another kernel does not.
TOLERANCE = 1e-5
#: Rows on either side of the comparison; different numbers, since kernels may do more where they are equal.
_LEFT, _RIGHT = 3, 4
_SEED = 11
_STATEVECTOR = "FidelityStatevectorKernel"
_MEASURED = "FidelityQuantumKernel"


@dataclass(frozen=True, eq=False)
class KernelSource:
    """What is known of a kernel.

    ``circuit``: a Qiskit circuit or a map of ours. ``orders``: orders of its parameters to try, as ``import_circuit``
    takes them. ``evaluate``: (rows, rows) -> kernel values, or None where it must not be run. ``called``: for messages.
    """

    circuit: Any
    orders: tuple[Sequence[Any] | str | None, ...]
    evaluate: Evaluate | None
    called: str


def plan_of(kernel: Any, rows: Array, parameters: Sequence[Any] | str | None = None, feature_map: Any = None) -> Plan:
    """Read the feature map of a kernel, circuit or map as the engine runs it, compared on rows (M, features).

    ``parameters``: the order of a bare circuit's features. ``feature_map``: what a kernel that is a plain function
    computes with, or else is refused. Raises ImportRefused, CircuitError.
    """
    source = _source_of(kernel, rows, parameters, feature_map)
    found = None
    for order in source.orders:
        plan = _compiled(source.circuit, order)
        if source.evaluate is None or rows.shape[1:] != (plan.features,):
            return plan
        found = _difference(plan, source, rows)
        if found <= TOLERANCE:
            return plan
    raise ImportRefused(
        f"{source.called} gives other values than the fidelities of its feature map (they differ by up to "
        f"{found:.2g}): it is another kernel than |<psi(x)|psi(y)>|^2, or its values have noise"
    )


def is_kind(thing: Any, library: str, *names: str) -> bool:
    """Tell whether a class of that library and one of these names stands among the classes of ``thing``.

    By name: nothing of the library has to be loaded, or installed, for it.
    """
    return any(kind.__module__.partition(".")[0] == library and kind.__name__ in names for kind in type(thing).__mro__)


def _source_of(kernel: Any, rows: Array, parameters: Sequence[Any] | str | None, feature_map: Any) -> KernelSource:
    called = f"the kernel {type(kernel).__name__}"
    if feature_map is not None:
        evaluate = getattr(kernel, "evaluate", kernel)
        return KernelSource(feature_map, (parameters,), evaluate if callable(evaluate) else None, called)
    if isinstance(getattr(kernel, "plan", None), Plan) or hasattr(kernel, "assign_parameters"):
        return KernelSource(kernel, (parameters,), None, called)
    if is_kind(kernel, "squlearn", "KernelMatrixBase"):
        return _from_squlearn(kernel, rows.shape[-1], called)
    if hasattr(getattr(kernel, "feature_map", None), "assign_parameters"):
        # In Qiskit's order: what assign_parameters does with a row.
        return KernelSource(_bound(kernel), ("qiskit",), _evaluate_of(kernel), called)
    if callable(kernel):
        raise ImportRefused(
            f"the machine's kernel is the function {getattr(kernel, '__name__', type(kernel).__name__)!r}, and a "
            "function does not say which circuit it runs: give feature_map=, a Qiskit circuit or a map of qscore with "
            "the same states, which is then compared with the function"
        )
    raise CircuitError(f"{type(kernel).__name__} has no feature map: neither a fidelity kernel nor a circuit")


def _compiled(circuit: Any, order: Sequence[Any] | str | None) -> Plan:
    plan = getattr(circuit, "plan", None)
    if not isinstance(plan, Plan):
        from scorer.circuits.qiskit.importing import import_circuit

        plan = import_circuit(circuit, order).plan
    if plan.qubits > MAX_QUBITS:
        raise ImportRefused(f"the feature map has {plan.qubits} qubits; observables are exact up to {MAX_QUBITS}")
    return plan


def _difference(plan: Plan, source: KernelSource, rows: Array) -> float:
    """The largest difference of a kernel value between mixtures of the rows."""
    assert source.evaluate is not None  # noqa: S101 - for the type checker
    rng = np.random.default_rng(_SEED)
    first, second = rows[rng.integers(len(rows), size=(2, _LEFT + _RIGHT))]
    mixtures = first + rng.random((_LEFT + _RIGHT, 1)) * (second - first)
    left, right = mixtures[:_LEFT], mixtures[_LEFT:]
    try:
        theirs = np.asarray(source.evaluate(left, right), np.float64)
    except Exception as error:
        # Kernels are anybody's code.
        raise ImportRefused(f"{source.called} cannot be evaluated: {error!r}") from error
    ours = fidelity_kernel(amplitudes(plan, left), amplitudes(plan, right))
    if theirs.shape != ours.shape:
        raise ImportRefused(f"{source.called} gives values of shape {theirs.shape} for {_LEFT} and {_RIGHT} rows")
    return float(np.abs(theirs - ours).max())


def _evaluate_of(kernel: Any) -> Evaluate | None:
    """The kernel's ``evaluate`` where it computes on this machine without noise; None where it measures.

    Raises ImportRefused for a kernel that measures and is not the library's own: nobody could tell what it does.
    """
    if is_kind(kernel, "qiskit_machine_learning", _MEASURED):
        if not type(kernel).__module__.startswith("qiskit_machine_learning."):
            raise ImportRefused(
                f"the kernel {type(kernel).__name__} is derived from {_MEASURED}, which measures: what it changes "
                f"cannot be seen without running it. Fit the machine with a {_STATEVECTOR}"
            )
        return None
    if getattr(kernel, "_shots", None) is not None:
        return None
    return getattr(kernel, "evaluate", None)


def _bound(kernel: Any) -> Any:
    """The circuit of a kernel of qiskit-machine-learning, its training parameters bound."""
    circuit = kernel.feature_map
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


def _from_squlearn(kernel: Any, features: int, called: str) -> KernelSource:
    if not is_kind(kernel, "squlearn", "FidelityKernel"):
        raise ImportRefused(
            f"{called} of sQUlearn is no fidelity kernel: a projected or composed kernel is not one observable of one "
            "circuit. The family projected trains a projected kernel here"
        )
    from qc_executor.parameters import Parameters

    count = int(kernel.num_parameters)
    if count and kernel.parameters is None:
        raise ImportRefused("the kernel's parameters have no values: call assign_parameters before importing it")
    trained = Parameters("p", count) if count else None
    circuit = kernel.encoding_circuit.get_circuit(Parameters("x", features), trained).qiskit_circuit
    values = {p: float(kernel.parameters[_number(p)]) for p in circuit.parameters if p.name.startswith("p[")}
    exact = kernel._executor.is_statevector and not kernel._executor.get_shots()
    # With Qiskit behind it, sQUlearn gives rows to names ordered by their characters; with others, by their numbers.
    orders = ("natural", "qiskit") if exact else (None,)
    return KernelSource(circuit.assign_parameters(values), orders, kernel.evaluate if exact else None, called)


def _number(parameter: Any) -> int:
    """The number of a parameter called p[3]."""
    return int(parameter.name.partition("[")[2].rstrip("]"))
