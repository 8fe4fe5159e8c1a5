"""Which groups of qubits a repetition entangles, in Qiskit's order."""

from __future__ import annotations

from itertools import combinations

from scorer.circuits.errors import CircuitError

ENTANGLEMENTS = ("full", "linear", "circular")


def groups(qubits: int, size: int, entanglement: str) -> tuple[tuple[int, ...], ...]:
    """List groups of ``size`` qubits. Raises CircuitError for an unknown pattern or an impossible size.

    Circular closes the ring, first, where there are more qubits than a group has.
    """
    if entanglement not in ENTANGLEMENTS:
        raise CircuitError(f"entanglement is {entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")
    if not 1 <= size <= qubits:
        raise CircuitError(f"groups of {size} qubits in a circuit of {qubits}")
    if entanglement == "full" or size == 1:
        return tuple(combinations(range(qubits), size))
    line = tuple(tuple(range(i, i + size)) for i in range(qubits - size + 1))
    if entanglement == "circular" and qubits > size:
        ring = range(qubits - size + 1, qubits)
        return (*(tuple((start + k) % qubits for k in range(size)) for start in ring), *line)
    return line
