"""Any Qiskit circuit in, ours out: amplitudes are the same, and what cannot come in is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate, efficient_su2, real_amplitudes, zz_feature_map
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import SparsePauliOp

from scorer.circuits.circuit import Builder
from scorer.circuits.decompile import circuit_of
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import apply, feature
from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading, zz
from scorer.circuits.plan import Plan
from scorer.circuits.qiskit.exporting import to_qasm3, to_qiskit
from scorer.circuits.qiskit.importing import import_circuit
from scorer.engine.reference import amplitudes
from tests.unit.circuits.dense import qiskit_states

x = ParameterVector("x", 3)
a = Parameter("a")
TOLERANCE = 1e-12


def with_parameters(seed: int) -> QuantumCircuit:
    """A random circuit of Qiskit's standard gates to three qubits, seven in ten angles made formulas."""
    rng = np.random.default_rng(seed)
    qubits = 2 + seed % 4
    plain = random_circuit(qubits, 10, max_operands=3, seed=seed)
    circuit = QuantumCircuit(qubits, global_phase=x[0] / 3 + 0.2)
    formulas = [
        lambda v: x[0] * 1.3 + v,
        lambda v: x[1] * x[2] - v,
        lambda v: 2 * (a + v).sin(),
        lambda v: v / (x[2] + 1),
        lambda v: math.pi * v - a**2,
    ]
    for instruction in plain.data:
        operation = instruction.operation.to_mutable()
        if operation.params and rng.random() < 0.7:
            operation.params = [formulas[rng.integers(len(formulas))](value) for value in operation.params]
        circuit.append(operation, [plain.find_bit(qubit).index for qubit in instruction.qubits])
    return circuit


@pytest.mark.parametrize("seed", range(40))
def test_random_circuits(seed: int) -> None:
    theirs = with_parameters(seed)
    Z = np.random.default_rng(seed).uniform(0, 1, (2, len(theirs.parameters)))
    expected = qiskit_states(theirs, Z)
    ours = import_circuit(theirs)
    assert np.abs(amplitudes(ours, Z) - expected).max() <= TOLERANCE
    stored = Plan.from_dict(ours.to_dict())
    assert np.abs(amplitudes(stored, Z) - expected).max() <= TOLERANCE
    assert np.abs(qiskit_states(to_qiskit(stored), Z) - expected).max() <= TOLERANCE


def library() -> dict[str, QuantumCircuit]:
    evolution = QuantumCircuit(3)
    evolution.h(range(3))
    evolution.append(PauliEvolutionGate(SparsePauliOp(["ZZI", "IXX"]), time=a), range(3))
    nested = QuantumCircuit(3)
    inner = QuantumCircuit(2, name="mine")
    inner.crx(x[0], 0, 1)
    inner.cx(0, 1, ctrl_state=0)
    nested.append(inner.to_gate(), [2, 0])
    nested.append(inner.to_gate().control(1), [0, 1, 2])
    return {
        "efficient_su2": efficient_su2(4, reps=2),
        "real_amplitudes": real_amplitudes(3, entanglement="circular"),
        "zz": zz_feature_map(4),
        # As Qiskit writes it in gates: the product formula, not the exponential of the sum.
        "evolution": evolution.decompose(),
        "nested": nested,
    }


@pytest.mark.parametrize("name", library())
def test_circuits_of_the_library_and_gates_of_ones_own(name: str) -> None:
    theirs = library()[name]
    Z = np.random.default_rng(1).uniform(0, 1, (2, len(theirs.parameters)))
    assert np.abs(amplitudes(import_circuit(theirs), Z) - qiskit_states(theirs, Z)).max() <= TOLERANCE


FORMULAS: list[Callable[[Any], Any]] = [
    lambda p: p + 1,
    lambda p: 1 - p,
    lambda p: 2 / (p + 1),
    lambda p: p**3,
    lambda p: 2**p,
    lambda p: p.sin() * p.cos() + p.tan(),
    lambda p: p.arcsin() + p.arccos() - p.arctan(),
    lambda p: p.exp() + (p + 1).log(),
    lambda p: (p - 0.5).abs(),
    lambda p: p.conjugate(),
    lambda p: -p / 3,
    lambda p: (p + x[1]) * (p - x[1]) / (2 + x[1]),
    lambda p: (p + x[1]).subs({x[1]: 2 * p}),
    lambda p: (p * x[1] + x[2]).bind({x[1]: 0.25}),
]


@pytest.mark.parametrize("number", range(len(FORMULAS)))
def test_formulas(number: int) -> None:
    theirs = QuantumCircuit(1)
    theirs.ry(FORMULAS[number](x[0]), 0)
    Z = np.array([[0.2, 0.3], [0.7, 0.9]])[:, : len(theirs.parameters)]
    ours = import_circuit(theirs)
    assert np.abs(amplitudes(ours, Z) - qiskit_states(theirs, Z)).max() <= TOLERANCE
    assert np.abs(qiskit_states(to_qiskit(ours), Z) - qiskit_states(theirs, Z)).max() <= TOLERANCE


def test_an_imported_zz_map_is_recognised() -> None:
    assert [type(s) for s in import_circuit(zz_feature_map(5)).plan.steps] == [type(s) for s in zz(5).plan.steps]


def test_features_are_in_qiskits_order_or_the_given_one() -> None:
    b, wide = Parameter("b"), ParameterVector("v", 11)
    theirs = QuantumCircuit(3)
    theirs.ry(b, 0)
    theirs.ry(wide[10] + wide[2], 1)
    theirs.ry(a, 2)
    Z = np.random.default_rng(0).uniform(0, 1, (2, 4))
    assert np.abs(amplitudes(import_circuit(theirs), Z) - qiskit_states(theirs, Z)).max() <= TOLERANCE
    # Qiskit's order is a, b, v[2], v[10].
    other = import_circuit(theirs, parameters=["v[10]", b, a, "v[2]"])
    assert np.abs(amplitudes(other, Z[:, [3, 1, 0, 2]]) - qiskit_states(theirs, Z)).max() <= TOLERANCE


@pytest.mark.parametrize("order", [["a"], ["a", "a"], ["a", "c"], ["a", "b", "c"]])
def test_an_order_that_does_not_name_each_parameter_once(order: list[str]) -> None:
    theirs = QuantumCircuit(1)
    theirs.ry(a * Parameter("b"), 0)
    with pytest.raises(CircuitError, match="each of the circuit's parameters once: a, b"):
        import_circuit(theirs, parameters=order)


def _measured(circuit: QuantumCircuit) -> None:
    circuit.measure_all()


def _reset(circuit: QuantumCircuit) -> None:
    circuit.reset(0)


def _conditional(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)


def _initialised(circuit: QuantumCircuit) -> None:
    circuit.initialize([1, 0], 0)


def _unnamed_sign(circuit: QuantumCircuit) -> None:
    circuit.ry(a.sign(), 0)


def _hidden_measurement(circuit: QuantumCircuit) -> None:
    inner = QuantumCircuit(1, 1, name="inner")
    inner.measure(0, 0)
    circuit.append(inner.to_instruction(), [0], [0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_measured, "'measure'"),
        (_reset, "'reset'"),
        (_conditional, "'if_else'"),
        (_initialised, "'reset'"),
        (_unnamed_sign, "sign, which has no counterpart"),
        (_hidden_measurement, "classical bits"),
    ],
)
def test_what_is_no_pure_state_of_the_features_is_named(spoil: Callable[[QuantumCircuit], None], message: str) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.ry(a, 0)
    spoil(circuit)
    with pytest.raises(CircuitError, match=message):
        import_circuit(circuit)


def test_a_circuit_without_parameters_is_refused() -> None:
    with pytest.raises(CircuitError, match="no parameters"):
        import_circuit(QuantumCircuit(1))


def test_a_circuit_with_too_many_qubits_is_refused() -> None:
    circuit = QuantumCircuit(21)
    circuit.ry(a, 20)
    with pytest.raises(CircuitError, match="qubits is 21"):
        import_circuit(circuit)


MAPS = [zz(4, 2, "circular"), pauli(3, ("Z", "YY")), qft(3), reuploading(5, 3), hardware_efficient(3)]


@pytest.mark.parametrize("ours", [*MAPS, *(made.plan for made in MAPS)])
@pytest.mark.parametrize("bandwidth", [1.0, 0.6])
def test_export_makes_the_same_states(ours: Any, bandwidth: float) -> None:
    ours = ours.with_bandwidth(bandwidth)
    Z = np.random.default_rng(2).uniform(0, 1, (2, ours.features))
    expected = amplitudes(ours, Z)
    assert np.abs(qiskit_states(to_qiskit(ours), Z) - expected).max() <= TOLERANCE
    again = import_circuit(to_qiskit(ours, prefix="f"))
    assert np.abs(amplitudes(again, Z) - expected).max() <= TOLERANCE


def test_every_operation_is_exported() -> None:
    z = feature(0)
    builder = Builder("all", 1, 1)
    for name in ("sin", "cos", "tan", "asin", "acos", "atan", "exp", "log", "abs", "sqrt", "neg"):
        builder.ry(apply(name, z), 0)
    builder.rx(z / 3.0 - 2.0 / z + z**2 + 2.0**z, 0)
    ours = builder.build()
    Z = np.array([[0.3], [0.8]])
    assert np.abs(qiskit_states(to_qiskit(ours), Z) - amplitudes(ours, Z)).max() <= TOLERANCE


@pytest.mark.parametrize("ours", MAPS)
def test_openqasm_3_names_every_gate_and_input(ours: Any) -> None:
    text = to_qasm3(ours)
    assert text.startswith("OPENQASM 3.0;")
    assert text.count("input float") == ours.features
    gates = [line for line in text.splitlines() if line.endswith(";") and "q[" in line and "qubit[" not in line]
    assert len(gates) == len(circuit_of(ours).gates)
