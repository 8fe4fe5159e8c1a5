"""Any parametrised Qiskit circuit as one of ours. Needs the extra ``qiskit``; only training comes here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scorer.circuits.circuit import Circuit
from scorer.circuits.errors import CircuitError
from scorer.circuits.gates import SIGNATURES, Gate
from scorer.circuits.qiskit.angles import expression_of
from scorer.circuits.qiskit.comparing import require_same_states
from scorer.circuits.qiskit.flattening import flattened
from scorer.circuits.qiskit.order import ordered

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit


def import_circuit(
    circuit: QuantumCircuit,
    parameters: Sequence[Any] | str | None = None,
    name: str | None = None,
    bandwidth: float = 1.0,
) -> Circuit:
    """Read a circuit, its parameters as features: in the given order (parameters or their names), or Qiskit's.

    ``parameters``: may be "qiskit" or "natural" (x2 before x10), and must be given where these differ.
    Raises CircuitError for what is no pure state of the features: measurements, resets, conditions; for formulas that
    have no counterpart here; for a circuit without parameters; and where the states are not those that Qiskit computes.
    """
    from qiskit.circuit import QuantumCircuit

    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(f"{type(circuit).__name__} is neither a feature map nor a Qiskit circuit")
    order = ordered(circuit.name, list(circuit.parameters), parameters)
    number = {parameter: index for index, parameter in enumerate(order)}
    made = _read(circuit, number, name)
    require_same_states(made, circuit, number, _read)
    return made.with_bandwidth(bandwidth)


def _read(circuit: QuantumCircuit, number: Mapping[Any, int], name: str | None = None) -> Circuit:
    basis = _in_known_gates(flattened(circuit))
    phase = expression_of(basis.global_phase, number)
    called = _printable(name or circuit.name or "imported")
    return Circuit(called, circuit.num_qubits, len(number), tuple(_gates(basis, number)), phase)


def _in_known_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Level 0: gates are translated and nothing else, so that formulas stay as they were written."""
    from qiskit import transpile

    try:
        return transpile(circuit, basis_gates=sorted(SIGNATURES), optimization_level=0)
    except Exception as error:
        # Definitions are anybody's code, and Qiskit raises what it likes where a number is missing.
        raise CircuitError(f"Qiskit cannot write the circuit {circuit.name!r} in basic gates: {error}") from error


def _gates(circuit: QuantumCircuit, number: Mapping[Any, int]) -> Iterator[Gate]:
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.name not in SIGNATURES:
            raise CircuitError(f"the circuit holds {operation.name!r}, which cannot be imported")
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        yield Gate(operation.name, qubits, tuple(expression_of(angle, number) for angle in operation.params))


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:100] or "imported"
