"""Two feature maps: ``map(features, **parameters)`` returns a circuit of qscore's or a parametrised Qiskit circuit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.expressions import apply, feature

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit


def breathing(features: int, layers: int = 2) -> Circuit:
    """A ring of qubits; neighbours take the sine of their features' difference."""
    builder = Builder("breathing", features, features)
    for _ in range(layers):
        for i in range(features):
            builder.h(i).rz(math.pi * feature(i), i)
        for i in range(features - 1):
            builder.rzz(apply("sin", feature(i) - feature(i + 1)), i, i + 1)
    return builder.build()


def ising(features: int, reps: int = 1) -> QuantumCircuit:
    """An Ising evolution written in Qiskit, with a formula that Qiskit keeps as an expression."""
    from qiskit.circuit import ParameterVector, QuantumCircuit

    x = ParameterVector("x", features)
    circuit = QuantumCircuit(features)
    for _ in range(reps):
        for i in range(features):
            circuit.rx(x[i] + 0.5, i)
        for i in range(features - 1):
            circuit.rzz((x[i] * x[i + 1]).cos(), i, i + 1)
        circuit.barrier()
    for i in range(features):
        circuit.rx(x[i], i)
    return circuit
