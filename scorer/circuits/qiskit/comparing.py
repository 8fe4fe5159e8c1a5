"""An imported circuit held against Qiskit's own: final amplitudes at probe points, and which gate is to blame.

Up to ``MAX_COMPARED`` qubits both circuits are run as a whole. Beyond, where that would take minutes, each gate that is
not standard is run alone, on its own qubits and from a state without structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.circuit import Circuit
from scorer.circuits.errors import CircuitError
from scorer.circuits.gates import SIGNATURES
from scorer.circuits.qiskit.classes import holds, is_own, operations
from scorer.circuits.qiskit.flattening import flattened
from scorer.circuits.qiskit.states import state_of

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit

Array = NDArray[np.float64]

#: Qubits up to which circuits are compared as a whole, and up to which at every probe instead of one.
MAX_COMPARED = 16
_MANY_PROBES = 12
#: Qubits up to which Qiskit may use a gate's matrix, 2^n by 2^n.
_WIDE = 10
#: Largest difference of an amplitude.
TOLERANCE = 1e-9
#: Radians beyond which float64 itself leaves a larger difference than TOLERANCE.
_FAITHFUL = 1e5
_PROBES = 3
_SEED = 7
#: Probes are drawn from these intervals in turn: formulas may have no value on a part of the line.
_INTERVALS = ((0.0, 1.0), (-3.0, 3.0), (0.0, 1.0), (0.0, 6.3), (-1.0, 0.0), (1.0, 10.0)) * 3

#: Reads a Qiskit circuit whose parameters have been numbered; unchecked.
Reader = Callable[["QuantumCircuit", Mapping[Any, int]], Circuit]


def require_same_states(made: Circuit, circuit: QuantumCircuit, number: Mapping[Any, int], read: Reader) -> None:
    """Raise CircuitError, naming the gate, where ``made`` is not the circuit as Qiskit itself runs it.

    ``made``: read from ``circuit`` by ``read``, bandwidth 1. ``number``: the feature of each parameter.
    """
    if made.qubits > MAX_COMPARED:
        _require_same_gates(circuit, number, read)
        return
    worst = _difference(made, circuit, number)
    if worst is None:
        raise CircuitError(
            f"no point was found from -3 to 10 at which all angles of the circuit {made.name!r} have a value, so that "
            "it could not be compared with Qiskit's"
        )
    if worst > TOLERANCE:
        raise CircuitError(_accusation(circuit, number, read, worst))


def _require_same_gates(circuit: QuantumCircuit, number: Mapping[Any, int], read: Reader) -> None:
    for operation, qubits, difference in _gate_differences(circuit, number, read):
        if difference > TOLERANCE:
            raise CircuitError(_blamed(operation, qubits, difference))


def _accusation(circuit: QuantumCircuit, number: Mapping[Any, int], read: Reader, worst: float) -> str:
    for operation, qubits, difference in _gate_differences(circuit, number, read):
        if difference > TOLERANCE:
            return _blamed(operation, qubits, difference)
    return (
        f"the circuit {circuit.name!r} was read as another one (an amplitude differs from Qiskit's by {worst:.2g}), "
        "although none of its gates alone was"
    )


def _blamed(operation: Any, qubits: tuple[int, ...], difference: float) -> str:
    return (
        f"the gate {operation.name!r} on the qubits {qubits} was read as another gate than the one that Qiskit runs "
        f"(an amplitude differs by {difference:.2g}): its definition and its matrix may not agree. Replace it by its "
        "definition (QuantumCircuit.decompose) or by a UnitaryGate"
    )


def _difference(made: Circuit, circuit: QuantumCircuit, number: Mapping[Any, int]) -> float | None:
    """The largest difference of an amplitude at any probe; None where no probe has a state."""
    from qiskit.circuit.library import PauliEvolutionGate

    # Qiskit's Statevector takes the exact exponential of what a circuit can only hold as a product formula.
    theirs = flattened(circuit) if holds(circuit, PauliEvolutionGate) else circuit
    found = []
    for row in _probes(made):
        expected = _state_in_qiskit(theirs, {p: row[number[p]] for p in theirs.parameters})
        allowed = max(1.0, float(np.abs(made.plan.angles(row[None, :])).max(initial=0.0)) / _FAITHFUL)
        found.append(float(np.abs(state_of(made.plan, row) - expected).max()) / allowed)
    return max(found, default=None)


def _state_in_qiskit(circuit: QuantumCircuit, values: Mapping[Any, float]) -> NDArray[np.complex128]:
    from qiskit.quantum_info import Statevector

    try:
        return np.asarray(Statevector(_narrow(circuit.assign_parameters(values))).data, np.complex128)
    except Exception as error:
        # Matrices and definitions are anybody's code.
        raise CircuitError(f"Qiskit cannot run the circuit {circuit.name!r}: {error!r}") from error


def _narrow(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with definitions for wide gates, whose matrices Qiskit would fill the memory with."""
    made = circuit.copy_empty_like()
    made.global_phase = 0
    _append_narrow(made, circuit, range(circuit.num_qubits))
    return made


def _append_narrow(made: QuantumCircuit, circuit: QuantumCircuit, qubits: Sequence[int]) -> None:
    made.global_phase += circuit.global_phase
    for operation, inner in operations(circuit):
        where = [qubits[k] for k in inner]
        definition = getattr(operation, "definition", None) if len(where) > _WIDE else None
        if definition is None:
            made.append(operation, where)
        else:
            _append_narrow(made, definition, where)


def _probes(made: Circuit) -> list[Array]:
    """Rows (features,) at which every angle has a value."""
    rng = np.random.default_rng(_SEED)
    rows = [rng.uniform(low, high, made.features) for low, high in _INTERVALS]
    defined = made.plan.defined(np.array(rows))
    wanted = _PROBES if made.qubits <= _MANY_PROBES else 1
    return [row for row, possible in zip(rows, defined, strict=True) if possible][:wanted]


def _gate_differences(
    circuit: QuantumCircuit, number: Mapping[Any, int], read: Reader
) -> Iterator[tuple[Any, tuple[int, ...], float]]:
    """Each gate that is not plainly a standard one, and how far it differs on its own."""
    for operation, qubits in operations(circuit):
        if operation.name in SIGNATURES and not is_own(operation):
            continue
        if len(qubits) > MAX_COMPARED:
            yield from _gate_differences(operation.definition, number, read)
            continue
        alone = _alone(operation)
        difference = _difference(read(alone, number), alone, number)
        yield operation, qubits, 0.0 if difference is None else difference


def _alone(operation: Any) -> QuantumCircuit:
    """The operation after rotations that leave no qubit in a state which a gate could leave as it is."""
    from qiskit.circuit import QuantumCircuit

    rng = np.random.default_rng(_SEED)
    made = QuantumCircuit(operation.num_qubits, name=operation.name)
    for qubit in range(operation.num_qubits):
        made.u(*rng.uniform(0.3, 1.2, 3), qubit)
    for qubit in range(operation.num_qubits - 1):
        made.cx(qubit, qubit + 1)
        made.ry(rng.uniform(0.3, 1.2), qubit + 1)
    made.append(operation, range(operation.num_qubits))
    return made
