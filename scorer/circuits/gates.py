"""Gates as people write them, named and defined as in Qiskit; qubit i is bit i of the basis state's number."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, check_program
from scorer.circuits.scalars import whole

#: Gate -> (qubits, angles), as Qiskit orders them: controls first.
SIGNATURES: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg"), (1, 0)),
    **dict.fromkeys(("rx", "ry", "rz", "p"), (1, 1)),
    "u": (1, 3),
    **dict.fromkeys(("cx", "cy", "cz", "ch", "swap"), (2, 0)),
    **dict.fromkeys(("cp", "crx", "cry", "crz", "rxx", "ryy", "rzz", "rzx"), (2, 1)),
    **dict.fromkeys(("ccx", "ccz"), (3, 0)),
}


@dataclass(frozen=True)
class Gate:
    """A gate of SIGNATURES; ``qubits`` controls first, ``angles`` in radians."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "qubits", tuple(map(whole, self.qubits)))


def check_gate(gate: Gate, qubits: int, features: int) -> None:
    """Raise CircuitError where the gate is none, or none of a circuit of so many qubits and features."""
    signature = SIGNATURES.get(gate.name)
    if signature is None:
        raise CircuitError(f"no gate {gate.name!r}; known are {', '.join(SIGNATURES)}")
    if (len(gate.qubits), len(gate.angles)) != signature:
        raise CircuitError(f"{gate.name} takes {signature[0]} qubits and {signature[1]} angles, not {gate}")
    possible = all(type(qubit) is int and 0 <= qubit < qubits for qubit in gate.qubits)
    if not possible or len(set(gate.qubits)) != len(gate.qubits):
        raise CircuitError(f"{gate.name} on the qubits {gate.qubits} of a circuit of {qubits}")
    for angle in gate.angles:
        check_program(angle.program, features)
