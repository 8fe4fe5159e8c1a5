"""What an operation of a Qiskit circuit is, by its class and not by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scorer.circuits.errors import CircuitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qiskit.circuit import QuantumCircuit

#: Where Qiskit's own gates live. Readers of OpenQASM make classes elsewhere (``qiskit.qasm2.parse``).
_LIBRARY = ("qiskit.circuit.library.", "qiskit.quantum_info.")


def operations(circuit: QuantumCircuit) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """List (operation, qubits) in order; raises CircuitError where one uses classical bits."""
    for instruction in circuit.data:
        if instruction.clbits:
            raise classical(instruction.operation)
        yield instruction.operation, tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)


def holds(circuit: QuantumCircuit, kind: type) -> bool:
    """Tell whether an operation of the class ``kind`` stands anywhere in the circuit, inside other gates too."""
    return any(_holds(instruction.operation, kind) for instruction in circuit.data)


def is_own(operation: Any) -> bool:
    """Tell whether the operation is somebody's own: not of a class of Qiskit's library, or around one that is not."""
    inner = controlled(operation)
    if inner is not None:
        return is_own(inner)
    return not class_of(operation).__module__.startswith(_LIBRARY)


def controlled(operation: Any) -> Any:
    """Find the gate that an operation controls or annotates, or None."""
    return getattr(operation, "base_op", getattr(operation, "base_gate", None))


def class_of(operation: Any) -> type:
    """Return the class, seen through the singletons that Qiskit makes of gates without parameters."""
    found: type = getattr(operation, "base_class", type(operation))
    return found


def classical(operation: Any) -> CircuitError:
    """Make the error of an operation that is more than a gate."""
    return CircuitError(
        f"the circuit holds {operation.name!r}, which uses classical bits or control flow; remove it before importing"
    )


def _holds(operation: Any, kind: type) -> bool:
    if isinstance(operation, kind):
        return True
    inner, definition = controlled(operation), None
    if is_own(operation):
        definition = getattr(operation, "definition", None)
    return (inner is not None and _holds(inner, kind)) or (definition is not None and holds(definition, kind))
