"""Controls of gates of one's own: whether Qiskit built them from that gate or from the standard one of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.qiskit.classes import is_own

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Qubits up to which a control is compared with what it controls.
_MOST_QUBITS = 12
_AGREEMENT = 1e-9
_SEED = 20


def misread_name(operation: Any) -> str | None:
    """Find the standard name of a gate of one's own that Qiskit took for the standard one under a control, or None.

    ``Gate.control`` unrolls by name. Where a name could mislead it, the control is compared with the gate itself.
    """
    base = getattr(operation, "base_gate", None)
    if base is None:
        return None
    name = next(_standard_names(base), None)
    return None if name is None or _is_control_of(operation, base) else name


def _standard_names(operation: Any) -> Iterator[str]:
    """Names of Qiskit's that gates of one's own bear, in this operation or inside it."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    inner = getattr(operation, "base_gate", None)
    if inner is not None:
        yield from _standard_names(inner)
    if not is_own(operation):
        return
    if inner is None and operation.name in {*get_standard_gate_name_mapping(), "barrier"}:
        yield operation.name
    definition = getattr(operation, "definition", None)
    for instruction in () if definition is None or inner is not None else definition.data:
        yield from _standard_names(instruction.operation)


def _is_control_of(operation: Any, base: Any) -> bool:
    """Tell whether the control's definition does to a random state what controlling ``base`` does; False if unknown."""
    from qiskit.circuit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    alone = QuantumCircuit(base.num_qubits)
    alone.append(base, range(base.num_qubits))
    built = operation.definition
    if operation.num_qubits > _MOST_QUBITS or not set(alone.parameters) <= set(built.parameters):
        return False
    rng = np.random.default_rng(_SEED)
    values = {parameter: rng.uniform(0.1, 1.0) for parameter in built.parameters}
    state = _random_state(rng, operation.num_qubits)
    own = alone.assign_parameters({parameter: values[parameter] for parameter in alone.parameters})
    expected = state.reshape(2**base.num_qubits, -1).copy()  # controls are the low bits
    expected[:, operation.ctrl_state] = Statevector(expected[:, operation.ctrl_state]).evolve(own).data
    found = Statevector(state).evolve(built.assign_parameters(values)).data
    return bool(np.abs(found - expected.ravel()).max() <= _AGREEMENT)


def _random_state(rng: np.random.Generator, qubits: int) -> NDArray[np.complex128]:
    real, imaginary = rng.normal(size=(2, 2**qubits))
    state: NDArray[np.complex128] = real + 1j * imaginary
    return state / np.linalg.norm(state)
