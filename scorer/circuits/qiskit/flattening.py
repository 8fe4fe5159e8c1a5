"""A Qiskit circuit as operations of Qiskit's own classes, whatever gates of people's own were called.

Qiskit's transpiler goes by names: a gate of one's own that is called ``rx``, ``barrier`` or ``qft`` is taken for the
standard one. Here classes count. Gates of one's own are replaced by what they are defined as, at every depth, before
the transpiler sees them; barriers, delays and identities go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scorer.circuits.errors import CircuitError
from scorer.circuits.qiskit.classes import class_of, classical, is_own, operations
from scorer.circuits.qiskit.controls import misread_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qiskit.circuit import QuantumCircuit


def flattened(circuit: QuantumCircuit) -> QuantumCircuit:
    """Write the same circuit without gates of one's own, barriers, delays and identities.

    A ``PauliEvolutionGate`` becomes the product formula that Qiskit synthesises. Raises CircuitError for what is no
    gate: measurements, resets, control flow, and gates without a definition.
    """
    from qiskit.circuit import QuantumCircuit

    made = QuantumCircuit(circuit.num_qubits, name=circuit.name)
    _append_all(made, circuit, range(circuit.num_qubits))
    return made


def _append_all(made: QuantumCircuit, circuit: QuantumCircuit, qubits: Sequence[int]) -> None:
    made.global_phase += circuit.global_phase
    for operation, inner in operations(circuit):
        _append(made, operation, [qubits[k] for k in inner])


def _append(made: QuantumCircuit, operation: Any, qubits: list[int]) -> None:
    from qiskit.circuit import AnnotatedOperation, ControlFlowOp, Gate, Operation

    if isinstance(operation, ControlFlowOp):
        raise classical(operation)
    if _is_idle(operation):
        return
    if isinstance(operation, AnnotatedOperation):
        made.append(AnnotatedOperation(_as_gate(operation.base_op), operation.modifiers), qubits)
    elif not is_own(operation) and _is_unitary(operation, Gate, Operation):
        made.append(operation, qubits)
    else:
        _append_all(made, _definition(operation), qubits)


def _is_idle(operation: Any) -> bool:
    from qiskit.circuit import Barrier, Delay
    from qiskit.circuit.library import IGate

    return class_of(operation) in (Barrier, Delay, IGate)


def _is_unitary(operation: Any, gate: type, any_operation: type) -> bool:
    """A gate whose definition is its own affair, or a Clifford; a PauliEvolutionGate's is a formula, looked at here."""
    from qiskit.circuit import Instruction
    from qiskit.circuit.library import PauliEvolutionGate

    if isinstance(operation, Instruction):
        return isinstance(operation, gate) and not isinstance(operation, PauliEvolutionGate)
    return isinstance(operation, any_operation)


def _as_gate(operation: Any) -> Any:
    """The operation itself where the transpiler knows it by its class; else its flattened definition, without a name
    that the transpiler could know."""
    from qiskit.circuit import AnnotatedOperation, QuantumCircuit
    from qiskit.circuit.library import PauliEvolutionGate

    if isinstance(operation, AnnotatedOperation):
        return AnnotatedOperation(_as_gate(operation.base_op), operation.modifiers)
    if not is_own(operation) and not isinstance(operation, PauliEvolutionGate):
        return operation
    made = QuantumCircuit(operation.num_qubits, name=f"flattened_{operation.name}")
    _append(made, operation, list(range(operation.num_qubits)))
    return made.to_gate()


def _definition(operation: Any) -> QuantumCircuit:
    found: QuantumCircuit | None = getattr(operation, "definition", None)
    if found is None:
        raise CircuitError(f"the circuit holds {operation.name!r}, which is not a gate; remove it before importing")
    _require_true_control(operation)
    return found


def _require_true_control(operation: Any) -> None:
    """Refuse a controlled gate of one's own of which Qiskit made another: it builds controls by name, too."""
    name = misread_name(operation)
    if name is not None:
        raise CircuitError(
            f"the circuit holds {operation.name!r}, the control of a gate of your own: in it {name!r} is not Qiskit's "
            f"gate of that name, but Qiskit built the control as if it were. Give {name!r} another name, or use "
            "control(annotated=True)"
        )
